/* SPDX-License-Identifier: MIT */
/*
 * fuzz-uplink-dgram.c - frames for datagrams over an uplink, and who reads them
 *
 * What decodes is encoded to the same bytes. Then the input comes over a stream
 * to bridge.c, in pieces, as if from a guest or from the host: the first byte
 * says from whom, how long the pieces are, and whether what is answered is
 * read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/utf8.h"
#include "transport/dgram/relay-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		abort();
}

/* ---- Of relay.c and broker-end.c -----------------------------------------*/

void watch(struct sock *s)
{
	(void)s;
}

void gone(struct sock *s)
{
	s->dead = true;
}

void broker_end_drops(struct broker_end *e, const struct msg_drops *d)
{
	(void)e;
	(void)d;
}

void broker_end_answer(struct broker_end *e, uint32_t serial, uint32_t reason,
		       const char *text)
{
	(void)e;
	must(serial == 77); /* which was asked, and is answered once */
	must(reason <= HVS_REASON_BROKER_FAILED);
	must(utf8_printable(text, strlen(text)));
}

/* Every third way is refused. */
bool on_datagram(struct sock *s, const struct way *way, const uint8_t *p,
		 size_t len)
{
	static unsigned int n;
	const struct msg_receiver as = { .peer = way->source };
	struct load *l = load_new(p, len);

	must(len <= DGRAM_MAX && l);
	must(!s->bridge->to_host || guid_is_zero(&way->from));
	must(!way->flags || s->bridge->to_host);
	n++;
	if (!bridge_routed(s, n % 3 ? 0 : HVS_REASON_NO_LISTENER, "nobody",
			   6))
		deliver(s, way, s, &as, l);
	load_unref(l);
	return true;
}

/* ---- Codecs --------------------------------------------------------------*/

static void codecs(const uint8_t *p, size_t len)
{
	uint8_t out[UPLINK_REPLY_MAX > 256 ? UPLINK_REPLY_MAX : 256];
	struct msg_buf b = msg_buf(out, sizeof(out));
	struct msg_uplink_route route;
	struct uplink_reply reply;
	struct uplink_dgram d;
	struct msg_ask ask;

	if (len >= UPLINK_DGRAM_HEADER &&
	    uplink_dgram_decode(p, len & 1, &d) == 0) {
		uplink_dgram_encode(&d, out);
		must(memcmp(out, p, UPLINK_DGRAM_HEADER) == 0);
	}
	if (uplink_reply_decode(p, len, &reply) == 0) {
		size_t n = uplink_reply_encode(&reply, out);

		must(n <= len && memcmp(out, p, n) == 0);
	}
	if (msg_uplink_route_decode(p, len, &route) == 0) {
		msg_put_uplink_route(&b, &route);
		must(b.len == len - MSG_HEADER &&
		     memcmp(out, p + MSG_HEADER, b.len) == 0);
	}
	b.len = 0;
	if (msg_ask_decode(p, len, &ask) == 0) {
		msg_put_ask(&b, &ask);
		must(b.len == len - MSG_HEADER &&
		     memcmp(out, p + MSG_HEADER, b.len) == 0);
	}
}

/* ---- The stream ----------------------------------------------------------*/

static void discard(int fd)
{
	static uint8_t sink[1 << 17];

	while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void stream(uint8_t how, const uint8_t *p, size_t len)
{
	static struct relay r; /* its timer never runs */
	size_t piece = (size_t)1 << (how & 15), before;
	struct msg_socket m = { .flags = SOCKET_UPLINK };
	const struct msg_ask ask = { .token = 1 };
	struct sock *s = calloc(1, sizeof(*s));
	int fds[2];

	r.drops_timer.ev = (struct ev *)&r; /* as if it did */
	m.partition = how & 16 ? guid_parent : guid_loopback;
	must(s && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	s->r = &r;
	s->fd = fds[0];
	s->token = 1;
	s->bridge = bridge_new(&m.partition);
	s->owner = owner_ref(&r, &m);
	must(s->bridge && s->owner);
	bridge_ask(s, 77, &ask);
	while (len && !s->dead) {
		size_t n = len < piece ? len : piece;

		if (send(fds[1], p, n, MSG_DONTWAIT) != (ssize_t)n)
			break;
		p += n;
		len -= n;
		while (bridge_receive(s))
			;
		if (how & 32)
			discard(fds[1]);
		if (how & 64)
			send_queued(s);
	}
	must(s->queue.messages <= QUEUE_MESSAGES);
	before = s->queue.bytes;
	queue_free(&s->queue);
	account(s, before);
	must(!r.bytes);
	owner_unref(&r, s->owner);
	bridge_free(s->bridge);
	free(s);
	close(fds[0]);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p;

	if (!size)
		return 0;
	/* exactly as long as it is, so that sanitizers see the end */
	p = malloc(size);
	if (!p)
		return 0;
	memcpy(p, data + 1, size - 1);
	codecs(p, size - 1);
	stream(data[0], p, size - 1);
	free(p);
	return 0;
}
