/* SPDX-License-Identifier: MIT */
/* session-save.c - sessions that go on in another process */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/pack.h"

#include "transport/session-internal.h"

int session_save(const struct session *s, struct session_saved *ret)
{
	if (s->state != S_LIVE || !s->has_token || relay_held(&s->relay))
		return -ENOTCONN;
	*ret = (struct session_saved) {
		.token = s->token,
		.to_guest = s->relay.to_guest,
		.from_guest = s->relay.from_guest,
		.uid = s->uid,
		.from_host = s->from_host,
		.shut = s->relay.shut,
		.service = s->service,
		.source = s->source,
		.partition = s->partition,
	};
	return s->relay.fd;
}

int session_restore(struct sessions *ss, const struct session_saved *saved,
		    int fd, void *conn, struct session **ret)
{
	struct session *s;
	int r;

	if (session_find(ss, saved->token))
		return -EEXIST;
	s = session_new(ss, S_LIVE, SOCK_STREAM);
	if (!s)
		return -ENOMEM;
	r = session_watch(s, fd);
	if (r < 0) {
		session_finish(s);
		return r;
	}
	relay_attach(&s->relay, fd);
	s->relay.to_guest = saved->to_guest;
	s->relay.from_guest = saved->from_guest;
	s->relay.shut = saved->shut;
	s->uid = saved->uid;
	s->from_host = saved->from_host;
	s->service = saved->service;
	s->source = saved->source;
	s->partition = saved->partition;
	s->conn = conn;
	session_set_token(s, saved->token);
	session_notice_live(s);
	*ret = s;
	return 0;
}

/* ---- all of them */

#if defined(__x86_64__) && defined(__LP64__)
/* Whoever gives a session or its relay another field: it has to go along. */
_Static_assert(sizeof(struct session) == 392, "pack_session()");
#endif

#define F_FROM_HOST 1u
#define F_OWES_REPLY 2u
#define F_NATIVE 4u
#define F_PARKED 8u
#define F_HAS_FILLER 16u
#define F_UNASKED 32u
#define F_HAS_TOKEN 64u
#define F_ALL 127u

#define R_BROKEN 1u
#define R_SHUT 2u
#define R_FULL 4u
#define R_EOF 8u
#define R_SHUT_WRITE 16u
#define R_SHUT_READ 32u
#define R_ALL 63u

#define HELD_MAX (16u << 20) /* far above what credit allows */

static uint32_t flag(bool is, uint32_t f)
{
	return is ? f : 0;
}

/* An empty one is the end: none is ever in a queue. */
static void pack_queue(const struct message_queue *q, struct pack *out)
{
	struct message_place at = { 0 };
	struct iovec iov;

	while (message_queue_next(q, &at, &iov)) {
		pack_u32(out, (uint32_t)iov.iov_len);
		pack_bytes(out, iov.iov_base, iov.iov_len);
	}
	pack_u32(out, 0);
}

static void pack_relay(const struct relay *r, struct parcel *p)
{
	parcel_put_fd(p, r->fd);
	pack_u32(&p->out, flag(r->broken, R_BROKEN) | flag(r->shut, R_SHUT) |
				  flag(r->full, R_FULL) | flag(r->eof, R_EOF) |
				  flag(r->shut_write, R_SHUT_WRITE) |
				  flag(r->shut_read, R_SHUT_READ));
	pack_u64(&p->out, r->to_guest);
	pack_u64(&p->out, r->from_guest);
	if (r->messages) {
		pack_u64(&p->out, r->empty);
		pack_queue(&r->queue, &p->out);
		return;
	}
	pack_u32(&p->out, (uint32_t)r->held_len);
	if (r->held_len)
		pack_bytes(&p->out, r->held + r->held_at, r->held_len);
}

