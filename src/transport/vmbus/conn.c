/* SPDX-License-Identifier: MIT */
/*
 * conn.c - bytes between a guest's rings and the host's ends
 *
 * Payload goes from the ring's pages to the end and from the end into the
 * ring's pages, by one system call each for as much as there is; nothing is
 * held in between, so a slow reader on either side is felt by the writer on
 * the other.
 *
 * The end of a connection: the guest's FIN ends writing to the host's end, the
 * host's end of file becomes FIN; after both, or when one side is gone, the
 * channel is rescinded. What the guest had sent before is read first.
 *
 * A connection that has more than QUANTUM to move goes to the end of the queue.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/guid.h"
#include "transport/vmbus/conn.h"
#include "transport/vmbus/handover.h"
#include "transport/vmbus/integration.h"

#define QUANTUM (256u * 1024)
#define TRIES 32u /* a guest may fill as fast as we empty */
#define IOV 64u

struct conn *conn_new(struct vm *vm, struct vmbh_sock *s, void *end)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->vm = vm;
	c->s = s;
	c->end = end;
	TAILQ_INSERT_TAIL(&vm->conns, c, all);
	vm->nconns++;
	return c;
}

static void unready(struct conn *c)
{
	if (!c->ready)
		return;
	TAILQ_REMOVE(&c->vm->ready, c, ready_link);
	c->vm->nready--;
	c->ready = false;
}

static void conn_free(struct conn *c)
{
	struct vm *vm = c->vm;

	handover_forget(vm, c);
	poll_forget(c);
	c->s = NULL;
	c->end = NULL;
	unready(c);
	TAILQ_REMOVE(&vm->conns, c, all);
	vm->nconns--;
	/* whoever called may still look at it */
	ev_later(vm->ev, free, c);
}

void conn_close(struct conn *c)
{
	if (c->s)
		vmbh_sock_close(c->s);
	if (c->end)
		c->vm->host->ops->end(c->end);
	conn_free(c);
}

static bool over(struct conn *c)
{
	if (!c->host_done || !(c->guest_done || c->deaf) ||
	    !vmbh_sock_fin_sent(c->s))
		return false;
	conn_close(c);
	return true;
}

/* ---- moving. Return: bytes; -1: the connection is over */

/* Not the whole time for one: what is left is for another turn. */
static bool more(size_t *moved, unsigned int *tries)
{
	if ((*tries)++ == TRIES)
		*moved = QUANTUM;
	return *moved < QUANTUM;
}

static ssize_t to_host(struct conn *c)
{
	struct iovec iov[IOV];
	size_t moved = 0;
	unsigned int k, tries = 0;
	ssize_t n, w;

	poll_hold(c);
	while (more(&moved, &tries)) {
		n = vmbh_sock_peek(c->s, iov, IOV, &k);
		if (n < 0)
			return -1; /* gone() is on its way */
		if (n == 0)
			break;
		if (c->deaf) {
			vmbh_sock_consume(c->s, (size_t)n);
			moved += (size_t)n;
			continue;
		}
		w = c->vm->host->ops->push(c->end, iov, k);
		c->vm->stats.writes++;
		if (w < 0) {
			c->deaf = true;
			continue;
		}
		if (w == 0)
			return (ssize_t)moved;
		vmbh_sock_consume(c->s, (size_t)w);
		c->vm->stats.bytes_out += (uint64_t)w;
		moved += (size_t)w;
		if (w < n)
			return (ssize_t)moved;
	}
	if (!c->guest_done && moved < QUANTUM && vmbh_sock_eof(c->s)) {
		c->guest_done = true;
		c->vm->host->ops->shut(c->end);
		if (over(c))
			return -1;
	}
	return (ssize_t)moved;
}

