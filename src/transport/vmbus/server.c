/* SPDX-License-Identifier: MIT */
/*
 * server.c - what the VMM asks, and its answers (docs/vmbus-user.md, 3)
 *
 * One request at a time, each answered before the next is read. A request that
 * is not understood is answered EINVAL and changes nothing; a frame that is
 * none ends the connection.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/closer.h"
#include "transport/vmbus/handover.h"
#include "transport/vmbus/integration.h"
#include "transport/vmbus/vm.h"

#define AHEAD 16u /* messages that the VMM need not wait for */

struct answer {
	struct vmbu_reply r;
	int fds[VMBU_FDS_MAX]; /* borrowed, but for @owned */
	int nfds;
	bool owned; /* fds[0] is to be closed when it has been sent */
	const char *why;
};

/* A descriptor of the request that is kept. */
static int keep(struct fdmsg *m, int i)
{
	int fd = m->fds[i];

	m->fds[i] = -1;
	return fd;
}

static int refuse(struct answer *a, int error, const char *why)
{
	a->why = why;
	return error;
}

static int on_hello(struct vm *vm, const struct vmbu_request *q,
		    struct answer *a)
{
	if (vm->greeted)
		return refuse(a, -EINVAL, "HELLO twice");
	if (q->u.hello.lowest > VMBU_VERSION ||
	    q->u.hello.highest < VMBU_VERSION)
		return refuse(a, -EPROTONOSUPPORT, "version 1 is spoken here");
	vm->greeted = true;
	a->r.u.hello.version = VMBU_VERSION;
	a->r.u.hello.regions = VMBU_REGIONS_MAX;
	vm->features = VMBU_FEATURES & q->u.hello.features;
	a->r.u.hello.features = vm->features;
	a->r.u.hello.vps = VPS_MAX;
	a->r.u.hello.vmid = vm->host->ops->vmid(vm->host);
	return 0;
}

static int on_memory(struct vm *vm, const struct vmbu_request *q,
		     const struct fdmsg *m, struct answer *a)
{
	struct gmem before = vm->gmem;
	int r = 0;

	if (vm->stopped)
		return refuse(a, -EBUSY, "RUN comes first");
	vm->gmem.count = vm->gmem.last = 0;
	for (uint32_t i = 0; i < q->u.memory.count && r == 0; i++) {
		const struct vmbu_region *at = &q->u.memory.at[i];
		const struct gmem_range range = {
			.gpa = at->gpa,
			.size = at->size,
			.offset = at->offset,
		};

		if ((at->gpa | at->size | at->offset) % VMBH_PAGE ||
		    !at->size || at->gpa + at->size < at->gpa ||
		    at->offset + at->size < at->offset ||
		    at->offset + at->size > INT64_MAX)
			r = refuse(a, -EINVAL, "a region is not whole pages");
		else
			r = gmem_add(&vm->gmem, &range, m->fds[i]);
	}
	if (r < 0) {
		gmem_clear(&vm->gmem);
		vm->gmem = before;
		return r;
	}
	vps_remap(vm);
	vmbh_pages_changed(vm->bus);
	gmem_clear(&before);
	return 0;
}

static int on_vp(struct vm *vm, const struct vmbu_request *q, struct fdmsg *m,
		 struct answer *a)
{
	int r;

	if (q->u.vp.vp >= VPS_MAX)
		return refuse(a, -ERANGE, "too many processors");
	r = vps_set(vm, q->u.vp.vp, m->fds[0], m->fds[1]);
	if (r == 0) {
		(void)keep(m, 0);
		(void)keep(m, 1);
	}
	return r;
}

static int on_post(struct vm *vm, const struct vmbu_request *q,
		   struct answer *a)
{
	vm->posted = true;
	vm->stats.messages_in++;
	a->r.u.result.status =
		vm->stopped ? VMBH_INSUFFICIENT_BUFFERS
			    : filter_in(vm, q->u.post.vp, q->u.post.connection,
					q->u.post.type, q->u.post.payload,
					q->u.post.size);
	vm->ahead = 0;
	if (a->r.u.result.status == VMBH_SUCCESS &&
	    vm->features & VMBU_FEATURE_AHEAD)
		vm->ahead = vmbh_promise(vm->bus, AHEAD);
	a->r.u.result.ahead = vm->ahead;
	return 0;
}

