/* SPDX-License-Identifier: MIT */
/* host.c - see host.h */
#include "transport/vsock/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "base/hash.h"
#include "base/log.h"
#include "transport/closer.h"
#include "transport/vsock/cids.h"
#include "transport/vsock/doors.h"
#include "transport/vsock/vm.h"
#include "transport/vsock/watch.h"

#define LIMIT_MS 5000u

struct known {
	GUID vmid;
	UT_hash_handle hh;
	struct vm *vm;
	bool wanted;
};

struct host {
	struct ev *ev;
	struct watch *watch;
	struct doors *doors;
	struct cids coming, cids; /* being told; in force */
	struct known *vms;
	bool told, late;
	struct ev_timer limit;
	struct log_limit log_limit;
};

/* ---- the VMs */

static void forget(struct host *h, struct known *k)
{
	HASH_DELETE(hh, h->vms, k);
	vm_free(k->vm);
	free(k);
}

static struct known *find(const struct host *h, const GUID *vmid)
{
	struct known *k;

	HASH_FIND(hh, h->vms, vmid, sizeof(*vmid), k);
	return k;
}

static void want(struct host *h, const struct cid_entry *e)
{
	struct known *k = find(h, &e->vmid);
	int r;

	if (k && vm_cid(k->vm) != e->cid) {
		/* another guest, whoever has the old one */
		forget(h, k);
		k = NULL;
	}
	if (k) {
		k->wanted = true;
		return;
	}
	k = calloc(1, sizeof(*k));
	r = k ? vm_new(h->ev, &e->vmid, e->cid, &k->vm) : -ENOMEM;
	if (r < 0) {
		log_limited(&h->log_limit, LOG_WARN_,
			    "CID %u cannot be served: %s", e->cid,
			    strerror(-r));
		free(k);
		return;
	}
	k->vmid = e->vmid;
	k->wanted = true;
	HASH_ADD(hh, h->vms, vmid, sizeof(k->vmid), k);
	if (!k->hh.tbl) {
		vm_free(k->vm);
		free(k);
	}
}

static void on_twice(void *ctx, uint32_t cid)
{
	struct host *h = ctx;

	log_limited(&h->log_limit, LOG_WARN_,
		    "CID %u is claimed by more than one partition: it is "
		    "nobody's until that is settled",
		    cid);
}

static void on_cids(void *ctx, const struct msg_cids *m)
{
	struct host *h = ctx;
	struct known *k, *next;
	int r = cids_take(&h->coming, m);

	if (r < 0)
		log_limited(&h->log_limit, LOG_WARN_,
			    "the list of CIDs cannot be taken: %s",
			    strerror(-r));
	if (r != 1)
		return;
	cids_settle(&h->coming, on_twice, h);
	cids_fini(&h->cids);
	h->cids = h->coming;
	h->coming = (struct cids) { .n = 0 };
	for (k = h->vms; k; k = k->hh.next)
		k->wanted = false;
	for (size_t i = 0; i < h->cids.n; i++)
		want(h, &h->cids.entry[i]);
	HASH_ITER (hh, h->vms, k, next) {
		if (!k->wanted)
			forget(h, k);
	}
	h->told = true;
}

static void on_services(void *ctx, const struct msg_services *m)
{
	doors_services(((struct host *)ctx)->doors, m);
}

static void on_dialled(void *ctx, int fd, uint32_t port, uint32_t cid,
		       uint32_t source)
{
	struct host *h = ctx;
	const struct cid_entry *e = cids_find(&h->cids, cid);
	struct known *k = e ? find(h, &e->vmid) : NULL;

	if (k) {
		vm_dialled(k->vm, fd, port, source);
		return;
	}
	log_limited(&h->log_limit, LOG_INFO_,
		    "CID %u dials port %u: it is no partition's", cid, port);
	closer_close_socket(fd);
}

static const struct watch_ops watch_ops = {
	.cids = on_cids,
	.services = on_services,
};

/* ---- life */

int host_new(struct ev *ev, struct host **ret, const char **ret_why)
{
	struct host *h = calloc(1, sizeof(*h));
	int r;

	*ret_why = "no memory";
	if (!h)
		return -ENOMEM;
	h->ev = ev;
	r = doors_new(ev, on_dialled, h, &h->doors);
	if (r == 0)
		r = watch_new(ev, &watch_ops, h, &h->watch, ret_why);
	if (r < 0) {
		host_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

struct host *host_free(struct host *h)
{
	struct known *k, *next;

	if (!h)
		return NULL;
	watch_free(h->watch);
	doors_free(h->doors);
	HASH_ITER (hh, h->vms, k, next) {
		forget(h, k);
	}
	cids_fini(&h->coming);
	cids_fini(&h->cids);
	ev_timer_stop(&h->limit);
	free(h);
	return NULL;
}

static void on_late(struct ev_timer *t)
{
	container_of(t, struct host, limit)->late = true;
}

int host_start(struct host *h)
{
	int r = ev_timer_start(h->ev, &h->limit, LIMIT_MS, on_late);

	if (r < 0)
		return r;
	watch_start(h->watch);
	while (r == 0 && !h->told && !h->late && !ev_quitting(h->ev) &&
	       !watch_failed(h->watch))
		r = ev_step(h->ev, -1);
	ev_timer_stop(&h->limit);
	if (ev_quitting(h->ev))
		return -EINTR;
	if (r < 0 || h->told)
		return r;
	return h->late ? -ETIMEDOUT : -ENETDOWN;
}

const char *host_error(const struct host *h)
{
	const char *why = watch_failed(h->watch);

	return why ? why : "";
}

const char *host_place(const struct host *h)
{
	return watch_place(h->watch);
}
