/* SPDX-License-Identifier: MIT */
/*
 * filter.c - see filter.h
 *
 * The filter sees numbers, not memory, and what it lets pass costs nothing.
 * So as much as numbers can tell is told here:
 *
 *   socket		the three arguments, as the preload library claims them
 *   bind, connect	the length of SOCKADDR_HV; with another one AF_UNIX says
 *			EINVAL, which is what is to be said
 *   accept, accept4	is the peer's name asked for? Else the kernel's do
 *   listen, getsockname, getpeername
 *			all: only the socket itself can tell
 *   getsockopt,	level and name
 *   setsockopt
 *
 * libhvsocket's own calls (lib/sys.h) are marked and pass: a program that has
 * the library wants to see its sockets as they are.
 *
 * SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is not asked for, and it is all or
 * nothing: with it no signal but a deadly one would end a call that we have
 * been told of. No handler could interrupt an accept() that waits, ^Z would not
 * stop its program, and a machine could not be suspended. (Nor would it keep a
 * signal from a call that we have yet to hear of.) Without it a call
 * that was interrupted is made again or ends with EINTR, as its handler asked;
 * what that means for us is in job.h.
 */
#include "as/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/socket.h>

#include <hvsocket.h>

#include "lib/sys.h"

/* int arguments: what is in the upper half of the register is nobody's. */
#define INT UINT64_C(0xffffffff)
#define TYPE (INT & ~(uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC))
#define IS(arg, value) { (arg), SCMP_CMP_MASKED_EQ, INT, (value) }
#define IS_TYPE(value) { 1, SCMP_CMP_MASKED_EQ, TYPE, (value) }
#define GIVEN(arg) { (arg), SCMP_CMP_NE, 0, 0 }

static const struct rule {
	int nr;
	unsigned int n;
	struct scmp_arg_cmp cmp[3];
} rules[] = {
	{ SCMP_SYS(socket), 3,
	  { IS(0, AF_HYPERV), IS_TYPE(SOCK_STREAM), IS(2, HV_PROTOCOL_RAW) } },
	{ SCMP_SYS(socket), 3,
	  { IS(0, AF_HYPERV), IS_TYPE(SOCK_RAW), IS(2, HV_PROTOCOL_RAW) } },
	{ SCMP_SYS(socket), 3,
	  { IS(0, AF_HYPERV), IS_TYPE(SOCK_SEQPACKET),
	    IS(2, HV_PROTOCOL_RAW) } },
	{ SCMP_SYS(bind), 1, { IS(2, sizeof(SOCKADDR_HV)) } },
	{ SCMP_SYS(connect), 1, { IS(2, sizeof(SOCKADDR_HV)) } },
	{ SCMP_SYS(listen), 0, { { 0, SCMP_CMP_NE, 0, 0 } } },
	{ SCMP_SYS(accept), 1, { GIVEN(1) } },
	{ SCMP_SYS(accept4), 1, { GIVEN(1) } },
	{ SCMP_SYS(getsockname), 0, { { 0, SCMP_CMP_NE, 0, 0 } } },
	{ SCMP_SYS(getpeername), 0, { { 0, SCMP_CMP_NE, 0, 0 } } },
	{ SCMP_SYS(getsockopt), 1, { IS(1, SOL_HVSOCKET) } },
	{ SCMP_SYS(getsockopt), 2,
	  { IS(1, SOL_SOCKET), IS(2, HVSOCKET_CONNECT_TIMEOUT) } },
	{ SCMP_SYS(getsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_ERROR) } },
	{ SCMP_SYS(getsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_TYPE) } },
	{ SCMP_SYS(getsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_DOMAIN) } },
	{ SCMP_SYS(getsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_PROTOCOL) } },
	{ SCMP_SYS(setsockopt), 1, { IS(1, SOL_HVSOCKET) } },
	{ SCMP_SYS(setsockopt), 2,
	  { IS(1, SOL_SOCKET), IS(2, HVSOCKET_CONNECT_TIMEOUT) } },
	{ SCMP_SYS(setsockopt), 2,
	  { IS(1, SOL_SOCKET), IS(2, HVSOCKET_CONNECTED_SUSPEND) } },
};

static int add(scmp_filter_ctx ctx, const struct rule *r)
{
	struct scmp_arg_cmp cmp[4] = {
		{ 5, SCMP_CMP_NE, (uint64_t)(unsigned long)SYS_MARK, 0 },
	};

	for (unsigned int i = 0; i < r->n; i++)
		cmp[i + 1] = r->cmp[i];
	return seccomp_rule_add_array(ctx, SCMP_ACT_NOTIFY, r->nr, r->n + 1,
				      cmp);
}

static int fill(scmp_filter_ctx ctx)
{
	int r;

	/* programs of another ABI go on as they are */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	/* this is no sandbox: nobody has to be slowed down */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
	for (size_t i = 0; r == 0 && i < sizeof(rules) / sizeof(*rules); i++)
		r = add(ctx, &rules[i]);
	if (r)
		return r;
	errno = 0;
	r = seccomp_load(ctx);
	if (r) /* the kernel's word, if it was the kernel */
		return errno ? -errno : r;
	/* whether releasing the context closes its own is the library's */
	r = fcntl(seccomp_notify_fd(ctx), F_DUPFD_CLOEXEC, 0);
	return r < 0 ? -errno : r;
}

int filter_install(void)
{
	scmp_filter_ctx ctx;
	int r;

	if (seccomp_api_get() < 5) /* 5: user notification */
		return -EOPNOTSUPP;
	ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx)
		return -ENOMEM;
	r = fill(ctx);
	seccomp_release(ctx);
	return r;
}
