/* SPDX-License-Identifier: MIT */
/* test-ic.c - integration components and a guest that answers well or badly */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "ic-guest.h"
#include "rig.h"

static unsigned int answers;
static struct ic_answer last;

static void on_done(void *arg, const struct ic_answer *a)
{
	(void)arg;
	answers++;
	last = *a;
}

static void ask(struct ig *g, enum ic_kind kind, uint32_t ms)
{
	uint8_t body[40] = { 1, 2, 3 };

	answers = 0;
	ck_assert_int_eq(ic_ask(&g->set.ic[kind], body, sizeof(body), ms,
				on_done, g),
			 0);
	ig_pass(g, 0);
}

/* ---- negotiation */

START_TEST(test_versions)
{
	struct ig *g = ig_new();

	for (enum ic_kind k = 0; k < IC_KINDS; k++) {
		char text[200];

		ck_assert_int_eq(g->set.ic[k].state, IC_CLOSED);
		ck_assert_ptr_nonnull(strstr(
			ic_state_text(&g->set.ic[k], text, sizeof(text)),
			"is missing"));
		ck_assert_int_eq(ic_ask(&g->set.ic[k], "", 0, 1, on_done, g),
				 -ENOTCONN);
		ig_ready(g, k);
		ck_assert_ptr_null(
			ic_state_text(&g->set.ic[k], text, sizeof(text)));
		ck_assert_int_eq(ic_kind_of(ic_classes[k].name), (int)k);
		ic_set_closed(&g->set, k);
	}
	ck_assert_int_eq(ic_kind_of("none of them"), IC_KINDS);
	ig_free(g);
}
END_TEST

START_TEST(test_versions_refused)
{
	/* counts; the versions; which of them matters */
	static const struct {
		uint16_t nf, nv;
		uint16_t fmajor, vmajor;
		size_t len;
		enum ic_state state;
	} rows[] = {
		{ 0, 0, 3, 3, 16, IC_REFUSED },
		{ 1, 0, 3, 3, 16, IC_REFUSED },
		{ 1, 1, 9, 3, 16, IC_REFUSED },
		{ 1, 1, 3, 9, 16, IC_REFUSED },
		{ 2, 1, 3, 3, 16, IC_REFUSED },
		{ 1, 1, 3, 3, 12, IC_REFUSED },
		{ 1, 1, 3, 3, 4, IC_REFUSED },
		{ 1, 1, 3, 3, 16, IC_READY },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ig *g = ig_new();
		struct ig_packet *p;
		uint8_t *b;

		ic_set_opened(&g->set, IC_HEARTBEAT);
		p = ig_take(g);
		b = p->data + IC_HEAD;
		le16_put(b, rows[i].nf);
		le16_put(b + 2, rows[i].nv);
		le16_put(b + 8, rows[i].fmajor);
		le16_put(b + 12, rows[i].vmajor);
		le16_put(p->data + 18, (uint16_t)rows[i].len);
		ig_answer(g, p, 0);
		ck_assert_int_eq(g->set.ic[IC_HEARTBEAT].state, rows[i].state);
		/* the same once more changes nothing */
		ig_answer(g, p, 0);
		ck_assert_int_eq(g->set.ic[IC_HEARTBEAT].state, rows[i].state);
		/* and a driver that comes anew is asked anew */
		ig_ready(g, IC_HEARTBEAT);
		ig_free(g);
	}
}
END_TEST

START_TEST(test_daemon_missing)
{
	struct ig *g = ig_new();
	char text[200];

	ic_set_opened(&g->set, IC_KVP);
	ig_pass(g, 3600 * IG_S);
	ck_assert_int_eq(g->set.ic[IC_KVP].state, IC_NEGOTIATING);
	ck_assert_ptr_nonnull(strstr(
		ic_state_text(&g->set.ic[IC_KVP], text, sizeof(text)),
		"hv_kvp_daemon does not run"));
	ck_assert_uint_eq(g->nsent, 1);
	ig_free(g);
}
END_TEST

/* ---- answers */

