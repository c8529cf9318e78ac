/* SPDX-License-Identifier: MIT */
/* seq.c - see seq.h */
#include "seq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_COST 576u

struct seq seqs[SEQ_ENDS];
static void (*set_up_more)(struct drv *d);

static uint8_t byte_at(const struct seq *s, unsigned int message, uint32_t at)
{
	return rig_byte(s->port + message * 3, at);
}

struct vsock_header seq_header(const struct seq *s, enum vsock_op op)
{
	return (struct vsock_header) {
		.src_cid = DRV_CID,
		.dst_cid = 2,
		.src_port = s->port,
		.dst_port = s->host_port,
		.type = VSOCK_SEQPACKET,
		.op = (uint16_t)op,
		.buf_alloc = s->buf_alloc,
		.fwd_cnt = s->fwd,
	};
}

void seq_packet(struct rig *r, struct seq *s, enum vsock_op op, uint32_t flags)
{
	struct vsock_header h = seq_header(s, op);

	h.flags = flags;
	rig_put(r, &h, NULL);
}

static void note(struct seq_flow *f, uint32_t len)
{
	must(f->sent < SEQ_NOTED);
	f->lens[f->sent++] = len;
}

static void whole(const struct seq *s, struct seq_flow *f, const uint8_t *p,
		  size_t len)
{
	must(f->received < f->sent);
	must(f->lens[f->received] == len);
	for (uint32_t i = 0; i < len; i++)
		must(p[i] == byte_at(s, f->received, i));
	f->received++;
}

/* ---- the guest */

static void on_rw(struct seq *s, const struct vsock_header *h,
		  const uint8_t *payload)
{
	must(s->open);
	must(h->len > 0); /* a read of 0 would look like the end */
	must(!(s->peer_shut & VSOCK_SHUT_SEND));
	must((h->flags & ~VSOCK_SEQ_EOM) == 0);
	s->unread += h->len;
	must(s->unread <= s->buf_alloc);
	s->packets_unread++;
	if (s->packets_unread > s->packets_most)
		s->packets_most = s->packets_unread;
	must(s->msg_len + h->len <= SEQ_MAX);
	memcpy(s->msg + s->msg_len, payload, h->len);
	s->msg_len += h->len;
	if (!(h->flags & VSOCK_SEQ_EOM))
		return;
	whole(s, &s->down, s->msg, s->msg_len);
	s->msg_len = 0;
}

/* Read whole messages; credit after each, as Linux gives it. */
static void consume(struct rig *r, struct seq *s)
{
	if (s->stalled || !s->unread || s->msg_len || s->reset)
		return;
	s->fwd += s->unread;
	s->unread = s->packets_unread = 0;
	seq_packet(r, s, VSOCK_OP_CREDIT_UPDATE, 0);
}

static struct seq *find(const struct vsock_header *h)
{
	for (int i = 0; i < SEQ_ENDS; i++)
		if (seqs[i].used && seqs[i].port == h->dst_port &&
		    (seqs[i].host_port == h->src_port || seqs[i].asked))
			return &seqs[i];
	return NULL;
}

static bool on_packet(struct rig *r, const struct vsock_header *h,
		      const uint8_t *payload)
{
	struct seq *s = find(h);

	(void)r;
	if (!s || h->type != VSOCK_SEQPACKET)
		return false;
	must(h->src_cid == 2);
	if (h->op != VSOCK_OP_RST || h->buf_alloc) {
		must(h->buf_alloc > 0);
		must(s->bytes_sent - h->fwd_cnt <= SEQ_MAX);
		s->peer_alloc = h->buf_alloc;
		s->peer_fwd = h->fwd_cnt;
	}
	switch (h->op) {
	case VSOCK_OP_REQUEST:
		must(s->asked && !s->host_port);
		s->host_port = h->src_port;
		break;
	case VSOCK_OP_RESPONSE:
		must(!s->open);
		s->open = true;
		break;
	case VSOCK_OP_RST:
		s->reset = true;
		break;
	case VSOCK_OP_SHUTDOWN:
		s->peer_shut |= h->flags;
		break;
	case VSOCK_OP_RW:
		on_rw(s, h, payload);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		seq_packet(r, s, VSOCK_OP_CREDIT_UPDATE, 0);
		break;
	default:
		ck_abort_msg("op %u for the guest", h->op);
	}
	return true;
}

/* ---- programs */

static void prog_reads(struct seq *s)
{
	static uint8_t buf[SEQ_MAX + 1];
	ssize_t n;

	while (!s->prog_stalled && !s->eof && !s->error) {
		n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			s->error = errno;
		else if (n == 0)
			s->eof = true;
		else
			whole(s, &s->up, buf, (size_t)n);
	}
}

void seq_step(struct rig *r, int ms)
{
	/* the sockets are not in the rig's poll(): do not sleep for long */
	rig_step(r, ms > 5 ? 5 : ms);
	for (int i = 0; i < SEQ_ENDS; i++) {
		struct seq *s = &seqs[i];

		if (s->used && s->open)
			consume(r, s);
		if (s->used && s->fd >= 0)
			prog_reads(s);
	}
}

/* ---- steps of a test */

static void set_up(struct drv *d)
{
	d->features |= 1u << 1;
	if (set_up_more)
		set_up_more(d);
}

