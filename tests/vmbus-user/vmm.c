/* SPDX-License-Identifier: MIT */
/* vmm.c - see vmm.h: the program, frames, interrupts */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

uint64_t vmm_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- frames */

static void close_received(struct vmm *v)
{
	for (int i = 0; i < v->in.nfds; i++)
		close(v->in.fds[i]);
	v->in.nfds = 0;
}

int vmm_raw(struct vmm *v, const void *frame, size_t len, const int *fds,
	    int nfds)
{
	struct pollfd p = { .fd = v->front, .events = POLLIN };
	int n, r;

	close_received(v);
	if (fdmsg_send(v->front, frame, len, fds, nfds, 0) < 0)
		return -1;
	do
		n = poll(&p, 1, VMM_LIMIT_MS);
	while (n < 0 && errno == EINTR);
	ck_assert_msg(n == 1, "a request was not answered");
	r = fdmsg_recv(v->front, v->frame, sizeof(v->frame), 0, &v->in);
	if (r < 0 || !v->in.len)
		return -1;
	must(vmbu_reply_decode(v->frame, v->in.len, (unsigned int)v->in.nfds,
			       &v->reply) == 0);
	must(!v->reply.error || v->reply.text_len);
	must(v->reply.text_len < sizeof(v->text));
	memcpy(v->text, v->reply.text ? v->reply.text : "", v->reply.text_len);
	v->text[v->reply.text_len] = '\0';
	return (int)v->reply.error;
}

int vmm_ask(struct vmm *v, struct vmbu_request *r, const int *fds, int nfds)
{
	uint8_t data[VMBU_FRAME_MAX];
	struct msg_buf b = { .data = data, .size = sizeof(data) };
	int err;

	if (r->type == VMBU_SAVE || r->type == VMBU_RESET)
		v->ahead = 0; /* these take the promise back */
	r->serial = ++v->serial;
	vmbu_request_encode(r, &b);
	must(!b.overflow);
	err = vmm_raw(v, data, b.len, fds, nfds);
	if (err >= 0) {
		must(v->reply.type == r->type);
		must(v->reply.serial == r->serial);
	}
	return err;
}

void vmm_must(struct vmm *v, struct vmbu_request *r, const int *fds, int nfds)
{
	int err = vmm_ask(v, r, fds, nfds);

	ck_assert_msg(err == 0, "%s: error %d: %s", vmbu_type_name(r->type),
		      err, err < 0 ? "the connection has ended" : v->text);
}

int vmm_tell_ahead(struct vmm *v, struct vmbu_request *r)
{
	uint8_t data[VMBU_FRAME_MAX];
	struct msg_buf b = { .data = data, .size = sizeof(data) };

	r->type = VMBU_POST_AHEAD;
	r->serial = ++v->serial;
	vmbu_request_encode(r, &b);
	must(!b.overflow);
	return fdmsg_send(v->front, b.data, b.len, NULL, 0, 0);
}

/* ---- hypercalls */

static uint16_t on_post(void *ctx, uint32_t vp, uint32_t connection,
			uint32_t type, const void *payload, size_t len)
{
	struct vmbu_request r = { .type = VMBU_POST };
	struct vmm *v = ctx;

	if (v->lost)
		return 19;
	r.u.post.vp = vp;
	r.u.post.connection = connection;
	r.u.post.type = type;
	r.u.post.size = (uint32_t)len;
	r.u.post.len =
		len < VMBU_PAYLOAD_MAX ? (uint32_t)len : VMBU_PAYLOAD_MAX;
	memcpy(r.u.post.payload, payload, r.u.post.len);
	if (v->ahead && len <= VMBU_PAYLOAD_MAX) {
		v->ahead--;
		v->told++;
		return vmm_tell_ahead(v, &r) < 0 ? 19 : 0;
	}
	v->ahead = 0;
	if (vmm_ask(v, &r, NULL, 0))
		return 19;
	if (!v->waits)
		v->ahead = v->reply.u.result.ahead;
	return (uint16_t)v->reply.u.result.status;
}

