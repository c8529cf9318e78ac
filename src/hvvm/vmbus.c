/* SPDX-License-Identifier: MIT */
/* vmbus.c - see vmbus.h */
#include "hvvm/vmbus-internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/guid.h"
#include "base/log.h"
#include "config.h"
#include "hvvm/synic.h"
#include "hvvm/vcpu.h"

#define RETRY_MIN_MS 20u
#define RETRY_MAX_MS 1000u
#define BEGIN_LIMIT_S 10u
#define RESET_LIMIT_S 30u
#define ARGUMENTS (18 + 2 * OPTIONS_MANY)

/* ---- starting it */

static int find_program(char *ret, size_t size)
{
	const char *dir = getenv("HVSOCKET_LIBEXECDIR");
	char exe[PATH_MAX];
	ssize_t n;

	if (!dir || !*dir) {
		n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
		if (n > 0) {
			exe[n] = '\0';
			*strrchr(exe, '/') = '\0';
			n = snprintf(ret, size,
				     "%s/../transport/hvsocket-vmbus", exe);
			if (n < (ssize_t)size && access(ret, X_OK) == 0)
				return 0; /* a build tree */
		}
		dir = HVSOCKET_LIBEXECDIR;
	}
	n = snprintf(ret, size, "%s/hvsocket-vmbus", dir);
	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	return access(ret, X_OK) ? -errno : 0;
}

static int spawn(struct vmbus *b)
{
	const struct options *o = b->m->o;
	char *argv[ARGUMENTS], fd[16], vmid[GUID_TEXT_SIZE];
	int p[2], n = 0, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
		return -errno;
	snprintf(fd, sizeof(fd), "%d", p[1]);
	argv[n++] = b->program;
	argv[n++] = (char *)(uintptr_t) "--fd";
	argv[n++] = fd;
#define OPTION(name, value)                                   \
	do {                                                  \
		if (value) {                                  \
			argv[n++] = (char *)(uintptr_t)name;  \
			argv[n++] = (char *)(uintptr_t)value; \
		}                                             \
	} while (0)
	OPTION("--partition", o->name);
	/* a partition without a file stays the same one */
	if (o->name && !guid_is_zero(&b->vmid))
		OPTION("--vm-id", guid_format(&b->vmid, vmid));
	OPTION("--uds-path", o->uds_path);
	OPTION("--trace", o->trace);
	OPTION("--integration", o->integration);
	OPTION("--sandbox", o->sandbox);
	for (unsigned int i = 0; o->inject[i]; i++)
		OPTION("--inject", o->inject[i]);
#undef OPTION
	if (o->verbose)
		argv[n++] = (char *)(uintptr_t) "--verbose";
	argv[n] = NULL;
	r = vmbus_link_spawn(&b->link, argv, p[1], p[0]);
	close(p[1]);
	return r;
}

/* ---- what every back-end is told first */

int vmbus_ask(struct vmbus *b, struct vmbu_request *r, const int *fds, int nfds,
	      struct vmbu_reply *ret)
{
	char text[300];
	int err = vmbus_link_ask(&b->link, r, fds, nfds, ret);

	if (err < 0 && err != -EINTR && err != -EPIPE) {
		log_escape(ret->text, ret->text_len, text, sizeof(text));
		log_err("VMBus back-end: %s: %s", vmbu_type_name(r->type),
			text);
	}
	return err;
}

static int say_memory(struct vmbus *b)
{
	const struct memory *m = &b->m->memory;
	struct vmbu_request r = { .type = VMBU_MEMORY };
	struct vmbu_reply reply;
	int fds[2];

	r.u.memory.count = m->count;
	for (unsigned int i = 0; i < m->count; i++) {
		r.u.memory.at[i] = (struct vmbu_region) {
			.gpa = m->at[i].gpa,
			.size = m->at[i].size,
			.offset = m->at[i].offset,
		};
		fds[i] = m->fd;
	}
	return vmbus_ask(b, &r, fds, (int)m->count, &reply);
}

int vmbus_say_synic(struct vmbus *b, const struct vcpu *v)
{
	struct vmbu_request r = { .type = VMBU_SYNIC };
	struct vmbu_reply reply;

	r.u.synic.vp = v->index;
	r.u.synic.scontrol = v->scontrol;
	r.u.synic.simp = v->simp;
	r.u.synic.siefp = v->siefp;
	return vmbus_ask(b, &r, NULL, 0, &reply);
}