START_TEST(test_wrong_answers)
{
	struct ig *g = ig_new();
	struct ic *ic = &g->set.ic[IC_KVP];
	struct ig_packet *p, wrong;

	ig_ready(g, IC_KVP);
	ask(g, IC_KVP, 1000);
	p = ig_take(g);
	wrong = *p; /* another number in the ring */
	wrong.transaction++;
	ig_answer(g, &wrong, 0);
	wrong = *p; /* and in the message */
	wrong.data[24]++;
	ig_answer(g, &wrong, 0);
	wrong = *p; /* of another kind */
	wrong.data[12] = 5;
	ig_answer(g, &wrong, 0);
	wrong = *p; /* a request */
	ic_set_packet(&g->set, IC_KVP, wrong.data, wrong.len, p->transaction);
	ck_assert_uint_eq(answers, 0);
	ck_assert_uint_eq(ic->stale + ic->malformed, 4);
	ig_answer(g, p, 0x80004005);
	ck_assert_uint_eq(answers, 1);
	ck_assert_uint_eq(last.status, 0x80004005);
	/* twice */
	ig_answer(g, p, 0);
	ck_assert_uint_eq(answers, 1);
	/* late */
	ask(g, IC_KVP, 1000);
	p = ig_take(g);
	ig_pass(g, 2 * IG_S);
	ck_assert_uint_eq(answers, 1);
	ck_assert_int_eq(last.error, -ETIMEDOUT);
	ask(g, IC_KVP, 1000);
	ig_answer(g, p, 0);
	ck_assert_uint_eq(answers, 0);
	ig_answer(g, ig_take(g), 0);
	ck_assert_uint_eq(answers, 1);
	ig_free(g);
}
END_TEST

START_TEST(test_malformed)
{
	struct ig *g = ig_new();
	struct ig_packet *p, wrong;

	ig_ready(g, IC_KVP);
	for (size_t len = 0; len < IC_HEAD + 40; len++) {
		ask(g, IC_KVP, 1000);
		p = ig_take(g);
		wrong = *p;
		wrong.len = len;
		/* a header that says more than is there */
		ic_set_packet(&g->set, IC_KVP, wrong.data, len,
			      p->transaction);
		ck_assert_uint_eq(answers, 1);
		ck_assert_int_eq(last.error, -EPROTO);
	}
	for (unsigned int i = 0; i < 4; i++) {
		static const struct {
			unsigned int at;
			uint8_t value;
		} rows[] = { { 0, 2 }, { 4, 1 }, { 5, 9 }, { 19, 1 } };

		ask(g, IC_KVP, 1000);
		p = ig_take(g);
		p->data[rows[i].at] = rows[i].value;
		ig_answer(g, p, 0);
		ck_assert_uint_eq(answers, 1);
		ck_assert_int_eq(last.error, -EPROTO);
	}
	ig_free(g);
}
END_TEST

START_TEST(test_one_at_a_time)
{
	struct ig *g = ig_new();
	struct ic *ic = &g->set.ic[IC_KVP];

	ig_ready(g, IC_KVP);
	answers = 0;
	for (unsigned int i = 0; i < IC_REQUESTS_MAX; i++)
		ck_assert_int_eq(ic_ask(ic, &i, 4, 5000, on_done, g), 0);
	ck_assert_int_eq(ic_ask(ic, "", 0, 5000, on_done, g), -ENOBUFS);
	ck_assert_int_eq(ic_ask(&g->set.ic[IC_VSS], "", 0, 1, on_done, g),
			 -ENOTCONN);
	ig_pass(g, 0);
	for (uint32_t i = 0; i < IC_REQUESTS_MAX / 2; i++) {
		struct ig_packet *p = ig_take(g);

		ck_assert(ig_none(g));
		ck_assert_uint_eq(le32_get(p->data + IC_HEAD), i);
		ig_answer(g, p, 0);
		ck_assert_uint_eq(answers, i + 1);
	}
	/* the driver goes, and the others hear of it */
	ic_set_closed(&g->set, IC_KVP);
	ck_assert_uint_eq(answers, IC_REQUESTS_MAX);
	ck_assert_int_eq(last.error, -ECONNRESET);
	ig_free(g);
}
END_TEST

START_TEST(test_ring_full)
{
	struct ig *g = ig_new();

	g->send_error = -EAGAIN;
	ic_set_opened(&g->set, IC_KVP);
	ig_pass(g, IG_S);
	ck_assert(ig_none(g));
	g->send_error = 0;
	ic_set_writable(&g->set, IC_KVP);
	(void)ig_take(g);
	ig_ready(g, IC_KVP);
	g->send_error = -EAGAIN;
	ask(g, IC_KVP, 1000);
	ck_assert(ig_none(g));
	g->send_error = 0;
	ic_set_writable(&g->set, IC_KVP);
	ig_answer(g, ig_take(g), 0);
	ck_assert_uint_eq(answers, 1);
	/* nothing becomes of it */
	g->send_error = -EAGAIN;
	ask(g, IC_KVP, 1000);
	ig_pass(g, 2 * IG_S);
	ck_assert_int_eq(last.error, -ETIMEDOUT);
	/* lost */
	g->send_error = -ENOTCONN;
	ic_set_writable(&g->set, IC_KVP);
	ask(g, IC_KVP, 1000);
	ck_assert_int_eq(last.error, -ECONNRESET);
	ig_free(g);
}
END_TEST

