/* SPDX-License-Identifier: MIT */
/* address.h - addresses as callers pass them */
#ifndef LIB_ADDRESS_H
#define LIB_ADDRESS_H

#include <hvsocket.h>

/**
 * address_check() - a caller's address, copied
 * @fd:		whose reason a failure is
 *
 * Return: 0; or -1 with EFAULT, EINVAL or EAFNOSUPPORT and the reason set.
 */
int address_check(int fd, const SOCKADDR_HV *addr, socklen_t len,
		  SOCKADDR_HV *ret);

/** address_give() - write @a to a caller's buffer, as getsockname(2) does.
 * Return: 0; or -1 with EFAULT or EINVAL. */
int address_give(const SOCKADDR_HV *a, SOCKADDR_HV *addr, socklen_t *len);

/** address_none() - zero/zero */
SOCKADDR_HV address_none(void);

#endif /* LIB_ADDRESS_H */
