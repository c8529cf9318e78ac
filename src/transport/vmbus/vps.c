/* SPDX-License-Identifier: MIT */
/*
 * vps.c - the guest's processors: where messages and event flags are put, and
 * what rings
 *
 * The pages are the guest's memory, found anew whenever its registers or the
 * memory change. A processor's acknowledge descriptor is watched only while a
 * message waits for its slot: it is written at each interrupt of SINT 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "transport/vmbus/vm.h"

#define ENABLED 1ull
#define FRAME(msr) ((msr) & ~0xfffull)

static const uint64_t one = 1;

void vps_init(struct vm *vm)
{
	for (unsigned int i = 0; i < VPS_MAX; i++) {
		vm->vps[i].raise = vm->vps[i].acknowledge = -1;
		vm->vps[i].vm = vm;
	}
}

static void vp_close(struct vp *vp)
{
	ev_io_stop(&vp->ack_io);
	if (vp->raise >= 0)
		close(vp->raise);
	if (vp->acknowledge >= 0)
		close(vp->acknowledge);
	vp->raise = vp->acknowledge = -1;
}

static void doorbells_close(struct vm *vm)
{
	for (unsigned int i = 0; i < VMBH_RELIDS; i++) {
		struct doorbell *d = vm->doorbells[i];

		if (!d)
			continue;
		vm->doorbells[i] = NULL;
		ev_io_stop(&d->io);
		close(d->io.fd);
		ev_later(vm->ev, free, d);
	}
}

void vps_reset(struct vm *vm)
{
	for (unsigned int i = 0; i < VPS_MAX; i++) {
		struct vp *vp = &vm->vps[i];

		ev_io_stop(&vp->ack_io);
		vp->scontrol = vp->simp = vp->siefp = 0;
		vp->messages = vp->events = NULL;
	}
	doorbells_close(vm);
	memset(vm->missed, 0, sizeof(vm->missed));
}

void vps_fini(struct vm *vm)
{
	vps_reset(vm);
	for (unsigned int i = 0; i < VPS_MAX; i++)
		vp_close(&vm->vps[i]);
}

int vps_set(struct vm *vm, uint32_t vp, int raise, int acknowledge)
{
	if (vp >= VPS_MAX)
		return -ERANGE;
	/* what is not there, or has no room, must not be waited for */
	if (fcntl(raise, F_SETFL, fcntl(raise, F_GETFL) | O_NONBLOCK) < 0 ||
	    fcntl(acknowledge, F_SETFL,
		  fcntl(acknowledge, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	vp_close(&vm->vps[vp]);
	vm->vps[vp].raise = raise;
	vm->vps[vp].acknowledge = acknowledge;
	return 0;
}

static uint8_t *page(struct vm *vm, const struct vp *vp, uint64_t msr)
{
	struct iovec iov;

	if (!(vp->scontrol & ENABLED) || !(msr & ENABLED) ||
	    gmem_iov(&vm->gmem, FRAME(msr), VMBH_PAGE, &iov, 1) != 1)
		return NULL;
	return iov.iov_base;
}

static void find_pages(struct vm *vm, struct vp *vp)
{
	vp->messages = page(vm, vp, vp->simp);
	vp->events = page(vm, vp, vp->siefp);
}

int vps_synic(struct vm *vm, uint32_t i, uint64_t scontrol, uint64_t simp,
	      uint64_t siefp)
{
	struct vp *vp;

	if (i >= VPS_MAX || vm->vps[i].raise < 0)
		return -ENOENT;
	vp = &vm->vps[i];
	vp->scontrol = scontrol;
	vp->simp = simp;
	vp->siefp = siefp;
	find_pages(vm, vp);
	if (vp->messages)
		vmbh_slot_free(vm->bus, i);
	return 0;
}

void vps_remap(struct vm *vm)
{
	for (unsigned int i = 0; i < VPS_MAX; i++)
		find_pages(vm, &vm->vps[i]);
}

void vps_run(struct vm *vm)
{
	for (uint32_t relid = 0; relid < VMBH_RELIDS; relid++) {
		uint32_t vp = vm->missed[relid];

		vm->missed[relid] = 0;
		if (vp)
			vps_signal(vm, vp - 1, relid);
		if (vm->doorbells[relid])
			(void)vmbh_signal_event(
				vm->bus, vm->doorbells[relid]->connection, 0);
	}
	for (uint32_t i = 0; i < VPS_MAX; i++)
		if (vm->vps[i].messages)
			vmbh_slot_free(vm->bus, i);
}

static void written(struct vm *vm, uint64_t gpa)
{
	uint64_t n = gpa / VMBH_PAGE;

	if (vm->log && n / 8 < vm->log_size)
		(void)__atomic_fetch_or(vm->log + n / 8,
					(uint8_t)(1u << (n % 8)),
					__ATOMIC_RELAXED);
}

static void raise_sint(struct vm *vm, const struct vp *vp)
{
	vm->stats.doorbells_out++;
	(void)!write(vp->raise, &one, sizeof(one));
}

static void on_acknowledge(struct ev_io *io, uint32_t events)
{
	struct vp *vp = container_of(io, struct vp, ack_io);
	struct vm *vm = vp->vm;
	uint64_t n;

	(void)events;
	ev_io_stop(io);
	if (vm->stopped)
		return;
	(void)!read(vp->acknowledge, &n, sizeof(n));
	vm_begin(vm);
	vmbh_slot_free(vm->bus, (uint32_t)(vp - vm->vps));
	vm_end(vm);
}

int vps_post(struct vm *vm, uint32_t i, const void *message, size_t len)
{
	struct vp *vp;
	uint64_t n;
	int r;

	if (vm->stopped || i >= VPS_MAX || !vm->vps[i].messages)
		return -ENXIO;
	vp = &vm->vps[i];
	r = vmbh_slot_put(vp->messages, message, len);
	if (r == -EAGAIN && !vp->ack_io.ev) {
		/* what was acknowledged before now is past: once more */
		(void)!read(vp->acknowledge, &n, sizeof(n));
		if (ev_io_start(vm->ev, &vp->ack_io, vp->acknowledge, EPOLLIN,
				on_acknowledge) < 0)
			log_err("a processor cannot be waited for");
		r = vmbh_slot_put(vp->messages, message, len);
	}
	written(vm, FRAME(vp->simp));
	if (r == 0) {
		vm->stats.messages_out++;
		raise_sint(vm, vp);
	}
	return r;
}

void vps_signal(void *ctx, uint32_t i, uint32_t relid)
{
	struct vm *vm = ctx;

	if (i >= VPS_MAX || relid >= VMBH_RELIDS)
		return;
	if (vm->stopped) {
		vm->missed[relid] = i + 1;
		return;
	}
	if (!vm->vps[i].events)
		return;
	if (vmbh_event_set(vm->vps[i].events, relid))
		raise_sint(vm, &vm->vps[i]);
	written(vm, FRAME(vm->vps[i].siefp));
}

/* ---- the guest's doorbells */

static void on_doorbell(struct ev_io *io, uint32_t events)
{
	struct doorbell *d = container_of(io, struct doorbell, io);
	struct vm *vm = d->vm;

	(void)events;
	if (vm->stopped)
		return; /* see vps_run() */
	vm->stats.doorbells_in++;
	vm_begin(vm);
	(void)vmbh_signal_event(vm->bus, d->connection, 0);
	vm_end(vm);
}

int vps_adopt(struct vm *vm, uint32_t connection, int fd)
{
	uint32_t relid = connection - vmbh_connection_id(0);
	struct doorbell *d;
	int r;

	if (relid == 0 || relid >= VMBH_RELIDS || vm->doorbells[relid])
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->vm = vm;
	d->connection = connection;
	/* the counter is not read: each write is an edge */
	r = ev_io_start(vm->ev, &d->io, fd, EPOLLIN | EPOLLET, on_doorbell);
	if (r < 0) {
		free(d);
		return r;
	}
	vm->doorbells[relid] = d;
	return 0;
}

int vps_doorbell(struct vm *vm, uint32_t connection)
{
	uint32_t relid = connection - vmbh_connection_id(0);
	int fd;

	if (relid < VMBH_RELIDS && vm->doorbells[relid])
		return vm->doorbells[relid]->io.fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd >= 0 && vps_adopt(vm, connection, fd) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}