/* ---- heartbeat, time, shutdown */

static void beat(struct ig *g, uint64_t add, uint32_t application)
{
	struct ig_packet *p = ig_take(g);
	uint8_t *body = p->data + IC_HEAD;

	ck_assert_int_eq(p->kind, IC_HEARTBEAT);
	ck_assert_uint_eq(ig_message(p).type, 1);
	ck_assert_uint_eq(ig_message(p).len, 40);
	le64_put(body, le64_get(body) + add);
	le32_put(body + 8, application);
	ig_answer(g, p, 0);
}

START_TEST(test_heartbeat)
{
	struct ig *g = ig_new();
	const struct heartbeat *h = &g->set.heartbeat;

	ig_ready(g, IC_HEARTBEAT);
	ck_assert_str_eq(heartbeat_word(h), "no contact");
	ig_pass(g, 0);
	beat(g, 1, 1);
	ck_assert_str_eq(heartbeat_word(h), "ok");
	ck_assert_str_eq(heartbeat_application_word(h), "healthy");
	ck_assert(ig_none(g));
	ig_pass(g, 2 * IG_S);
	beat(g, 1, 2);
	ck_assert_str_eq(heartbeat_application_word(h), "critical");
	ig_pass(g, 2 * IG_S);
	beat(g, 1, 77);
	ck_assert_str_eq(heartbeat_application_word(h), "unknown");
	/* numbers that are wrong are no answer */
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_str_eq(heartbeat_word(h), "ok");
		ig_pass(g, 2 * IG_S);
		beat(g, i & 1 ? 0 : 2, 1);
	}
	ck_assert_str_eq(heartbeat_word(h), "lost");
	ig_pass(g, 2 * IG_S);
	beat(g, 1, 1);
	ck_assert_str_eq(heartbeat_word(h), "ok");
	/* nor is silence */
	g->taken = g->nsent;
	ig_pass(g, 10 * IG_S);
	ck_assert_str_eq(heartbeat_word(h), "lost");
	ck_assert_uint_le(g->nsent - g->taken, 6);
	ic_set_closed(&g->set, IC_HEARTBEAT);
	ck_assert_str_eq(heartbeat_word(h), "no contact");
	g->taken = g->nsent;
	ig_pass(g, 10 * IG_S);
	ck_assert(ig_none(g));
	ig_free(g);
}
END_TEST

static void time_flags(struct ig *g, uint8_t flags)
{
	struct ig_packet *p = ig_take(g);

	ck_assert_uint_eq(ig_message(p).type, 4);
	ck_assert_uint_ge(ig_message(p).len, 25);
	ck_assert_uint_eq(le64_get(p->data + IC_HEAD), g->wall);
	ck_assert_uint_eq(p->data[IC_HEAD + 24], flags);
	ig_answer(g, p, 0);
	ck_assert(ig_none(g));
}

START_TEST(test_time)
{
	struct ig *g = ig_new();

	ig_ready(g, IC_TIMESYNC);
	ig_pass(g, 0);
	time_flags(g, TIMESYNC_SYNC);
	for (unsigned int i = 0; i < 3; i++) {
		ig_pass(g, TIMESYNC_MS * 1000000ull);
		time_flags(g, TIMESYNC_SAMPLE);
	}
	ic_set_resumed(&g->set);
	ig_pass(g, 0);
	time_flags(g, TIMESYNC_SYNC);
	/* the host's clock is set, by hours, either way; and by less */
	g->wall += 36000000000ull * 5;
	ig_pass(g, TIMESYNC_MS * 1000000ull);
	time_flags(g, TIMESYNC_SYNC);
	g->wall -= 36000000000ull * 9;
	ig_pass(g, TIMESYNC_MS * 1000000ull);
	time_flags(g, TIMESYNC_SYNC);
	g->wall += 1000;
	ig_pass(g, TIMESYNC_MS * 1000000ull);
	time_flags(g, TIMESYNC_SAMPLE);
	/* one that does not answer is not told a time of long ago */
	ig_pass(g, TIMESYNC_MS * 1000000ull);
	(void)ig_take(g);
	ig_pass(g, 60 * IG_S);
	ck_assert_uint_le(g->nsent - g->taken, 13);
	g->taken = g->nsent - 1;
	ck_assert_uint_ge(le64_get(ig_take(g)->data + IC_HEAD) + 60000000,
			  g->wall);
	ig_free(g);
}
END_TEST

