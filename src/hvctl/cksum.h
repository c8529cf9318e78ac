/* SPDX-License-Identifier: MIT */
/*
 * cksum.h - the checksum of POSIX's cksum(1)
 *
 * Every guest has that program, and with it a file need not be read back. It
 * tells damage, not deceit: a guest says of its own file what it likes.
 */
#ifndef HVCTL_CKSUM_H
#define HVCTL_CKSUM_H

#include <stddef.h>
#include <stdint.h>

struct cksum {
	uint32_t crc;
	uint64_t bytes;
};

void cksum_add(struct cksum *c, const uint8_t *p, size_t n);
void cksum_zeros(struct cksum *c, uint64_t n);
uint32_t cksum_end(const struct cksum *c);

#endif /* HVCTL_CKSUM_H */
