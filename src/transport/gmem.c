/* SPDX-License-Identifier: MIT */
/* gmem.c - see gmem.h */
#include "transport/gmem.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

bool gmem_range_ok(const struct gmem_range *r)
{
	uint64_t end;

	return r->size && !__builtin_add_overflow(r->gpa, r->size, &end) &&
	       !__builtin_add_overflow(r->uva, r->size, &end) &&
	       !__builtin_add_overflow(r->offset, r->size, &end) &&
	       end <= INT64_MAX;
}

int gmem_add(struct gmem *g, const struct gmem_range *r, int fd)
{
	struct gmem_region new = { .r = *r, .fd = -1 };
	unsigned int i;
	struct stat st;
	size_t unit;
	void *map;

	if (g->count == GMEM_SLOTS)
		return -ENOSPC;
	for (i = 0; i < g->count; i++)
		if (overlap(r->gpa, r->size, g->at[i].r.gpa, g->at[i].r.size))
			return -EEXIST;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	/* (gmem_range_ok() was asked: no overflow) */
	if ((uint64_t)st.st_size < r->offset + r->size)
		return -EFBIG;
	/*
	 * From offset 0, since the offset need not be a multiple of a huge
	 * page; the length of what is unmapped must be.
	 */
	unit = st.st_blksize > 4096 ? (size_t)st.st_blksize : 4096;
	new.map_len = (size_t)(r->offset + r->size + unit - 1) / unit *unit;
	map = mmap(NULL, new.map_len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	(void)madvise(map, new.map_len, MADV_DONTDUMP);
	new.map = map;
	for (i = g->count; i && g->at[i - 1].r.gpa > r->gpa; i--)
		g->at[i] = g->at[i - 1];
	g->at[i] = new;
	g->count++;
	g->last = 0;
	return 0;
}

void gmem_keep(struct gmem *g, uint64_t gpa, int fd)
{
	for (unsigned int i = 0; i < g->count; i++)
		if (g->at[i].r.gpa == gpa)
			g->at[i].fd = fd;
}

static void drop(struct gmem_region *at)
{
	munmap(at->map, at->map_len);
	if (at->fd >= 0)
		close(at->fd);
}

int gmem_remove(struct gmem *g, const struct gmem_range *r)
{
	for (unsigned int i = 0; i < g->count; i++) {
		struct gmem_region *at = &g->at[i];

		if (at->r.gpa != r->gpa || at->r.uva != r->uva ||
		    at->r.size != r->size)
			continue;
		drop(at);
		g->count--;
		memmove(at, at + 1, (g->count - i) * sizeof(*at));
		g->last = 0;
		return 0;
	}
	return -ENOENT;
}

void gmem_clear(struct gmem *g)
{
	while (g->count) {
		drop(&g->at[--g->count]);
	}
	g->last = 0;
}

static struct gmem_region *find(struct gmem *g, uint64_t gpa)
{
	unsigned int low = 0, high = g->count;

	/* buffers sit close together */
	if (g->last < g->count &&
	    gpa - g->at[g->last].r.gpa < g->at[g->last].r.size)
		return &g->at[g->last];
	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (gpa < g->at[mid].r.gpa) {
			high = mid;
		} else if (gpa - g->at[mid].r.gpa >= g->at[mid].r.size) {
			low = mid + 1;
		} else {
			g->last = mid;
			return &g->at[mid];
		}
	}
	return NULL;
}

int gmem_iov(struct gmem *g, uint64_t gpa, size_t len, struct iovec *iov,
	     unsigned int max)
{
	unsigned int n = 0;

	while (len) {
		struct gmem_region *at = find(g, gpa);
		uint64_t skip, part;

		if (!at)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		skip = gpa - at->r.gpa;
		part = at->r.size - skip;
		if (part > len)
			part = len;
		iov[n].iov_base = at->map + at->r.offset + skip;
		iov[n++].iov_len = (size_t)part;
		len -= (size_t)part;
		/* a region ends below 2^64, so this does not wrap to 0 */
		gpa += part;
	}
	return (int)n;
}

void *gmem_uva(struct gmem *g, uint64_t uva, size_t len)
{
	for (unsigned int i = 0; i < g->count; i++) {
		const struct gmem_region *at = &g->at[i];
		uint64_t skip = uva - at->r.uva;

		if (uva >= at->r.uva && skip < at->r.size &&
		    len <= at->r.size - skip)
			return at->map + at->r.offset + skip;
	}
	return NULL;
}

/* ---- SIGBUS */

static struct gmem *guarded;
static volatile sig_atomic_t lost;

static struct {
	uint8_t *map;
	size_t len;
} more[GMEM_MORE];

void gmem_guard_more(unsigned int slot, void *map, size_t len)
{
	more[slot].len = 0;
	more[slot].map = map;
	more[slot].len = len;
}

static bool replace(uint8_t *map, size_t len, const uint8_t *where)
{
	return len && (uintptr_t)where - (uintptr_t)map < len &&
	       mmap(map, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		    0) != MAP_FAILED;
}

static void on_sigbus(int sig, siginfo_t *si, void *ucontext)
{
	struct gmem *g = guarded;
	bool found = false;

	(void)ucontext;
	for (unsigned int i = 0; i < GMEM_MORE && !found; i++)
		found = replace(more[i].map, more[i].len, si->si_addr);
	for (unsigned int i = 0; g && i < g->count && !found; i++)
		found = replace(g->at[i].map, g->at[i].map_len, si->si_addr);
	if (found) {
		lost = 1;
		return;
	}
	/* not ours to forgive */
	signal(sig, SIG_DFL);
	raise(sig);
}

int gmem_guard_install(struct gmem *g)
{
	struct sigaction sa = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO,
	};

	guarded = g;
	return sigaction(SIGBUS, &sa, NULL) < 0 ? -errno : 0;
}

bool gmem_lost(void)
{
	return lost;
}

void gmem_lost_reset(void)
{
	lost = 0;
}
