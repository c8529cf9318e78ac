/* SPDX-License-Identifier: MIT */
/* save.c - see save.h */
#include "transport/vsock-device/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/vsock-device/conn.h"

#define MARKS_MAX 512u /* as credit.c */
#define SEND_ALL                                                      \
	(SEND_REQUEST | SEND_RESPONSE | SEND_SHUTDOWN | SEND_CREDIT | \
	 SEND_RST | SEND_CREDIT_REQUEST)

#if defined(__x86_64__) && defined(__LP64__)
/* Whoever gives a connection another field: it has to go along, below. */
_Static_assert(sizeof(struct vsock_conn) == 272, "save_conn()");
#endif

/* The message that is under way to the guest, and the one from it. */
static void save_messages(const struct vsock_conn *c, struct pack *p)
{
	pack_u32(p, c->need);
	pack_u32(p, c->message_len);
	pack_u32(p, c->tail_len);
	if (c->tail_len)
		pack_bytes(p, c->tail + c->tail_at, c->tail_len);
	pack_u32(p, c->part_len);
	if (c->part_len)
		pack_bytes(p, c->part, c->part_len);
}

static void save_conn(const struct vsock_conn *c, struct pack *p,
		      uint32_t (*number)(void *host))
{
	pack_u32(p, c->host ? number(c->host) : 0);
	pack_u8(p, (uint8_t)c->state);
	pack_u16(p, (uint16_t)c->type);
	pack_u32(p, c->peer_cid);
	pack_u32(p, c->guest_port);
	pack_u32(p, c->host_port);
	pack_u64(p, c->linger_ns);
	pack_u64(p, c->gather_ns);
	pack_u64(p, c->stall_ns);
	pack_u8(p, c->pending);
	pack_u8(p, c->is_ready);
	pack_u8(p, c->gathered);
	pack_u8(p, c->blocked);
	pack_u8(p, c->shut_when_flushed);
	pack_u8(p, c->unread);
	pack_u8(p, c->guest_shut);
	pack_u8(p, c->host_shut);
	pack_u32(p, c->peer_buf_alloc);
	pack_u32(p, c->peer_fwd_cnt);
	pack_u32(p, c->sent);
	pack_u32(p, c->received);
	pack_u32(p, c->fwd_cnt);
	pack_u32(p, c->told_fwd_cnt);
	if (c->type == VSOCK_SEQPACKET)
		save_messages(c, p);
	pack_u32(p, c->mark_count);
	for (unsigned int i = 0; i < c->mark_count; i++)
		pack_u32(p,
			 c->marks[(c->mark_first + i) & (c->mark_size - 1u)]);
}

void vsock_save(const struct vsock *v, struct pack *p,
		uint32_t (*number)(void *host))
{
	const struct vsock_conn *c;

	pack_u32(p, v->next_port);
	pack_u32(p, v->reply_count);
	for (unsigned int i = 0; i < v->reply_count; i++) {
		const struct reply *r =
			&v->replies[(v->reply_first + i) % VSOCK_REPLIES_MAX];

		pack_u64(p, r->cid);
		pack_u32(p, r->guest_port);
		pack_u32(p, r->host_port);
		pack_u16(p, r->type);
	}
	pack_u32(p, v->conns);
	TAILQ_FOREACH(c, &v->all, all)
	save_conn(c, p, number);
}

/* ---- the reverse */

/* Into a list that is in the order of time. */
#define INSERT_BY_TIME(list, c, field, time)                \
	do {                                                \
		struct vsock_conn *at_;                     \
		TAILQ_FOREACH(at_, list, field)             \
		if (at_->time > (c)->time)                  \
			break;                              \
		if (at_)                                    \
			TAILQ_INSERT_BEFORE(at_, c, field); \
		else                                        \
			TAILQ_INSERT_TAIL(list, c, field);  \
	} while (0)

