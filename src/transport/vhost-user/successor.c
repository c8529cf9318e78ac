/* SPDX-License-Identifier: MIT */
/* successor.c - the processes before and after this one, as main.c sees them */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "base/unix.h"
#include "transport/vhost-user/handover.h"
#include "transport/vhost-user/vault.h"

#define ANSWER_MS 10000
#define CONNECT_S 10u

/* Exactly @len bytes, and at most one descriptor. 0 or -errno */
static int receive(int sock, uint8_t *p, size_t len, int *ret_fd)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	struct fdmsg m;

	while (len) {
		int r = poll(&pfd, 1, ANSWER_MS);

		if (r <= 0)
			return r < 0 ? -errno : -ETIMEDOUT;
		r = fdmsg_recv(sock, p, len, MSG_DONTWAIT, &m);
		if (r < 0)
			return r;
		for (int i = 0; i < m.nfds; i++)
			if (ret_fd && *ret_fd < 0)
				*ret_fd = m.fds[i];
			else
				close(m.fds[i]);
		if (!m.len)
			return -ECONNRESET;
		p += m.len;
		len -= m.len;
	}
	return 0;
}

static int ask(int sock, int *ret_parcel)
{
	uint8_t m[VU_HEADER], reply[VU_HEADER + 8];
	int r;

	le32_put(m, VU_HAND_OVER);
	le32_put(m + 4, VU_FLAG_VERSION | VU_FLAG_NEED_REPLY);
	le32_put(m + 8, 0);
	r = fdmsg_send(sock, m, sizeof(m), NULL, 0, 0);
	if (r == 0)
		r = receive(sock, reply, sizeof(reply), ret_parcel);
	if (r < 0)
		return r;
	if (le32_get(reply) != VU_HAND_OVER || le32_get(reply + 8) != 8 ||
	    le64_get(reply + VU_HEADER) || *ret_parcel < 0)
		return -EPERM;
	return 0;
}

int vm_replace(struct vm *vm, const char *path, const char **ret_why)
{
	cleanup_close_ int sock = unix_connect(path, SOCK_STREAM, CONNECT_S);
	cleanup_close_ int box = -1;
	const uint8_t ready = HANDOVER_READY;
	struct parcel p = { 0 };
	uint8_t go;
	int r;

	if (sock == -ENOENT || sock == -ECONNREFUSED)
		return 0;
	*ret_why = "who listens there cannot be reached";
	if (sock < 0)
		return sock;
	*ret_why = "who listens there hands nothing over";
	r = ask(sock, &box);
	if (r == 0)
		r = parcel_recv(box, &p);
	if (r == 0)
		r = handover_unpack(vm, &p, ret_why);
	parcel_fini(&p);
	if (r < 0)
		return r;
	*ret_why = "the process before goes on after all";
	r = fdmsg_send(sock, &ready, 1, NULL, 0, 0);
	if (r == 0)
		r = receive(sock, &go, 1, NULL);
	if (r == 0 && go != HANDOVER_GO)
		r = -EPROTO;
	return r < 0 ? r : 1;
}

int vm_keep(struct vm *vm, const char **ret_why)
{
	struct parcel p = { 0 };
	int r;

	*ret_why = "what the service manager has kept is no state";
	r = vault_new(&vm->vault);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = journal_new(&vm->journal);
	if (r < 0) {
		*ret_why = "nothing can be kept for the next process";
		return r;
	}
	r = vault_take(vm->vault, &p);
	if (r == -ENODATA)
		return 0;
	if (r == 0)
		r = handover_unpack(vm, &p, ret_why);
	parcel_fini(&p);
	return r < 0 ? r : 1;
}

void vm_resume(struct vm *vm)
{
	log_info(vm->died ? "taken over from a process that died"
			  : "taken over, with %u connections",
		 vsock_conn_count(vm->v));
	handover_resume(vm);
}

bool vm_listens(const struct vm *vm)
{
	return vm->listener >= 0 || vm->front;
}

void vm_ready(struct vm *vm)
{
	if (!vm->vault)
		return;
	vault_update(vm);
	vault_ready(vm->vault);
}

bool vm_leave(struct vm *vm)
{
	return !vm->over && vault_leave(vm) == 0;
}