static int say_processors(struct vmbus *b)
{
	struct vmbu_request r = { .type = VMBU_VP };
	struct vmbu_reply reply;
	int err = 0;

	for (unsigned int i = 0; i < b->m->count && err == 0; i++) {
		int fds[2] = { b->synic[i].raise, b->synic[i].acknowledge };

		r.u.vp.vp = i;
		err = vmbus_ask(b, &r, fds, 2, &reply);
	}
	for (unsigned int i = 0; i < b->m->count && err == 0; i++)
		if (b->m->vcpus[i].scontrol)
			err = vmbus_say_synic(b, &b->m->vcpus[i]);
	return err;
}

static int introduce(struct vmbus *b)
{
	struct vmbu_request r = { .type = VMBU_HELLO };
	struct vmbu_reply reply;
	int err;

	r.u.hello.lowest = r.u.hello.highest = VMBU_VERSION;
	r.u.hello.features = VMBU_FEATURES;
	err = vmbus_ask(b, &r, NULL, 0, &reply);
	if (err < 0)
		return err;
	b->link.features = reply.u.hello.features;
	b->vmid = reply.u.hello.vmid;
	if (reply.u.hello.vps < b->m->count) {
		log_err("VMBus back-end: it knows %u processors at most",
			reply.u.hello.vps);
		return -ERANGE;
	}
	err = say_memory(b);
	if (err == 0)
		err = say_processors(b);
	return err < 0 ? err : vmbus_say_clock(b);
}

int vmbus_say_journal(struct vmbus *b, bool recover)
{
	struct vmbu_request r = { .type = VMBU_JOURNAL };
	struct vmbu_reply reply;

	if (!(b->link.features & VMBU_FEATURE_JOURNAL))
		return 0;
	r.u.journal.recover = recover;
	return vmbus_ask(b, &r, &b->journal, 1, &reply);
}

static int connect_to(struct vmbus *b)
{
	int r;

	if (!b->m->o->vmbus_socket)
		return spawn(b);
	r = vmbus_link_connect(&b->link, b->m->o->vmbus_socket);
	if (r < 0)
		log_err("--vmbus-socket %s: %s", b->m->o->vmbus_socket,
			strerror(-r));
	return r;
}

int vmbus_begin(struct vmbus *b)
{
	int r = connect_to(b);

	b->ahead = 0;
	if (r < 0)
		return r;
	/* the loop waits: nobody hears signals. vmbus_watch() ends this */
	vmbus_link_limit(&b->link, BEGIN_LIMIT_S);
	return introduce(b);
}

/* ---- when it goes */

static void on_retry(struct ev_timer *t);
static void on_gone(struct ev_io *io, uint32_t events);

void vmbus_watch(struct vmbus *b)
{
	vmbus_link_limit(&b->link, 0);
	if (ev_io_start(b->m->ev, &b->io, b->link.fd, EPOLLRDHUP, on_gone) < 0)
		machine_fail(b->m, "the VMBus back-end cannot be watched");
}

/* The loop's thread, locked. */
void vmbus_again(struct vmbus *b)
{
	int r;

	ev_io_stop(&b->io);
	vmbus_link_close(&b->link);
	vmbus_doorbells_drop(b, false);
	r = vmbus_begin(b);
	if (r == 0) {
		r = vmbus_say_journal(b, true);
		if (r == -EINVAL)
			r = vmbus_say_journal(b, false);
	}
	if (r < 0) {
		vmbus_link_close(&b->link);
		(void)ev_timer_start(b->m->ev, &b->retry, b->retry_ms,
				     on_retry);
		if (b->retry_ms < RETRY_MAX_MS)
			b->retry_ms *= 2;
		return;
	}
	b->lost = false;
	vmbus_watch(b);
	log_warn("the VMBus back-end was started again; the guest's "
		 "connections were lost");
}

static void on_retry(struct ev_timer *t)
{
	struct vmbus *b = container_of(t, struct vmbus, retry);

	pthread_mutex_lock(&b->lock);
	vmbus_again(b);
	pthread_mutex_unlock(&b->lock);
}

