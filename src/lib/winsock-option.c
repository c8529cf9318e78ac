/* SPDX-License-Identifier: MIT */
/*
 * winsock-option.c - setsockopt, getsockopt and ioctlsocket of WinSock
 *
 * Level 0xffff is WinSock's SOL_SOCKET, with WinSock's numbers, and goes to
 * the kernel under its own; 1 is HV_PROTOCOL_RAW and nothing else.
 */
#define HVSOCKET_WINSOCK_NO_NAMES
#include <hvsocket/winsock.h>

#include <errno.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "lib/sys.h"
#include "lib/winsock-internal.h"

#define WS_SOL_SOCKET 0xffff
#define WS_SO_REUSEADDR 0x0004
#define WS_SO_LINGER 0x0080

enum kind { KIND_INT, KIND_TIME, KIND_LINGER, KIND_ERROR };

static const struct option {
	int ws, sys;
	enum kind kind;
} options[] = {
	{ 0x0001, SO_DEBUG, KIND_INT },
	{ 0x0002, SO_ACCEPTCONN, KIND_INT },
	{ WS_SO_REUSEADDR, SO_REUSEADDR, KIND_INT },
	{ 0x0008, SO_KEEPALIVE, KIND_INT },
	{ 0x0010, SO_DONTROUTE, KIND_INT },
	{ 0x0020, SO_BROADCAST, KIND_INT },
	{ WS_SO_LINGER, SO_LINGER, KIND_LINGER },
	{ 0x0100, SO_OOBINLINE, KIND_INT },
	{ 0x1001, SO_SNDBUF, KIND_INT },
	{ 0x1002, SO_RCVBUF, KIND_INT },
	{ 0x1003, SO_SNDLOWAT, KIND_INT },
	{ 0x1004, SO_RCVLOWAT, KIND_INT },
	{ 0x1005, SO_SNDTIMEO, KIND_TIME },
	{ 0x1006, SO_RCVTIMEO, KIND_TIME },
	{ 0x1007, SO_ERROR, KIND_ERROR },
	{ 0x1008, SO_TYPE, KIND_INT },
};

static const struct option *option_find(int name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].ws == name)
			return &options[i];
	}
	return NULL;
}

static int set_int(SOCKET s, int name, int value)
{
	if (sys_setsockopt(s, SOL_SOCKET, name, &value, sizeof(value)) < 0)
		return ws_fail(errno);
	return 0;
}

static int set_time(SOCKET s, int name, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
			      .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	if (sys_setsockopt(s, SOL_SOCKET, name, &tv, sizeof(tv)) < 0)
		return ws_fail(errno);
	return 0;
}

static int set_linger(SOCKET s, const void *val, int len)
{
	struct linger linger;

	if (len < (int)sizeof(linger))
		return ws_fail_wsa(WSAEFAULT);
	memcpy(&linger, val, sizeof(linger));
	if (sys_setsockopt(s, SOL_SOCKET, SO_LINGER, &linger,
			   sizeof(linger)) < 0)
		return ws_fail(errno);
	return 0;
}

static int set_socket(SOCKET s, int name, const void *val, int len)
{
	static const struct linger off;
	const struct option *o;
	int value;

	if (!val || len < (int)sizeof(value))
		return ws_fail_wsa(WSAEFAULT);
	memcpy(&value, val, sizeof(value));
	/* SO_EXCLUSIVEADDRUSE is how it is here; SO_DONTLINGER the opposite
	 * of SO_LINGER. */
	if (name == ~WS_SO_REUSEADDR)
		return 0;
	if (name == ~WS_SO_LINGER)
		return value ? set_linger(s, &off, sizeof(off)) : 0;
	o = option_find(name);
	if (!o)
		return ws_fail_wsa(WSAENOPROTOOPT);
	switch (o->kind) {
	case KIND_INT:
		return set_int(s, o->sys, value);
	case KIND_TIME:
		return set_time(s, o->sys, (uint32_t)value);
	case KIND_LINGER:
		return set_linger(s, val, len);
	case KIND_ERROR:
		break;
	}
	return ws_fail_wsa(WSAENOPROTOOPT);
}

