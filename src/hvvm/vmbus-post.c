/* SPDX-License-Identifier: MIT */
/*
 * vmbus-post.c - what processors ask of the back-end: messages, doorbells
 *
 * A processor waits for the back-end only where its answer is the guest's.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "hvvm/vcpu.h"
#include "hvvm/vmbus-internal.h"

#define RESULT_SUCCESS 0u
#define RESULT_INSUFFICIENT_BUFFERS 19u

/* ---- doorbells */

static int doorbell(struct vmbus *b, uint32_t connection, int fd, bool remove)
{
	struct kvm_hyperv_eventfd e = {
		.conn_id = connection,
		.fd = fd,
		.flags = remove ? KVM_HYPERV_EVENTFD_DEASSIGN : 0,
	};

	return ioctl(b->m->fd, KVM_HYPERV_EVENTFD, &e) < 0 ? -errno : 0;
}

/* @fd is ours from now on. Without it the guest's signals come here: slower. */
static void doorbell_add(struct vmbus *b, uint32_t connection, int fd)
{
	struct doorbell *more;
	size_t room;

	if (b->ringing == b->room) {
		room = b->room ? b->room * 2 : 64;
		more = realloc(b->doorbells, room * sizeof(*more));
		if (!more) {
			close(fd);
			return;
		}
		b->doorbells = more;
		b->room = room;
	}
	if (doorbell(b, connection, fd, false) < 0) {
		close(fd);
		return;
	}
	b->doorbells[b->ringing++] = (struct doorbell) { connection, fd };
}

void vmbus_doorbells_drop(struct vmbus *b, bool vm_is_gone)
{
	for (size_t i = 0; i < b->ringing; i++) {
		if (!vm_is_gone)
			(void)doorbell(b, b->doorbells[i].connection, -1, true);
		close(b->doorbells[i].fd);
	}
	b->ringing = 0;
}

/* ---- messages */

void vmbus_synic(struct vmbus *b, struct vcpu *v)
{
	pthread_mutex_lock(&b->lock);
	if (!b->lost)
		(void)vmbus_say_synic(b, v);
	pthread_mutex_unlock(&b->lock);
}

/* Most messages want an answer from VMBus, not from the hypercall: the guest
 * goes on as soon as the back-end is sure to have it. Locked. */
static uint16_t post(struct vmbus *b, struct vmbu_request *r)
{
	struct vmbu_reply reply;

	if (b->ahead && r->u.post.connection == b->ahead_connection &&
	    r->u.post.size <= VMBU_PAYLOAD_MAX) {
		b->ahead--;
		r->type = VMBU_POST_AHEAD;
		return vmbus_link_tell(&b->link, r) == 0
			       ? RESULT_SUCCESS
			       : RESULT_INSUFFICIENT_BUFFERS;
	}
	b->ahead = 0;
	if (vmbus_link_ask(&b->link, r, NULL, 0, &reply) < 0)
		return RESULT_INSUFFICIENT_BUFFERS;
	if (b->link.features & VMBU_FEATURE_AHEAD)
		b->ahead = reply.u.result.ahead;
	b->ahead_connection = r->u.post.connection;
	return (uint16_t)reply.u.result.status;
}

uint16_t vmbus_post(struct vmbus *b, struct vcpu *v, const uint8_t *input)
{
	struct vmbu_request r = { .type = VMBU_POST };
	uint16_t result = RESULT_INSUFFICIENT_BUFFERS;

	r.u.post.vp = v->index;
	r.u.post.connection = le32_get(input) & 0xffffff;
	r.u.post.type = le32_get(input + 8);
	r.u.post.size = le32_get(input + 12);
	r.u.post.len = r.u.post.size < VMBU_PAYLOAD_MAX ? r.u.post.size
							: VMBU_PAYLOAD_MAX;
	memcpy(r.u.post.payload, input + 16, r.u.post.len);
	pthread_mutex_lock(&b->lock);
	if (!b->lost)
		result = post(b, &r);
	pthread_mutex_unlock(&b->lock);
	return result;
}

uint16_t vmbus_signal(struct vmbus *b, struct vcpu *v, uint32_t connection,
		      uint16_t flag)
{
	struct vmbu_request r = { .type = VMBU_SIGNAL };
	struct vmbu_reply reply;
	uint16_t result = RESULT_SUCCESS;

	r.u.signal.vp = v->index;
	r.u.signal.connection = connection;
	r.u.signal.flag = flag;
	pthread_mutex_lock(&b->lock);
	if (!b->lost && vmbus_link_ask(&b->link, &r, NULL, 0, &reply) == 0) {
		result = (uint16_t)reply.u.result.status;
		if (b->link.in.nfds == 1)
			doorbell_add(b, connection, b->link.in.fds[0]);
	}
	pthread_mutex_unlock(&b->lock);
	return result;
}