/* What was promised is taken; there is no answer. */
static int on_post_ahead(struct vm *vm, const struct vmbu_request *q)
{
	if (!vm->ahead)
		return -EPROTO;
	vm->ahead--;
	vm->stats.messages_in++;
	(void)filter_in(vm, q->u.post.vp, q->u.post.connection, q->u.post.type,
			q->u.post.payload, q->u.post.size);
	return 0;
}

static int on_signal(struct vm *vm, const struct vmbu_request *q,
		     struct answer *a)
{
	uint32_t *status = &a->r.u.result.status;
	int fd;

	if (vm->stopped)
		return 0;
	vm->stats.doorbells_in++;
	*status = vmbh_signal_event(vm->bus, q->u.signal.connection,
				    (uint16_t)q->u.signal.flag);
	if (q->u.signal.flag > UINT16_MAX)
		*status = VMBH_INVALID_PARAMETER;
	if (*status != VMBH_SUCCESS || q->u.signal.flag)
		return 0;
	fd = vps_doorbell(vm, q->u.signal.connection);
	if (fd >= 0)
		a->fds[a->nfds++] = fd;
	return 0;
}

static int map_file(int fd, uint64_t size, uint8_t **ret)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	if (size > SIZE_MAX || (uint64_t)st.st_size < size)
		return -EFBIG;
	map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   0);
	if (map == MAP_FAILED)
		return -errno;
	*ret = map;
	return 0;
}

static int on_log(struct vm *vm, const struct vmbu_request *q,
		  const struct fdmsg *m)
{
	uint8_t *map = NULL;
	int r = q->u.log.size ? map_file(m->fds[0], q->u.log.size, &map) : 0;

	if (r < 0)
		return r;
	gmem_guard_more(0, map, q->u.log.size);
	if (vm->log)
		munmap(vm->log, vm->log_size);
	vm->log = map;
	vm->log_size = q->u.log.size;
	return 0;
}

static int on_journal(struct vm *vm, const struct vmbu_request *q,
		      const struct fdmsg *m, struct answer *a)
{
	uint8_t *map = NULL, copy[VMBU_JOURNAL_SIZE];
	int r;

	if (q->u.journal.recover && (vm->posted || vm->stopped))
		return refuse(a, -EINVAL, "the guest has been heard already");
	r = map_file(m->fds[0], VMBU_JOURNAL_SIZE, &map);
	if (r < 0)
		return r;
	vmbh_journal(vm->bus, NULL);
	gmem_guard_more(1, map, VMBU_JOURNAL_SIZE);
	if (q->u.journal.recover) {
		memcpy(copy, map, sizeof(copy));
		r = vmbh_recover(vm->bus, copy);
		if (r < 0) {
			gmem_guard_more(1, NULL, 0);
			munmap(map, VMBU_JOURNAL_SIZE);
			return refuse(a, r, "not a journal");
		}
		integration_recovered(vm->integration);
	}
	if (vm->journal)
		munmap(vm->journal, VMBU_JOURNAL_SIZE);
	vm->journal = map;
	vmbh_journal(vm->bus, map);
	return 0;
}

static int on_reset(struct vm *vm)
{
	handover_end(vm);
	filter_forget(vm->filter);
	vm->ahead = 0;
	vm->clock.known = false; /* it begins anew */
	vmbh_reset(vm->bus);
	vps_reset(vm);
	return 0;
}

static int on_clock(struct vm *vm, const struct vmbu_request *q,
		    struct answer *a)
{
	struct host_clock now = host_clock_read();

	if (!(vm->features & VMBU_FEATURE_CLOCK))
		return refuse(a, -EINVAL, "CLOCK was not agreed on");
	if (!reference_clock_tell(&vm->clock, &now, q->u.clock.reference,
				  q->u.clock.raw))
		return refuse(a, -ERANGE, "that moment has not come yet");
	return 0;
}

