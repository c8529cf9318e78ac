/* SPDX-License-Identifier: MIT */
/*
 * filter.c - between the guest and the bus: --trace and --inject
 *
 * Every control message passes here, in both directions, when it is taken or
 * put into its slot. A message that is to be late is kept and handed on by a
 * timer; those behind it overtake it, which is the point.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "transport/vmbus/rule.h"
#include "transport/vmbus/vm.h"

#define RULES_MAX 32u
#define LATE_MAX 256u
#define SLOT_MS 5u /* until a taken slot is tried again */
#define PCAP_SNAPLEN 65535u
#define PCAP_LINKTYPE_USER0 147u

/* What became of a message; the number stands in the packet file. */
enum fate { PASSED, DROPPED, DELAYED, LATE, SENT, RESCINDED, FOLLOWED };

static const char *const fates[] = {
	[PASSED] = "",
	[DROPPED] = "  [injected: dropped]",
	[DELAYED] = "  [injected: delayed]",
	[LATE] = "  [injected: it was delayed]",
	[SENT] = "  [injected]",
	[RESCINDED] = "  [injected: rescinded]",
	[FOLLOWED] = "  [injected: a message after it]",
};

struct late {
	TAILQ_ENTRY(late) link;
	struct filter *f;
	struct ev_timer timer;
	bool from_guest;
	enum fate fate; /* LATE or SENT */
	uint32_t vp, connection, type;
	size_t len;
	uint8_t data[VMBH_MESSAGE_MAX];
};

struct filter {
	struct vm *vm;
	struct rule rules[RULES_MAX];
	unsigned int count;
	int text, pcap; /* -1 */
	uint64_t began;
	TAILQ_HEAD(late_list, late) late;
	unsigned int nlate;
	struct ev_timer first; /* rules that wait for no message */
};

int filter_new(struct filter **ret)
{
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->text = f->pcap = -1;
	f->began = ev_now_ns();
	TAILQ_INIT(&f->late);
	*ret = f;
	return 0;
}

static void late_free(struct late *l)
{
	TAILQ_REMOVE(&l->f->late, l, link);
	l->f->nlate--;
	ev_timer_stop(&l->timer);
	free(l);
}

void filter_forget(struct filter *f)
{
	while (f && !TAILQ_EMPTY(&f->late))
		late_free(TAILQ_FIRST(&f->late));
}

struct filter *filter_free(struct filter *f)
{
	if (!f)
		return NULL;
	filter_forget(f);
	ev_timer_stop(&f->first);
	if (f->text >= 0)
		close(f->text);
	if (f->pcap >= 0)
		close(f->pcap);
	free(f);
	return NULL;
}

int filter_rule(struct filter *f, const char *text, const char **ret_why)
{
	if (f->count == RULES_MAX) {
		*ret_why = "more than 32 rules";
		return -EINVAL;
	}
	if (rule_parse(text, &f->rules[f->count], ret_why) < 0)
		return -EINVAL;
	f->count++;
	return 0;
}

/* ---- traces */

int filter_trace(struct filter *f, int fd, int pcap)
{
	uint8_t head[24] = { 0 };

	f->text = fd;
	f->pcap = pcap;
	le32_put(head, 0xa1b23c4d); /* nanoseconds */
	le16_put(head + 4, 2);
	le16_put(head + 6, 4);
	le32_put(head + 16, PCAP_SNAPLEN);
	le32_put(head + 20, PCAP_LINKTYPE_USER0);
	return write(pcap, head, sizeof(head)) == sizeof(head) ? 0 : -errno;
}

static void trace_pcap(const struct filter *f, bool from_guest, uint32_t vp,
		       const uint8_t *data, size_t len, enum fate fate)
{
	uint8_t rec[16 + 8 + VMBH_MESSAGE_MAX];
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	le32_put(rec, (uint32_t)ts.tv_sec);
	le32_put(rec + 4, (uint32_t)ts.tv_nsec);
	le32_put(rec + 8, (uint32_t)len + 8);
	le32_put(rec + 12, (uint32_t)len + 8);
	/* our own header: direction, what became of it, 0, 0, processor */
	le32_put(rec + 16, (uint32_t)from_guest | (uint32_t)fate << 8);
	le32_put(rec + 20, vp);
	memcpy(rec + 24, data, len);
	(void)!write(f->pcap, rec, 24 + len);
}

static void trace(const struct filter *f, bool from_guest, uint32_t vp,
		  const uint8_t *data, size_t len, enum fate fate)
{
	char line[600], text[500];
	double t = (double)(ev_now_ns() - f->began) / 1e9;
	int n;

	if (f->text < 0)
		return;
	n = snprintf(line, sizeof(line), "%12.6f vp%-3u %s %s%s\n", t, vp,
		     from_guest ? "guest>host" : "host>guest",
		     vmbh_describe(data, len, text, sizeof(text)), fates[fate]);
	if (n > 0)
		(void)!write(f->text, line,
			     (size_t)n < sizeof(line) ? (size_t)n
						      : sizeof(line) - 1);
	trace_pcap(f, from_guest, vp, data, len, fate);
}

