/* SPDX-License-Identifier: MIT */
/* test-hostile.c - a VMM that is wrong, and a guest that wants to do harm */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "vmm.h"

static struct vmm *launched(void)
{
	struct vmm *v = vmm_new();

	vmm_launch(v, NULL);
	return v;
}

static void put_header(uint8_t *p, uint16_t type, uint32_t serial)
{
	le16_put(p, type);
	le16_put(p + 2, 0);
	le32_put(p + 4, serial);
}

/* Frames that are none end the connection, and the program in good order. */
static const struct {
	uint16_t type, len;
	bool greeted;
} fatal[] = {
	{ VMBU_HELLO, 7, false },
	{ VMBU_HELLO, 1, true },
	{ VMBU_HELLO, 8200, true },
	{ 0x8000 | VMBU_POST, 24, true },
	{ VMBU_RESET, 8, false },
	{ VMBU_MEMORY, 16, false },
	{ 999, 8, false },
	{ VMBU_POST_AHEAD, 44, true },
	{ VMBU_POST_AHEAD, 8, true },
};

START_TEST(test_fatal_frames)
{
	static uint8_t frame[9000];
	struct vmm *v = launched();

	if (fatal[_i].greeted)
		vmm_hello(v);
	put_header(frame, fatal[_i].type, 1);
	/* it may be told why before the end */
	(void)vmm_raw(v, frame, fatal[_i].len, NULL, 0);
	ck_assert_int_eq(vmm_raw(v, frame, fatal[_i].len, NULL, 0), -1);
	vmm_end(v);
}
END_TEST

/* Requests that are not understood are answered, and change nothing. */
START_TEST(test_wrong_requests)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);
	uint8_t frame[VMBU_FRAME_MAX] = { 0 };
	int fds[253];

	for (int i = 0; i < 253; i++)
		fds[i] = v->raise[0];
	for (uint16_t type = 0; type < VMBU_TYPES + 2; type++) {
		static const uint16_t lens[] = { 8,  9,	 15, 17,  23,
						 25, 41, 63, 8192 };

		if (type == VMBU_RESET || type == VMBU_RUN ||
		    type == VMBU_POST_AHEAD)
			continue;
		put_header(frame, type, 7);
		for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
			ck_assert_int_eq(vmm_raw(v, frame, lens[k], NULL, 0),
					 EINVAL);
			ck_assert_uint_eq(v->reply.serial, 7);
			ck_assert_int_eq(vmm_raw(v, frame, lens[k], fds, 3),
					 EINVAL);
			ck_assert_int_eq(vmm_raw(v, frame, lens[k], fds, 253),
					 EINVAL);
		}
	}
	ck_assert_int_eq(vmm_ask(v,
				 &(struct vmbu_request) { .type = VMBU_HELLO },
				 NULL, 0),
			 EINVAL);
	ck_assert_int_eq(vmm_ask(v, &(struct vmbu_request) { .type = VMBU_RUN },
				 NULL, 0),
			 EALREADY);
	ck_assert_int_eq(vmm_ask(v,
				 &(struct vmbu_request) { .type = VMBU_TAKE },
				 NULL, 0),
			 ERANGE);
	flow_send(f, 50000, 50000, true);
	vmm_wait(v, flow_finished, f, "bytes after all that");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* Messages ahead of their answers, and one more than were promised. */
START_TEST(test_ahead)
{
	struct vmbu_request r = { .type = VMBU_POST };
	struct vmm *v = vmm_start();
	uint32_t most;

	ck_assert_uint_gt(v->told, 0);
	r.u.post.connection = 4;
	r.u.post.type = 1;
	r.u.post.size = r.u.post.len = 8;
	le32_put(r.u.post.payload, 13); /* RELID_RELEASED, malformed */
	vmm_must(v, &r, NULL, 0);
	ck_assert_uint_eq(v->reply.u.result.status, 0);
	most = v->reply.u.result.ahead;
	ck_assert_uint_gt(most, 0);
	/* a result that is no success promises nothing */
	r.u.post.connection = 9;
	vmm_must(v, &r, NULL, 0);
	ck_assert_uint_eq(v->reply.u.result.status, 18);
	ck_assert_uint_eq(v->reply.u.result.ahead, 0);
	r.u.post.connection = 4;
	vmm_must(v, &r, NULL, 0);
	ck_assert_uint_eq(v->reply.u.result.ahead, most);
	for (uint32_t i = 0; i < most; i++)
		ck_assert_int_eq(vmm_tell_ahead(v, &r), 0);
	/* all were taken */
	r.type = VMBU_POST;
	vmm_must(v, &r, NULL, 0);
	for (uint32_t i = 0; i <= most; i++)
		ck_assert_int_eq(vmm_tell_ahead(v, &r), 0);
	r.type = VMBU_POST;
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), -1);
	vmm_end(v);
}
END_TEST

