/* SPDX-License-Identifier: MIT */
/*
 * gmem.h - the guest's memory as the VMM shares it
 *
 * A file that is cut short under a mapping raises SIGBUS at the next touch.
 * gmem_guard_install() makes that the loss of this device: the handler puts
 * zero pages where the region was, notes it, and goes on; whoever serves the
 * guest drops the VMM when it sees gmem_lost().
 */
#ifndef TRANSPORT_GMEM_H
#define TRANSPORT_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define GMEM_SLOTS 509 /* what QEMU's own back-ends answer */

#define GMEM_MORE 2

struct gmem_range {
	uint64_t gpa, size;
	uint64_t uva;	 /* the VMM's own address of it, where that counts */
	uint64_t offset; /* in the file */
};

struct gmem_region {
	struct gmem_range r;
	uint8_t *map; /* from the file's offset 0 */
	size_t map_len;
	int fd; /* gmem_keep(); -1 */
};

struct gmem {
	unsigned int count;
	unsigned int last;		   /* hit */
	struct gmem_region at[GMEM_SLOTS]; /* by guest address */
};

/** gmem_range_ok() - nothing in it wraps; to be asked before gmem_add() */
bool gmem_range_ok(const struct gmem_range *r);
/** gmem_add() - map a region; @fd is borrowed. Return: 0; -EEXIST (overlaps),
 * -ENOSPC (too many), -EFBIG (the file is too short), mmap(2)'s */
int gmem_add(struct gmem *g, const struct gmem_range *r, int fd);
/** gmem_keep() - @fd, of the region at @gpa, is owned from now on, for a
 * process to come; it is closed with the region */
void gmem_keep(struct gmem *g, uint64_t gpa, int fd);
/** gmem_remove() - the one with this place and size. Return: 0 or -ENOENT */
int gmem_remove(struct gmem *g, const struct gmem_range *r);
void gmem_clear(struct gmem *g);

/**
 * gmem_iov() - @len bytes from guest address @gpa as at most @max entries,
 * more than one where regions touch. Return: entries; -EFAULT (not all of it
 * is memory), -E2BIG
 */
int gmem_iov(struct gmem *g, uint64_t gpa, size_t len, struct iovec *iov,
	     unsigned int max);

/** gmem_uva() - @len bytes at the front-end's address, within one region; NULL:
 * none */
void *gmem_uva(struct gmem *g, uint64_t uva, size_t len);

/** gmem_guard_install() - handle SIGBUS for @g, of which there is one in a
 * process. Return: 0 or -errno */
int gmem_guard_install(struct gmem *g);
/** gmem_guard_more() - guard another mapping too; @slot: below GMEM_MORE;
 * @len 0: none */
void gmem_guard_more(unsigned int slot, void *map, size_t len);
bool gmem_lost(void);
void gmem_lost_reset(void);

#endif /* TRANSPORT_GMEM_H */