static int serve(struct vm *vm, const struct vmbu_request *q, struct fdmsg *m,
		 struct answer *a)
{
	switch (q->type) {
	case VMBU_HELLO:
		return on_hello(vm, q, a);
	case VMBU_MEMORY:
		return on_memory(vm, q, m, a);
	case VMBU_VP:
		return on_vp(vm, q, m, a);
	case VMBU_SYNIC:
		return vps_synic(vm, q->u.synic.vp, q->u.synic.scontrol,
				 q->u.synic.simp, q->u.synic.siefp);
	case VMBU_POST:
		return on_post(vm, q, a);
	case VMBU_POST_AHEAD:
		return on_post_ahead(vm, q);
	case VMBU_SIGNAL:
		return on_signal(vm, q, a);
	case VMBU_RESET:
		return on_reset(vm);
	case VMBU_LOG:
		return on_log(vm, q, m);
	case VMBU_JOURNAL:
		return on_journal(vm, q, m, a);
	case VMBU_CLOCK:
		return on_clock(vm, q, a);
	case VMBU_SAVE:
		a->owned = true;
		return handover_save(vm, q->u.save.handover, &a->r, a->fds,
				     &a->nfds, &a->why);
	case VMBU_TAKE:
		return handover_take(vm, q->u.take.first, &a->r, a->fds,
				     &a->nfds);
	case VMBU_LOAD:
		return handover_load(vm, q, m->fds[0], &a->why);
	case VMBU_GIVE:
		return handover_give(vm, q->u.give.first, m);
	default:
		return handover_run(vm);
	}
}

static void reply(struct vm *vm, struct answer *a, int err)
{
	struct msg_buf b = msg_buf(vm->reply, sizeof(vm->reply));

	if (err < 0) {
		a->r.error = (uint32_t)-err;
		a->r.text = a->why ? a->why : strerror(-err);
		a->r.text_len = strlen(a->r.text);
		a->nfds = 0;
	}
	vmbu_reply_encode(&a->r, &b);
	if (fdmsg_send(vm->front, b.data, b.len, a->fds, a->nfds,
		       MSG_DONTWAIT) < 0)
		(void)shutdown(vm->front, SHUT_RDWR);
	if (a->owned && a->nfds)
		close(a->fds[0]);
}

/* One frame. Return: 0; -EAGAIN: there is none; else the connection is over */
static int take(struct vm *vm)
{
	struct vmbu_request q;
	struct answer a = { .nfds = 0 };
	struct fdmsg m;
	bool is_reply;
	int r;

	r = fdmsg_recv(vm->front, vm->frame, sizeof(vm->frame), MSG_DONTWAIT,
		       &m);
	if (r == -EINTR)
		return 0;
	if (r < 0)
		return r;
	if (m.len == 0 || m.truncated ||
	    vmbu_header_decode(vm->frame, m.len, &q.type, &is_reply,
			       &q.serial) < 0 ||
	    is_reply) {
		closer_close(m.fds, m.nfds);
		return -EPROTO;
	}
	r = vmbu_request_decode(vm->frame, m.len, (unsigned int)m.nfds, &q);
	a.r.type = q.type;
	a.r.serial = q.serial;
	vm_begin(vm);
	if (!vm->greeted && q.type != VMBU_HELLO)
		r = refuse(&a, -EPROTO, "HELLO comes first");
	else if (r < 0 && q.type == VMBU_POST_AHEAD)
		r = -EPROTO; /* nobody waits for an answer */
	else if (r < 0)
		(void)refuse(&a, r, "not a request of this protocol");
	else
		r = serve(vm, &q, &m, &a);
	vm_end(vm);
	if (q.type != VMBU_POST_AHEAD)
		reply(vm, &a, r);
	for (int i = 0; i < m.nfds; i++)
		if (m.fds[i] >= 0)
			closer_close(&m.fds[i], 1);
	return r == -EPROTO ? r : 0;
}

/* One at a time: a second one is rarely there already. */
static void on_front(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, front_io);
	int r = take(vm);

	(void)events;
	if (r < 0 && r != -EAGAIN)
		server_stop(vm);
}

void server_start(struct vm *vm)
{
	if (ev_io_start(vm->ev, &vm->front_io, vm->front, EPOLLIN, on_front) <
	    0)
		log_err("the VMM cannot be waited for");
}