START_TEST(test_versions)
{
	struct vmbu_request r = { .type = VMBU_HELLO };
	struct vmm *v = launched();

	r.u.hello.lowest = 2;
	r.u.hello.highest = 9;
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), EPROTONOSUPPORT);
	r.u.hello.lowest = r.u.hello.highest = 0;
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), EPROTONOSUPPORT);
	vmm_hello(v);
	vmm_end(v);
}
END_TEST

/* Memory tables that are refused leave the one before. */
START_TEST(test_bad_memory)
{
	static const struct {
		struct vmbu_region at[2];
		uint32_t count;
		int error, fd; /* 1: an eventfd */
	} rows[] = {
		{ { { 0, 4096, 1 } }, 1, EINVAL, 0 },
		{ { { 1, 4096, 0 } }, 1, EINVAL, 0 },
		{ { { 0, 4095, 0 } }, 1, EINVAL, 0 },
		{ { { 0, 0, 0 } }, 1, EINVAL, 0 },
		{ { { UINT64_MAX - 4095, 8192, 0 } }, 1, EINVAL, 0 },
		{ { { 0, 4096, UINT64_MAX - 4095 } }, 1, EINVAL, 0 },
		{ { { 0, 1ull << 62, 0 } }, 1, EFBIG, 0 },
		{ { { 0, 4096, 1ull << 40 } }, 1, EFBIG, 0 },
		{ { { 0, 8192, 0 }, { 4096, 8192, 0 } }, 2, EEXIST, 0 },
		{ { { 0, 4096, 0 } }, 1, EBADF, 1 },
	};
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct vmbu_request r = { .type = VMBU_MEMORY };
		int fd = rows[i].fd ? v->raise[0] : v->memory;
		int fds[2] = { fd, fd };

		r.u.memory.count = rows[i].count;
		memcpy(r.u.memory.at, rows[i].at, sizeof(rows[i].at));
		ck_assert_int_eq(vmm_ask(v, &r, fds, (int)rows[i].count),
				 rows[i].error);
	}
	flow_send(f, 50000, 50000, true);
	vmm_wait(v, flow_finished, f, "bytes through the memory before");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_bad_processors)
{
	struct vmbu_request r = { .type = VMBU_VP };
	int fds[2];
	struct vmm *v = launched();

	vmm_hello(v);
	fds[0] = v->raise[0];
	fds[1] = v->acknowledge[0];
	r.u.vp.vp = v->reply.u.hello.vps;
	ck_assert_int_eq(vmm_ask(v, &r, fds, 2), ERANGE);
	r.u.vp.vp = UINT32_MAX;
	ck_assert_int_eq(vmm_ask(v, &r, fds, 2), ERANGE);
	r = (struct vmbu_request) { .type = VMBU_SYNIC };
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), ENOENT);
	r.u.synic.vp = UINT32_MAX;
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), ENOENT);
	/* pages where no memory is, or none at all: not used */
	vmm_machine(v);
	r.u.synic.vp = 0;
	r.u.synic.scontrol = 1;
	r.u.synic.simp = r.u.synic.siefp = ~0ull;
	vmm_must(v, &r, NULL, 0);
	vg_load(v->g);
	for (int i = 0; i < 5; i++)
		vmm_step(v, 5);
	ck_assert(!v->g->loaded);
	/* the answer waits until there is a page */
	vmm_synic(v, 0, true);
	while (!v->g->loaded)
		vmm_step(v, 10);
	vmm_end(v);
}
END_TEST

/* Also while it waits for a connect to be answered. */
START_TEST(test_memory_cut_short)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);
	int status;

	must(ftruncate(v->memory, 4096) == 0);
	/* anything that makes it look at the rings: a program writes, if the
	 * guest's last message has not ended it already */
	(void)!write(f->fd, "x", 1);
	status = vmm_reap(v);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the program ended with status %x", status);
	must(ftruncate(v->memory, (off_t)VMM_PAGES * VG_PAGE) == 0);
	vmm_end(v);
}
END_TEST

static void log_to(struct vmm *v, int fd, uint64_t size, int error)
{
	struct vmbu_request r = { .type = VMBU_LOG };

	r.u.log.size = size;
	ck_assert_int_eq(vmm_ask(v, &r, &fd, size ? 1 : 0), error);
}

