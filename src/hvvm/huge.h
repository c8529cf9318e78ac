/* SPDX-License-Identifier: MIT */
/*
 * huge.h - memory that comes in huge pages
 *
 * Each page that a guest touches first costs it an exit, and Linux gives a
 * memfd no huge pages unless the administrator says so
 * (/sys/kernel/mm/transparent_hugepage/shmem_enabled). A tmpfs of one's own may
 * have them (huge=always, tmpfs(5)), and so has a file in one, which no
 * directory names: 2 MiB come at one touch. It needs CAP_SYS_ADMIN, or a user
 * namespace, in which a child makes it; who has neither uses a memfd.
 */
#ifndef HVVM_HUGE_H
#define HVVM_HUGE_H

#include <stdint.h>

/** huge_file() - @size bytes, zeros, none of them taken. It can have no seals.
 * Return: the descriptor, the caller's; -errno: -EPERM where neither way is
 * open, -EOPNOTSUPP where the administrator wants no huge pages */
int huge_file(uint64_t size);

#endif /* HVVM_HUGE_H */