static uint16_t on_signal(void *ctx, uint32_t connection, uint16_t flag)
{
	struct vmbu_request r = { .type = VMBU_SIGNAL };
	uint32_t relid = connection - 0x2000;
	static const uint64_t one = 1;
	struct vmm *v = ctx;

	if (relid < VG_RELIDS && !flag && v->doorbells[relid] >= 0) {
		must(write(v->doorbells[relid], &one, sizeof(one)) ==
		     sizeof(one));
		return 0;
	}
	if (v->lost)
		return 0;
	v->signals++;
	r.u.signal.connection = connection;
	r.u.signal.flag = flag;
	if (vmm_ask(v, &r, NULL, 0))
		return 0;
	if (v->in.nfds) {
		must(relid < VG_RELIDS);
		v->doorbells[relid] = v->in.fds[0];
		v->in.nfds = 0;
	}
	return (uint16_t)v->reply.u.result.status;
}

static void on_eom(void *ctx, uint32_t vp)
{
	static const uint64_t one = 1;
	struct vmm *v = ctx;

	must(write(v->acknowledge[vp], &one, sizeof(one)) == sizeof(one));
}

static const struct vg_ops guest_ops = {
	.post = on_post,
	.signal = on_signal,
	.eom = on_eom,
};

/* ---- what each program is told first */

void vmm_hello(struct vmm *v)
{
	struct vmbu_request r = { .type = VMBU_HELLO };

	r.u.hello.lowest = 1;
	r.u.hello.highest = 7;
	r.u.hello.features = UINT64_MAX;
	v->ahead = 0;
	vmm_must(v, &r, NULL, 0);
	must(v->reply.u.hello.version == 1);
	must(v->reply.u.hello.features == VMBU_FEATURES);
	must(v->reply.u.hello.regions == VMBU_REGIONS_MAX);
	must(v->reply.u.hello.vps >= VG_VPS);
	v->vmid = v->reply.u.hello.vmid;
}

void vmm_synic(struct vmm *v, uint32_t vp, bool on)
{
	struct vmbu_request r = { .type = VMBU_SYNIC };

	r.u.synic.vp = vp;
	if (on) {
		r.u.synic.scontrol = 1;
		r.u.synic.simp = (uint64_t)v->g->message_page[vp] * VG_PAGE | 1;
		r.u.synic.siefp = (uint64_t)v->g->event_page[vp] * VG_PAGE | 1;
	}
	vmm_must(v, &r, NULL, 0);
}

static void say_memory(struct vmm *v)
{
	struct vmbu_request r = { .type = VMBU_MEMORY };
	int fds[2] = { v->memory, v->memory };

	r.u.memory.count = 2;
	r.u.memory.at[0].size = (uint64_t)VMM_LOW_PAGES * VG_PAGE;
	r.u.memory.at[1].gpa = r.u.memory.at[1].offset =
		(uint64_t)VMM_LOW_PAGES * VG_PAGE;
	r.u.memory.at[1].size = (uint64_t)(VMM_PAGES - VMM_LOW_PAGES) * VG_PAGE;
	vmm_must(v, &r, fds, 2);
}

void vmm_introduce(struct vmm *v)
{
	vmm_hello(v);
	vmm_machine(v);
}

void vmm_machine(struct vmm *v)
{
	say_memory(v);
	for (uint32_t i = 0; i < VG_VPS; i++) {
		struct vmbu_request r = { .type = VMBU_VP };
		int fds[2] = { v->raise[i], v->acknowledge[i] };

		r.u.vp.vp = i;
		vmm_must(v, &r, fds, 2);
		vmm_synic(v, i, true);
	}
	v->lost = false;
}

static bool loaded(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->loaded && v->g->all_offers &&
	       (v->no_broker || v->b.state == 1);
}

void vmm_boot(struct vmm *v)
{
	struct vmbu_request r = { .type = VMBU_JOURNAL };

	vmm_introduce(v);
	vmm_must(v, &r, &v->journal, 1);
	vg_load(v->g);
	vmm_wait(v, loaded, NULL, "the guest's driver to load");
}

/* ---- save and load */

void vmm_forget_saved(struct vmm *v)
{
	if (v->state >= 0)
		close(v->state);
	for (uint32_t i = 0; i < v->nfds; i++)
		close(v->fds[i]);
	free(v->fds);
	v->fds = NULL;
	v->state = -1;
	v->nfds = 0;
}

