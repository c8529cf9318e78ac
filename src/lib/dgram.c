/* SPDX-License-Identifier: MIT */
/* dgram.c - see dgram.h */
#include "lib/dgram.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "lib/address.h"
#include "lib/call.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"
#include "proto/dgram.h"
#include "proto/name.h"

#define REACH_NS 1000000000ll /* how long a yes holds */

bool dgram_is(int fd, struct dgram_own *ret)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	struct sock_state s;
	struct name n;

	*ret = (struct dgram_own){ .bound = false };
	if (sys_getsockname(fd, &sa, &len) < 0)
		return false;
	name_decode(&sa, len, &n);
	if (n.kind == NAME_DATAGRAM) {
		len = sizeof(sa);
		/* named by a broker that died before it connected it? */
		ret->bound = sys_getpeername(fd, &sa, &len) == 0;
		ret->token = n.connector.token;
		return true;
	}
	return n.kind == NAME_NONE && state_get(fd, &s) && s.datagram;
}

static void set_datagram(struct sock_state *s, void *arg)
{
	(void)arg;
	s->datagram = true;
}

int dgram_note(int fd)
{
	return state_change(fd, set_datagram, NULL);
}

/* ---- Bind ----------------------------------------------------------------*/

/* The broker died before its reply: is it bound, and is somebody there? */
static bool is_bound(struct call *c)
{
	struct dgram_own own;
	char byte;

	return dgram_is(c->fd, &own) && own.bound &&
	       syscall(SYS_recvfrom, c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT,
		       NULL, NULL) != 0;
}

int dgram_bind(int fd, const SOCKADDR_HV *addr)
{
	uint8_t raw[CALL_FRAME_SIZE];
	struct msg_bind reply;
	struct call c;
	int r;

	call_begin(&c, MSG_BIND, raw, sizeof(raw));
	msg_put_address(&c.frame, addr);
	msg_put_u32(&c.frame, BIND_DATAGRAM);
	c.fd = c.reason_fd = fd;
	c.done = is_bound;
	r = call_run(&c);
	if (r > 0 && msg_bind_reply_decode(c.reply, c.reply_len, &reply) < 0)
		return call_bad_reply(&c);
	return r < 0 ? -1 : 0;
}

int dgram_bind_first(int fd, struct dgram_own *own)
{
	SOCKADDR_HV none = address_none();
	int r, err;

	if (own->bound)
		return 0;
	r = dgram_bind(fd, &none);
	err = errno;
	/* another thread may have been faster */
	if (dgram_is(fd, own) && (r == 0 || own->bound))
		return 0;
	if (r < 0)
		errno = err;
	return -1;
}

/* ---- May it be sent there? -----------------------------------------------*/

struct reached {
	SOCKADDR_HV dest;
	uint64_t token;
	long long until;
};

static _Thread_local struct reached reached[32];

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static struct reached *reached_slot(uint64_t token, const SOCKADDR_HV *dest)
{
	uint32_t h = dest->ServiceId.Data1 ^ dest->VmId.Data1 ^
		     dest->VmId.Data4[7] ^ dest->ServiceId.Data4[7] ^
		     (uint32_t)token;

	h *= 0x9e3779b1u;
	return &reached[h >> 27];
}

int dgram_reach(int fd, uint64_t token, const SOCKADDR_HV *dest)
{
	struct reached *slot = reached_slot(token, dest);
	long long now = now_ns();
	uint8_t raw[CALL_FRAME_SIZE];
	struct call c;

	if (guid_equal(&dest->VmId, &guid_broadcast) ||
	    (slot->until > now && slot->token == token &&
	     memcmp(&slot->dest, dest, sizeof(*dest)) == 0))
		return 0;
	call_begin(&c, MSG_REACH, raw, sizeof(raw));
	msg_put_address(&c.frame, dest);
	msg_put_u64(&c.frame, token);
	c.reason_fd = fd;
	if (call_run(&c) < 0)
		return -1;
	*slot = (struct reached){
		.dest = *dest,
		.token = token,
		.until = now + REACH_NS,
	};
	return 0;
}

/* ---- Where to, without an address ----------------------------------------*/

static void set_dest(struct sock_state *s, void *arg)
{
	const SOCKADDR_HV *dest = arg;

	s->has_dest = dest;
	s->dest = dest ? *dest : (SOCKADDR_HV){ .Family = 0 };
}

int dgram_connect(int fd, struct dgram_own *own, const SOCKADDR_HV *dest)
{
	SOCKADDR_HV copy;
	int r;

	if (dest && dgram_bind_first(fd, own) < 0)
		return -1;
	/* who is not there yet may come: ECONNREFUSED, EHOSTDOWN */
	if (dest && dgram_reach(fd, own->token, dest) < 0 &&
	    errno != EHOSTDOWN &&
	    hvs__reason_of_thread()->code != HVS_REASON_NO_LISTENER)
		return -1;
	if (dest)
		copy = *dest;
	r = state_change(fd, set_dest, dest ? &copy : NULL);
	if (r < 0) {
		errno = -r;
		return hvs__fail_errno();
	}
	state_clear_reason(fd);
	return 0;
}

int dgram_peer(int fd, SOCKADDR_HV *ret)
{
	struct sock_state s;

	if (!state_get(fd, &s) || !s.has_dest) {
		errno = ENOTCONN;
		return hvs__fail_errno();
	}
	*ret = s.dest;
	return 0;
}

int dgram_refuse(int fd, const char *call)
{
	return hvs__fail(fd, EOPNOTSUPP, HVS_REASON_BAD_REQUEST, NULL,
			 "%s: the socket is for datagrams", call);
}
