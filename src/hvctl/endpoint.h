/* SPDX-License-Identifier: MIT */
/*
 * endpoint.h - one end of a forward, as typed
 *
 *	tcp:HOST:PORT	HOST a name, an IPv4 address, or an IPv6 one in []
 *	unix:PATH	a stream socket
 *	ADDRESS		PARTITION:SERVICE
 *
 * endpoint_parse() is pure; names are looked up when the endpoint is used.
 */
#ifndef HVCTL_ENDPOINT_H
#define HVCTL_ENDPOINT_H

#include <stddef.h>

enum endpoint_kind { ENDPOINT_TCP, ENDPOINT_UNIX, ENDPOINT_HV };

struct endpoint {
	enum endpoint_kind kind;
	const char *text; /* as typed */
	const char *path; /* unix: into text */
	char host[256]; /* tcp, without brackets */
	char port[8];
};

#define ENDPOINT_WHY 200

/** endpoint_parse() - @why gets a sentence when the result is -EINVAL */
int endpoint_parse(const char *text, struct endpoint *ret, char *why);

/** address_form() - does @text look like PARTITION:SERVICE? 0 or -EINVAL */
int address_form(const char *text);

/**
 * endpoint_listen() - a listening, non-blocking socket
 * @ret_at:	where it listens, as endpoint_parse() would take it: the port
 *		that was chosen for port 0; 300 bytes
 *
 * A socket file whose listener is gone is replaced. Return: fd, or -errno
 * (kind ENDPOINT_HV: hvs_reason(-1) tells more).
 */
int endpoint_listen(const struct endpoint *e, char *ret_at, size_t size);

/**
 * endpoint_connect() - a non-blocking socket that connects
 * @ret_pending: set if the connect goes on: wait for POLLOUT, then ask
 *		endpoint_result()
 *
 * Return: fd, or -errno.
 */
int endpoint_connect(const struct endpoint *e, int *ret_pending);

/** endpoint_result() - how a pending connect ended: 0 or -errno. The broker is
 * asked, for an ADDRESS */
int endpoint_result(const struct endpoint *e, int fd);

/**
 * endpoint_connect_small() - endpoint_connect() to an ADDRESS for little data
 *
 * A connect to a guest keeps a socket's whole send buffer filled until the
 * guest has answered, and all of that is copied twice; of many connects at once
 * it is what takes the time. This one's is as small as can be, until
 * endpoint_grow().
 */
int endpoint_connect_small(const struct endpoint *e, int *ret_pending);

/** endpoint_grow() - it is connected: a send buffer as others have it */
void endpoint_grow(int fd);

#endif /* HVCTL_ENDPOINT_H */