/* The same of the journal, and of the bitmap. */
START_TEST(test_files_cut_short)
{
	struct vmm *v = vmm_start();
	int fd = memfd_create("log", MFD_CLOEXEC), status;

	must(ftruncate(fd, VMM_PAGES / 8) == 0);
	log_to(v, fd, VMM_PAGES / 8, 0);
	must(ftruncate(_i ? fd : v->journal, 0) == 0);
	/* something that is noted in both */
	(void)flow_guest_begin(v, 0);
	for (int i = 0; i < 10 && !v->b.ndials; i++)
		vmm_step(v, 10);
	v->lost = true;
	status = vmm_reap(v);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the program ended with status %x", status);
	vmm_end(v);
}
END_TEST

static unsigned int bits(const uint8_t *map, size_t size)
{
	unsigned int n = 0;

	for (size_t i = 0; i < size; i++)
		n += (unsigned int)__builtin_popcount(map[i]);
	return n;
}

struct log_map {
	const uint8_t *map;
	size_t size;
};

static bool written(struct vmm *v, void *arg)
{
	const struct log_map *l = arg;

	(void)v;
	return bits(l->map, l->size) > 2;
}

/* Every page whose bytes changed is in the bitmap. */
START_TEST(test_log)
{
	struct vmm *v = vmm_start();
	size_t size = VMM_PAGES / 8, all = (size_t)VMM_PAGES * VG_PAGE;
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct flow *f = flow_guest(v, 0);
	uint8_t *map, *before = malloc(all);

	must(ftruncate(fd, (off_t)size) == 0);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	log_to(v, fd, size + 1, EFBIG);
	log_to(v, v->raise[0], size, EBADF);
	log_to(v, fd, size, 0);
	ck_assert_uint_eq(bits(map, size), 0);
	memcpy(before, v->ram, all);
	/* the host writes, and no one else */
	f->guest_stalls = true;
	flow_send(f, 0, 10000, false);
	vmm_wait(v, written, &(struct log_map) { map, size }, "pages");
	for (int i = 0; i < 20; i++)
		vmm_step(v, 2);
	ck_assert_uint_eq(f->host_sent, 10000);
	for (uint32_t i = 0; i < VMM_PAGES; i++) {
		size_t at = (size_t)i * VG_PAGE;
		bool differs = memcmp(before + at, v->ram + at, VG_PAGE) != 0;

		/* (event flags were set and taken again) */
		if (differs && !(map[i / 8] >> i % 8 & 1))
			ck_abort_msg("page %u was written untold", i);
	}
	log_to(v, -1, 0, 0);
	f->guest_stalls = false;
	f->guest_try = true;
	flow_send(f, 0, 0, true);
	vmm_wait(v, flow_finished, f, "the rest");
	vmm_check_clean(v);
	free(before);
	vmm_end(v);
}
END_TEST

static bool loaded(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->all_offers && v->b.state == 1;
}

/* RESET, and the next kernel. */
static void reboot(struct vmm *v)
{
	struct vmbu_request r = { .type = VMBU_RESET };

	vmm_must(v, &r, NULL, 0);
	vmm_drop_doorbells(v);
	vmm_forget_saved(v);
	vg_reboot(v->g);
	/* the guest's ends have gone with it */
	for (unsigned int i = 0; i < v->nflows; i++)
		v->flows[i].s = NULL;
	v->lost = false;
	for (uint32_t i = 0; i < VG_VPS; i++)
		vmm_synic(v, i, true);
	vg_load(v->g);
	vmm_wait(v, loaded, NULL, "the driver");
}