static ssize_t to_guest(struct conn *c)
{
	struct iovec iov[IOV];
	size_t moved = 0;
	unsigned int k, tries = 0;
	ssize_t n, got;

	poll_hold(c);
	while (!c->host_done && more(&moved, &tries)) {
		n = vmbh_sock_room(c->s, iov, IOV, &k, 0);
		if (n <= 0)
			return n < 0 ? -1 : (ssize_t)moved;
		got = c->vm->host->ops->pull(c->end, iov, k);
		c->vm->stats.reads++;
		if (got == -EAGAIN)
			break;
		if (got > 0) {
			vmbh_sock_produce(c->s, (size_t)got);
			c->vm->stats.bytes_in += (uint64_t)got;
			moved += (size_t)got;
			continue;
		}
		/* end of file; an error too: what came before was passed on */
		c->host_done = true;
		if (got < 0)
			c->deaf = true;
		vmbh_sock_shutdown(c->s);
		if (over(c))
			return -1;
	}
	return (ssize_t)moved;
}

static void on_turn(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, turn);

	vm_begin(vm);
	conn_run_ready(vm);
	vm_end(vm);
}

/* It has more to do, after the others. */
static void again(struct conn *c)
{
	struct vm *vm = c->vm;

	if (!c->ready) {
		c->ready = true;
		TAILQ_INSERT_TAIL(&vm->ready, c, ready_link);
		vm->nready++;
	}
	if (!vm->turn.ev)
		(void)ev_timer_start_at(vm->ev, &vm->turn, 0, on_turn);
}

static void run_to_host(struct conn *c)
{
	if (c->answered && c->s && c->end && to_host(c) >= (ssize_t)QUANTUM) {
		c->to_host = true;
		again(c);
	}
}

static void run_to_guest(struct conn *c)
{
	if (c->answered && c->s && c->end && to_guest(c) >= (ssize_t)QUANTUM) {
		c->to_guest = true;
		again(c);
	}
}

void conn_look(struct conn *c)
{
	if (c->vm->stopped)
		return; /* conn_resume() comes */
	run_to_host(c);
	if (c->s && c->end)
		run_to_guest(c);
}

void conn_resume(struct conn *c)
{
	if (!c->end) {
		conn_close(c);
		return;
	}
	if (over(c))
		return;
	c->to_host = c->to_guest = true;
	again(c);
}

void conn_run_ready(struct vm *vm)
{
	const struct vm_stats *st = &vm->stats;
	uint64_t before = st->bytes_in + st->bytes_out;

	/* those that come back are for the next turn, and so are the others
	 * when much was moved: the VMM waits for answers */
	for (unsigned int n = vm->nready; n && !TAILQ_EMPTY(&vm->ready); n--) {
		struct conn *c = TAILQ_FIRST(&vm->ready);
		bool host = c->to_host, guest = c->to_guest;

		if (vm->stopped ||
		    st->bytes_in + st->bytes_out - before > CONN_TURN)
			break;
		unready(c);
		c->to_host = c->to_guest = false;
		if (host)
			run_to_host(c);
		if (guest)
			run_to_guest(c);
	}
	if (!TAILQ_EMPTY(&vm->ready) && !vm->turn.ev && !vm->stopped)
		(void)ev_timer_start_at(vm->ev, &vm->turn, 0, on_turn);
}

/* ---- the bus tells */

void conn_connect(void *ctx, struct vmbh_sock *s, const GUID *service,
		  const GUID *endpoint)
{
	struct vm *vm = ctx;
	struct conn *c = conn_new(vm, s, NULL);

	if (!c) {
		vmbh_sock_refuse(s);
		return;
	}
	vmbh_sock_set_user(s, c);
	if (vm->host->ops->dial(vm->host, c, service, endpoint, &c->end) < 0) {
		c->end = NULL;
		vmbh_sock_refuse(s);
		conn_free(c);
	}
}

void conn_connected(void *ctx, struct vmbh_sock *s)
{
	struct conn *c = vmbh_sock_user(s);
	GUID service, peer;

	(void)ctx;
	c->answered = true;
	if (!vmbh_sock_from_host(s)) {
		conn_look(c); /* the end may have had news before */
		return;
	}
	vmbh_sock_guids(s, &service, &peer);
	c->vm->host->ops->answered(c->end, &peer);
}

void conn_readable(void *ctx, struct vmbh_sock *s)
{
	struct conn *c = vmbh_sock_user(s);

	(void)ctx;
	if (!c->vm->stopped)
		run_to_host(c);
}