struct rig *seq_start_service(struct svc *service, void (*more)(struct drv *d))
{
	struct rig *r;

	set_up_more = more;
	memset(seqs, 0, sizeof(seqs));
	r = service ? rig_start_service(service, set_up)
		    : rig_start_with(set_up);
	r->hook = on_packet;
	return r;
}

struct rig *seq_start(void (*more)(struct drv *d))
{
	return seq_start_service(NULL, more);
}

void seq_small_buffers(struct drv *d)
{
	d->rx_len = 144;
	for (unsigned int i = 0; i < DRV_NUM; i++)
		drv_put_desc(d, d->rings[0].desc, i,
			     drv_gpa(0x100000u + (uint64_t)i * DRV_RX_BUF),
			     144, 2, 0);
}

struct seq *seq_new(int i, uint32_t port)
{
	struct seq *s = &seqs[i];

	must(!s->used);
	*s = (struct seq) { .used = true,
			    .port = port,
			    .buf_alloc = SEQ_MAX,
			    .fd = -1 };
	s->msg = malloc(SEQ_MAX);
	s->up.lens = malloc(SEQ_NOTED * sizeof(uint32_t));
	s->down.lens = malloc(SEQ_NOTED * sizeof(uint32_t));
	must(s->msg && s->up.lens && s->down.lens);
	return s;
}

void seq_end(struct rig *r)
{
	for (int i = 0; i < SEQ_ENDS; i++) {
		struct seq *s = &seqs[i];

		if (s->used && s->fd >= 0)
			close(s->fd);
		free(s->msg);
		free(s->up.lens);
		free(s->down.lens);
	}
	rig_end(r);
}

struct seq *seq_dial(struct rig *r, int i, uint32_t port, uint32_t host_port)
{
	struct seq *s = seq_new(i, port);
	int n = r->b.ndials;

	s->host_port = host_port;
	seq_packet(r, s, VSOCK_OP_REQUEST, 0);
	while (r->b.ndials == n)
		seq_step(r, 5);
	ck_assert_uint_eq(r->b.dials[n].m.type, SOCK_SEQPACKET);
	s->fd = fb_dial_accept(&r->b, n, NULL);
	seq_until(r, &s->open, "RESPONSE");
	return s;
}

struct seq *seq_open(struct rig *r, int i, uint32_t port, bool parked)
{
	struct seq *s = seq_new(i, port);
	uint64_t token;
	int o, fd = -1;

	s->asked = true;
	o = fb_open_type(&r->b, SOCK_SEQPACKET, port, 0x80000123u, parked,
			 20000);
	token = r->b.opens[o].token;
	if (parked) {
		fd = fb_meet(&r->b, token);
		fb_parked(&r->b, token, fb_fill(fd));
	}
	while (!s->host_port)
		seq_step(r, 5);
	s->asked = false;
	s->open = true;
	seq_packet(r, s, VSOCK_OP_RESPONSE, 0);
	while (!r->b.opens[o].answered)
		seq_step(r, 5);
	ck_assert_uint_eq(r->b.opens[o].error, 0);
	s->fd = parked ? fd : fb_meet(&r->b, token);
	return s;
}

void seq_piece(struct rig *r, struct seq *s, uint32_t at, uint32_t len,
	       bool end)
{
	static uint8_t buf[65536];
	struct vsock_header h;

	must(len <= sizeof(buf));
	while (!s->reset && s->peer_alloc - (s->bytes_sent - s->peer_fwd) < len)
		seq_step(r, 5);
	for (uint32_t i = 0; i < len; i++)
		buf[i] = byte_at(s, s->up.sent, at + i);
	h = seq_header(s, VSOCK_OP_RW);
	h.len = len;
	h.flags = end ? VSOCK_SEQ_EOM : 0;
	s->bytes_sent += len;
	if (end)
		note(&s->up, at + len);
	rig_put(r, &h, buf);
}

void seq_up(struct rig *r, struct seq *s, uint32_t len)
{
	uint32_t at = 0, part;

	do {
		part = len - at < 65536 ? len - at : 65536;
		seq_piece(r, s, at, part, at + part == len);
		at += part;
	} while (at < len);
}

void seq_down(struct rig *r, struct seq *s, uint32_t len)
{
	static uint8_t buf[SEQ_MAX];

	for (uint32_t i = 0; i < len; i++)
		buf[i] = byte_at(s, s->down.sent, i);
	note(&s->down, len);
	while (send(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		must(errno == EAGAIN);
		seq_step(r, 5);
	}
}

void seq_wait(struct rig *r, struct seq *s)
{
	while (s->up.received < s->up.sent ||
	       s->down.received < s->down.sent) {
		must(!s->reset && !s->error);
		must(!s->eof || s->up.received == s->up.sent);
		must(!(s->peer_shut & VSOCK_SHUT_SEND) ||
		     s->down.received == s->down.sent);
		seq_step(r, 5);
	}
}

void seq_until(struct rig *r, const bool *flag, const char *what)
{
	(void)what;
	while (!*flag)
		seq_step(r, 5);
}

void seq_settle(struct rig *r)
{
	rig_settle(r);
	seq_step(r, 0);
}