static void on_gone(struct ev_io *io, uint32_t events)
{
	struct vmbus *b = container_of(io, struct vmbus, io);

	(void)events;
	pthread_mutex_lock(&b->lock);
	ev_io_stop(&b->io);
	b->lost = true;
	log_warn("the VMBus back-end has gone");
	(void)ev_timer_start(b->m->ev, &b->retry, b->retry_ms, on_retry);
	pthread_mutex_unlock(&b->lock);
}

/* ---- between two guests */

int vmbus_forget(struct vmbus *b)
{
	struct vmbu_request r = { .type = VMBU_RESET };
	struct vmbu_reply reply;
	static const uint8_t nothing[VMBU_JOURNAL_SIZE];
	int err = 0;

	pthread_mutex_lock(&b->lock);
	vmbus_doorbells_drop(b, false);
	b->ahead = 0;
	if (!b->lost) {
		vmbus_link_limit(&b->link, RESET_LIMIT_S);
		err = vmbus_ask(b, &r, NULL, 0, &reply);
		vmbus_link_limit(&b->link, 0);
	}
	/* It must not go on later with the guest's memory as it was. */
	if (err == -EPIPE) {
		ev_io_stop(&b->io);
		vmbus_link_close(&b->link);
		b->lost = true;
		err = ev_timer_start(b->m->ev, &b->retry, b->retry_ms,
				     on_retry);
	}
	/* what a guest knew that is no more must not be told to this one */
	if (b->lost && err == 0 &&
	    pwrite(b->journal, nothing, sizeof(nothing), 0) < 0)
		err = -errno;
	pthread_mutex_unlock(&b->lock);
	return err;
}

int vmbus_reset(struct vmbus *b)
{
	int r = synic_route(b->m, b->synic);

	pthread_mutex_lock(&b->lock);
	if (r == 0 && !b->lost)
		r = vmbus_say_clock(b);
	pthread_mutex_unlock(&b->lock);
	/* it has gone, and the loop will see that */
	return r == -EPIPE ? 0 : r;
}

/* ---- its life */

/* A processor does not go on waiting when all of them are to stop. The loop's
 * thread does: it asks while they stand still (RESET, SAVE). */
static bool stopping(void *ctx)
{
	const struct machine *m = ctx;

	return vcpu_here() && atomic_load(&m->stopping);
}

int vmbus_start(struct machine *m, struct vmbus **ret)
{
	struct vmbus *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->m = m;
	b->link.fd = -1;
	b->link.give_up = stopping;
	b->link.ctx = m;
	b->retry_ms = RETRY_MIN_MS;
	pthread_mutex_init(&b->lock, NULL);
	b->journal = memfd_create("vmbus-journal", MFD_CLOEXEC);
	r = b->journal < 0 || ftruncate(b->journal, VMBU_JOURNAL_SIZE) < 0
		    ? -errno
		    : synic_new(m->count, &b->synic);
	if (r == 0)
		r = synic_route(m, b->synic);
	if (r < 0)
		log_err("SynIC cannot be set up: %s", strerror(-r));
	if (r == 0 && !m->o->vmbus_socket) {
		r = find_program(b->program, sizeof(b->program));
		if (r < 0)
			log_err("%s: %s", b->program, strerror(-r));
	}
	if (r == 0)
		r = vmbus_begin(b);
	if (r == 0)
		r = vmbus_say_journal(b, false);
	if (r < 0) {
		if (r == -EPIPE)
			log_err("the VMBus back-end ended at once, or does "
				"not answer");
		vmbus_stop(b);
		return r;
	}
	vmbus_watch(b);
	vmbus_clock_start(b);
	*ret = b;
	return 0;
}

struct vmbus *vmbus_stop(struct vmbus *b)
{
	if (b) {
		ev_io_stop(&b->io);
		ev_timer_stop(&b->retry);
		ev_timer_stop(&b->clock);
		vmbus_link_close(&b->link);
		vmbus_doorbells_drop(b, true);
		synic_free(b->synic, b->m->o->cpus);
		free(b->doorbells);
		if (b->journal >= 0)
			close(b->journal);
		free(b);
	}
	return NULL;
}
