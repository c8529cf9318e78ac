/* SPDX-License-Identifier: MIT */
/* virtio.c - see virtio.h */
#include "hvvm/virtio.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/machine.h"
#include "hvvm/vhost-requests.h"
#include "hvvm/vhost-user.h"
#include "hvvm/virtio-kind.h"
#include "hvvm/virtio-mmio.h"

#define BEGIN_LIMIT_MS 10000 /* also else where the loop waits */
#define LATER_MS 20

struct ring {
	bool running;
	int kick, call;
};

struct virtio_device {
	struct machine *m;
	struct virtio_spec spec;
	pthread_mutex_t lock;
	struct virtio_mmio regs;
	struct vhost_user back;
	bool said; /* that it has gone */
	struct log_limit refused;
	uint32_t gsi;
	uint64_t base;
	struct ring rings[VIRTIO_QUEUES_MAX];
	struct ev_io gone;
	struct ev_timer changed;
	struct vhost_requests requests;
};

/* ---- the back end's end */

/* By any thread. The loop's closes the connection when it sees it end. */
static void check_back(struct virtio_device *d)
{
	char why[200];

	if (!d->back.error || d->said || d->back.error == -ECANCELED)
		return;
	d->said = true;
	d->regs.offered = 0; /* nothing that a driver could agree to */
	log_err("--vhost-user %s: the guest loses this device: %s",
		d->spec.option, vhost_user_why(&d->back, why, sizeof(why)));
	if (d->back.fd >= 0)
		(void)shutdown(d->back.fd, SHUT_RDWR);
}

static void on_gone(struct ev_io *io, uint32_t events)
{
	struct virtio_device *d = container_of(io, struct virtio_device, gone);

	(void)events;
	pthread_mutex_lock(&d->lock);
	ev_io_stop(&d->gone);
	ev_timer_stop(&d->changed);
	vhost_requests_stop(&d->requests);
	if (!d->back.error)
		d->back.error = -ECONNRESET;
	check_back(d);
	virtio_mmio_broken(&d->regs);
	vhost_user_close(&d->back);
	pthread_mutex_unlock(&d->lock);
}

/* Nobody waits for a back end when the machine is to end. */
static bool give_up(void *ctx)
{
	struct machine *m = ctx;
	int end = atomic_load(&m->end);

	return atomic_load(&m->stopping) &&
	       (end != END_RESET || m->o->no_reboot);
}

/* ---- rings */