void vmm_save(struct vmm *v, bool handover)
{
	struct vmbu_request r = { .type = VMBU_SAVE };
	uint32_t count;

	vmm_forget_saved(v);
	r.u.save.handover = handover;
	vmm_must(v, &r, NULL, 0);
	must(fcntl(v->in.fds[0], F_GET_SEALS) & F_SEAL_WRITE);
	v->state = v->in.fds[0];
	v->in.nfds = 0;
	v->state_len = v->reply.u.save.length;
	count = v->reply.u.save.fds;
	must(handover || !count);
	v->fds = calloc(count + 1, sizeof(*v->fds));
	while (v->nfds < count) {
		r = (struct vmbu_request) { .type = VMBU_TAKE };
		r.u.take.first = v->nfds;
		vmm_must(v, &r, NULL, 0);
		must(v->nfds + v->reply.u.count <= count);
		for (uint32_t i = 0; i < v->reply.u.count; i++)
			v->fds[v->nfds++] = v->in.fds[i];
		v->in.nfds = 0;
	}
}

int vmm_load(struct vmm *v, bool handover)
{
	struct vmbu_request r = { .type = VMBU_LOAD };
	int err;

	r.u.load.length = v->state_len;
	r.u.load.handover = handover;
	r.u.load.fds = handover ? v->nfds : 0;
	err = vmm_ask(v, &r, &v->state, 1);
	for (uint32_t at = 0; !err && handover && at < v->nfds;) {
		uint32_t n = v->nfds - at < 100 ? v->nfds - at : 100;

		r = (struct vmbu_request) { .type = VMBU_GIVE };
		r.u.give.first = at;
		r.u.give.count = n;
		vmm_must(v, &r, v->fds + at, (int)n);
		at += n;
	}
	return err;
}

void vmm_run(struct vmm *v)
{
	struct vmbu_request r = { .type = VMBU_RUN };

	vmm_must(v, &r, NULL, 0);
	vmm_forget_saved(v);
	v->lost = false;
}

/* ---- the loop */

static bool take_interrupts(struct vmm *v)
{
	bool any = false;

	for (uint32_t i = 0; i < VG_VPS; i++) {
		uint64_t n;

		if (read(v->raise[i], &n, sizeof(n)) != sizeof(n))
			continue;
		any = true;
		vg_interrupt(v->g, i);
	}
	return any;
}

static void nap(struct vmm *v, int ms)
{
	struct pollfd p[VG_VPS + 2 + VMM_FLOWS];
	nfds_t n = 0;

	for (uint32_t i = 0; i < VG_VPS; i++)
		p[n++] =
			(struct pollfd) { .fd = v->raise[i], .events = POLLIN };
	if (!v->no_broker)
		p[n++] = (struct pollfd) { .fd = v->b.conn >= 0 ? v->b.conn
								: v->b.listener,
					   .events = POLLIN };
	for (unsigned int i = 0; i < v->nflows; i++) {
		struct flow *f = &v->flows[i];
		short events = 0;

		if (f->fd < 0)
			continue;
		if (f->host_sent < f->host_to_send && !f->host_error)
			events |= POLLOUT;
		if (!f->host_stalls && !f->host_eof && !f->host_error)
			events |= POLLIN;
		if (events)
			p[n++] = (struct pollfd) { .fd = f->fd,
						   .events = events };
	}
	(void)poll(p, n, ms);
}

void vmm_step(struct vmm *v, int ms)
{
	bool any = take_interrupts(v);

	any |= vg_work(v->g, vmm_now_ns());
	if (!v->no_broker)
		any |= fb_poll(&v->b);
	for (unsigned int i = 0; i < v->nflows; i++)
		any |= flow_work(&v->flows[i]);
	ck_assert_msg(!v->g->fault || v->faulty, "the guest complains: %s",
		      v->g->fault_text);
	if (!any)
		nap(v, v->g->out ? 1 : ms);
}

void vmm_wait(struct vmm *v, vmm_fn fn, void *arg, const char *what)
{
	uint64_t end = vmm_now_ns() + VMM_LIMIT_MS * 1000000ull;
	int status;

	while (!fn(v, arg)) {
		ck_assert_msg(vmm_now_ns() < end, "waited in vain for: %s",
			      what);
		if (v->child)
			ck_assert_msg(
				waitpid(v->child, &status, WNOHANG) == 0,
				"the program ended (status %x) before: %s",
				status, what);
		vmm_step(v, 100);
	}
}

/* ---- start and end */

