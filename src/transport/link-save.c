/* SPDX-License-Identifier: MIT */
/* link-save.c - the connection to the broker in another process: the broker
 * notices nothing */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "transport/link-internal.h"

void link_settle(struct link *l)
{
	rendezvous_take(&l->rendezvous);
	link_read(l);
}

bool link_pack(const struct link *l, struct parcel *p)
{
	bool whole = l->state == LINK_UP && !l->queued && !l->rendezvous.first;

	/* it makes the partition anew as the same, whatever else */
	pack_guid(&p->out, &l->vmid);
	pack_u8(&p->out, whole);
	if (!whole)
		return false;
	pack_u32(&p->out, l->serial);
	pack_u32(&p->out, l->flags);
	pack_u32(&p->out, (uint32_t)strlen(l->name));
	pack_bytes(&p->out, l->name, strlen(l->name));
	parcel_put_fd(p, l->fd);
	pack_u8(&p->out, (uint8_t)l->rendezvous.n);
	for (int i = 0; i < l->rendezvous.n; i++)
		parcel_put_fd(p, l->rendezvous.fds[i]);
	return true;
}

static int unpack_rendezvous(struct rendezvous *r, int n, struct parcel *p)
{
	if (unpack_u8(&p->in) != n)
		return -EPROTO;
	for (r->n = 0; r->n < n; r->n++) {
		int fd = parcel_take_fd(p);

		if (fd < 0)
			return -EPROTO;
		r->fds[r->n] = fd;
	}
	return 0;
}

int link_unpack(struct link *l, struct parcel *p, bool *ret_up)
{
	const uint8_t *name;
	uint32_t n;

	l->vmid = unpack_guid(&p->in);
	*ret_up = unpack_bool(&p->in);
	if (!*ret_up)
		return p->in.failed ? -EPROTO : 0;
	l->serial = unpack_u32(&p->in);
	l->flags = unpack_u32(&p->in);
	n = unpack_u32_max(&p->in, sizeof(l->name) - 1);
	name = unpack_bytes(&p->in, n);
	if (!name || !utf8_printable((const char *)name, n))
		return -EPROTO;
	memcpy(l->name, name, n);
	l->name[n] = '\0';
	l->fd = parcel_take_fd(p);
	if (p->in.failed || l->fd < 0)
		return -EPROTO;
	return unpack_rendezvous(&l->rendezvous, l->config.raw ? 2 : 1, p);
}

void link_set_vmid(struct link *l, const GUID *vmid)
{
	l->vmid = *vmid;
}

void link_resume(struct link *l)
{
	int r = ev_io_start(l->ev, &l->io, l->fd, EPOLLIN, link_on_io);

	if (r == 0)
		r = rendezvous_listen(&l->rendezvous, l->ev,
				      link_on_rendezvous);
	l->state = LINK_UP;
	if (r < 0)
		link_down(l, LINK_DOWN, "the broker cannot be waited for");
}
