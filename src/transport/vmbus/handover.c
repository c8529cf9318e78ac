/* SPDX-License-Identifier: MIT */
/*
 * handover.c - see handover.h
 *
 * The bytes:	"vmbu", u32 version, u32 connections, u32 doorbells,
 *		u64 length of the bus's state, that state,
 *		a record for each connection, u32 connection id of each
 *		doorbell;
 *		since version 2: u32 integration services offered, u32 flags (1:
 *		the guest's file systems are frozen, 2: they may be), u64 ns
 *		until they are to be thawed
 * The descriptors: one for each record, then one for each doorbell.
 *
 * A connection's number, from 1, is the tag of its vmbh_sock.
 */
#include "transport/vmbus/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "transport/state-file.h"
#include "transport/vmbus/conn.h"
#include "transport/vmbus/integration.h"

#define VERSION 2u
#define OLDEST 1u
#define SERVICES 16u
#define HEAD 24u
#define RECORD 80u
#define STATE_MAX (256u << 20)

#define FLAG_FROM_HOST 1u
#define FLAG_SHUT 2u
#define FLAG_GUEST_DONE 4u
#define FLAG_HOST_DONE 8u
#define FLAG_DEAF 16u

struct record {
	struct session_saved s;
	uint32_t flags;
	struct conn *conn; /* NULL: gone meanwhile */
};

struct handover {
	struct record *records;
	uint32_t count;
	uint32_t *doorbells; /* connection ids */
	uint32_t ndoorbells;
	int *fds; /* of SAVE, borrowed; in the order of TAKE */
};

void handover_free(struct vm *vm)
{
	struct handover *h = vm->handover;

	if (h) {
		free(h->records);
		free(h->doorbells);
		free(h->fds);
		free(h);
	}
	vm->handover = NULL;
}

void handover_forget(struct vm *vm, const struct conn *c)
{
	for (uint32_t i = 0; vm->handover && i < vm->handover->count; i++)
		if (vm->handover->records[i].conn == c)
			vm->handover->records[i].conn = NULL;
}

static int handover_new(struct vm *vm, uint32_t count, uint32_t ndoorbells)
{
	struct handover *h;

	handover_free(vm);
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	vm->handover = h;
	h->records = calloc(count + 1ul, sizeof(*h->records));
	h->doorbells = calloc(ndoorbells + 1ul, sizeof(*h->doorbells));
	h->fds = calloc((size_t)count + ndoorbells + 1, sizeof(*h->fds));
	if (!h->records || !h->doorbells || !h->fds) {
		handover_free(vm);
		return -ENOMEM;
	}
	return 0;
}

/* ---- SAVE */

/* Which connections go on, and what they are. */
static int collect(struct vm *vm)
{
	struct handover *h;
	uint32_t n = 0;
	struct conn *c;
	int r;

	for (unsigned int i = 0; i < VMBH_RELIDS; i++)
		n += vm->doorbells[i] != NULL;
	r = handover_new(vm, vm->nconns, n);
	if (r < 0)
		return r;
	h = vm->handover;
	TAILQ_FOREACH(c, &vm->conns, all)
	{
		struct record *rec = &h->records[h->count];
		int fd;

		if (!c->s)
			continue;
		vmbh_sock_set_tag(c->s, 0);
		if (!c->answered || !c->end)
			continue;
		fd = vm->host->ops->save(c->end, &rec->s);
		if (fd < 0)
			continue;
		rec->flags = (rec->s.from_host ? FLAG_FROM_HOST : 0) |
			     (rec->s.shut ? FLAG_SHUT : 0) |
			     (c->guest_done ? FLAG_GUEST_DONE : 0) |
			     (c->host_done ? FLAG_HOST_DONE : 0) |
			     (c->deaf ? FLAG_DEAF : 0);
		rec->conn = c;
		h->fds[h->count++] = fd;
		vmbh_sock_set_tag(c->s, h->count);
	}
	for (unsigned int i = 0; i < VMBH_RELIDS; i++) {
		if (!vm->doorbells[i])
			continue;
		h->doorbells[h->ndoorbells] = vm->doorbells[i]->connection;
		h->fds[h->count + h->ndoorbells++] = vm->doorbells[i]->io.fd;
	}
	return 0;
}

