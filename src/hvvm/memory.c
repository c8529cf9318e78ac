/* SPDX-License-Identifier: MIT */
/* memory.c - see memory.h */
#include "hvvm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hvvm/huge.h"

/* At a multiple of a huge page's size, or none could be mapped. */
static int map_aligned(struct memory *m)
{
	uint8_t *room =
		mmap(NULL, m->size + MEMORY_STEP, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (room == MAP_FAILED)
		return -errno;
	before = -(uintptr_t)room % MEMORY_STEP;
	if (mmap(room + before, m->size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, m->fd,
		 0) == MAP_FAILED) {
		int r = -errno;

		munmap(room, m->size + MEMORY_STEP);
		return r;
	}
	if (before)
		munmap(room, before);
	munmap(room + before + m->size, MEMORY_STEP - before);
	m->map = room + before;
	return 0;
}

/* A back end that has it mapped must not find it cut short. */
static int sealed_file(uint64_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

int memory_new(struct memory *m, uint64_t size, bool huge)
{
	uint64_t low = size < MEMORY_LOW_MAX ? size : MEMORY_LOW_MAX;
	int r;

	*m = (struct memory) { .fd = -1, .size = size, .count = 1 };
	m->at[0] = (struct memory_region) { .size = low };
	if (size > low)
		m->at[m->count++] = (struct memory_region) {
			.gpa = MEMORY_HIGH,
			.size = size - low,
			.offset = low,
		};
	r = huge ? huge_file(size) : -EOPNOTSUPP;
	if (r < 0)
		r = sealed_file(size);
	if (r < 0)
		return r;
	m->fd = r;
	r = map_aligned(m);
	if (r < 0) {
		memory_free(m);
		return r;
	}
	(void)madvise(m->map, size, MADV_DONTDUMP);
	return 0;
}

void memory_free(struct memory *m)
{
	if (m->map)
		munmap(m->map, m->size);
	if (m->fd >= 0)
		close(m->fd);
	*m = (struct memory) { .fd = -1 };
}

int memory_clear(struct memory *m)
{
	if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)m->size) < 0)
		return -errno;
	return 0;
}

void *memory_at(const struct memory *m, uint64_t gpa, size_t len)
{
	for (unsigned int i = 0; i < m->count; i++) {
		const struct memory_region *r = &m->at[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size &&
		    r->size - (gpa - r->gpa) >= len)
			return m->map + r->offset + (gpa - r->gpa);
	}
	return NULL;
}
