/* SPDX-License-Identifier: MIT */
/* handover.c - see handover.h */
#include "transport/vhost-user/handover.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "transport/vsock-device/save.h"

#define VERSION 3u
#define READY_MS 5000

/* ---- packing */

static void pack_front(const struct front *f, bool whole, struct parcel *p)
{
	struct pack *out = &p->out;
	/* of one that died in a message nobody knows what is true of it: then
	 * the journal says so, and the front-end is dropped */
	size_t got = whole ? f->ch.got : 0;
	int nfds = whole ? f->ch.nfds : 0;

	pack_u8(out, f->vm->front == f);
	pack_u8(out, f->spoke);
	pack_u8(out, f->waits);
	pack_u32(out, f->held.request);
	pack_u32(out, f->held.flags);
	pack_u32(out, f->held.size);
	pack_u8(out, f->has_protocol);
	pack_u64(out, f->protocol_features);
	parcel_put_fd(p, f->ch.fd);
	pack_u32(out, (uint32_t)got);
	pack_bytes(out, f->ch.buf, got);
	pack_u32(out, (uint32_t)nfds);
	for (int i = 0; i < nfds; i++)
		parcel_put_fd(p, f->ch.fds[i]);
}

static bool goes_along(const struct front *f, bool whole)
{
	return f->ch.fd >= 0 && !f->successor && (whole || f->vm->front == f);
}

static void pack_fronts(const struct vm *vm, bool whole, struct parcel *p)
{
	unsigned int n = 0;

	parcel_put_fd(p, vm->listener);
	for (int i = 0; i < VM_FRONTS; i++)
		n += goes_along(&vm->fronts[i], whole);
	pack_u32(&p->out, n);
	for (int i = 0; i < VM_FRONTS; i++)
		if (goes_along(&vm->fronts[i], whole))
			pack_front(&vm->fronts[i], whole, p);
}

int handover_pack(struct vm *vm, bool whole, struct parcel *p)
{
	struct pack *out = &p->out;
	size_t len = strlen(vm->config.partition);
	GUID vmid;

	pack_u32(out, VERSION);
	pack_u8(out, whole);
	pack_u64(out, vm->config.guest_cid);
	pack_u32(out, (uint32_t)len);
	pack_bytes(out, vm->config.partition, len);
	pack_fronts(vm, whole, p);
	vu_device_pack(&vm->device, p);
	pack_u8(out, vm->pump.reset_wanted);
	if (whole) {
		(void)link_pack(vm->link, p);
		sessions_pack(vm->sessions, p);
		vsock_save(vm->v, out, session_number);
	} else {
		vmid = link_vmid(vm->link);
		pack_guid(out, &vmid);
		parcel_put_fd(p, journal_fd(vm->journal));
	}
	return out->failed ? -ENOMEM : 0;
}

/* ---- unpacking */

static int unpack_front(struct vm *vm, struct front *f, struct parcel *p)
{
	struct unpack *in = &p->in;
	bool is_front = unpack_bool(in);
	const uint8_t *bytes;
	uint32_t n;

	f->number = ++vm->nfronts;
	f->spoke = unpack_bool(in);
	f->waits = unpack_bool(in);
	f->held.request = unpack_u32(in);
	f->held.flags = unpack_u32(in);
	f->held.size = unpack_u32_max(in, VU_PAYLOAD_MAX);
	f->has_protocol = unpack_bool(in);
	f->protocol_features = unpack_u64(in);
	vu_channel_init(&f->ch, parcel_take_fd(p));
	n = unpack_u32_max(in, sizeof(f->ch.buf));
	bytes = unpack_bytes(in, n);
	if (bytes) {
		memcpy(f->ch.buf, bytes, n);
		f->ch.got = n;
	}
	n = unpack_u32_max(in, VU_FDS_MAX);
	for (uint32_t i = 0; i < n; i++)
		f->ch.fds[f->ch.nfds++] = parcel_take_fd(p);
	if (f->ch.fd < 0 || in->failed || (is_front && vm->front) ||
	    (f->waits && f->ch.got < VU_HEADER + f->held.size))
		return -EPROTO;
	if (is_front)
		vm->front = f;
	return 0;
}

static int unpack_fronts(struct vm *vm, struct parcel *p)
{
	uint32_t n;
	int r = 0;

	vm->listener = parcel_take_fd(p);
	n = unpack_u32_max(&p->in, VM_FRONTS);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = unpack_front(vm, &vm->fronts[i], p);
	return r;
}

static void *join(void *ctx, uint32_t number, struct vsock_conn *c)
{
	struct vm *vm = ctx;
	struct session *s = session_join(vm->sessions, number, c);

	if (s)
		vm_journal_add(vm, c);
	return s;
}