static void put_record(uint8_t *p, const struct record *r)
{
	le64_put(p, r->s.token);
	le64_put(p + 8, r->s.to_guest);
	le64_put(p + 16, r->s.from_guest);
	le32_put(p + 24, r->s.uid);
	le32_put(p + 28, r->flags);
	guid_put(p + 32, &r->s.service);
	guid_put(p + 48, &r->s.source);
	guid_put(p + 64, &r->s.partition);
}

static size_t state_size(const struct handover *h, size_t bus)
{
	return HEAD + bus + (size_t)h->count * RECORD +
	       (size_t)h->ndoorbells * 4 + SERVICES;
}

static void put_state(const struct vm *vm, uint8_t *p, size_t bus)
{
	const struct handover *h = vm->handover;

	memcpy(p, "vmbu", 4);
	le32_put(p + 4, VERSION);
	le32_put(p + 8, h->count);
	le32_put(p + 12, h->ndoorbells);
	le64_put(p + 16, bus);
	p += HEAD;
	(void)vmbh_save(vm->bus, p, bus);
	p += bus;
	for (uint32_t i = 0; i < h->count; i++, p += RECORD)
		put_record(p, &h->records[i]);
	for (uint32_t i = 0; i < h->ndoorbells; i++, p += 4)
		le32_put(p, h->doorbells[i]);
	integration_save(vm->integration, p);
}

int handover_save(struct vm *vm, bool descriptors, struct vmbu_reply *ret,
		  int *ret_fds, int *ret_nfds, const char **ret_why)
{
	cleanup_close_ int fd = -1;
	cleanup_free_ uint8_t *p = NULL;
	size_t bus, len;
	int r;

	if (vm->stopped) {
		*ret_why = "it is stopped already";
		return -EALREADY;
	}
	poll_release(vm);
	if (descriptors)
		vm->host->ops->pause(vm->host, true);
	r = collect(vm);
	if (r < 0)
		goto fail;
	if (!descriptors)
		vm->handover->count = vm->handover->ndoorbells = 0;
	bus = vmbh_save(vm->bus, NULL, 0);
	len = state_size(vm->handover, bus);
	r = -ENOMEM;
	p = malloc(len);
	if (!p)
		goto fail;
	put_state(vm, p, bus);
	r = state_file_write("vmbus-state", p, len, &fd);
	if (r < 0)
		goto fail;
	vm->stopped = true;
	vm->ahead = 0;
	vm->handed_over = descriptors;
	ret->u.save.length = len;
	ret->u.save.fds = vm->handover->count + vm->handover->ndoorbells;
	ret_fds[0] = fd_take(&fd);
	*ret_nfds = 1;
	return 0;
fail:
	handover_free(vm);
	if (descriptors)
		vm->host->ops->pause(vm->host, false);
	return r;
}

int handover_take(struct vm *vm, uint32_t first, struct vmbu_reply *ret,
		  int *ret_fds, int *ret_nfds)
{
	const struct handover *h = vm->handover;
	uint32_t n;

	if (!h || !vm->handed_over || first >= h->count + h->ndoorbells)
		return -ERANGE;
	n = h->count + h->ndoorbells - first;
	if (n > VMBU_FDS_MAX)
		n = VMBU_FDS_MAX;
	memcpy(ret_fds, h->fds + first, n * sizeof(*ret_fds));
	*ret_nfds = (int)n;
	ret->u.count = n;
	return 0;
}

/* ---- LOAD */

static void get_record(const uint8_t *p, struct record *r)
{
	r->s.token = le64_get(p);
	r->s.to_guest = le64_get(p + 8);
	r->s.from_guest = le64_get(p + 16);
	r->s.uid = le32_get(p + 24);
	r->flags = le32_get(p + 28);
	r->s.from_host = r->flags & FLAG_FROM_HOST;
	r->s.shut = r->flags & FLAG_SHUT;
	r->s.service = guid_get(p + 32);
	r->s.source = guid_get(p + 48);
	r->s.partition = guid_get(p + 64);
}

static void on_restored(void *ctx, struct vmbh_sock *s, uint64_t tag)
{
	struct vm *vm = ctx;
	struct handover *h = vm->handover;
	struct record *r;

	if (tag == 0 || tag > h->count || h->records[tag - 1].conn) {
		vmbh_sock_close(s);
		return;
	}
	r = &h->records[tag - 1];
	r->conn = conn_new(vm, s, NULL);
	if (!r->conn) {
		vmbh_sock_close(s);
		return;
	}
	r->conn->answered = true;
	r->conn->guest_done = r->flags & FLAG_GUEST_DONE;
	r->conn->host_done = r->flags & FLAG_HOST_DONE;
	r->conn->deaf = r->flags & FLAG_DEAF;
	vmbh_sock_set_user(s, r->conn);
}

