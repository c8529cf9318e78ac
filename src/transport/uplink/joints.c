/* SPDX-License-Identifier: MIT */
/* joints.c - see joints.h */
#include "transport/uplink/joints.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "base/splicer.h"
#include "proto/uplink.h"
#include "transport/beside.h"
#include "transport/closer.h"
#include "transport/uplink/raw.h"

#define COUNTERS_MAX ((MSG_MAX - MSG_REPLY_HEADER) / 24)

struct joint {
	struct joints *j;
	struct msg_join m; /* as JOIN said it */
	UT_hash_handle hh; /* by m.token */
	struct splicer *splicer; /* of a stream */
	struct raw *raw; /* or of messages */
};

struct joints {
	struct beside broker; /* first */
	struct joint *all;
	bool on_demand, served;
	char refused[400];
};

static struct joints *joints_of(struct beside *b)
{
	return container_of(b, struct joints, broker);
}

static void end_if_idle(struct joints *j)
{
	if (j->on_demand && !j->all && !j->broker.up)
		ev_quit(j->broker.ev);
}

static void tell_closed(struct joints *j, uint64_t token, uint64_t out,
			uint64_t in)
{
	BESIDE_BUF(m, 32);

	if (!j->broker.up)
		return;
	msg_begin(&m, MSG_CLOSED, ++j->broker.serial);
	msg_put_u64(&m, token);
	msg_put_u64(&m, out);
	msg_put_u64(&m, in);
	beside_send(&j->broker, &m);
}

static void joint_end(struct joint *t, uint64_t out, uint64_t in)
{
	struct joints *j = t->j;

	HASH_DELETE(hh, j->all, t);
	tell_closed(j, t->m.token, out, in);
	free(t);
	end_if_idle(j);
}

static void on_stream_end(void *arg, int error, uint64_t out, uint64_t in)
{
	(void)error;
	joint_end(arg, out, in);
}

static void on_raw_end(void *arg, int error)
{
	struct joint *t = arg;
	uint64_t out, in;

	if (error)
		log_debug("a raw connection ends: %s", strerror(error));
	raw_bytes(t->raw, &out, &in);
	joint_end(t, out, in);
}

static void joint_bytes(const struct joint *t, uint64_t *ret_out,
			uint64_t *ret_in)
{
	if (t->splicer)
		splicer_bytes(t->splicer, ret_out, ret_in);
	else
		raw_bytes(t->raw, ret_out, ret_in);
}

/* ---- From the broker -----------------------------------------------------*/

static int start(struct joint *t, int program, int stream)
{
	static const char ok[] = "OK\n";
	size_t len = t->m.flags & JOIN_ANSWER ? strlen(ok) : 0;
	struct ev *ev = t->j->broker.ev;

	if (len && send(stream, ok, len, MSG_DONTWAIT | MSG_NOSIGNAL) !=
			   (ssize_t)len)
		return -EPIPE;
	if (t->m.type == SOCK_STREAM)
		return splicer_new(ev, program, stream, on_stream_end, t,
				   &t->splicer);
	return raw_new(ev, program, stream, on_raw_end, t, &t->raw);
}

/* The sockets are taken when the result is 0. */
static int join(struct joints *j, const struct msg_join *m, int program,
		int stream)
{
	struct joint *t;
	int r = -ENOMEM;

	HASH_FIND(hh, j->all, &m->token, sizeof(m->token), t);
	if (t)
		return -EEXIST;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->j = j;
	t->m = *m;
	HASH_ADD(hh, j->all, m.token, sizeof(t->m.token), t);
	if (t->hh.tbl) {
		r = start(t, program, stream);
		if (r == 0)
			return 0;
		HASH_DELETE(hh, j->all, t);
	}
	free(t);
	return r;
}