START_TEST(test_reset)
{
	struct vmm *v = vmm_start();

	for (int k = 0; k < 3; k++) {
		struct flow *f = flow_guest(v, 0), *g = flow_host(v, 0, true);

		flow_send(f, 300000, 300000, false);
		vmm_step(v, 1);
		if (k == 1) {
			v->lost = true;
			vmm_save(v, true);
		}
		reboot(v);
		vmm_wait(v, flow_host_over, f, "the end at the program");
		vmm_wait(v, flow_host_over, g, "the end at the other");
		f->used = g->used = false;
	}
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static double cpu_of(pid_t pid)
{
	clockid_t clock;
	struct timespec ts;

	must(clock_getcpuclockid(pid, &clock) == 0);
	must(clock_gettime(clock, &ts) == 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool rescinded(struct vmm *v, void *arg)
{
	(void)v;
	return ((struct flow *)arg)->s->state == VG_CLOSED;
}

/* A guest whose rings say nonsense loses that channel, and nothing else. */
START_TEST(test_corrupt_rings)
{
	struct vmm *v = vmm_start();
	struct flow *good = flow_guest(v, 0);

	for (unsigned int k = 0; k < 6; k++) {
		struct flow *f = flow_guest(v, 0);
		struct vg_ring *out = &f->s->chan->out, *in = &f->s->chan->in;

		flow_send(f, 4000, 0, false);
		vmm_wait(v, flow_arrived, f, "bytes before");
		switch (k) {
		case 0: /* write index beyond the ring */
			out->control[0] = out->size;
			break;
		case 1: /* not a multiple of 8 */
			out->control[0] += 3;
			break;
		case 2: /* a packet longer than what is there */
			memset(out->page[0], 0xff, VG_PAGE);
			out->control[0] = (out->control[0] + 64) % out->size;
			break;
		case 3: /* read index of the other ring beyond it */
			in->control[1] = 0xfffffff8;
			break;
		case 4:
			memset(out->control, 0xff, VG_PAGE);
			break;
		default:
			memset(in->control, 0xff, VG_PAGE);
			break;
		}
		vg_signal(f->s->chan);
		f->host_to_send = 100;	/* the host looks at its own ring */
		f->guest_stalls = true; /* which the guest cannot read */
		vmm_wait(v, flow_host_over, f, "the end at the program");
		vmm_wait(v, rescinded, f, "RESCIND");
		f->used = false;
		flow_close_guest(f);
		flow_close_host(f);
	}
	flow_send(good, 100000, 100000, true);
	vmm_wait(v, flow_finished, good, "the innocent one's bytes");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* Doorbells and messages without end, of no meaning. */
START_TEST(test_noise)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);
	uint32_t seed = 12345;
	uint8_t m[240];
	double cpu;

	v->faulty = true; /* answers that its driver did not ask for */
	for (int i = 0; i < 20000; i++) {
		static const uint8_t lens[] = { 0,  1,	7,   8,	  12, 16,
						20, 40, 120, 239, 240 };
		size_t len = lens[(seed >> 20) % ARRAY_LEN(lens)];

		for (size_t k = 0; k < sizeof(m); k++) {
			seed = seed * 1664525 + 1013904223;
			m[k] = (uint8_t)(seed >> 24);
		}
		memset(m + 1, 0, 7);
		m[0] %= 26;
		/* what the guest says of itself ends what it has */
		if (m[0] == 14 || m[0] == 16)
			m[0] = 0;
		m[9] = m[10] = m[11] = 0; /* a small relid */
		if (m[0] == 7 || m[0] == 11 || m[0] == 13)
			m[8] = 200;
		(void)v->g->ops->post(v, seed % 4, i % 7 ? 1 : 4, i % 50 != 0,
				      m, len);
		(void)v->g->ops->signal(v, seed % 5000 + 0x2000,
					(uint16_t)(i % 3 == 2));
		if (i % 64 == 0)
			vmm_step(v, 0);
	}
	/* and then it is quiet */
	cpu = cpu_of(v->child);
	for (int i = 0; i < 20; i++) {
		(void)poll(NULL, 0, 20);
		(void)vg_work(v->g, vmm_now_ns());
	}
	ck_assert_msg(cpu_of(v->child) - cpu < 0.2, "the program is busy");
	/* what that did to its own channels is the guest's affair; after a
	 * reset all is well */
	reboot(v);
	/* what it made up is all with the broker now, and is refused; two more
	 * rounds, and that is known here */
	while (fb_poll(&v->b) || v->b.ndials)
		while (v->b.ndials)
			fb_dial_refuse(&v->b, 0, HVS_REASON_NOT_REGISTERED);
	reboot(v);
	reboot(v);
	v->faulty = false;
	v->g->fault = 0;
	f = flow_guest(v, 0);
	flow_send(f, 30000, 30000, true);
	vmm_wait(v, flow_finished, f, "bytes after a reset");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("hostile");

	signal(SIGPIPE, SIG_IGN);
	tcase_add_loop_test(t, test_fatal_frames, 0, (int)ARRAY_LEN(fatal));
	tcase_add_test(t, test_wrong_requests);
	tcase_add_test(t, test_ahead);
	tcase_add_test(t, test_versions);
	tcase_add_test(t, test_bad_memory);
	tcase_add_test(t, test_bad_processors);
	tcase_add_test(t, test_memory_cut_short);
	tcase_add_loop_test(t, test_files_cut_short, 0, 2);
	tcase_add_test(t, test_log);
	tcase_add_test(t, test_reset);
	tcase_add_test(t, test_corrupt_rings);
	tcase_add_test(t, test_noise);
	return vmm_main("vmbus-user hostile", t);
}
