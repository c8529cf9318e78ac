/* SPDX-License-Identifier: MIT */
/* conn.c - see conn.h */
#include "transport/hybrid/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/log.h"
#include "base/unix.h"
#include "transport/handshake.h"
#include "transport/joint.h"

struct conn {
	struct joint j; /* the VMM's socket, and the session */
	struct hybrid_parser answer;
};

struct conns {
	struct joint_set set;
	const char *path;
	const struct conns_ops *ops;
	void *ctx;
	struct sessions *sessions;
	struct log_limit limit;
};

static struct conns *conns_of(struct joint_set *set)
{
	return container_of(set, struct conns, set);
}

static struct conn *conn_new(struct conns *cs, int fd, enum joint_state state)
{
	struct joint *j = joint_new(&cs->set, sizeof(struct conn), fd, state);
	struct conn *c = j ? container_of(j, struct conn, j) : NULL;

	if (c)
		hybrid_parser_init(&c->answer, HYBRID_OK);
	return c;
}

/* ---- what happens at the VMM's socket */

static void on_answer(struct joint *j)
{
	struct conn *c = container_of(j, struct conn, j);
	struct conns *cs = conns_of(j->set);
	int r = handshake_read(j->guest.fd, &c->answer);

	if (r == -EAGAIN)
		return;
	if (r == -EPROTO)
		log_limited(&cs->limit, LOG_WARN_,
			    "%s: the answer to CONNECT is not OK and a number",
			    cs->path);
	joint_answered(j, r == 0);
}

static bool is_unread(int fd)
{
	return relay_unread(fd) > 0;
}

static void on_closed(struct joint_set *set)
{
	struct conns *cs = conns_of(set);

	cs->ops->look(cs->ctx);
}

static const struct joint_ops joint_ops = {
	.answer = on_answer,
	.unread = is_unread,
	.closed = on_closed,
};

/* ---- the guest dials */

void conns_dialled(struct conns *cs, int fd, const GUID *service)
{
	struct conn *c = conn_new(cs, fd, JOINT_DIALLING);

	/* The guest's own port is not told. */
	if (c)
		joint_dial(&c->j, cs->sessions, service, &guid_zero);
}

/* ---- a program dials */

static uint32_t refuse(struct conns *cs, int error, const char **ret_why)
{
	switch (error) {
	case -EAGAIN:
		*ret_why = "the VMM's socket does not take connections";
		return HVS_REASON_BACKLOG;
	case -ENOENT:
	case -ECONNREFUSED:
		*ret_why = "no VMM listens at its socket";
		cs->ops->look(cs->ctx);
		return HVS_REASON_PARTITION_OFF;
	default:
		*ret_why = "the VMM's socket cannot be connected to";
		return HVS_REASON_BROKER_FAILED;
	}
}

static int connect_vmm(const char *path)
{
	struct sockaddr_un sa;
	int fd, r = unix_address(path, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static uint32_t on_open(void *ctx, struct session *s, const GUID *service,
			const GUID *source, void **ret_conn,
			const char **ret_why)
{
	struct conns *cs = ctx;
	char line[HYBRID_LINE_SIZE];
	struct conn *c;
	int fd;
	size_t n;

	(void)source;
	fd = connect_vmm(cs->path);
	if (fd < 0)
		return refuse(cs, fd, ret_why);
	c = conn_new(cs, fd, JOINT_ASKING);
	if (!c) {
		*ret_why = "the guest has too many connections";
		return HVS_REASON_QUOTA;
	}
	/* in one write: a VMM does not wait for the rest of a line */
	n = hybrid_format(HYBRID_CONNECT, service, false, line);
	if (send(fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n) {
		joint_close(&c->j);
		*ret_why = "the VMM closed the connection";
		return HVS_REASON_PARTITION_OFF;
	}
	c->j.s = s;
	*ret_conn = &c->j;
	return HVS_REASON_NONE;
}

static void on_services(void *ctx, const struct msg_services *m)
{
	struct conns *cs = ctx;

	cs->ops->services(cs->ctx, m);
}

static const struct session_guest_ops guest_ops = {
	.open = on_open,
	.accept = joint_accept,
	.abort = joint_abort,
	.readable = joint_readable,
	.writable = joint_writable,
	.unread = joint_unread,
	.services = on_services,
};

const struct session_guest_ops *conns_guest_ops(void)
{
	return &guest_ops;
}

/* ---- all of them */

int conns_new(struct ev *ev, const char *path, const struct conns_ops *ops,
	      void *ctx, struct conns **ret)
{
	struct conns *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	joint_set_init(&cs->set, ev, &joint_ops);
	cs->path = path;
	cs->ops = ops;
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