int hvs_ws_setsockopt(SOCKET s, int level, int name, const void *val, int len)
{
	int r;

	if (len < 0)
		return ws_fail_wsa(WSAEFAULT);
	if (level == WS_SOL_SOCKET)
		return set_socket(s, name, val, len);
	if (level == HV_PROTOCOL_RAW || level == SOL_HVSOCKET)
		r = hvs_setsockopt(s, level, name, val, (socklen_t)len);
	else
		r = sys_setsockopt(s, level, name, val, (socklen_t)len);
	return r < 0 ? ws_fail(errno) : 0;
}

static int put(const void *from, size_t size, void *val, int *len)
{
	if (*len < (int)size)
		return ws_fail_wsa(WSAEFAULT);
	memcpy(val, from, size);
	*len = (int)size;
	return 0;
}

static int get_error(SOCKET s, int *ret)
{
	socklen_t len = sizeof(*ret);
	int r;

	r = hvs_getsockopt(s, SOL_HVSOCKET, HVSOCKET_ERROR, ret, &len);
	if (r < 0 && errno == ENOTSOCK)
		r = sys_getsockopt(s, SOL_SOCKET, SO_ERROR, ret, &len);
	if (r < 0)
		return ws_fail(errno);
	*ret = hvs_wsa_from_errno(*ret);
	return 0;
}

static int get_socket(SOCKET s, int name, void *val, int *len)
{
	const struct option *o;
	struct linger linger;
	struct timeval tv;
	socklen_t size;
	uint32_t ms;
	int value = 0;

	o = option_find(name);
	if (!o)
		return ws_fail_wsa(WSAENOPROTOOPT);
	switch (o->kind) {
	case KIND_INT:
		size = sizeof(value);
		if (sys_getsockopt(s, SOL_SOCKET, o->sys, &value, &size) < 0)
			return ws_fail(errno);
		return put(&value, sizeof(value), val, len);
	case KIND_TIME:
		size = sizeof(tv);
		if (sys_getsockopt(s, SOL_SOCKET, o->sys, &tv, &size) < 0)
			return ws_fail(errno);
		ms = (uint32_t)(tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
		return put(&ms, sizeof(ms), val, len);
	case KIND_LINGER:
		size = sizeof(linger);
		if (sys_getsockopt(s, SOL_SOCKET, o->sys, &linger, &size) < 0)
			return ws_fail(errno);
		return put(&linger, sizeof(linger), val, len);
	case KIND_ERROR:
		if (*len < (int)sizeof(value))
			return ws_fail_wsa(WSAEFAULT);
		if (get_error(s, &value) < 0)
			return SOCKET_ERROR;
		return put(&value, sizeof(value), val, len);
	}
	return ws_fail_wsa(WSAENOPROTOOPT);
}

int hvs_ws_getsockopt(SOCKET s, int level, int name, void *val, int *len)
{
	socklen_t size;
	int r;

	if (!val || !len || *len < 0)
		return ws_fail_wsa(WSAEFAULT);
	if (level == WS_SOL_SOCKET)
		return get_socket(s, name, val, len);
	size = (socklen_t)*len;
	if (level == HV_PROTOCOL_RAW || level == SOL_HVSOCKET)
		r = hvs_getsockopt(s, level, name, val, &size);
	else
		r = sys_getsockopt(s, level, name, val, &size);
	if (r < 0)
		return ws_fail(errno);
	*len = (int)size;
	return 0;
}

int hvs_ws_ioctlsocket(SOCKET s, unsigned long cmd, void *arg, size_t size)
{
	uint64_t wide = 0;
	int value;

	if (!arg || (size != sizeof(value) && size != sizeof(wide)))
		return ws_fail_wsa(WSAEFAULT);
	if (cmd != FIONBIO && cmd != FIONREAD)
		return ws_fail_wsa(WSAEINVAL);
	memcpy(&wide, arg, size);
	value = wide != 0;
	if (ioctl(s, cmd, &value) < 0)
		return ws_fail(errno == ENOTTY ? ENOTSOCK : errno);
	if (cmd == FIONREAD) {
		wide = (uint64_t)value;
		memcpy(arg, &wide, size); /* hosts are little-endian */
	}
	return 0;
}
