/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vmbus-fcopy.c - a file copied into a guest that answers as it likes
 *
 * The input is a program for both ends: sessions that start, write, end, give
 * up and leave; a guest that answers, well or badly, late, or never, and whose
 * channel closes and opens. The guest has a file as its daemon would: from the
 * start on that it takes, until it is told that the copy is complete, or to
 * cancel. Whatever came before, once everybody has left and the guest answers
 * it has none, unless it was silent, or refused, for minutes; and who asked has
 * heard of it, once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SESSIONS 3u
#define RING 4u
#define HEAD 36u /* of the body of any part */

enum { START, WRITE, COMPLETE, CANCEL, OPS };

struct fuzz {
	const uint8_t *p;
	size_t left;
	struct ic_set set;
	uint64_t now;
	bool open, full;
	unsigned int asked, told;
	/* the ring, and what the guest has done so far */
	struct packet {
		uint64_t transaction;
		size_t len;
		uint8_t data[IC_PACKET_MAX];
	} ring[RING];
	unsigned int npackets;
	bool file;
	bool given_up; /* it took nothing for longer than cancels are tried */
	uint64_t size, offset;
	uint64_t spent; /* ns of those minutes */
};

static uint8_t u8(struct fuzz *f)
{
	if (!f->left)
		return 0;
	f->left--;
	return *f->p++;
}

static void want(bool truth)
{
	if (!truth)
		abort();
}

static int on_send(void *ctx, enum ic_kind kind, const void *packet, size_t len,
		   uint64_t transaction)
{
	struct fuzz *f = ctx;
	struct packet *p = &f->ring[f->npackets];

	if (f->full || f->npackets == RING)
		return -11; /* EAGAIN */
	want(kind == IC_FCOPY && len <= sizeof(p->data));
	memcpy(p->data, packet, len);
	p->len = len;
	p->transaction = transaction;
	f->npackets++;
	return 0;
}

static struct timesync_clock on_clock(void *ctx)
{
	(void)ctx;
	return (struct timesync_clock) { .wall = 1 };
}

static const struct ic_set_ops ops = { .send = on_send, .clock = on_clock };

static void on_done(void *arg, const struct ic_answer *a)
{
	(void)a;
	((struct fuzz *)arg)->told++;
}

static void count(struct fuzz *f, int r)
{
	f->asked += r == 0;
}

/* A name, or a directory, of what the input has. */
static const char *text(struct fuzz *f, char out[512])
{
	size_t n = u8(f) * 2u;

	if (n < 4) /* most often a good one */
		return n ? "/a" : "name";
	for (size_t i = 0; i < n; i++)
		out[i] = (char)u8(f);
	out[n] = '\0';
	return out;
}

static void start(struct fuzz *f, uint64_t session)
{
	char name[512], directory[512];
	uint8_t how = u8(f);
	struct fcopy_file file = {
		.name = how & 4 ? text(f, name) : "name",
		.directory = how & 8 ? text(f, directory) : "/tmp/",
		.size = (uint64_t)u8(f) * 256,
		.overwrite = how & 1,
		.create = how & 2,
	};

	if (!*file.directory) /* who calls has looked */
		file.directory = "/";
	count(f, fcopy_start(&f->set.fcopy, &file, session, 1000, on_done, f));
}

static void part(struct fuzz *f, uint64_t session)
{
	static const uint8_t data[FCOPY_FRAGMENT + 1];
	size_t len = (size_t)u8(f) * 256;

	if (len > sizeof(data))
		len = sizeof(data);
	count(f, fcopy_write(&f->set.fcopy, session, data, len, 1000, on_done,
			     f));
}

static void time_passes(struct fuzz *f, uint64_t ns, uint64_t refused)
{
	f->now += ns;
	f->spent += ns + refused;
	if (f->spent >= (FCOPY_CANCELS - 1ull) * FCOPY_IDLE_MS * 1000000)
		f->given_up = true;
}

/* The guest's daemon does what it is told to, which has to be right whatever
 * the guest has said before. */
static void daemon_does(struct fuzz *f, const struct packet *packet, bool good)
{
	const uint8_t *body = packet->data + IC_HEAD, *p = body + HEAD;

	if (le16_get(packet->data + 12) != ic_classes[IC_FCOPY].message)
		return;
	switch (le32_get(body)) {
	case START:
		want(packet->len == IC_HEAD + HEAD + 1040 + 12);
		f->file = good;
		f->spent = 0;
		f->size = le64_get(p + 1044);
		f->offset = 0;
		break;
	case WRITE:
		want(packet->len == IC_HEAD + HEAD + 16 + FCOPY_FRAGMENT);
		want(f->offset == le64_get(p + 4));
		want(le32_get(p + 12) <= FCOPY_FRAGMENT);
		if (good)
			f->offset += le32_get(p + 12);
		want(!f->file || f->offset <= f->size);
		break;
	case COMPLETE:
		want(!f->file || f->offset == f->size);
		f->file &= !good;
		break;
	case CANCEL:
		f->file &= !good;
		if (!good)
			time_passes(f, 0, FCOPY_IDLE_MS * 1000000ull);
		break;
	default:
		abort();
	}
}