static void on_lost_conn(void *ctx, uint32_t type, uint32_t peer_cid,
			 uint32_t guest_port, uint32_t host_port)
{
	struct vm *vm = ctx;

	vsock_lost(vm->v, (enum vsock_type)type, peer_cid, guest_port,
		   host_port);
}

/* Of one that died: its connections are to be reset. */
static int unpack_rest(struct vm *vm, struct parcel *p)
{
	GUID vmid = unpack_guid(&p->in);
	cleanup_close_ int fd = parcel_take_fd(p);
	bool busy = false;
	int r;

	if (p->in.failed || fd < 0)
		return -EPROTO;
	link_set_vmid(vm->link, &vmid);
	vm->died = true;
	r = journal_read(fd, &busy, on_lost_conn, vm);
	vm->died_busy = busy;
	vm->pump.reset_wanted = true;
	return r;
}

static int same_vm(struct vm *vm, struct unpack *in, const char **ret_why)
{
	uint64_t cid = unpack_u64(in);
	uint32_t len = unpack_u32_max(in, 255);
	const uint8_t *name = unpack_bytes(in, len);

	if (!name)
		return -EPROTO;
	*ret_why = "it serves another partition";
	if (len != strlen(vm->config.partition) ||
	    memcmp(name, vm->config.partition, len) != 0)
		return -EINVAL;
	*ret_why = "its guest has another CID";
	return cid == vm->config.guest_cid ? 0 : -EINVAL;
}

int handover_unpack(struct vm *vm, struct parcel *p, const char **ret_why)
{
	struct unpack *in = &p->in;
	bool whole;
	int r;

	*ret_why = "its state is of another version";
	if (unpack_u32(in) != VERSION)
		return -EPROTONOSUPPORT;
	whole = unpack_bool(in);
	*ret_why = "its state is malformed";
	r = same_vm(vm, in, ret_why);
	if (r < 0)
		return r;
	*ret_why = "its state is malformed";
	r = unpack_fronts(vm, p);
	if (r == 0)
		r = vu_device_unpack(&vm->device, p);
	vm->pump.reset_wanted = unpack_bool(in);
	if (r == 0 && !whole)
		r = unpack_rest(vm, p);
	if (r == 0 && whole)
		r = link_unpack(vm->link, p, &vm->link_came);
	if (r == 0 && whole)
		r = sessions_unpack(vm->sessions, p);
	if (r == 0 && whole)
		r = vsock_load(vm->v, in, join, vm);
	if (r == 0 && (in->failed || in->left))
		r = -EPROTO;
	return r;
}

void handover_resume(struct vm *vm)
{
	if (vm->link_came)
		link_resume(vm->link);
	sessions_resume(vm->sessions, vm->link_came);
	vu_device_resume(&vm->device, vm->died);
	vm_fronts_resume(vm);
	if (!vm->link_came)
		link_start(vm->link);
	vm_wake(vm);
}

/* ---- to the one that asks */

/* Only for whoever could do everything that this process can. */
static int may_have_it(const struct vm *vm, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (vm->vault)
		return -EBUSY; /* the service manager does that */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	return cred.uid == vm->uid || cred.uid == 0 ? 0 : -EPERM;
}

static int answer(int fd, uint64_t v, int parcel)
{
	uint8_t reply[VU_HEADER + 8];

	vu_reply_encode(VU_HAND_OVER, 8, reply);
	le64_put(reply + VU_HEADER, v);
	return fdmsg_send(fd, reply, sizeof(reply), &parcel, parcel >= 0,
			  MSG_DONTWAIT);
}

static int give(struct vm *vm, int fd)
{
	struct parcel p = { 0 };
	unsigned int messages;
	int pair[2], r = may_have_it(vm, fd);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	link_settle(vm->link);
	r = handover_pack(vm, true, &p);
	if (r == 0)
		r = parcel_send(pair[0], &p, &messages);
	if (r == 0)
		r = answer(fd, 0, pair[1]);
	parcel_fini(&p);
	close(pair[0]);
	close(pair[1]);
	return r;
}

void handover_serve(struct vm *vm, int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	const uint8_t go = HANDOVER_GO;
	uint8_t byte = 0;
	int r = give(vm, fd);

	if (r < 0) {
		(void)answer(fd, 1, -1);
		log_warn("nothing is handed over: %s", strerror(-r));
		return;
	}
	/* the guest waits meanwhile: two processes must not serve it */
	if (poll(&pfd, 1, READY_MS) == 1 && read(fd, &byte, 1) == 1 &&
	    byte == HANDOVER_READY &&
	    fdmsg_send(fd, &go, 1, NULL, 0, MSG_DONTWAIT) == 0) {
		log_info("handed over to the process that asked for it");
		/* nothing of it may be touched any more: not even closed in
		 * good order */
		_exit(0);
	}
	log_warn("the process that asked for everything did not take it: going "
		 "on");
}
