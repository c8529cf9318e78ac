/* SPDX-License-Identifier: MIT */
/*
 * uuid5.h - the VmId that stands for a container runtime's text id
 *
 * UUID version 5 (RFC 4122) in a namespace of its own over the upper-cased id
 * in UTF-16LE, so that every tool finds the same GUID for the same container.
 */
#ifndef HVCTL_UUID5_H
#define HVCTL_UUID5_H

#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

/** sha1() - RFC 3174; here for UUIDs, it protects nothing */
void sha1(const uint8_t *data, size_t len, uint8_t ret[20]);

/** uuid5() - version 5 of @data in namespace @ns */
void uuid5(const GUID *ns, const uint8_t *data, size_t len, GUID *ret);

#define CONTAINER_ID_MAX 256 /* bytes */

/** uuid5_container() - the VmId for @text. Return: 0 or -EINVAL: empty, longer
 * than CONTAINER_ID_MAX, not ASCII or not printable */
int uuid5_container(const char *text, GUID *ret);

#endif /* HVCTL_UUID5_H */
