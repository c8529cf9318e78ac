/* SPDX-License-Identifier: MIT */
/* rig-flow.c - the programs at both ends of a connection, see rig.h */
#include "rig.h"

#include <check.h>
#include <errno.h>

static uint8_t byte_at(const struct rig_flow *f, bool from_host, uint64_t pos)
{
	uint64_t v = pos * 0x9e3779b97f4a7c15ull + f->id * 2654435761u +
		     (from_host ? 77 : 0);

	return (uint8_t)(v >> 32);
}

/* Assertions of Check cost a system call each: not one per byte. */
static void check(const struct rig_flow *f, bool from_host, uint64_t pos,
		  const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != byte_at(f, from_host, pos + i))
			ck_abort_msg("flow %u: byte %llu is wrong", f->id,
				     (unsigned long long)(pos + i));
}

static bool host_reads(struct rig_flow *f)
{
	struct iovec iov[64];
	unsigned int n;
	ssize_t bytes;
	size_t take, left;
	bool moved = false;

	while (f->s && !f->host_stalls && !f->host.eof) {
		bytes = vmbh_sock_peek(f->s, iov, f->r->packets_per_peek, &n);
		if (bytes <= 0) {
			if (f->s && bytes == 0 && vmbh_sock_eof(f->s)) {
				f->host.eof = moved = true;
				ck_assert(f->guest.fin_sent);
				ck_assert_uint_eq(f->host.got, f->guest.sent);
			}
			break;
		}
		take = rig_random(f->r, 4)
			       ? (size_t)bytes
			       : 1 + rig_random(f->r, (uint32_t)bytes);
		left = take;
		for (unsigned int i = 0; i < n && left; i++) {
			size_t part =
				iov[i].iov_len < left ? iov[i].iov_len : left;

			check(f, false, f->host.got, iov[i].iov_base, part);
			f->host.got += part;
			left -= part;
		}
		if (left)
			ck_abort_msg("peek() described less than it said");
		vmbh_sock_consume(f->s, take);
		moved = true;
	}
	return moved;
}

static bool host_writes(struct rig_flow *f)
{
	struct rig_end *e = &f->host;
	bool moved = false;

	while (f->s && e->sent < e->to_send) {
		struct iovec iov[16];
		unsigned int n;
		uint64_t left = e->to_send - e->sent, done = 0, put;
		ssize_t room = vmbh_sock_room(f->s, iov, 16, &n,
					      rig_random(f->r, 2) ? 0 : left);

		if (room <= 0)
			break;
		put = left < (uint64_t)room ? left : (uint64_t)room;
		if (!rig_random(f->r, 4))
			put = 1 + rig_random(f->r, (uint32_t)put);
		for (unsigned int i = 0; i < n; i++)
			for (size_t k = 0; k < iov[i].iov_len && done < put;
			     k++, done++)
				((uint8_t *)iov[i].iov_base)[k] =
					byte_at(f, true, e->sent + done);
		if (done != put)
			ck_abort_msg("room() described less than it said");
		vmbh_sock_produce(f->s, put);
		e->sent += put;
		moved = true;
	}
	if (f->s && e->sent == e->to_send && e->fin && !e->fin_sent) {
		e->fin_sent = moved = true;
		vmbh_sock_shutdown(f->s);
	}
	return moved;
}

static bool guest_reads(struct rig_flow *f)
{
	uint8_t buf[20000];
	bool moved = false;

	while (f->v && !f->guest_stalls && !f->guest.eof) {
		size_t want = rig_random(f->r, 3) ? sizeof(buf)
						  : 1 + rig_random(f->r, 9000);
		ssize_t n = vg_recv(f->v, buf, want);

		if (n == -EAGAIN || n == -ENOTCONN)
			break;
		if (n < 0)
			ck_abort_msg("the guest cannot read: %zd", n);
		moved = true;
		if (n == 0) {
			f->guest.eof = true;
			/* an end that nobody forced comes after all the data */
			if (f->s && f->v->fin_seen)
				ck_assert(f->host.fin_sent &&
					  f->guest.got == f->host.sent);
			break;
		}
		check(f, true, f->guest.got, buf, (size_t)n);
		f->guest.got += (uint64_t)n;
		if (f->guest.got > f->host.sent)
			ck_abort_msg("more than was sent");
	}
	return moved;
}

static bool guest_writes(struct rig_flow *f)
{
	struct rig_end *e = &f->guest;
	uint8_t buf[20000];
	bool moved = false;

	while (f->v && e->sent < e->to_send) {
		uint64_t n = e->to_send - e->sent;
		ssize_t done;

		if (n > sizeof(buf))
			n = sizeof(buf);
		if (!rig_random(f->r, 4))
			n = 1 + rig_random(f->r, (uint32_t)n);
		for (uint64_t i = 0; i < n; i++)
			buf[i] = byte_at(f, false, e->sent + i);
		done = vg_send(f->v, buf, n);
		if (done < 0)
			break;
		e->sent += (uint64_t)done;
		moved = true;
		if ((uint64_t)done < n)
			break;
	}
	if (f->v && f->v->state == VG_ESTABLISHED && e->sent == e->to_send &&
	    e->fin && !e->fin_sent) {
		e->fin_sent = moved = true;
		vg_shutdown(f->v);
	}
	return moved;
}

bool rig_release(struct rig *r)
{
	bool did = false;

	for (unsigned int i = 0; r->polls && i < r->nflows; i++) {
		struct rig_flow *f = &r->flows[i];

		if (f->s && f->connected && vmbh_sock_release(f->s)) {
			f->host.woken = true;
			did = did || !f->host_stalls;
		}
	}
	return did;
}

static void looks(struct rig_flow *f)
{
	if (rig_random(f->r, 2))
		vmbh_sock_hold(f->s);
	if (vmbh_sock_pending(f->s))
		f->host.woken = true;
}

bool rig_move(struct rig_flow *f)
{
	bool moved = false;

	if (f->r->polls && f->s && f->connected)
		looks(f);

	if (f->from_host && !f->v && !f->guest_done && f->r->g->loaded)
		f->v = vg_accept(f->r->g, RIG_SERVICE + f->id);
	if (f->s && f->connected && f->host.woken) {
		f->host.woken = false;
		moved = host_reads(f);
		moved = host_writes(f) || moved;
	}
	if (f->v && vg_woken(f->v)) {
		moved = guest_reads(f) || moved;
		moved = guest_writes(f) || moved;
	}
	return moved;
}