static int load_marks(struct vsock_conn *c, struct unpack *u)
{
	unsigned int n = unpack_u32_max(u, MARKS_MAX), size = 16;

	if (!n && !c->tail_len)
		return 0;
	/* room for the packets of a message was made before it began */
	if (c->tail_len)
		size = MARKS_MAX;
	while (size < n)
		size *= 2;
	c->marks = malloc(size * sizeof(*c->marks));
	if (!c->marks)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		c->marks[i] = unpack_u32(u);
	c->mark_size = (uint16_t)size;
	c->mark_count = (uint16_t)n;
	return 0;
}

static int load_bytes(struct unpack *u, uint32_t max, uint8_t **ret,
		      uint32_t *ret_len)
{
	uint32_t n = unpack_u32_max(u, max);
	const uint8_t *at = unpack_bytes(u, n);

	if (!at)
		return -EPROTO;
	if (!n)
		return 0;
	*ret = malloc(n);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, at, n);
	*ret_len = n;
	return 0;
}

static int load_messages(struct vsock_conn *c, struct unpack *u)
{
	int r;

	c->need = unpack_u32(u);
	c->message_len = unpack_u32(u);
	r = load_bytes(u, c->message_len, &c->tail, &c->tail_len);
	if (r == 0)
		r = load_bytes(u, c->received - c->fwd_cnt, &c->part,
			       &c->part_len);
	c->part_size = c->part_len;
	return r;
}

static enum conn_state load_state(struct unpack *u)
{
	uint8_t v = unpack_u8(u);

	if (v > CONN_DRAINING)
		u->failed = true;
	return u->failed ? CONN_DEAD : (enum conn_state)v;
}

/* What is true of each connection in such a state. */
static bool fits(const struct vsock_conn *c, uint32_t number)
{
	bool ended = c->state == CONN_CLOSING || c->state == CONN_DEAD;

	if (ended == (number != 0) || c->pending & ~SEND_ALL)
		return false;
	if (c->type != VSOCK_STREAM && c->type != VSOCK_SEQPACKET)
		return false;
	if (c->state != CONN_OPEN && (c->gather_ns || c->stall_ns))
		return false;
	if ((c->state == CONN_CLOSING) != (c->linger_ns != 0))
		return false;
	if (c->state == CONN_DRAINING && c->pending)
		return false;
	if (c->state == CONN_DEAD && !(c->pending & SEND_RST))
		return false;
	/* it is freed, or goes on, with a host end only */
	if (ended && (c->tail_len || c->part_len))
		return false;
	return c->received - c->fwd_cnt <= VSOCK_BUF_ALLOC;
}

static void load_lists(struct vsock *v, struct vsock_conn *c, bool ready)
{
	if (c->pending)
		TAILQ_INSERT_TAIL(&v->control, c, control);
	if (c->state == CONN_CLOSING)
		INSERT_BY_TIME(&v->linger, c, linger, linger_ns);
	if (c->gather_ns)
		INSERT_BY_TIME(&v->gathering, c, gathering, gather_ns);
	if (c->stall_ns)
		INSERT_BY_TIME(&v->stalled, c, stalled, stall_ns);
	if (c->state == CONN_DRAINING)
		LIST_REMOVE(c, bucket);
	else if (c->state == CONN_OPEN && ready)
		conn_ready(v, c, true);
}