static int load(struct vm *vm, const uint8_t *p, size_t len,
		const struct vmbu_request *q)
{
	uint32_t count, ndoorbells, version;
	uint64_t bus, rest, services;
	int r;

	if (len < HEAD || memcmp(p, "vmbu", 4) != 0)
		return -EINVAL;
	version = le32_get(p + 4);
	if (version < OLDEST || version > VERSION)
		return -EPROTONOSUPPORT;
	services = version < 2 ? 0 : SERVICES;
	count = le32_get(p + 8);
	ndoorbells = le32_get(p + 12);
	bus = le64_get(p + 16);
	if (count > VMBH_RELIDS || ndoorbells > VMBH_RELIDS || bus > len - HEAD)
		return -EINVAL;
	rest = (uint64_t)count * RECORD + (uint64_t)ndoorbells * 4;
	if (rest + services != len - HEAD - bus ||
	    q->u.load.fds != (q->u.load.handover ? count + ndoorbells : 0))
		return -EINVAL;
	r = handover_new(vm, count, ndoorbells);
	if (r < 0)
		return r;
	vm->handover->count = count;
	vm->handover->ndoorbells = ndoorbells;
	for (uint32_t i = 0; i < count; i++)
		get_record(p + HEAD + bus + (size_t)i * RECORD,
			   &vm->handover->records[i]);
	for (uint32_t i = 0; i < ndoorbells; i++)
		vm->handover->doorbells[i] =
			le32_get(p + HEAD + bus + (size_t)count * RECORD +
				 (size_t)i * 4);
	if (services)
		integration_load(vm->integration, p + HEAD + bus + rest);
	return vmbh_load(vm->bus, p + HEAD, bus, on_restored);
}

int handover_load(struct vm *vm, const struct vmbu_request *q, int fd,
		  const char **ret_why)
{
	uint64_t len = q->u.load.length;
	cleanup_free_ uint8_t *p = NULL;
	int r;

	*ret_why = "the guest has been heard already";
	if (vm->posted || vm->stopped)
		return -EINVAL;
	*ret_why = "not the state of a VMBus";
	r = state_file_read(fd, len, STATE_MAX, &p);
	if (r < 0)
		return r;
	vm->stopped = true;
	vm->ahead = 0;
	r = load(vm, p, len, q);
	if (r < 0) {
		vm->stopped = false;
		handover_free(vm);
	}
	return r;
}

/* ---- GIVE, RUN */

static void give(struct vm *vm, uint32_t i, struct fdmsg *m, uint32_t k)
{
	struct handover *h = vm->handover;

	if (i < h->count) {
		struct record *r = &h->records[i];

		if (r->conn && !r->conn->end &&
		    vm->host->ops->restore(vm->host, &r->s, m->fds[k], r->conn,
					   &r->conn->end) == 0)
			m->fds[k] = -1;
	} else if (vps_adopt(vm, h->doorbells[i - h->count], m->fds[k]) == 0) {
		m->fds[k] = -1;
	}
}

int handover_give(struct vm *vm, uint32_t first, struct fdmsg *m)
{
	struct handover *h = vm->handover;
	uint32_t n = (uint32_t)m->nfds;

	if (!h || !vm->stopped || vm->handed_over)
		return -EINVAL;
	if (first > h->count + h->ndoorbells ||
	    n > h->count + h->ndoorbells - first)
		return -ERANGE;
	for (uint32_t k = 0; k < n; k++)
		give(vm, first + k, m, k);
	return 0;
}

void handover_end(struct vm *vm)
{
	bool paused = vm->handed_over;

	vm->stopped = vm->handed_over = false;
	handover_free(vm);
	if (paused)
		vm->host->ops->pause(vm->host, false);
}

int handover_run(struct vm *vm)
{
	struct conn *c, *next;

	if (!vm->stopped)
		return -EALREADY;
	handover_end(vm);
	vm->posted = true;
	integration_resumed(vm->integration);
	vm_begin(vm);
	vps_run(vm);
	for (c = TAILQ_FIRST(&vm->conns); c; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->s && c->answered)
			conn_resume(c);
	}
	return 0;
}
