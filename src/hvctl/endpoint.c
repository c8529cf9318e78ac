/* SPDX-License-Identifier: MIT */
/* endpoint.c - see endpoint.h */
#include "hvctl/endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "base/unix.h"
#include "hvctl/args.h"

#define SEND_BUFFER (96 * 1024) /* twice that is the kernel's own default */

#define BACKLOG 128

static int refuse(char *why, const char *what)
{
	snprintf(why, ENDPOINT_WHY, "%s", what);
	return -EINVAL;
}

int address_form(const char *text)
{
	const char *colon = strchr(text, ':');

	return colon && colon > text && colon[1] ? 0 : -EINVAL;
}

static int parse_tcp(const char *text, struct endpoint *e, char *why)
{
	const char *port = strrchr(text, ':');
	uint32_t number;
	size_t len;

	if (!port || port == text)
		return refuse(why, "tcp: is followed by HOST:PORT");
	len = (size_t)(port - text);
	if (text[0] == '[') {
		if (text[len - 1] != ']')
			return refuse(why, "the ] is missing");
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return refuse(why, "an IPv6 address stands in [ ]");
	}
	if (!len || len >= sizeof(e->host))
		return refuse(why, "tcp: is followed by HOST:PORT");
	if (text_u32(port + 1, &number) || number > 65535)
		return refuse(why, "a TCP port is a number from 0 to 65535");
	memcpy(e->host, text, len);
	e->host[len] = '\0';
	snprintf(e->port, sizeof(e->port), "%u", number);
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret, char *why)
{
	struct endpoint e = { .text = text };
	int r;

	if (!strncmp(text, "tcp:", 4)) {
		e.kind = ENDPOINT_TCP;
		r = parse_tcp(text + 4, &e, why);
		if (r)
			return r;
	} else if (!strncmp(text, "unix:", 5)) {
		struct sockaddr_un sa;

		e.kind = ENDPOINT_UNIX;
		e.path = text + 5;
		if (!*e.path)
			return refuse(why, "unix: is followed by a path");
		if (strlen(e.path) >= sizeof(sa.sun_path))
			return refuse(why, "the path of a Unix socket has at "
					   "most 107 bytes");
	} else {
		e.kind = ENDPOINT_HV;
		if (address_form(text))
			return refuse(why, "neither tcp:HOST:PORT, unix:PATH, "
					   "nor PARTITION:SERVICE");
	}
	*ret = e;
	return 0;
}

/* getaddrinfo()'s errors in the words of errno */
static int lookup(const struct endpoint *e, int flags, struct addrinfo **ret)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = flags };

	switch (getaddrinfo(e->host, e->port, &hints, ret)) {
	case 0:
		return 0;
	case EAI_SYSTEM:
		return -errno;
	case EAI_MEMORY:
		return -ENOMEM;
	default:
		return -EADDRNOTAVAIL;
	}
}

static int listen_tcp(const struct endpoint *e)
{
	cleanup_close_ int fd = -1;
	struct addrinfo *list;
	const int one = 1;
	int r;

	r = lookup(e, AI_PASSIVE, &list);
	if (r)
		return r;
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		cleanup_close(&fd);
		fd = socket(a->ai_family,
			    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0) {
			r = -errno;
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (!bind(fd, a->ai_addr, a->ai_addrlen) &&
		    !listen(fd, BACKLOG)) {
			freeaddrinfo(list);
			return fd_take(&fd);
		}
		r = -errno;
	}
	freeaddrinfo(list);
	return r ? r : -EADDRNOTAVAIL;
}

static void tcp_name(int fd, char *ret, size_t size)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char host[INET6_ADDRSTRLEN + 20] = "", port[8] = "";

	if (!getsockname(fd, (struct sockaddr *)&sa, &len))
		getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host),
			    port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(ret, size, strchr(host, ':') ? "tcp:[%s]:%s" : "tcp:%s:%s",
		 host, port);
}

int endpoint_listen(const struct endpoint *e, char *ret_at, size_t size)
{
	int fd;

	snprintf(ret_at, size, "%s", e->text);
	switch (e->kind) {
	case ENDPOINT_TCP:
		fd = listen_tcp(e);
		if (fd >= 0)
			tcp_name(fd, ret_at, size);
		return fd;
	case ENDPOINT_UNIX:
		return unix_listen(e->path, SOCK_STREAM, BACKLOG, false);
	case ENDPOINT_HV:
		break;
	}
	fd = hvs_serve(e->text, BACKLOG, HVS_DIAL_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int connect_tcp(const struct endpoint *e, int *ret_pending)
{
	cleanup_close_ int fd = -1;
	struct addrinfo *list;
	int r;

	r = lookup(e, 0, &list);
	if (r)
		return r;
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		cleanup_close(&fd);
		fd = socket(a->ai_family,
			    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0) {
			r = -errno;
			continue;
		}
		if (!connect(fd, a->ai_addr, a->ai_addrlen)) {
			r = 0;
			break;
		}
		r = -errno;
		if (r == -EINPROGRESS)
			break;
	}
	freeaddrinfo(list);
	if (r && r != -EINPROGRESS)
		return r;
	*ret_pending = r != 0;
	return fd_take(&fd);
}

static int connect_unix(const struct endpoint *e)
{
	cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	int r;

	r = unix_address(e->path, &sa);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno; /* EAGAIN: the backlog is full */
	return fd_take(&fd);
}

static int connect_hv(const struct endpoint *e, bool small, int *ret_pending)
{
	const int least = 1; /* the kernel knows how little that can be */
	cleanup_close_ int fd = -1;
	SOCKADDR_HV addr;

	if (hvs_address_parse(e->text, &addr) < 0)
		return -errno;
	fd = hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			HV_PROTOCOL_RAW);
	if (fd < 0)
		return -errno;
	if (small)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least,
				 sizeof(least));
	if (hvs_connect(fd, &addr, sizeof(addr)) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		*ret_pending = 1;
	}
	return fd_take(&fd);
}

int endpoint_connect(const struct endpoint *e, int *ret_pending)
{
	*ret_pending = 0;
	switch (e->kind) {
	case ENDPOINT_TCP:
		return connect_tcp(e, ret_pending);
	case ENDPOINT_UNIX:
		return connect_unix(e);
	case ENDPOINT_HV:
		break;
	}
	return connect_hv(e, false, ret_pending);
}

int endpoint_connect_small(const struct endpoint *e, int *ret_pending)
{
	*ret_pending = 0;
	return connect_hv(e, true, ret_pending);
}

void endpoint_grow(int fd)
{
	const int usual = SEND_BUFFER;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &usual, sizeof(usual));
}

int endpoint_result(const struct endpoint *e, int fd)
{
	socklen_t len = sizeof(int);
	int error = 0;
	int r;

	if (e->kind == ENDPOINT_HV)
		r = hvs_getsockopt(fd, SOL_HVSOCKET, HVSOCKET_ERROR, &error,
				   &len);
	else
		r = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return r < 0 ? -errno : -error;
}
