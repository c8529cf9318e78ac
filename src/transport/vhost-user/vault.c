/* SPDX-License-Identifier: MIT */
/* vault.c - see vault.h */
#include "transport/vhost-user/vault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/notify.h"
#include "transport/vhost-user/handover.h"

#define NAME "hvsocket-vault"
/* (its other end may be closed: that is no reason to give it up) */
#define STORE "FDSTORE=1\nFDNAME=" NAME "\nFDPOLL=0"
#define REMOVE "FDSTOREREMOVE=1\nFDNAME=" NAME

struct vault {
	int notify;
	int kept;	       /* from the predecessor; -1 */
	int in, out;	       /* the manager has out, too */
	unsigned int messages; /* in it */
};

int vault_new(struct vault **ret)
{
	struct vault *v;
	int pair[2], r = notify_open();

	if (r < 0)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v) {
		close(r);
		return -ENOMEM;
	}
	v->notify = r;
	v->in = v->out = -1;
	v->kept = notify_kept(NAME);
	r = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		vault_free(v);
		return r;
	}
	v->in = pair[0];
	v->out = pair[1];
	*ret = v;
	return 0;
}

struct vault *vault_free(struct vault *v)
{
	if (v) {
		const int fds[] = { v->notify, v->kept, v->in, v->out };

		for (unsigned int i = 0; i < 4; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		free(v);
	}
	return NULL;
}

int vault_take(struct vault *v, struct parcel *ret)
{
	return v->kept >= 0 ? parcel_recv(v->kept, ret) : -ENODATA;
}

void vault_ready(struct vault *v)
{
	/* the predecessor's is empty by now; ours takes its place */
	if (v->kept >= 0) {
		(void)notify_send(v->notify, REMOVE, -1);
		close(v->kept);
		v->kept = -1;
	}
	if (notify_send(v->notify, STORE, v->out) < 0 ||
	    notify_send(v->notify, "READY=1", -1) < 0)
		log_warn("the service manager cannot be told: %s",
			 strerror(errno));
}

static int put(struct vm *vm, bool whole)
{
	struct vault *v = vm->vault;
	unsigned int before = v->messages, now = 0;
	struct parcel p = { 0 };
	int r = handover_pack(vm, whole, &p);

	if (r == 0)
		r = parcel_send(v->in, &p, &now);
	v->messages = now;
	parcel_skip(v->out, before);
	parcel_fini(&p);
	return r;
}

void vault_update(struct vm *vm)
{
	int r;

	if (!vm->vault)
		return;
	r = put(vm, false);
	if (r < 0)
		log_limited(&vm->refused, LOG_WARN_,
			    "if this process is killed, the guest cannot be "
			    "served on: %s",
			    strerror(-r));
}

int vault_leave(struct vm *vm)
{
	int r;

	if (!vm->vault)
		return -ENOENT;
	link_settle(vm->link);
	r = put(vm, true);
	if (r < 0)
		log_warn("the connections cannot be kept for the next process: "
			 "%s",
			 strerror(-r));
	return r;
}
