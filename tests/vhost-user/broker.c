/* SPDX-License-Identifier: MIT */
/* broker.c - see broker.h */
#include "broker.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/guid.h"
#include "must.h"
#include "proto/name.h"

static uint8_t out_data[MSG_MAX];
static struct msg_buf out = { .data = out_data, .size = MSG_MAX };

static void address(struct sockaddr_un *sa, const char *path)
{
	*sa = (struct sockaddr_un) { .sun_family = AF_UNIX };
	must(strlen(path) < sizeof(sa->sun_path));
	strcpy(sa->sun_path, path);
}

void fb_start(struct fb *b, const char *dir)
{
	char path[108];
	struct sockaddr_un sa;
	uint64_t token = b->next_token;
	uint32_t unknown = b->unknown;
	uint16_t kind = b->kind;

	memset(b, 0, sizeof(*b));
	b->unknown = unknown;
	b->kind = kind ? kind : TRANSPORT_VHOST_USER;
	b->conn = -1;
	b->next_token = token ? token : 0x1000;
	snprintf(b->dir, sizeof(b->dir), "%s", dir);
	snprintf(path, sizeof(path), "%s/control", dir);
	(void)unlink(path);
	address(&sa, path);
	b->listener = socket(AF_UNIX,
			     SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(bind(b->listener, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(b->listener, 8) == 0);
}

void fb_kill(struct fb *b)
{
	if (b->conn >= 0)
		close(b->conn);
	if (b->listener >= 0)
		close(b->listener);
	b->conn = b->listener = -1;
	b->attached = false;
}

static void send_out(struct fb *b, const int *fds, int nfds)
{
	must(!out.overflow);
	(void)fdmsg_send(b->conn, out.data, out.len, fds, nfds, 0);
}

static void attach(struct fb *b, const struct msg_header *h, const uint8_t *p,
		   size_t len, const struct fdmsg *m)
{
	static unsigned int count;
	char path[sizeof(b->rendezvous) + 4];
	struct msg_attach a;
	struct sockaddr_un sa;
	bool raw;

	must(msg_attach_decode(p, len, &a) == 0);
	must(a.kind == b->kind);
	raw = b->kind == TRANSPORT_VHOST_USER;
	must(a.types == (ATTACH_STREAM | (raw ? ATTACH_RAW : 0)));
	must(m->nfds == (raw ? 2 : 1));
	b->flags = a.flags;
	if (a.flags & b->unknown) {
		msg_begin_reply(&out, MSG_ATTACH, h->serial, 0, EINVAL,
				HVS_REASON_BAD_REQUEST);
		msg_put_bytes(&out, "ATTACH is malformed", 19);
		send_out(b, NULL, 0);
		return;
	}
	must(a.flags == ((ATTACH_STALLS | ATTACH_PARTITIONS |
			  (raw ? ATTACH_CIDS : 0) |
			  (b->kind == TRANSPORT_VMBUS ? ATTACH_CONTROL : 0)) &
			 ~b->unknown));
	b->vmid = a.vmid;
	if (b->refuse[0]) {
		msg_begin_reply(&out, MSG_ATTACH, h->serial, 0, EBUSY,
				HVS_REASON_EXISTS);
		msg_put_bytes(&out, b->refuse, strlen(b->refuse));
		send_out(b, NULL, 0);
		return;
	}
	if (guid_is_zero(&b->vmid))
		b->vmid.Data1 = 0x4711;
	snprintf(b->rendezvous, sizeof(b->rendezvous), "%s/rendezvous-%u",
		 b->dir, ++count);
	address(&sa, b->rendezvous);
	must(bind(m->fds[0], (struct sockaddr *)&sa, sizeof(sa)) == 0);
	if (raw) {
		snprintf(path, sizeof(path), "%s.raw", b->rendezvous);
		address(&sa, path);
		must(bind(m->fds[1], (struct sockaddr *)&sa, sizeof(sa)) == 0);
	}
	msg_begin_reply(&out, MSG_ATTACH, h->serial, 0, 0, 0);
	msg_put_guid(&out, &b->vmid);
	msg_put_bytes(&out, a.name, a.name_len);
	send_out(b, NULL, 0);
	b->attached = true;
}

static void open_reply(struct fb *b, const struct msg_header *h,
		       const uint8_t *p, size_t len)
{
	struct msg_reply r;

	must(msg_reply_decode(p, len, &r) == 0);
	for (int i = 0; i < b->nopens; i++) {
		struct fb_open *o = &b->opens[i];

		if (o->serial != h->serial)
			continue;
		must(!o->answered);
		o->answered = true;
		o->error = r.error;
		o->reason = r.reason;
		if (r.error) {
			must(r.len > 0);
			must(r.len <= 400);
			memcpy(o->text, r.payload, r.len);
		}
		return;
	}
	ck_abort_msg("a reply to nothing");
}

static void counters_reply(struct fb *b, const uint8_t *p, size_t len)
{
	b->ncounters = 0;
	for (size_t at = MSG_REPLY_HEADER; at + 24 <= len; at += 24) {
		must(b->ncounters < FB_MAX);
		b->counters[b->ncounters++] = (struct msg_closed) {
			.token = le64_get(p + at),
			.to_guest = le64_get(p + at + 8),
			.from_guest = le64_get(p + at + 16),
		};
	}
}

static void frame(struct fb *b, const uint8_t *p, size_t len,
		  const struct fdmsg *m)
{
	struct msg_header h;

	must(msg_header_decode(p, len, &h) == 0);
	if (h.reply && h.type == MSG_OPEN) {
		open_reply(b, &h, p, len);
		return;
	}
	if (h.reply && h.type == MSG_COUNTERS) {
		counters_reply(b, p, len);
		return;
	}
	must(!h.reply);
	switch (h.type) {
	case MSG_HELLO:
		msg_begin_reply(&out, MSG_HELLO, h.serial, 0, 0, 0);
		msg_put_u32(&out, MSG_VERSION);
		msg_put_u32(&out, MSG_MAX);
		msg_put_guid(&out, &guid_zero);
		msg_put_guid(&out, &guid_zero);
		msg_put_bytes(&out, "host", 4);
		send_out(b, NULL, 0);
		break;
	case MSG_ATTACH:
		attach(b, &h, p, len, m);
		break;
	case MSG_STATE:
		must(msg_u32_decode(p, len, &b->state) == 0);
		b->state_notices++;
		break;
	case MSG_DIAL:
		must(b->ndials < FB_MAX);
		b->dials[b->ndials].serial = h.serial;
		must(msg_dial_decode(p, len, &b->dials[b->ndials].m) == 0);
		b->ndials++;
		break;
	case MSG_CLOSED:
		must(b->nclosed < FB_CLOSED_MAX);
		must(msg_closed_decode(p, len, &b->closed[b->nclosed]) == 0);
		b->nclosed++;
		break;
	case MSG_LIVE:
		must(b->nlive < FB_MAX);
		must(msg_live_decode(p, len, &b->live[b->nlive]) == 0);
		b->nlive++;
		break;
	default:
		ck_abort_msg("unexpected frame %u", h.type);
	}
}

bool fb_poll(struct fb *b)
{
	static uint8_t buf[MSG_MAX];
	bool any = false;
	struct fdmsg m;
	int r;

	if (b->conn < 0 && b->listener >= 0) {
		b->conn = accept4(b->listener, NULL, NULL,
				  SOCK_NONBLOCK | SOCK_CLOEXEC);
		any = b->conn >= 0;
	}
	while (b->conn >= 0) {
		r = fdmsg_recv(b->conn, buf, sizeof(buf), MSG_DONTWAIT, &m);
		if (r < 0)
			break;
		any = true;
		if (!m.len) {
			close(b->conn);
			b->conn = -1;
			b->attached = false;
			b->state = 0;
			break;
		}
		frame(b, buf, m.len, &m);
		for (int i = 0; i < m.nfds; i++)
			close(m.fds[i]);
	}
	return any;
}

static void dial_remove(struct fb *b, int i)
{
	b->ndials--;
	memmove(b->dials + i, b->dials + i + 1,
		sizeof(b->dials[0]) * (size_t)(b->ndials - i));
}

int fb_dial_accept(struct fb *b, int i, uint64_t *ret_token)
{
	int pair[2];

	must(socketpair(AF_UNIX,
			b->dials[i].m.type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			pair) == 0);
	fb_dial_answer(b, i, pair[1]);
	if (ret_token)
		*ret_token = b->next_token;
	close(pair[1]);
	return pair[0];
}

void fb_dial_answer(struct fb *b, int i, int fd)
{
	must(i < b->ndials);
	msg_begin_reply(&out, MSG_DIAL, b->dials[i].serial, 0, 0, 0);
	msg_put_u64(&out, ++b->next_token);
	if (b->flags & ATTACH_CIDS) {
		msg_put_u32(&out, 0);
		msg_put_guid(&out, b->dials[i].m.flags & DIAL_CID ?
					   &fb_sibling :
					   &guid_parent);
	}
	send_out(b, &fd, 1);
	dial_remove(b, i);
}

void fb_dial_refuse(struct fb *b, int i, uint32_t reason)
{
	must(i < b->ndials);
	msg_begin_reply(&out, MSG_DIAL, b->dials[i].serial, 0,
			(uint32_t)reason_errno(reason), reason);
	msg_put_bytes(&out, "no", 2);
	send_out(b, NULL, 0);
	dial_remove(b, i);
}

int fb_open(struct fb *b, uint32_t port, uint32_t source, bool parked,
	    uint32_t timeout_ms)
{
	return fb_open_type(b, SOCK_STREAM, port, source, parked, timeout_ms);
}

const GUID fb_sibling = { 0x51, 1, 2, { 3, 4, 5, 6, 7, 8, 9, 10 } };
const GUID fb_partition = { 0xb0, 1, 2, { 3, 4, 5, 6, 7, 8, 9, 10 } };

int fb_open_type(struct fb *b, uint16_t type, uint32_t port, uint32_t source,
		 bool parked, uint32_t timeout_ms)
{
	struct fb_open *o = &b->opens[b->nopens];
	GUID service = guid_from_port(port), from = guid_from_port(source);

	must(b->nopens < FB_MAX);
	*o = (struct fb_open) { .serial = ++b->serial,
				.token = ++b->next_token,
				.type = type };
	msg_begin(&out, MSG_OPEN, o->serial);
	msg_put_u64(&out, o->token);
	msg_put_u16(&out, type);
	msg_put_u16(&out, parked ? OPEN_PARKED : 0);
	msg_put_u32(&out, timeout_ms);
	msg_put_guid(&out, &service);
	msg_put_guid(&out, &from);
	msg_put_u32(&out, 1000);
	if (b->flags & ATTACH_PARTITIONS)
		msg_put_guid(&out, b->open_cid ? &fb_sibling : &fb_partition);
	if (b->flags & ATTACH_CIDS)
		msg_put_u32(&out, b->open_cid);
	send_out(b, NULL, 0);
	return b->nopens++;
}

int fb_meet(struct fb *b, uint64_t token)
{
	struct connector_name n = { .type = SOCK_STREAM,
				    .uid = 1000,
				    .token = token };
	char path[sizeof(b->rendezvous) + 4];
	struct sockaddr_un sa;
	socklen_t len;
	int fd;

	for (int i = 0; i < b->nopens; i++)
		if (b->opens[i].token == token)
			n.type = (uint8_t)b->opens[i].type;
	snprintf(path, sizeof(path), "%s%s", b->rendezvous,
		 n.type == SOCK_STREAM ? "" : ".raw");
	len = connector_name_encode(&n, &sa);
	fd = socket(AF_UNIX, n.type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* tests run at the same time: random bits in the name */
	((uint8_t *)sa.sun_path)[7] = (uint8_t)getpid();
	((uint8_t *)sa.sun_path)[8] = (uint8_t)(getpid() >> 8);
	((uint8_t *)sa.sun_path)[9] = (uint8_t)(getpid() >> 16);
	must(bind(fd, (struct sockaddr *)&sa, len) == 0);
	address(&sa, path);
	must(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

uint64_t fb_fill(int fd)
{
	static const uint8_t zeros[65536];
	uint64_t sum = 0;
	ssize_t n;

	while ((n = send(fd, zeros, sizeof(zeros),
			 MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		sum += (uint64_t)n;
	return sum;
}

static void notice(struct fb *b, enum msg_type type, uint64_t token)
{
	msg_begin(&out, type, ++b->serial);
	msg_put_u64(&out, token);
}

void fb_parked(struct fb *b, uint64_t token, uint64_t filler)
{
	notice(b, MSG_PARKED, token);
	msg_put_u64(&out, filler);
	send_out(b, NULL, 0);
}

void fb_close(struct fb *b, uint64_t token)
{
	fb_close_for(b, token, HVS_REASON_NO_LONGER_ALLOWED);
}

void fb_close_for(struct fb *b, uint64_t token, uint32_t reason)
{
	notice(b, MSG_CLOSE, token);
	msg_put_u32(&out, reason);
	send_out(b, NULL, 0);
}

void fb_stall(struct fb *b, bool stalled)
{
	msg_begin(&out, MSG_STALL, ++b->serial);
	msg_put_u32(&out, stalled);
	send_out(b, NULL, 0);
}

void fb_counters(struct fb *b)
{
	msg_begin(&out, MSG_COUNTERS, ++b->serial);
	send_out(b, NULL, 0);
	b->ncounters = -1;
}