void vmm_spawn(struct vmm *v, const char *const *args)
{
	const char *sandbox = getenv("VMBUS_SANDBOX");
	const char *argv[VMM_ARGS] = { v->program };
	char fd[16];
	int pair[2], n = 1;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	v->child = fork();
	must(v->child >= 0);
	if (v->child) {
		close(pair[1]);
		v->front = pair[0];
		return;
	}
	snprintf(fd, sizeof(fd), "%d", pair[1]);
	(void)fcntl(pair[1], F_SETFD, 0);
	if (!v->no_broker || v->runtime[0]) {
		argv[n++] = "--partition";
		argv[n++] = "test";
	}
	argv[n++] = "--fd";
	argv[n++] = fd;
	argv[n++] = "--integration";
	argv[n++] = "none"; /* unless @args say otherwise */
	argv[n++] = "--sandbox";
	argv[n++] = sandbox ? sandbox : "seccomp";
	for (; args && *args; args++)
		argv[n++] = *args;
	setenv("HVSOCKET_RUNTIME_DIR", v->runtime[0] ? v->runtime : v->dir, 1);
	execv(v->program, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static bool attached(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.attached;
}

void vmm_launch(struct vmm *v, const char *const *args)
{
	vmm_spawn(v, args);
	if (!v->no_broker)
		vmm_wait(v, attached, NULL, "ATTACH");
}

struct vmm *vmm_new(void)
{
	struct vmm *v = calloc(1, sizeof(*v));
	const char *tmp = getenv("TMPDIR");
	size_t size = (size_t)VMM_PAGES * VG_PAGE;

	v->program = getenv("VMBUS_PROGRAM");
	ck_assert_msg(v->program != NULL, "VMBUS_PROGRAM is not set");
	snprintf(v->dir, sizeof(v->dir), "%s/hvs-vmbus-XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	must(mkdtemp(v->dir));
	v->front = v->state = -1;
	v->lost = true;
	v->memory = memfd_create("ram", MFD_CLOEXEC);
	must(ftruncate(v->memory, (off_t)size) == 0);
	v->ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->memory,
		      0);
	must(v->ram != MAP_FAILED);
	v->journal = memfd_create("journal", MFD_CLOEXEC);
	must(ftruncate(v->journal, VMBU_JOURNAL_SIZE) == 0);
	for (uint32_t i = 0; i < VG_VPS; i++) {
		v->raise[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		/* (the program must not wait for what is not there) */
		v->acknowledge[i] = eventfd(0, EFD_CLOEXEC);
	}
	for (uint32_t i = 0; i < VG_RELIDS; i++)
		v->doorbells[i] = -1;
	v->g = vg_new(v->ram, VMM_PAGES, 4711, &guest_ops, v);
	v->g->now = vmm_now_ns();
	v->b.kind = TRANSPORT_VMBUS;
	fb_start(&v->b, v->dir);
	return v;
}

struct vmm *vmm_start(void)
{
	struct vmm *v = vmm_new();

	vmm_launch(v, NULL);
	vmm_boot(v);
	return v;
}

int vmm_reap(struct vmm *v)
{
	int status = -1;

	must(waitpid(v->child, &status, 0) == v->child);
	v->child = 0;
	if (v->front >= 0)
		close(v->front);
	v->front = -1;
	v->lost = true;
	return status;
}

void vmm_drop_doorbells(struct vmm *v)
{
	for (uint32_t i = 0; i < VG_RELIDS; i++) {
		if (v->doorbells[i] >= 0)
			close(v->doorbells[i]);
		v->doorbells[i] = -1;
	}
}

void vmm_kill(struct vmm *v)
{
	must(kill(v->child, SIGKILL) == 0);
	(void)vmm_reap(v);
	vmm_drop_doorbells(v);
	while (fb_poll(&v->b) && v->b.conn >= 0)
		;
}

void vmm_end(struct vmm *v)
{
	char command[128];
	int status;

	close(v->front);
	v->front = -1;
	if (v->child) {
		status = vmm_reap(v);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
			      "the program ended with status %x", status);
	}
	vmm_drop_doorbells(v);
	vmm_forget_saved(v);
	close_received(v);
	fb_kill(&v->b);
	for (unsigned int i = 0; i < v->nflows; i++)
		if (v->flows[i].fd >= 0)
			close(v->flows[i].fd);
	vg_free(v->g);
	munmap(v->ram, (size_t)VMM_PAGES * VG_PAGE);
	close(v->memory);
	close(v->journal);
	for (uint32_t i = 0; i < VG_VPS; i++) {
		close(v->raise[i]);
		close(v->acknowledge[i]);
	}
	snprintf(command, sizeof(command), "rm -r '%s'", v->dir);
	must(system(command) == 0);
	free(v);
}

int vmm_main(const char *name, TCase *t)
{
	Suite *s = suite_create(name);
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