static void deliver(struct fuzz *f, const uint8_t *p, size_t len,
		    uint64_t transaction)
{
	uint8_t *exact = malloc(len ? len : 1);

	want(exact != NULL);
	memcpy(exact, p, len);
	ic_set_packet(&f->set, IC_FCOPY, exact, len, transaction);
	free(exact);
}

/* @how: 0 well; 1 it refuses; 2 another number; 3 cut short; 4 twice; 5 not */
static void answer(struct fuzz *f, unsigned int how)
{
	static struct packet p;
	uint8_t *copy = p.data;

	if (!f->npackets)
		return;
	p = f->ring[0];
	f->npackets--;
	memmove(f->ring, f->ring + 1, f->npackets * sizeof(f->ring[0]));
	daemon_does(f, &p, how != 1);
	copy[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	le32_put(copy + 20, how == 1 ? IC_FAIL : IC_OK);
	if (!le16_get(copy + 12)) { /* agree */
		uint16_t n = le16_get(copy + IC_HEAD + 2);

		memcpy(copy + IC_HEAD + 12, copy + IC_HEAD + 12 + 4 * n, 4);
		le16_put(copy + IC_HEAD, 1);
		le16_put(copy + IC_HEAD + 2, 1);
		le16_put(copy + 18, 16);
	}
	if (how == 3)
		p.len = u8(f) % (p.len + 1);
	ic_set_writable(&f->set, IC_FCOPY);
	if (how == 5)
		return;
	deliver(f, copy, p.len, p.transaction + (how == 2));
	if (how == 4)
		deliver(f, copy, p.len, p.transaction);
}

static void open_again(struct fuzz *f)
{
	if (f->open)
		return;
	f->open = true;
	ic_set_opened(&f->set, IC_FCOPY);
}

/* Its driver goes, or it reboots: nobody can remove the file any more. */
static void closed(struct fuzz *f)
{
	if (!f->open)
		return;
	f->open = f->file = false;
	f->npackets = 0;
	ic_set_closed(&f->set, IC_FCOPY);
}

static void step(struct fuzz *f)
{
	struct fcopy *c = &f->set.fcopy;
	uint8_t what = u8(f);
	uint64_t session = 1 + what / 16 % SESSIONS;

	switch (what % 16) {
	case 0:
		open_again(f);
		break;
	case 1:
		closed(f);
		break;
	case 2:
	case 3:
		start(f, session);
		break;
	case 4:
	case 5:
		part(f, session);
		break;
	case 6:
		count(f, fcopy_end(c, session, 1000, on_done, f));
		break;
	case 7:
		(void)fcopy_cancel(c, session);
		break;
	case 8:
		fcopy_leave(c, session);
		break;
	case 9:
		time_passes(f, (uint64_t)u8(f) * 250000000, 0);
		break;
	case 10:
		f->full = what & 16;
		if (!f->full)
			ic_set_writable(&f->set, IC_FCOPY);
		break;
	case 11:
		answer(f, 1 + what / 16 % 5);
		break;
	default:
		answer(f, 0);
	}
	ic_set_time(&f->set, f->now);
}

/* Everybody leaves, and the guest answers what it is asked. */
static void finish(struct fuzz *f)
{
	f->full = false;
	ic_set_writable(&f->set, IC_FCOPY);
	for (uint64_t s = 1; s <= SESSIONS; s++)
		fcopy_leave(&f->set.fcopy, s);
	for (unsigned int n = 0; n < 1000; n++) {
		uint64_t due;

		ic_set_time(&f->set, f->now);
		if (f->npackets) {
			answer(f, 0);
			continue;
		}
		due = ic_set_deadline(&f->set);
		if (!due)
			break;
		f->now = due > f->now ? due : f->now;
	}
	want(!f->set.fcopy.open);
	want(!f->file || f->given_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = calloc(1, sizeof(*f));

	want(f != NULL);
	f->p = data;
	f->left = size;
	f->now = 1000000000;
	ic_set_init(&f->set, &ops, f, 1);
	ic_set_time(&f->set, f->now);
	open_again(f);
	answer(f, 0);
	while (f->left)
		step(f);
	finish(f);
	ic_set_fini(&f->set);
	want(f->told == f->asked);
	free(f);
	return 0;
}
