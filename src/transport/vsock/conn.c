/* SPDX-License-Identifier: MIT */
/* conn.c - see conn.h */
#include "transport/vsock/conn.h"

#include <errno.h>
#include <stdlib.h>

#include "base/guid.h"
#include "transport/joint.h"
#include "transport/vsock/doors.h"
#include "transport/vsock/vsocket.h"

struct conns {
	struct joint_set set; /* the kernel's sockets, and the sessions */
	uint32_t cid;
	void (*look)(void *ctx);
	void *ctx;
	struct sessions *sessions;
};

static struct conns *conns_of(struct joint_set *set)
{
	return container_of(set, struct conns, set);
}

/* ---- a program dials */

static uint32_t refusal(struct conns *cs, int error, const char **ret_why)
{
	switch (error) {
	case -ECONNRESET:
	case -ECONNREFUSED:
		*ret_why = "nothing listens on that port in the guest";
		return HVS_REASON_NO_LISTENER;
	case -ETIMEDOUT:
		*ret_why = "the guest did not answer in time";
		return HVS_REASON_NO_ANSWER;
	case -ENODEV:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		*ret_why = "no VM has the partition's CID now";
		cs->look(cs->ctx);
		return HVS_REASON_PARTITION_OFF;
	default:
		*ret_why = "the kernel does not connect to the guest";
		return HVS_REASON_BROKER_FAILED;
	}
}

static void on_decided(struct joint *j)
{
	int r = vsocket_connected(j->guest.fd);
	const char *why;
	uint32_t reason;

	if (r == -EINPROGRESS)
		return;
	if (r == 0) {
		joint_answered(j, true);
		return;
	}
	reason = refusal(conns_of(j->set), r, &why);
	joint_declined(j, reason, why);
}

static uint32_t on_open(void *ctx, struct session *s, const GUID *service,
			const GUID *source, void **ret_conn,
			const char **ret_why)
{
	struct conns *cs = ctx;
	struct joint *j;
	uint32_t port;
	int fd;

	(void)source;
	if (!door_port(service, &port)) {
		*ret_why = "the guest's AF_VSOCK has ports only: a ServiceId "
			   "of the VSOCK template";
		return HVS_REASON_NO_LISTENER;
	}
	fd = vsocket_connect(cs->cid, port);
	if (fd < 0)
		return refusal(cs, fd, ret_why);
	j = joint_new(&cs->set, sizeof(*j), fd, JOINT_ASKING);
	if (!j) {
		*ret_why = "the guest has too many connections";
		return HVS_REASON_QUOTA;
	}
	j->s = s;
	*ret_conn = j;
	return HVS_REASON_NONE;
}

/* ---- the guest dials */

void conns_dialled(struct conns *cs, int fd, uint32_t port, uint32_t source)
{
	const GUID service = guid_from_port(port);
	const GUID from = guid_from_port(source);
	struct joint *j = joint_new(&cs->set, sizeof(*j), fd, JOINT_DIALLING);

	if (j)
		joint_dial(j, cs->sessions, &service, &from);
}

static int on_native(void *ctx, void *joint)
{
	(void)ctx;
	return ((struct joint *)joint)->guest.fd;
}

/* ---- what happens at the kernel's socket, and at the program's */

static void on_error(struct joint_set *set)
{
	struct conns *cs = conns_of(set);

	cs->look(cs->ctx);
}

static const struct joint_ops joint_ops = {
	.answer = on_decided,
	.unread = vsocket_unread,
	.error = on_error,
};

static const struct session_guest_ops guest_ops = {
	.open = on_open,
	.accept = joint_accept,
	.native = on_native,
	.abort = joint_abort,
	.readable = joint_readable,
	.writable = joint_writable,
	.unread = joint_unread,
};

const struct session_guest_ops *conns_guest_ops(void)
{
	return &guest_ops;
}

/* ---- all of them */

int conns_new(struct ev *ev, uint32_t cid, void (*look)(void *ctx), void *ctx,
	      struct conns **ret)
{
	struct conns *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	joint_set_init(&cs->set, ev, &joint_ops);
	cs->cid = cid;
	cs->look = look;
	cs->ctx = ctx;
	*ret = cs;
	return 0;
}

void conns_set_sessions(struct conns *cs, struct sessions *ss)
{
	cs->sessions = ss;
}

struct conns *conns_free(struct conns *cs)
{
	if (cs) {
		joint_set_end(&cs->set);
		free(cs);
	}
	return NULL;
}
