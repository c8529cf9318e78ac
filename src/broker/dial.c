/* SPDX-License-Identifier: MIT */
/* dial.c - DIAL: a guest connects, to its parent or to a sibling */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/ready.h"
#include "broker/sibling.h"
#include "broker/transport.h"
#include "broker/verdict.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

/* The guest's end of a connection. Where the kernel can refuse it, nobody may
 * send descriptors to it: they would end in the transport. */
static int dial_socket(uint16_t type)
{
	static const int off;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off,
				 sizeof(off));
	return fd;
}

/* Whom the guest names by a CID. False: refused */
static bool dial_by_cid(struct client *c, const struct frame *f,
			struct msg_dial *m)
{
	struct broker *b = c->b;
	const struct partition *me, *to = NULL;
	const struct service *s;
	struct verdict v;

	broker_refresh(b);
	if (c->dead)
		return false; /* its partition went */
	verdict_init(&v);
	me = registry_partition(b->registry, &c->transport->partition);
	if (me)
		to = sibling_of_cid(&b->world, me, dial_cid(&m->vmid), &v);
	else
		refuse(&v, HVS_REASON_PARTITION_UNKNOWN,
		       "the caller's partition has been removed");
	if (to) {
		m->vmid = to->vmid;
		return true;
	}
	s = registry_service(b->registry, &m->service);
	broker_count(b, s ? &s->id : &m->service, &c->transport->partition,
		     NULL, v.reason);
	client_refuse_verdict(c, MSG_DIAL, f->h.serial, &v);
	return false;
}

void transport_dial(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	struct transport *t = c->transport;
	struct msg_dial m;
	struct attempt a;
	int fd;

	if (msg_dial_decode(f->p, f->len, &m) < 0 ||
	    (m.flags & ~(t->cids ? DIAL_CID : 0u)) ||
	    m.timeout_ms > HVSOCKET_CONNECT_TIMEOUT_MAX ||
	    (m.type != SOCK_STREAM && m.type != SOCK_SEQPACKET)) {
		client_refuse(c, MSG_DIAL, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, "DIAL is malformed");
		return;
	}
	if (!(t->types &
	      (m.type == SOCK_STREAM ? ATTACH_STREAM : ATTACH_RAW))) {
		client_refuse(c, MSG_DIAL, f->h.serial, EPROTONOSUPPORT,
			      HVS_REASON_TYPE,
			      "DIAL: this transport did not say that it carries that type");
		return;
	}
	if ((m.flags & DIAL_CID) && !dial_by_cid(c, f, &m))
		return;
	if (ready_wants(b, &m)) {
		ready_dial(c, f->h.serial, &m);
		return;
	}
	fd = dial_socket(m.type);
	if (fd < 0) {
		client_refuse(c, MSG_DIAL, f->h.serial, (uint32_t)errno,
			      HVS_REASON_BROKER_FAILED, strerror(errno));
		return;
	}
	a = (struct attempt){
		.b = b,
		.client = c,
		.request = MSG_DIAL,
		.serial = f->h.serial,
		.fd = fd,
		.type = (uint8_t)m.type,
		.partition = t->partition,
		.uid = NAME_UID_NONE,
		.dest = { .Family = AF_HYPERV,
			  .VmId = m.vmid,
			  .ServiceId = m.service },
		.source = m.source,
		.deadline_ns = attempt_deadline(m.timeout_ms),
		.token = broker_token(b),
	};
	attempt_start(&a);
}
