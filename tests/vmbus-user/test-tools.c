/* SPDX-License-Identifier: MIT */
/* test-tools.c - --trace and --inject, as a driver's developer uses them */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "vmm.h"

static char trace_path[108];

static struct vmm *start(const char *const *rules)
{
	struct vmm *v = vmm_new();
	const char *args[16] = { "--trace", trace_path };
	int n = 2;

	snprintf(trace_path, sizeof(trace_path), "%s/trace", v->dir);
	for (; rules && *rules; rules++) {
		args[n++] = "--inject";
		args[n++] = *rules;
	}
	args[n] = NULL;
	v->waits = true; /* what a trace has when a call is over is looked at */
	vmm_launch(v, args);
	vmm_introduce(v);
	return v;
}

static bool loaded(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->all_offers && v->b.state == 1;
}

static void load(struct vmm *v)
{
	vg_load(v->g);
	vmm_wait(v, loaded, NULL, "the driver");
}

static size_t slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	must(fd >= 0);
	while ((n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	close(fd);
	return len;
}

/* Lines that have both words. */
static int lines_with(const char *a, const char *b)
{
	static char buf[1 << 20], line[1000];
	const char *p = buf;
	int n = 0;

	(void)slurp(trace_path, buf, sizeof(buf));
	while (*p) {
		size_t len = strcspn(p, "\n");

		must(p[len] == '\n');
		must(len < sizeof(line));
		memcpy(line, p, len);
		line[len] = '\0';
		n += strstr(line, a) && strstr(line, b);
		p += len + 1;
	}
	return n;
}

START_TEST(test_trace_text)
{
	struct vmm *v = start(NULL);
	struct flow *f;

	load(v);
	f = flow_guest(v, 0);
	flow_send(f, 100, 100, true);
	vmm_wait(v, flow_finished, f, "all bytes");
	must(kill(v->child, SIGUSR1) == 0); /* it only tells its counters */
	vmm_check_clean(v);
	ck_assert_int_eq(lines_with("guest>host", "INITIATE_CONTACT"), 1);
	ck_assert_int_eq(lines_with("host>guest", "VERSION_RESPONSE"), 1);
	ck_assert_int_eq(lines_with("guest>host", "TL_CONNECT_REQUEST"), 1);
	ck_assert_int_eq(lines_with("host>guest", "OFFER_CHANNEL"), 1);
	ck_assert_int_eq(lines_with("guest>host", "OPEN_CHANNEL"), 1);
	ck_assert_int_eq(lines_with("host>guest", "OPEN_CHANNEL_RESULT"), 1);
	ck_assert_int_eq(lines_with("host>guest", "RESCIND"), 1);
	ck_assert_int_eq(lines_with("guest>host", "RELID_RELEASED"), 1);
	ck_assert_int_gt(lines_with("vp0", ""), 5);
	vmm_end(v);
}
END_TEST

/* The same messages, as packets with a time, in the same order. */
START_TEST(test_trace_packets)
{
	static uint8_t buf[1 << 20];
	struct vmm *v = start(NULL);
	char path[128];
	size_t len, at = 24;
	int n = 0;

	load(v);
	snprintf(path, sizeof(path), "%s.pcap", trace_path);
	len = slurp(path, (char *)buf, sizeof(buf));
	ck_assert_uint_eq(le32_get(buf), 0xa1b23c4d);
	ck_assert_uint_eq(le16_get(buf + 4), 2);
	ck_assert_uint_eq(le16_get(buf + 6), 4);
	ck_assert_uint_eq(le32_get(buf + 20), 147);
	while (at + 16 <= len) {
		uint32_t size = le32_get(buf + at + 8);

		ck_assert_uint_eq(le32_get(buf + at + 12), size);
		ck_assert_uint_lt(le32_get(buf + at + 4), 1000000000);
		ck_assert_uint_ge(size, 8 + 8);
		ck_assert_uint_le(at + 16 + size, len);
		if (n == 0) {
			ck_assert_uint_eq(le32_get(buf + at + 16), 1);
			ck_assert_uint_eq(le32_get(buf + at + 24), 14);
		} else if (n == 1) {
			ck_assert_uint_eq(le32_get(buf + at + 16), 0);
			ck_assert_uint_eq(le32_get(buf + at + 24), 15);
		}
		at += 16 + size;
		n++;
	}
	ck_assert_uint_eq(at, len);
	ck_assert_int_eq(n, lines_with("vp", ""));
	vmm_end(v);
}
END_TEST

static bool failed(struct vmm *v, void *arg)
{
	(void)v;
	return ((struct flow *)arg)->s->state == VG_CLOSED;
}

static bool rescinded(struct vmm *v, void *arg)
{
	return v->g->rescinds >= *(uint64_t *)arg;
}

START_TEST(test_rescind)
{
	static const char *const rules[] = { "on=OPEN_CHANNEL do=rescind",
					     NULL };
	struct vmm *v = start(rules);
	struct flow *f;
	uint64_t one = 1;

	load(v);
	v->faulty = true;
	f = flow_guest_begin(v, 0);
	vmm_wait(v, rescinded, &one, "RESCIND");
	ck_assert_int_eq(lines_with("OPEN_CHANNEL", "[injected: rescinded]"),
			 1);
	flow_close_guest(f);
	vmm_end(v);
}
END_TEST

START_TEST(test_drop_and_count)
{
	/* the first is let through, the second is lost, then none */
	static const char *const rules[] = {
		"on=TL_CONNECT_REQUEST skip=1 count=1 drop", NULL
	};
	struct vmm *v = start(rules);
	struct flow *f;

	load(v);
	(void)flow_guest(v, 0);
	f = flow_guest_begin(v, 0);
	vmm_wait(v, failed, f, "the guest's own time limit");
	ck_assert_uint_eq(v->g->offers, 1);
	(void)flow_guest(v, 0);
	ck_assert_int_eq(
		lines_with("TL_CONNECT_REQUEST", "[injected: dropped]"), 1);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_delay)
{
	static const char *const rules[] = {
		"on=GPADL_HEADER,from=guest,delay=300ms,count=1", NULL
	};
	struct vmm *v = start(rules);
	uint64_t began;

	load(v);
	began = vmm_now_ns();
	(void)flow_guest(v, 0);
	ck_assert_uint_ge(vmm_now_ns() - began, 300000000);
	(void)flow_guest(v, 0);
	ck_assert_int_eq(lines_with("GPADL_HEADER", "[injected: delayed]"), 1);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_delay_of_hosts)
{
	static const char *const rules[] = { "on=VERSION_RESPONSE delay=300ms",
					     NULL };
	struct vmm *v = start(rules);
	uint64_t began = vmm_now_ns();

	load(v);
	ck_assert_uint_ge(vmm_now_ns() - began, 300000000);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static bool results(struct vmm *v, void *arg)
{
	return v->g->tl_results == *(uint64_t *)arg;
}

/* A message of one's own: TL_CONNECT_RESULT, which Linux takes and ignores. */
START_TEST(test_message)
{
	static const char *const rules[] = { "on=ALL_OFFERS_DELIVERED "
					     "msg=hex:1700000000000000"
					     "00000000000000000000000000000000"
					     "00000000000000000000000000000000"
					     "01000000",
					     NULL };
	struct vmm *v = start(rules);
	uint64_t one = 1;

	load(v);
	vmm_wait(v, results, &one, "the injected message");
	/* the guest has it a moment before the trace does */
	for (unsigned int i = 0;
	     i < 10000 && lines_with("TL_CONNECT_RESULT", "host>guest") == 0;
	     i++)
		usleep(1000);
	ck_assert_int_eq(lines_with("TL_CONNECT_RESULT", "host>guest"), 1);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* The program ends before it has done anything, and says what is wrong. */
static const struct {
	const char *rule, *says;
} bad[] = {
	{ "", "no action" },
	{ "on=OPEN_CHANNEL", "no action" },
	{ "drop", "no on=NAME" },
	{ "on=OPEN_CHANEL drop", "not the name of a control message" },
	{ "on=OPEN_CHANNEL on=any drop", "on= twice" },
	{ "on=OPEN_CHANNEL drop do=rescind", "two actions" },
	{ "on=OPEN_CHANNEL delay=2", "a time such as" },
	{ "on=OPEN_CHANNEL delay=99999999s", "a time such as" },
	{ "on=OPEN_CHANNEL delay=-1s", "a time such as" },
	{ "msg=hex:0102", "8 to 240 bytes" },
	{ "msg=hex:01020304050607080", "8 to 240 bytes" },
	{ "msg=hex:0102030405060708zz", "8 to 240 bytes" },
	{ "on=any from=me drop", "guest or host" },
	{ "on=any skip=x drop", "not a number" },
	{ "on=any count=99999999999 drop", "not a number" },
	{ "on=any explode", "unknown word" },
};

START_TEST(test_bad_rules)
{
	char command[1000], text[1000];
	FILE *p;
	size_t n;

	snprintf(command, sizeof(command),
		 "%s --partition x --fd 9 --inject '%s' 2>&1",
		 getenv("VMBUS_PROGRAM"), bad[_i].rule);
	p = popen(command, "r");
	must(p);
	n = fread(text, 1, sizeof(text) - 1, p);
	text[n] = '\0';
	ck_assert_int_eq(WEXITSTATUS(pclose(p)), 1);
	ck_assert_msg(strstr(text, "--inject") && strstr(text, bad[_i].says),
		      "said: %s", text);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("tools");

	tcase_add_test(t, test_trace_text);
	tcase_add_test(t, test_trace_packets);
	tcase_add_test(t, test_rescind);
	tcase_add_test(t, test_drop_and_count);
	tcase_add_test(t, test_delay);
	tcase_add_test(t, test_delay_of_hosts);
	tcase_add_test(t, test_message);
	tcase_add_loop_test(t, test_bad_rules, 0, (int)ARRAY_LEN(bad));
	return vmm_main("vmbus-user tools", t);
}