static int notify_by_kvm(struct virtio_device *d, unsigned int i, bool on)
{
	struct kvm_ioeventfd io = {
		.datamatch = i,
		.addr = d->base + VIRTIO_MMIO_QUEUE_NOTIFY,
		.len = 4,
		.fd = d->rings[i].kick,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH |
			 (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return ioctl(d->m->fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

static int interrupt_by_kvm(struct virtio_device *d, unsigned int i, bool on)
{
	struct kvm_irqfd irq = {
		.fd = (uint32_t)d->rings[i].call,
		.gsi = d->gsi,
		.flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return ioctl(d->m->fd, KVM_IRQFD, &irq) < 0 ? -errno : 0;
}

static void stop_ring(struct virtio_device *d, unsigned int i)
{
	struct ring *r = &d->rings[i];

	if (!r->running)
		return;
	(void)notify_by_kvm(d, i, false);
	(void)vhost_user_stop_ring(&d->back, i);
	(void)interrupt_by_kvm(d, i, false);
	close(r->kick);
	close(r->call);
	r->running = false;
}

/* The addresses that the driver has given, as ours; false: not memory. */
static bool ring_addresses(const struct virtio_device *d, unsigned int i,
			   struct vhost_user_ring *ret)
{
	const struct virtio_queue *q = &d->regs.queues[i];
	const struct memory *m = &d->m->memory;
	const void *desc, *avail, *used;

	if (!q->num || q->num & (q->num - 1) || q->num > d->regs.num_max ||
	    q->desc % 16 || q->avail % 2 || q->used % 4)
		return false;
	desc = memory_at(m, q->desc, 16ull * q->num);
	avail = memory_at(m, q->avail, 6 + 2ull * q->num);
	used = memory_at(m, q->used, 6 + 8ull * q->num);
	if (!desc || !avail || !used)
		return false;
	*ret = (struct vhost_user_ring) {
		.num = q->num,
		.desc = (uintptr_t)desc,
		.avail = (uintptr_t)avail,
		.used = (uintptr_t)used,
	};
	return true;
}

static bool start_ring(struct virtio_device *d, unsigned int i)
{
	struct ring *r = &d->rings[i];
	struct vhost_user_ring ring;
	int err;

	if (!ring_addresses(d, i, &ring)) {
		log_limited(&d->refused, LOG_WARN_,
			    "--vhost-user %s: the guest's queue %u is not valid",
			    d->spec.option, i);
		return false;
	}
	r->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->kick < 0 || r->call < 0) {
		log_limited(&d->refused, LOG_ERR_, "--vhost-user %s: %s",
			    d->spec.option, strerror(errno));
		if (r->kick >= 0)
			close(r->kick);
		if (r->call >= 0)
			close(r->call);
		return false;
	}
	r->running = true;
	ring.kick = r->kick;
	ring.call = r->call;
	err = interrupt_by_kvm(d, i, true);
	if (err == 0)
		err = notify_by_kvm(d, i, true);
	if (err < 0) {
		log_limited(&d->refused, LOG_ERR_,
			    "--vhost-user %s: KVM refuses an eventfd: %s",
			    d->spec.option, strerror(-err));
		return false;
	}
	return vhost_user_start_ring(&d->back, i, &ring) == 0;
}

/* ---- what the registers want; the lock is held */

static void on_stop(void *ctx)
{
	struct virtio_device *d = ctx;

	for (unsigned int i = 0; i < d->regs.count; i++)
		stop_ring(d, i);
	check_back(d);
}

static bool on_start(void *ctx)
{
	struct virtio_device *d = ctx;
	uint64_t features = d->regs.accepted |
			    (d->back.features & 1ull << VHOST_USER_F_PROTOCOL);
	bool good = vhost_user_set_features(&d->back, features) == 0;

	for (unsigned int i = 0; i < d->regs.count && good; i++)
		if (d->regs.queues[i].ready)
			good = start_ring(d, i);
	if (!good)
		on_stop(d);
	return good;
}

static void on_notify(void *ctx, unsigned int queue)
{
	struct virtio_device *d = ctx;
	uint64_t one = 1;

	if (d->rings[queue].running)
		(void)!write(d->rings[queue].kick, &one, sizeof(one));
}

static void on_config(void *ctx, unsigned int at, const uint8_t *data,
		      unsigned int len)
{
	struct virtio_device *d = ctx;

	if (!virtio_spec_writable(&d->spec, d->regs.accepted, at, len))
		return;
	if (vhost_user_set_config(&d->back, at, data, len) == 0)
		memcpy(d->regs.config + at, data, len);
	check_back(d);
}

static void on_interrupt(void *ctx)
{
	struct virtio_device *d = ctx;

	machine_irq(d->m, d->gsi, 0, true);
	machine_irq(d->m, d->gsi, 0, false);
}

static const struct virtio_ops ops = {
	.start = on_start,
	.stop = on_stop,
	.notify = on_notify,
	.config = on_config,
	.interrupt = on_interrupt,
};

static void bus_reads(void *ctx, uint64_t at, void *data, unsigned int len)
{
	struct virtio_device *d = ctx;

	pthread_mutex_lock(&d->lock);
	virtio_mmio_read(&d->regs, at, data, len);
	pthread_mutex_unlock(&d->lock);
}

static void bus_writes(void *ctx, uint64_t at, const void *data,
		       unsigned int len)
{
	struct virtio_device *d = ctx;

	pthread_mutex_lock(&d->lock);
	virtio_mmio_write(&d->regs, at, data, len);
	pthread_mutex_unlock(&d->lock);
}

/* ---- its life */

static void on_changed(void *ctx);

static void on_later(struct ev_timer *t)
{
	on_changed(container_of(t, struct virtio_device, changed));
}

/* The loop's thread: the back end says that its configuration is another. */
static void on_changed(void *ctx)
{
	uint8_t config[VIRTIO_CONFIG_MAX] = { 0 };
	struct virtio_device *d = ctx;

	/* a processor waits for the back end, which may wait for us */
	if (pthread_mutex_trylock(&d->lock)) {
		(void)ev_timer_start(d->m->ev, &d->changed, LATER_MS, on_later);
		return;
	}
	d->back.limit_ms = BEGIN_LIMIT_MS;
	if (d->spec.kind->asks &&
	    vhost_user_get_config(&d->back, config, d->regs.config_len) == 0) {
		virtio_spec_config(&d->spec, d->regs.count, config);
		virtio_mmio_configure(&d->regs, config);
	}
	d->back.limit_ms = VHOST_USER_LIMIT_MS;
	check_back(d);
	pthread_mutex_unlock(&d->lock);
}

static int take_requests(struct virtio_device *d)
{
	cleanup_close_ int theirs = -1;
	int r;

	if (!(d->back.protocol & 1ull << VHOST_USER_BACKEND_REQ))
		return 0;
	r = vhost_requests_start(&d->requests, d->m->ev, on_changed, d,
				 &theirs);
	return r < 0 ? r : vhost_user_set_requests(&d->back, theirs);
}

/* What it is, as the registers will tell. Return: NULL, or what is wrong */
static const char *describe(struct virtio_device *d)
{
	const struct virtio_kind *kind = d->spec.kind;
	struct virtio_mmio *v = &d->regs;

	v->ops = &ops;
	v->ctx = d;
	v->device = kind->device;
	v->offered = virtio_spec_features(&d->spec, d->back.features);
	v->num_max = kind->num_max;
	v->config_len = kind->config_len;
	if (!(v->offered & 1ull << VIRTIO_F_MODERN))
		return "it is not a modern device (VIRTIO_F_VERSION_1)";
	if (kind->asks) {
		if (!(d->back.protocol & 1ull << VHOST_USER_CONFIG))
			return "it does not tell its configuration";
		(void)vhost_user_get_config(&d->back, v->config, v->config_len);
	}
	v->count = virtio_spec_queues(&d->spec, v->offered, v->config,
				      d->m->o->cpus);
	virtio_spec_config(&d->spec, v->count, v->config);
	if (d->back.queues && d->back.queues < v->count)
		return "it has too few queues";
	return NULL;
}

static int connect_back(struct virtio_device *d)
{
	const uint64_t protocol =
		1ull << VHOST_USER_MQ | 1ull << VHOST_USER_REPLY_ACK |
		1ull << VHOST_USER_BACKEND_REQ | 1ull << VHOST_USER_CONFIG;
	const char *wrong = NULL;
	char why[200];
	int r = vhost_user_open(d->spec.path, &d->back);

	if (r < 0) {
		log_err("--vhost-user %s: cannot connect: %s", d->spec.option,
			strerror(-r));
		return r;
	}
	/* nobody can be heard meanwhile, not even a signal */
	d->back.limit_ms = BEGIN_LIMIT_MS;
	r = vhost_user_begin(&d->back, protocol);
	if (r == 0)
		r = vhost_user_set_memory(&d->back, &d->m->memory);
	if (r == 0)
		wrong = describe(d);
	if (d->back.error)
		wrong = vhost_user_why(&d->back, why, sizeof(why));
	if (wrong) {
		log_err("--vhost-user %s: its back end cannot be used: %s",
			d->spec.option, wrong);
		return -EPROTO;
	}
	d->back.limit_ms = VHOST_USER_LIMIT_MS;
	d->back.give_up = give_up;
	d->back.ctx = d->m;
	return 0;
}

static int add(struct machine *m, const char *option, unsigned int n)
{
	struct virtio_device *d = &m->devices[n];
	const char *wrong = virtio_spec_parse(option, &d->spec);
	struct bus_device bus = {
		.base = MACHINE_VIRTIO_BASE + n * MACHINE_VIRTIO_LEN,
		.len = MACHINE_VIRTIO_LEN,
		.read = bus_reads,
		.write = bus_writes,
		.ctx = d,
	};
	int r;

	if (wrong) {
		log_err("--vhost-user %s: %s", option, wrong);
		return -EINVAL;
	}
	d->m = m;
	d->base = bus.base;
	d->gsi = MACHINE_VIRTIO_GSI + n;
	r = connect_back(d);
	if (r < 0)
		return r;
	m->virtio[n] = (struct acpi_virtio) {
		.base = d->base,
		.len = MACHINE_VIRTIO_LEN,
		.gsi = d->gsi,
	};
	r = take_requests(d);
	if (r == 0)
		r = bus_add(&m->mmio, &bus);
	if (r == 0)
		r = ev_io_start(m->ev, &d->gone, d->back.fd, EPOLLRDHUP,
				on_gone);
	if (r < 0)
		log_err("--vhost-user %s: %s", option, strerror(-r));
	return r;
}

int virtio_start(struct machine *m)
{
	unsigned int n = 0;
	int r = 0;

	while (m->o->vhost_user[n])
		n++;
	if (n > MACHINE_VIRTIO_MAX) {
		log_err("--vhost-user: more than %u devices",
			MACHINE_VIRTIO_MAX);
		return -E2BIG;
	}
	m->devices = calloc(n ? n : 1, sizeof(*m->devices));
	if (!m->devices) {
		log_err("--vhost-user: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < n && r == 0; i++) {
		m->devices[i].back.fd = -1;
		pthread_mutex_init(&m->devices[i].lock, NULL);
		m->virtio_count = i + 1;
		r = add(m, m->o->vhost_user[i], i);
	}
	return r;
}

void virtio_reset(struct machine *m)
{
	for (unsigned int i = 0; i < m->virtio_count; i++) {
		struct virtio_device *d = &m->devices[i];

		pthread_mutex_lock(&d->lock);
		virtio_mmio_reset(&d->regs);
		if (d->back.error)
			d->regs.device = 0;
		pthread_mutex_unlock(&d->lock);
	}
}

void virtio_stop(struct machine *m)
{
	for (unsigned int i = 0; i < m->virtio_count; i++) {
		struct virtio_device *d = &m->devices[i];

		d->said = true; /* there is nothing to say any more */
		ev_io_stop(&d->gone);
		ev_timer_stop(&d->changed);
		vhost_requests_stop(&d->requests);
		vhost_user_close(&d->back);
		virtio_mmio_reset(&d->regs);
	}
	m->virtio_count = 0;
	free(m->devices);
	m->devices = NULL;
}
