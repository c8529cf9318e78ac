/* SPDX-License-Identifier: MIT */
/* pump.c - see pump.h */
#include "transport/vhost-user/pump.h"

#include <linux/virtio_vsock.h>

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
	}
	vsock_tx_end(p->v);
	for (int i = 0; i < n; i++)
		vring_return(q, p->heads[i], 0);
	if (vring_publish(q))
		vu_ring_call(p->d, VU_TX);
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
	while (n < PUMP_BATCH && PUMP_IOV - at >= VRING_IOV_MAX) {
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
	for (unsigned int i = 0; i < used; i++)
		vring_return(q, p->heads[i], (uint32_t)p->bufs[i].used);
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
	/* Busy: kicks stay off. Idle: on, and look whether one was missed. */
	if (vu_ring_live(p->d, VU_TX)) {
		if (tx == (int)PUMP_BATCH)
			more = true;
		else if (vsock_tx_ready(p->v))
			more |= vring_arm(&p->d->rings[VU_TX].q);
	}
	if (vu_ring_live(p->d, VU_RX) && vsock_rx_wanted(p->v)) {
		if (!starved)
			more = true;
		else
			more |= vring_arm(&p->d->rings[VU_RX].q);
	}
	return more;
}