static int on_join(struct joints *j, const uint8_t *p, struct fdmsg *f)
{
	struct msg_join m;
	int fds[2], r = -EMFILE;

	if (msg_join_decode(p, f->len, &m) < 0 || f->nfds > 2 ||
	    (m.type != SOCK_STREAM && m.type != SOCK_SEQPACKET))
		return -EPROTO;
	if (f->nfds == 2) {
		memcpy(fds, f->fds, sizeof(fds));
		f->nfds = 0;
		r = join(j, &m, fds[0], fds[1]);
		if (r < 0) {
			closer_close_socket(fds[0]);
			closer_close_socket(fds[1]);
		}
	}
	if (r < 0) {
		log_limited(&j->broker.limit, LOG_ERR_,
			    "a connection cannot be joined: %s", strerror(-r));
		tell_closed(j, m.token, 0, 0);
	}
	return 0;
}

static int on_close(struct joints *j, const uint8_t *p, size_t len)
{
	struct msg_close m;
	struct joint *t;
	uint64_t out, in;

	if (msg_close_decode(p, len, &m) < 0)
		return -EPROTO;
	HASH_FIND(hh, j->all, &m.token, sizeof(m.token), t);
	if (!t)
		return 0;
	joint_bytes(t, &out, &in);
	t->splicer = splicer_free(t->splicer);
	t->raw = raw_free(t->raw);
	joint_end(t, out, in);
	return 0;
}

static void on_counters(struct joints *j, uint32_t serial)
{
	static uint8_t raw[MSG_MAX];
	struct msg_buf m = msg_buf(raw, sizeof(raw));
	size_t n = 0;

	msg_begin_reply(&m, MSG_COUNTERS, serial, 0, 0, 0);
	for (struct joint *t = j->all; t && n < COUNTERS_MAX;
	     t = t->hh.next, n++) {
		uint64_t out, in;

		joint_bytes(t, &out, &in);
		msg_put_u64(&m, t->m.token);
		msg_put_u64(&m, out);
		msg_put_u64(&m, in);
	}
	beside_send(&j->broker, &m);
}

static int on_frame(struct beside *b, const struct msg_header *h,
		    const uint8_t *p, struct fdmsg *f)
{
	struct joints *j = joints_of(b);

	if (h->reply)
		return -EPROTO;
	switch (h->type) {
	case MSG_JOIN:
		return on_join(j, p, f);
	case MSG_CLOSE:
		return on_close(j, p, f->len);
	case MSG_COUNTERS:
		on_counters(j, h->serial);
		return 0;
	default:
		return -EPROTO;
	}
}

static void on_attached(struct beside *b)
{
	struct joints *j = joints_of(b);

	j->served = true;
	for (struct joint *t = j->all; t; t = t->hh.next) {
		BESIDE_BUF(m, JOIN_SIZE);

		msg_begin(&m, MSG_JOINED, ++b->serial);
		msg_put_join(&m, &t->m);
		beside_send(b, &m);
	}
}

static void on_lost(struct beside *b, const char *why)
{
	struct joints *j = joints_of(b);

	if (!j->served)
		snprintf(j->refused, sizeof(j->refused), "%.100s: %.280s",
			 b->place.path, why);
	end_if_idle(j);
}

static const struct beside_ops ops = {
	.request = MSG_UPLINK,
	.attached = on_attached,
	.lost = on_lost,
	.frame = on_frame,
};

/* ---- Life ----------------------------------------------------------------*/

int joints_new(struct ev *ev, bool on_demand, struct joints **ret,
	       const char **ret_why)
{
	struct joints *j = calloc(1, sizeof(*j));
	int r;

	*ret_why = "no memory";
	if (!j)
		return -ENOMEM;
	j->on_demand = on_demand;
	splicer_close_with(closer_close);
	r = beside_init(&j->broker, ev, &ops, ret_why);
	if (r < 0) {
		beside_fini(&j->broker);
		free(j);
		return r;
	}
	*ret = j;
	return 0;
}

void joints_start(struct joints *j)
{
	beside_start(&j->broker);
}

const char *joints_refused(const struct joints *j)
{
	return j->served || !j->refused[0] ? NULL : j->refused;
}

struct joints *joints_free(struct joints *j)
{
	struct joint *t, *next;

	if (!j)
		return NULL;
	HASH_ITER(hh, j->all, t, next) {
		HASH_DELETE(hh, j->all, t);
		splicer_free(t->splicer);
		raw_free(t->raw);
		free(t);
	}
	beside_fini(&j->broker);
	free(j);
	return NULL;
}