static int load_conn(struct vsock *v, struct unpack *u,
		     void *(*host)(void *ctx, uint32_t number,
				   struct vsock_conn *c),
		     void *ctx)
{
	uint32_t number = unpack_u32(u), peer_cid, guest_port, host_port;
	enum conn_state state = load_state(u);
	struct vsock_conn *c, fields = { 0 };
	enum vsock_type type = (enum vsock_type)unpack_u16(u);
	bool ready;
	int r;

	peer_cid = unpack_u32(u);
	guest_port = unpack_u32(u);
	host_port = unpack_u32(u);
	if (u->failed || peer_cid < VSOCK_CID_HOST || peer_cid == UINT32_MAX ||
	    (state != CONN_DRAINING &&
			  conn_find(v, type, peer_cid, guest_port, host_port)))
		return -EPROTO;
	c = conn_new(v, type, peer_cid, guest_port, host_port, state);
	if (!c)
		return -ENOMEM;
	/* no list but the table has it yet: what follows may fail */
	fields.linger_ns = unpack_u64(u);
	fields.gather_ns = unpack_u64(u);
	fields.stall_ns = unpack_u64(u);
	fields.pending = unpack_u8(u);
	ready = unpack_bool(u);
	c->gathered = unpack_bool(u);
	c->blocked = unpack_bool(u);
	c->shut_when_flushed = unpack_bool(u);
	c->unread = unpack_bool(u);
	c->guest_shut = unpack_u8(u) & VSOCK_SHUT_BOTH;
	c->host_shut = unpack_u8(u) & VSOCK_SHUT_BOTH;
	c->peer_buf_alloc = unpack_u32(u);
	c->peer_fwd_cnt = unpack_u32(u);
	c->sent = unpack_u32(u);
	c->received = unpack_u32(u);
	c->fwd_cnt = unpack_u32(u);
	c->told_fwd_cnt = unpack_u32(u);
	r = type == VSOCK_SEQPACKET ? load_messages(c, u) : 0;
	if (r == 0)
		r = load_marks(c, u);
	fields.state = state;
	fields.type = type;
	fields.received = c->received;
	fields.fwd_cnt = c->fwd_cnt;
	fields.tail_len = c->tail_len;
	fields.part_len = c->part_len;
	if (r == 0 && (u->failed || !fits(&fields, number)))
		r = -EPROTO;
	if (r == 0 && number) {
		c->host = host(ctx, number, c);
		if (!c->host)
			r = -EPROTO;
	}
	c->state = CONN_DEAD; /* until it is in the lists of its state */
	if (r < 0) {
		v->opening -= state == CONN_DIALLING || state == CONN_ASKED;
		c->host = NULL;
		conn_free(v, c);
		return r;
	}
	c->state = state;
	c->linger_ns = fields.linger_ns;
	c->gather_ns = fields.gather_ns;
	c->stall_ns = fields.stall_ns;
	c->pending = fields.pending;
	load_lists(v, c, ready);
	if (c->host)
		conn_charge(v, c);
	return 0;
}

int vsock_load(struct vsock *v, struct unpack *u,
	       void *(*host)(void *ctx, uint32_t number, struct vsock_conn *c),
	       void *ctx)
{
	uint32_t n;
	int r = 0;

	v->next_port = unpack_u32(u);
	if (v->next_port < 1u << 30 || v->next_port >= 1u << 31)
		return -EPROTO;
	v->reply_first = 0;
	v->reply_count = unpack_u32_max(u, VSOCK_REPLIES_MAX);
	for (unsigned int i = 0; i < v->reply_count; i++) {
		v->replies[i].cid = unpack_u64(u);
		v->replies[i].guest_port = unpack_u32(u);
		v->replies[i].host_port = unpack_u32(u);
		v->replies[i].type = unpack_u16(u);
	}
	n = unpack_u32_max(u, VSOCK_CONNS_MAX);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = load_conn(v, u, host, ctx);
	return u->failed ? -EPROTO : r;
}

bool vsock_reused(struct vsock *v, const struct vsock_conn *c)
{
	const struct vsock_conn *found;

	found = conn_find(v, c->type, c->peer_cid, c->guest_port, c->host_port);
	return found && found != c;
}

void vsock_lost(struct vsock *v, enum vsock_type type, uint32_t peer_cid,
		uint32_t guest_port, uint32_t host_port)
{
	struct vsock_conn *c;

	if (conn_find(v, type, peer_cid, guest_port, host_port))
		return;
	c = conn_new(v, type, peer_cid, guest_port, host_port, CONN_DEAD);
	if (c)
		conn_send(v, c, SEND_RST);
}