/* With the guest's counter, as of the moment of the time. */
static void time_reference(struct ig *g, uint8_t flags)
{
	struct ig_packet *p = ig_take(g);

	ck_assert_uint_eq(ig_message(p).type, 4);
	ck_assert_uint_eq(ig_message(p).version, IC_VERSION(4, 0));
	ck_assert_uint_eq(ig_message(p).len, 24);
	ck_assert_uint_eq(le64_get(p->data + IC_HEAD), g->wall);
	ck_assert_uint_eq(le64_get(p->data + IC_HEAD + 8), g->reference);
	ck_assert_uint_eq(p->data[IC_HEAD + 16], flags);
	for (unsigned int i = 17; i < 24; i++)
		ck_assert_uint_eq(p->data[IC_HEAD + i], 0);
	ig_answer(g, p, 0);
	ck_assert(ig_none(g));
}

START_TEST(test_time_reference)
{
	struct ig *g = ig_new();
	uint64_t reference;

	g->reference = 77000;
	ig_ready(g, IC_TIMESYNC);
	ig_pass(g, 0);
	time_reference(g, TIMESYNC_SYNC);
	ig_pass(g, TIMESYNC_MS * 1000000ull);
	time_reference(g, TIMESYNC_SAMPLE);
	/* not known for a while: nothing is said, and nothing is lost */
	reference = g->reference;
	g->reference = 0;
	ic_set_resumed(&g->set);
	ig_pass(g, 4 * TIMESYNC_MS * 1000000ull);
	ck_assert(ig_none(g));
	g->reference = reference + 4 * TIMESYNC_MS * 10000ull;
	ig_pass(g, TIMESYNC_MS * 1000000ull);
	time_reference(g, TIMESYNC_SYNC);
	/* who comes anew agrees anew */
	g->reference = 0;
	ig_ready(g, IC_TIMESYNC);
	ig_pass(g, 0);
	time_flags(g, TIMESYNC_SYNC);
	/* and does not change in between */
	g->reference = 5;
	ig_pass(g, TIMESYNC_MS * 1000000ull);
	time_flags(g, TIMESYNC_SAMPLE);
	ig_free(g);
}
END_TEST

/* It takes 4.0, which it was not offered. */
START_TEST(test_time_not_offered)
{
	struct ig *g = ig_new();
	struct ig_packet *p;

	ic_set_opened(&g->set, IC_TIMESYNC);
	p = ig_take(g);
	le16_put(p->data + IC_HEAD, 1);
	le16_put(p->data + IC_HEAD + 2, 1);
	le16_put(p->data + IC_HEAD + 12, 4);
	le16_put(p->data + IC_HEAD + 14, 0);
	le16_put(p->data + 18, 16);
	ig_answer(g, p, 0);
	ck_assert_int_eq(g->set.ic[IC_TIMESYNC].state, IC_REFUSED);
	ig_free(g);
}
END_TEST

START_TEST(test_shutdown)
{
	uint8_t body[SHUTDOWN_BODY];
	char text[1100];

	ck_assert_int_eq(shutdown_put(body, SHUTDOWN_REBOOT | SHUTDOWN_FORCE, 7,
				      "up\xc3\xa9"),
			 0);
	ck_assert_uint_eq(le32_get(body), 0x80000000u);
	ck_assert_uint_eq(le32_get(body + 4), 7);
	ck_assert_uint_eq(le32_get(body + 8), 3);
	ck_assert_uint_eq(le16_get(body + 16), 0xe9);
	ck_assert_uint_eq(le16_get(body + 18), 0);
	memset(text, 'x', sizeof(text));
	text[1023] = '\0';
	ck_assert_int_eq(shutdown_put(body, 0, 0, text), 0);
	text[1023] = 'x';
	text[1024] = '\0';
	ck_assert_int_eq(shutdown_put(body, 0, 0, text), -ENAMETOOLONG);
	ck_assert_int_eq(shutdown_put(body, 0, 0, "\xff"), -EILSEQ);
}
END_TEST

static void fill(void *c)
{
	tcase_add_test(c, test_versions);
	tcase_add_test(c, test_versions_refused);
	tcase_add_test(c, test_daemon_missing);
	tcase_add_test(c, test_wrong_answers);
	tcase_add_test(c, test_malformed);
	tcase_add_test(c, test_one_at_a_time);
	tcase_add_test(c, test_ring_full);
	tcase_add_test(c, test_heartbeat);
	tcase_add_test(c, test_time);
	tcase_add_test(c, test_time_reference);
	tcase_add_test(c, test_time_not_offered);
	tcase_add_test(c, test_shutdown);
}

int main(void)
{
	return rig_suite("vmbus-ic", fill, 60);
}