/* ---- rules */

/* Of ours it goes into the slot past the rules, which have had it. */
static void on_late(struct ev_timer *t)
{
	struct late *l = container_of(t, struct late, timer);
	struct vm *vm = l->f->vm;
	int r = 0;

	vm_begin(vm);
	if (!vm->stopped && l->from_guest)
		trace(l->f, true, l->vp, l->data, l->len, l->fate);
	if (!vm->stopped && l->from_guest)
		(void)vmbh_post_message(vm->bus, l->vp, l->connection, l->type,
					l->data, l->len);
	else if (!vm->stopped)
		r = vps_post(vm, l->vp, l->data, l->len);
	if (!vm->stopped && !l->from_guest && r == 0)
		trace(l->f, false, l->vp, l->data, l->len, l->fate);
	vm_end(vm);
	if (r == -EAGAIN &&
	    ev_timer_start(vm->ev, &l->timer, SLOT_MS, on_late) == 0)
		return;
	late_free(l);
}

static bool keep(struct filter *f, enum fate fate, uint32_t delay_ms,
		 bool from_guest, uint32_t vp, uint32_t connection,
		 uint32_t type, const uint8_t *data, size_t len)
{
	struct late *l;

	if (f->nlate == LATE_MAX || len > VMBH_MESSAGE_MAX)
		return false;
	l = calloc(1, sizeof(*l));
	if (!l)
		return false;
	l->f = f;
	l->from_guest = from_guest;
	l->vp = vp;
	l->connection = connection;
	l->type = type;
	l->len = len;
	l->fate = fate;
	memcpy(l->data, data, len);
	TAILQ_INSERT_TAIL(&f->late, l, link);
	f->nlate++;
	if (ev_timer_start(f->vm->ev, &l->timer, delay_ms, on_late) < 0) {
		late_free(l);
		return false;
	}
	return true;
}

/* The relid that a message is about; 0: none. */
static uint32_t relid_of(const uint8_t *data, size_t len)
{
	static const uint8_t at[] = {
		[1] = 184, [2] = 8,  [5] = 8,  [6] = 8,	 [7] = 8,  [8] = 8,
		[10] = 8,  [11] = 8, [13] = 8, [22] = 8, [24] = 8,
	};
	uint32_t type = len >= 8 ? le32_get(data) : 0;

	if (type >= ARRAY_LEN(at) || !at[type] || len < at[type] + 4u)
		return 0;
	return le32_get(data + at[type]);
}

/* Return: does the message go on? */
static bool apply(struct filter *f, bool from_guest, uint32_t vp,
		  uint32_t connection, uint32_t type, const uint8_t *data,
		  size_t len, enum fate *ret_fate)
{
	for (unsigned int i = 0; i < f->count; i++) {
		struct rule *r = &f->rules[i];

		if (!rule_matches(r, from_guest, data, len))
			continue;
		switch (r->action) {
		case RULE_DROP:
			*ret_fate = DROPPED;
			return false;
		case RULE_DELAY:
			if (!keep(f, LATE, r->delay_ms, from_guest, vp,
				  connection, type, data, len))
				break;
			*ret_fate = DELAYED;
			return false;
		case RULE_RESCIND:
			*ret_fate = RESCINDED;
			(void)vmbh_rescind(f->vm->bus, relid_of(data, len));
			break;
		case RULE_SEND:
			*ret_fate = FOLLOWED;
			(void)keep(f, SENT, 0, false,
				   vmbh_target_vp(f->vm->bus), 0, 1, r->message,
				   r->len);
			break;
		}
	}
	return true;
}

uint16_t filter_in(struct vm *vm, uint32_t vp, uint32_t connection,
		   uint32_t type, const uint8_t *payload, size_t len)
{
	struct filter *f = vm->filter;
	enum fate fate = PASSED;
	bool pass = true;

	/* what is no message is the bus's to refuse */
	if (f && type == 1 && len <= VMBH_MESSAGE_MAX) {
		pass = apply(f, true, vp, connection, type, payload, len,
			     &fate);
		trace(f, true, vp, payload, len, fate);
	}
	if (!pass)
		return VMBH_SUCCESS;
	return vmbh_post_message(vm->bus, vp, connection, type, payload, len);
}

int filter_out(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct vm *vm = ctx;
	struct filter *f = vm->filter;
	enum fate fate = PASSED;
	struct late *last;
	int r;

	if (!f)
		return vps_post(vm, vp, message, len);
	last = TAILQ_LAST(&f->late, late_list);
	if (!apply(f, false, vp, 0, 1, message, len, &fate)) {
		trace(f, false, vp, message, len, fate);
		return 0;
	}
	r = vps_post(vm, vp, message, len);
	if (r == 0)
		trace(f, false, vp, message, len, fate);
	else /* it comes again, and so will what was to follow it */
		while (TAILQ_LAST(&f->late, late_list) != last)
			late_free(TAILQ_LAST(&f->late, late_list));
	return r;
}

void filter_start(struct filter *f, struct vm *vm)
{
	if (f)
		f->vm = vm;
}
