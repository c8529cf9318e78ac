/* SPDX-License-Identifier: MIT */
/* pump.c - see pump.h */
#include "transport/vhost-user/pump.h"

#include <linux/virtio_vsock.h>
#include <sys/param.h>

#define RX_BATCH_MIN 4u

void pump_tell(struct pump *p)
{
	p->untold_places = 0;
	p->untold_len = 0;
	if (vring_tell(&p->d->rings[VU_TX].q))
		vu_ring_call(p->d, VU_TX);
}

bool pump_owes(const struct pump *p)
{
	return vu_ring_live(p->d, VU_TX) &&
	       vring_untold(&p->d->rings[VU_TX].q);
}

/* Packets of the guest. Return: chains taken, or -errno */
static int pump_tx(struct pump *p)
{
	struct vqueue *q = &p->d->rings[VU_TX].q;
	struct vring_chain c;
	int r = 0, n = 0;

	while (n < (int)PUMP_BATCH && vsock_tx_ready(p->v)) {
		r = vring_take(q, &p->d->gmem, &c, p->iov);
		if (r <= 0)
			break;
		vsock_tx(p->v, p->iov, c.readable, c.readable_len);
		p->heads[n++] = c.head;
		p->untold_places += c.readable;
		p->untold_len += c.readable_len;
		p->moved += c.readable_len;
	}
	vsock_tx_end(p->v);
	for (int i = 0; i < n; i++)
		vring_return(q, p->heads[i], 0);
	vring_show(q);
	if (p->untold_places >= q->num / 2 || p->untold_len >= PUMP_UNTOLD_MAX)
		pump_tell(p);
	return r < 0 ? r : n;
}

/* Packets for the guest. Return: buffers used, or -errno; @ret_starved: it has
 * given us no more */
static int pump_rx(struct pump *p, bool *ret_starved)
{
	struct vqueue *q = &p->d->rings[VU_RX].q;
	unsigned int n = 0, at = 0, used;
	struct vring_chain c;
	int r = 1;

	*ret_starved = false;
	if (!p->rx_batch)
		p->rx_batch = RX_BATCH_MIN;
	while (n < p->rx_batch && PUMP_IOV - at >= VRING_IOV_MAX) {
		r = vring_take(q, &p->d->gmem, &c, p->iov + at);
		if (r <= 0)
			break;
		p->heads[n] = c.head;
		p->bufs[n++] = (struct vsock_buf) {
			.iov = p->iov + at + c.readable,
			.n = c.writable,
			.len = c.writable_len,
		};
		at += c.readable + c.writable;
	}
	if (r < 0)
		return r;
	used = vsock_rx(p->v, p->bufs, n);
	vring_untake(q, n - used);
	/* most often it is one packet, and then a lot of them */
	if (used == p->rx_batch)
		p->rx_batch = MIN(used * 4, PUMP_BATCH);
	else if (used < p->rx_batch / 4)
		p->rx_batch = MAX(p->rx_batch / 2, RX_BATCH_MIN);
	for (unsigned int i = 0; i < used; i++) {
		vring_return(q, p->heads[i], (uint32_t)p->bufs[i].used);
		p->moved += p->bufs[i].used;
	}
	if (vring_publish(q))
		vu_ring_call(p->d, VU_RX);
	*ret_starved = r == 0 && used == n;
	return (int)used;
}

static const uint8_t transport_reset[4] = {
	VIRTIO_VSOCK_EVENT_TRANSPORT_RESET
};

/* Return: 1: look again, 0, or -errno */
static int pump_event(struct pump *p)
{
	struct vqueue *q = &p->d->rings[VU_EVENT].q;
	struct vring_chain c;
	uint32_t len = 0;
	int r;

	r = vring_take(q, &p->d->gmem, &c, p->iov);
	if (r <= 0)
		return r < 0 ? r : vring_arm(q);
	if (vsock_iov_write(p->iov + c.readable, c.writable, transport_reset,
			    sizeof(transport_reset)) == 0)
		len = sizeof(transport_reset);
	vring_return(q, c.head, len);
	if (vring_publish(q))
		vu_ring_call(p->d, VU_EVENT);
	if (!len)
		return 1; /* the next one may have room */
	/* the guest ends what has come into being meanwhile, too */
	p->reset_wanted = false;
	vsock_reset(p->v);
	return 0;
}

int pump_run(struct pump *p, unsigned int *ret_ring)
{
	bool starved = false, more = false;
	int tx = 0, rx = 0, event;

	p->moved = 0;
	if (p->reset_wanted && vu_ring_live(p->d, VU_EVENT)) {
		event = pump_event(p);
		*ret_ring = VU_EVENT;
		if (event < 0)
			return event;
		more = event;
	}
	if (vu_ring_live(p->d, VU_RX))
		vring_disarm(&p->d->rings[VU_RX].q);
	if (vu_ring_live(p->d, VU_TX)) {
		vring_disarm(&p->d->rings[VU_TX].q);
		tx = pump_tx(p);
		*ret_ring = VU_TX;
		if (tx < 0)
			return tx;
	}
	if (vu_ring_live(p->d, VU_RX) && vsock_rx_wanted(p->v)) {
		rx = pump_rx(p, &starved);
		*ret_ring = VU_RX;
		if (rx < 0)
			return rx;
	}
	/* kicks stay off until pump_arm() */
	if (vu_ring_live(p->d, VU_TX) && tx == (int)PUMP_BATCH)
		more = true;
	if (vu_ring_live(p->d, VU_RX) && vsock_rx_wanted(p->v) && !starved)
		more = true;
	return more;
}

/* Is there something in the rings that are waited for? */
static bool look(struct pump *p, bool (*at)(struct vqueue *q))
{
	bool any = false;

	if (vu_ring_live(p->d, VU_TX) && vsock_tx_ready(p->v))
		any |= at(&p->d->rings[VU_TX].q);
	if (vu_ring_live(p->d, VU_RX) && vsock_rx_wanted(p->v))
		any |= at(&p->d->rings[VU_RX].q);
	return any;
}

bool pump_pending(struct pump *p)
{
	return look(p, vring_pending);
}

bool pump_arm(struct pump *p)
{
	if (p->untold_len >= PUMP_UNTOLD_LEN)
		pump_tell(p);
	return look(p, vring_arm);
}