void conn_writable(void *ctx, struct vmbh_sock *s)
{
	struct conn *c = vmbh_sock_user(s);

	(void)ctx;
	if (c->vm->stopped)
		return;
	/* FIN may have been what waited for room */
	if (c->answered && c->s && c->end && !over(c))
		run_to_guest(c);
}

void conn_gone(void *ctx, struct vmbh_sock *s, enum vmbh_gone why)
{
	struct conn *c = vmbh_sock_user(s);

	(void)ctx;
	if (!c)
		return;
	c->s = NULL;
	if (c->end && !c->answered && vmbh_sock_from_host(s) &&
	    why == VMBH_GONE_TIMEOUT)
		c->vm->host->ops->answered(c->end, NULL);
	else if (c->end)
		c->vm->host->ops->end(c->end);
	conn_free(c);
}

/* ---- the host's side tells. Each may change the bus. */

static uint32_t h_open(void *ctx, struct session *end, const GUID *service,
		       const GUID *source, void **ret_conn,
		       const char **ret_why)
{
	struct vm *vm = ctx;
	struct vmbh_sock *s;
	struct conn *c;
	int r;

	(void)source;
	if (vm->stopped) {
		*ret_why = "the guest is being saved";
		return HVS_REASON_PARTITION_OFF;
	}
	if (!guid_is_port(service, NULL)) {
		*ret_why = "a guest's hv_sock has services with port numbers "
			   "only";
		return HVS_REASON_NO_LISTENER;
	}
	c = conn_new(vm, NULL, end);
	if (!c)
		return HVS_REASON_BROKER_FAILED;
	vm_begin(vm);
	/* the end has a time limit of its own, which is to be the first */
	r = vmbh_sock_connect(vm->bus, service, c, 330000, &s);
	if (r < 0) {
		*ret_why = r == -ENETDOWN ? "the guest has no hv_sock running"
					  : "too many channels of this guest";
		c->end = NULL;
		conn_free(c);
		vm_end(vm);
		return r == -ENETDOWN ? HVS_REASON_PARTITION_OFF
				      : HVS_REASON_QUOTA;
	}
	c->s = s;
	*ret_conn = c;
	vm_end(vm);
	return HVS_REASON_NONE;
}

static void h_accept(void *ctx, void *conn)
{
	struct conn *c = conn;

	vm_begin(ctx);
	if (c->s)			/* its time may have run out just now */
		vmbh_sock_accept(c->s); /* conn_connected() follows */
	vm_end(ctx);
}

/* The end is gone. */
static void h_abort(void *ctx, void *conn)
{
	struct conn *c = conn;

	c->end = NULL;
	vm_begin(ctx);
	if (c->s) { /* else its time has run out just now */
		if (!c->answered && !vmbh_sock_from_host(c->s))
			vmbh_sock_refuse(c->s);
		else
			vmbh_sock_close(c->s);
		conn_free(c);
	}
	vm_end(ctx);
}

static void h_readable(void *ctx, void *conn)
{
	if (((struct vm *)ctx)->stopped)
		return;
	vm_begin(ctx);
	run_to_guest(conn);
	vm_end(ctx);
}

static void h_writable(void *ctx, void *conn)
{
	if (((struct vm *)ctx)->stopped)
		return;
	vm_begin(ctx);
	run_to_host(conn);
	vm_end(ctx);
}

/* Nobody reads what the guest sends any more: it is read and dropped until the
 * host's end has no more for the guest either. */
static void h_unread(void *ctx, void *conn)
{
	struct conn *c = conn;

	c->deaf = true;
	if (c->vm->stopped)
		return;
	vm_begin(ctx);
	if (c->answered && c->s && !over(c))
		run_to_host(c);
	vm_end(ctx);
}

const struct session_guest_ops conn_host_ops = {
	.open = h_open,
	.accept = h_accept,
	.abort = h_abort,
	.readable = h_readable,
	.writable = h_writable,
	.unread = h_unread,
	.unread_late = true,
	.control = integration_control,
	.leave = integration_leave,
	.given_up_max = 16, /* as many as may be asked for at a time */
};
