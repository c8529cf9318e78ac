/* SPDX-License-Identifier: MIT */
/* attach.c - ATTACH: a client becomes the transport of a partition */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/utf8.h"
#include "broker/transport.h"

bool may_attach(const struct client *c, const struct partition *p)
{
	return client_may_change(c) || (p->has_user && p->user == c->uid);
}

/* The partition that is meant; one that no file names is made. */
static const struct partition *attach_partition(struct client *c,
						const struct msg_attach *m,
						bool *ret_made,
						struct verdict *v)
{
	struct broker *b = c->b;
	char name[256], why[REGISTRY_WHY];
	const struct partition *p = NULL;
	struct partition_draft d = { .kind = "vm" };
	bool by_id = !guid_is_zero(&m->vmid);
	int r;

	*ret_made = false;
	if (m->name_len >= sizeof(name) ||
	    (m->name_len && memchr(m->name, '\0', m->name_len)) ||
	    !utf8_printable(m->name, m->name_len) ||
	    (!m->name_len && !by_id)) {
		refuse(v, HVS_REASON_BAD_REQUEST,
		       "ATTACH: the partition's name is no name");
		return NULL;
	}
	if (m->name_len)
		memcpy(name, m->name, m->name_len);
	name[m->name_len] = '\0';
	if (by_id)
		p = registry_partition(b->registry, &m->vmid);
	else
		p = registry_partition_by_name(b->registry, name);
	if (p && p->kind == PARTITION_HOST) {
		refuse(v, HVS_REASON_NOT_PERMITTED,
		       "the host partition cannot be attached");
		return NULL;
	}
	if (p) {
		if (may_attach(c, p))
			return p;
		refuse(v, HVS_REASON_NOT_PERMITTED,
		       "uid %u may not attach partition \"%s\"", c->uid,
		       p->name);
		return NULL;
	}
	if (!name[0]) {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "no partition has that VmId");
		return NULL;
	}
	if (!client_may_change(c)) {
		refuse(v, HVS_REASON_NOT_PERMITTED,
		       "partition \"%s\" does not exist, and uid %u may not make it",
		       name, c->uid);
		return NULL;
	}
	d.name = name;
	d.id = by_id ? &m->vmid : NULL;
	r = registry_add_partition(b->registry, &d, &p, why, sizeof(why));
	if (r < 0) {
		refuse(v, r == -EEXIST ? HVS_REASON_EXISTS :
					 HVS_REASON_BAD_REQUEST,
		       "%s", why);
		return NULL;
	}
	*ret_made = true;
	return p;
}

/* Binds one rendezvous socket, unless an earlier broker did. */
static int bind_rendezvous(struct broker *b, int fd, uint8_t type,
			   const GUID *partition, const char **ret_why)
{
	struct rendezvous_name n = { .type = type, .partition = *partition };
	struct sock_info info;
	struct sockaddr_un sa;
	socklen_t len = rendezvous_name_encode(&n, &sa);
	int err = sock_inspect(fd, &info, ret_why);

	if (err)
		return err;
	*ret_why = "ATTACH: a rendezvous socket is of the wrong type, or bound to something else";
	if (info.type != type)
		return EINVAL;
	if (info.name.kind == NAME_RENDEZVOUS)
		return guid_equal(&info.name.rendezvous.partition, partition) ?
			       0 :
			       EINVAL;
	if (info.name.kind != NAME_NONE || sock_connected(fd))
		return EINVAL;
	guard_arm(&b->guard);
	(void)unlink(sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
		*ret_why = "ATTACH: a rendezvous socket cannot be bound";
		return errno;
	}
	return 0;
}