static void pack_session(const struct session *s, struct parcel *p)
{
	struct pack *out = &p->out;

	pack_u8(out, (uint8_t)s->state);
	pack_u16(out, s->type);
	pack_u32(out, flag(s->from_host, F_FROM_HOST) |
			      flag(s->owes_reply, F_OWES_REPLY) |
			      flag(s->native, F_NATIVE) |
			      flag(s->parked, F_PARKED) |
			      flag(s->has_filler, F_HAS_FILLER) |
			      flag(s->unasked, F_UNASKED) |
			      flag(s->has_token, F_HAS_TOKEN));
	pack_u64(out, s->token);
	pack_u32(out, s->serial);
	pack_u32(out, s->uid);
	pack_guid(out, &s->service);
	pack_guid(out, &s->source);
	pack_guid(out, &s->partition);
	pack_u32(out, s->cid);
	pack_u64(out, s->dial_deadline_ns);
	pack_u64(out, s->filler);
	pack_u64(out, s->timer.ev ? s->timer.at_ns : 0);
	parcel_put_fd(p, s->waiting);
	pack_relay(&s->relay, p);
}

uint32_t session_number(void *s)
{
	return ((struct session *)s)->number;
}

void sessions_pack(struct sessions *ss, struct parcel *p)
{
	struct session *s;
	uint32_t n = 0;

	LIST_FOREACH(s, &ss->all, all)
	s->number = ++n;
	pack_u8(&p->out, ss->running);
	pack_u8(&p->out, ss->stalled);
	pack_u32(&p->out, ss->dials);
	pack_u32(&p->out, ss->given_up);
	pack_u32(&p->out, n);
	LIST_FOREACH(s, &ss->all, all)
	pack_session(s, p);
}

static int unpack_queue(struct message_queue *q, struct unpack *in)
{
	uint32_t len, max = HELD_MAX;
	int r = 0;

	while (r == 0 && (len = unpack_u32_max(in, max))) {
		/* (it is only read) */
		const uint8_t *at = unpack_bytes(in, len);
		struct iovec iov = { (void *)(uintptr_t)at, len };

		max -= len;
		if (at)
			r = message_queue_add(q, &iov, 1);
	}
	return in->failed ? -EPROTO : r;
}

static int unpack_held(struct relay *r, struct unpack *in)
{
	uint32_t n = unpack_u32_max(in, HELD_MAX);
	const uint8_t *held = unpack_bytes(in, n);

	if (!held)
		return -EPROTO;
	if (!n)
		return 0;
	r->held = malloc(n);
	if (!r->held)
		return -ENOMEM;
	memcpy(r->held, held, n);
	r->held_len = r->held_size = n;
	return 0;
}

static int unpack_relay(struct relay *r, struct parcel *p)
{
	int fd = parcel_take_fd(p), err;
	uint32_t flags;

	flags = unpack_u32(&p->in);
	r->to_guest = unpack_u64(&p->in);
	r->from_guest = unpack_u64(&p->in);
	/* (it is owned at once, so that it is closed if this fails) */
	if (fd >= 0)
		relay_attach(r, fd);
	if (p->in.failed || flags & ~R_ALL)
		return -EPROTO;
	if (r->messages) {
		r->empty = unpack_u64(&p->in);
		err = unpack_queue(&r->queue, &p->in);
	} else {
		err = unpack_held(r, &p->in);
	}
	if (err < 0)
		return err;
	r->broken = flags & R_BROKEN;
	r->shut = flags & R_SHUT;
	r->full = flags & R_FULL;
	r->eof = flags & R_EOF;
	r->shut_write = flags & R_SHUT_WRITE;
	r->shut_read = flags & R_SHUT_READ;
	return 0;
}

/* What is true of each session in such a state. */
static bool fits(const struct session *s)
{
	switch (s->state) {
	case S_DIALLING:
		return !s->has_token && s->relay.fd < 0 && s->waiting < 0;
	case S_OPENING:
	case S_ARRIVING:
		return s->has_token && s->relay.fd < 0;
	case S_LIVE:
		return s->has_token && s->relay.fd >= 0 && s->waiting < 0;
	case S_OVER:
		break;
	}
	return false;
}

