/* SPDX-License-Identifier: MIT */
/*
 * hash.h - uthash, with a hash function of ours
 *
 * Keys come from outside (ids that programs and files choose), so the function
 * starts from a number that nobody outside knows. Include this, never
 * <uthash.h>.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/** hash_bytes() - for HASH_FUNCTION; the same for as long as a process lives */
uint32_t hash_bytes(const void *key, size_t len);

/* Out of memory: the element is not added, the process goes on. */
#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, len, value) ((value) = hash_bytes(key, len))

#include <uthash.h>

#endif /* BASE_HASH_H */
