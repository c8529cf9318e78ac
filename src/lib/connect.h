/* SPDX-License-Identifier: MIT */
/* connect.h - the connect that hvs_connect() and hvs_dial() share */
#ifndef LIB_CONNECT_H
#define LIB_CONNECT_H

#include <stdbool.h>

#include <hvsocket.h>

#include "lib/state.h"

/**
 * connect_run() - one connect
 * @fd:		a socket with O_NONBLOCK set
 * @dest:	checked by address_check()
 * @opt:	the options
 * @nonblock:	do not wait for a guest
 * @ret_native:	if @opt has native: a socket to be used instead of @fd, the
 *		caller's, or -1; else NULL
 *
 * Return: 0; or -1 with errno and reason set.
 */
int connect_run(int fd, const SOCKADDR_HV *dest, const struct options *opt,
		bool nonblock, int *ret_native);

#endif /* LIB_CONNECT_H */