static int attach_sockets(struct client *c, struct frame *f, uint16_t types,
			  const GUID *partition, const char **ret_why)
{
	int err = 0, i = 0;

	if (types & ATTACH_STREAM)
		err = bind_rendezvous(c->b, f->fds[i++], SOCK_STREAM, partition,
				      ret_why);
	if (!err && (types & ATTACH_RAW))
		err = bind_rendezvous(c->b, f->fds[i], SOCK_SEQPACKET,
				      partition, ret_why);
	return err;
}

void request_attach(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	const struct partition *p;
	struct transport *t;
	struct msg_attach m;
	struct verdict v;
	const char *why = "ATTACH is malformed";
	MSG_BUF(reply, 512);
	bool made;
	GUID vmid;
	int err;

	verdict_init(&v);
	if (msg_attach_decode(f->p, f->len, &m) < 0 ||
	    (m.flags & ~(ATTACH_STALLS | ATTACH_SERVICES |
			 ATTACH_PARTITIONS | ATTACH_NATIVE | ATTACH_CIDS |
			 ATTACH_CONTROL)) ||
	    ((m.flags & ATTACH_CIDS) && !(m.flags & ATTACH_PARTITIONS)) ||
	    ((m.flags & ATTACH_NATIVE) && m.kind != TRANSPORT_VSOCK) ||
	    m.kind < TRANSPORT_VHOST_USER || m.kind > TRANSPORT_UPLINK ||
	    !m.types || (m.types & ~(ATTACH_STREAM | ATTACH_RAW)) ||
	    f->nfds != __builtin_popcount(m.types)) {
		client_refuse(c, MSG_ATTACH, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, why);
		return;
	}
	if (!guid_is_zero(&c->door->partition)) {
		client_refuse(c, MSG_ATTACH, f->h.serial, EPERM,
			      HVS_REASON_NOT_PERMITTED,
			      "transports attach from the host partition");
		return;
	}
	broker_refresh(b);
	p = attach_partition(c, &m, &made, &v);
	if (!p) {
		client_refuse_verdict(c, MSG_ATTACH, f->h.serial, &v);
		return;
	}
	if (transport_find(b, &p->vmid)) {
		client_refuse(c, MSG_ATTACH, f->h.serial, EBUSY,
			      HVS_REASON_EXISTS,
			      "another transport has attached this partition");
		return;
	}
	vmid = p->vmid;
	if (made)
		broker_changed(b);
	p = registry_partition(b->registry, &vmid);
	if (!p || c->dead)
		return; /* a file has masked it meanwhile */
	err = attach_sockets(c, f, m.types, &vmid, &why);
	t = err ? NULL : calloc(1, sizeof(*t));
	if (!t) {
		client_refuse(c, MSG_ATTACH, f->h.serial,
			      err ? (uint32_t)err : ENOMEM,
			      HVS_REASON_BAD_REQUEST, err ? why : "no memory");
		if (made)
			transport_unmake_partition(b, &vmid);
		return;
	}
	t->partition = p->vmid;
	t->client = c;
	t->kind = m.kind;
	t->types = m.types;
	t->stalls = m.flags & ATTACH_STALLS;
	t->controls = m.flags & ATTACH_CONTROL;
	t->partitions = m.flags & ATTACH_PARTITIONS;
	t->made_partition = made;
	t->native = m.flags & ATTACH_NATIVE;
	t->cids = m.flags & ATTACH_CIDS;
	t->services.entry = sizeof(GUID);
	if (m.flags & ATTACH_SERVICES)
		t->services.type = MSG_SERVICES;
	c->transport = t;
	HASH_ADD(hh, b->transports, partition, sizeof(t->partition), t);
	log_info("partition \"%s\" attached (%s, pid %d)", p->name,
		 transport_kind_name(t->kind), c->pid);
	msg_begin_reply(&reply, MSG_ATTACH, f->h.serial, 0, 0, 0);
	msg_put_guid(&reply, &p->vmid);
	msg_put_bytes(&reply, p->name, strnlen(p->name, 255));
	client_send(c, &reply, NULL, 0);
	transport_tell_services(b, t);
}