static int unpack_session(struct sessions *ss, struct parcel *p,
			  uint32_t number)
{
	uint8_t state = unpack_u8(&p->in);
	uint16_t type = unpack_u16(&p->in);
	uint32_t flags = unpack_u32(&p->in);
	uint64_t token = unpack_u64(&p->in);
	struct session *s;
	int r;

	if (type != SOCK_STREAM &&
	    !(type == SOCK_SEQPACKET && ss->ops->raw))
		return -EPROTO;
	s = session_new(ss, S_DIALLING, type);
	if (!s)
		return -ENOMEM;
	s->number = number;
	s->from_host = flags & F_FROM_HOST;
	s->owes_reply = flags & F_OWES_REPLY;
	s->native = flags & F_NATIVE;
	s->parked = flags & F_PARKED;
	s->has_filler = flags & F_HAS_FILLER;
	s->unasked = flags & F_UNASKED;
	s->serial = unpack_u32(&p->in);
	s->uid = unpack_u32(&p->in);
	s->service = unpack_guid(&p->in);
	s->source = unpack_guid(&p->in);
	s->partition = unpack_guid(&p->in);
	s->cid = unpack_u32(&p->in);
	s->dial_deadline_ns = unpack_u64(&p->in);
	s->filler = unpack_u64(&p->in);
	s->limit_ns = unpack_u64(&p->in);
	s->waiting = parcel_take_fd(p);
	r = unpack_relay(&s->relay, p);
	if (r < 0)
		return r;
	if (flags & F_HAS_TOKEN) {
		if (session_find(ss, token))
			return -EPROTO;
		session_set_token(s, token);
	}
	if (state >= S_OVER || flags & ~F_ALL)
		return -EPROTO;
	s->state = (enum session_state)state;
	return fits(s) ? 0 : -EPROTO;
}

int sessions_unpack(struct sessions *ss, struct parcel *p)
{
	uint32_t n;
	int r = 0;

	ss->running = unpack_bool(&p->in);
	ss->stalled = unpack_bool(&p->in);
	ss->dials = unpack_u32_max(&p->in, SESSION_DIALS_MAX);
	ss->given_up = unpack_u32_max(&p->in, ss->dials);
	n = unpack_u32_max(&p->in, PARCEL_FDS_MAX);
	ss->unpacked = calloc(n + 1ul, sizeof(*ss->unpacked));
	if (!ss->unpacked)
		return -ENOMEM;
	ss->nunpacked = n;
	for (uint32_t i = 1; i <= n && r == 0; i++) {
		r = unpack_session(ss, p, i);
		ss->unpacked[i] = LIST_FIRST(&ss->all);
	}
	return p->in.failed ? -EPROTO : r;
}

struct session *session_join(struct sessions *ss, uint32_t number, void *conn)
{
	struct session *s;

	if (!number || number > ss->nunpacked)
		return NULL;
	s = ss->unpacked[number];
	if (!s || s->conn)
		return NULL;
	s->conn = conn;
	return s;
}

static void resume(struct session *s)
{
	int fd = s->waiting >= 0 ? s->waiting : s->relay.fd;

	if (!s->conn && !s->unasked) {
		if (s->state == S_LIVE)
			session_notice_closed(s);
		session_finish(s);
		return;
	}
	if (s->limit_ns)
		(void)session_limit_at(s, s->limit_ns);
	if (fd >= 0 && session_watch(s, fd) < 0) {
		session_abort_guest(s);
		session_finish(s);
	}
}

void sessions_resume(struct sessions *ss, bool link_up)
{
	struct session *s, *next;

	free(ss->unpacked);
	ss->unpacked = NULL;
	for (s = LIST_FIRST(&ss->all); s; s = next) {
		next = LIST_NEXT(s, all);
		resume(s);
	}
	if (!link_up)
		sessions_link_ops()->lost(ss);
}
