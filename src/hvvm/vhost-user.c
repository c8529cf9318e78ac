/* SPDX-License-Identifier: MIT */
/* vhost-user.c - see vhost-user.h */
#include "hvvm/vhost-user.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "base/unix.h"

#define HEADER 12u
#define PAYLOAD_MAX (12u + VHOST_USER_CONFIG_MAX)
#define CONFIG_HEAD 12u
#define REGION 32u

#define CONNECT_LIMIT_S 10 /* all that is sent later does not wait */

#define FLAG_VERSION 1u
#define FLAG_REPLY 4u
#define FLAG_NEED_REPLY 8u

enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SET_BACKEND_REQ_FD = 21,
	GET_CONFIG = 24,
	SET_CONFIG = 25,
};

static const char *const names[] = {
	[GET_FEATURES] = "GET_FEATURES",
	[SET_FEATURES] = "SET_FEATURES",
	[SET_OWNER] = "SET_OWNER",
	[SET_MEM_TABLE] = "SET_MEM_TABLE",
	[SET_VRING_NUM] = "SET_VRING_NUM",
	[SET_VRING_ADDR] = "SET_VRING_ADDR",
	[SET_VRING_BASE] = "SET_VRING_BASE",
	[GET_VRING_BASE] = "GET_VRING_BASE",
	[SET_VRING_KICK] = "SET_VRING_KICK",
	[SET_VRING_CALL] = "SET_VRING_CALL",
	[GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
	[SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
	[GET_QUEUE_NUM] = "GET_QUEUE_NUM",
	[SET_VRING_ENABLE] = "SET_VRING_ENABLE",
	[SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
	[GET_CONFIG] = "GET_CONFIG",
	[SET_CONFIG] = "SET_CONFIG",
};

/* A request, then what came back. */
struct exchange {
	uint32_t request, size; /* of the payload */
	uint8_t payload[PAYLOAD_MAX];
	int fds[2], nfds;
	uint32_t reply_min, reply_max; /* 0: it has no reply of its own */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

static int wait_for(struct vhost_user *v, short what, int64_t until)
{
	struct pollfd p = { .fd = v->fd, .events = what };

	for (;;) {
		int64_t left = until - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
		if (v->give_up && v->give_up(v->ctx))
			return -ECANCELED;
	}
}

static int send_all(struct vhost_user *v, const uint8_t *p, size_t len,
		    const int *fds, int nfds, int64_t until)
{
	int r;

	/* It is small: it fits as a whole, or the back end does not read. */
	for (;;) {
		r = fdmsg_send(v->fd, p, len, fds, nfds, MSG_DONTWAIT);
		if (r != -EAGAIN && r != -EINTR)
			return r;
		r = wait_for(v, POLLOUT, until);
		if (r < 0)
			return r;
	}
}

static int receive(struct vhost_user *v, uint8_t *p, size_t len, int64_t until)
{
	struct fdmsg m;
	size_t got = 0;
	int r;

	while (got < len) {
		r = fdmsg_recv(v->fd, p + got, len - got, MSG_DONTWAIT, &m);
		if (r == -EAGAIN || r == -EINTR) {
			r = wait_for(v, POLLIN, until);
			if (r < 0)
				return r;
			continue;
		}
		if (r < 0)
			return r;
		for (int i = 0; i < m.nfds; i++)
			close(m.fds[i]);
		if (m.nfds)
			return -EPROTO; /* no reply carries any */
		if (!m.len)
			return -ECONNRESET;
		got += m.len;
	}
	return 0;
}

/* The reply to @x; its payload and size go there. */
static int receive_reply(struct vhost_user *v, struct exchange *x, uint32_t min,
			 uint32_t max, int64_t until)
{
	uint8_t head[HEADER];
	uint32_t flags;
	int r = receive(v, head, sizeof(head), until);

	if (r < 0)
		return r;
	flags = le32_get(head + 4);
	x->size = le32_get(head + 8);
	if (le32_get(head) != x->request || (flags & 3) != FLAG_VERSION ||
	    !(flags & FLAG_REPLY))
		return -EPROTO;
	if (x->size < min || x->size > max)
		return -EBADMSG;
	return receive(v, x->payload, x->size, until);
}

static int converse(struct vhost_user *v, struct exchange *x)
{
	bool ack = !x->reply_max && v->protocol & 1ull << VHOST_USER_REPLY_ACK;
	int64_t until = now_ms() + v->limit_ms;
	uint8_t buf[HEADER + PAYLOAD_MAX];
	int r;

	le32_put(buf, x->request);
	le32_put(buf + 4, FLAG_VERSION | (ack ? FLAG_NEED_REPLY : 0));
	le32_put(buf + 8, x->size);
	memcpy(buf + HEADER, x->payload, x->size);
	r = send_all(v, buf, HEADER + x->size, x->fds, x->nfds, until);
	if (r < 0)
		return r;
	if (x->reply_max)
		return receive_reply(v, x, x->reply_min, x->reply_max, until);
	if (!ack)
		return 0;
	r = receive_reply(v, x, 8, 8, until);
	if (r < 0)
		return r;
	return le64_get(x->payload) ? -EREMOTEIO : 0;
}

static int ask(struct vhost_user *v, struct exchange *x)
{
	int r;

	if (v->error)
		return v->error;
	r = converse(v, x);
	if (r < 0) {
		v->error = r == -EPIPE ? -ECONNRESET : r;
		v->during = names[x->request];
	}
	return v->error;
}

static int get_u64(struct vhost_user *v, uint32_t request, uint64_t *ret)
{
	struct exchange x = { .request = request,
			      .reply_min = 8,
			      .reply_max = 8 };
	int r = ask(v, &x);

	if (r == 0)
		*ret = le64_get(x.payload);
	return r;
}

static int set_u64(struct vhost_user *v, uint32_t request, uint64_t value,
		   int fd)
{
	struct exchange x = {
		.request = request, .size = 8, .fds = { fd }, .nfds = fd >= 0
	};

	le64_put(x.payload, value);
	return ask(v, &x);
}

static int set_state(struct vhost_user *v, uint32_t request, uint32_t index,
		     uint32_t num)
{
	return set_u64(v, request, index | (uint64_t)num << 32, -1);
}

/* ---- what the owner calls */

int vhost_user_open(const char *path, struct vhost_user *v)
{
	*v = (struct vhost_user) { .limit_ms = VHOST_USER_LIMIT_MS };
	v->fd = unix_connect(path, SOCK_STREAM, CONNECT_LIMIT_S);
	return v->fd < 0 ? v->fd : 0;
}

void vhost_user_close(struct vhost_user *v)
{
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	if (!v->error)
		v->error = -ENOTCONN;
}

int vhost_user_begin(struct vhost_user *v, uint64_t protocol)
{
	struct exchange owner = { .request = SET_OWNER };
	uint64_t theirs;
	int r = get_u64(v, GET_FEATURES, &v->features);

	if (r == 0 && v->features & 1ull << VHOST_USER_F_PROTOCOL) {
		r = get_u64(v, GET_PROTOCOL_FEATURES, &theirs);
		if (r == 0)
			r = set_u64(v, SET_PROTOCOL_FEATURES, theirs & protocol,
				    -1);
		if (r == 0)
			v->protocol = theirs & protocol;
	}
	if (r == 0 && v->protocol & 1ull << VHOST_USER_MQ)
		r = get_u64(v, GET_QUEUE_NUM, &v->queues);
	return r < 0 ? r : ask(v, &owner);
}

int vhost_user_set_features(struct vhost_user *v, uint64_t features)
{
	return set_u64(v, SET_FEATURES, features, -1);
}

int vhost_user_set_memory(struct vhost_user *v, const struct memory *m)
{
	struct exchange x = { .request = SET_MEM_TABLE,
			      .size = 8 + m->count * REGION,
			      .nfds = (int)m->count };

	le32_put(x.payload, m->count);
	for (unsigned int i = 0; i < m->count; i++) {
		uint8_t *p = x.payload + 8 + i * REGION;

		le64_put(p, m->at[i].gpa);
		le64_put(p + 8, m->at[i].size);
		le64_put(p + 16, (uintptr_t)(m->map + m->at[i].offset));
		le64_put(p + 24, m->at[i].offset);
		x.fds[i] = m->fd;
	}
	return ask(v, &x);
}

int vhost_user_start_ring(struct vhost_user *v, unsigned int index,
			  const struct vhost_user_ring *r)
{
	struct exchange x = { .request = SET_VRING_ADDR, .size = 40 };

	le32_put(x.payload, index);
	le64_put(x.payload + 8, r->desc);
	le64_put(x.payload + 16, r->used);
	le64_put(x.payload + 24, r->avail);
	(void)set_state(v, SET_VRING_NUM, index, r->num);
	(void)set_state(v, SET_VRING_BASE, index, 0);
	(void)ask(v, &x);
	(void)set_u64(v, SET_VRING_CALL, index, r->call);
	(void)set_u64(v, SET_VRING_KICK, index, r->kick);
	/* without protocol features a ring runs from its kick on */
	if (v->features & 1ull << VHOST_USER_F_PROTOCOL)
		(void)set_state(v, SET_VRING_ENABLE, index, 1);
	return v->error;
}

int vhost_user_stop_ring(struct vhost_user *v, unsigned int index)
{
	struct exchange x = { .request = GET_VRING_BASE,
			      .size = 8,
			      .reply_min = 8,
			      .reply_max = 8 };

	le32_put(x.payload, index);
	return ask(v, &x);
}

int vhost_user_get_config(struct vhost_user *v, uint8_t *ret, uint32_t size)
{
	struct exchange x = { .request = GET_CONFIG,
			      .size = CONFIG_HEAD + size,
			      .reply_min = CONFIG_HEAD + size,
			      .reply_max = CONFIG_HEAD + size };
	int r;

	le32_put(x.payload + 4, size);
	r = ask(v, &x);
	if (r == 0)
		memcpy(ret, x.payload + CONFIG_HEAD, size);
	return r;
}

int vhost_user_set_config(struct vhost_user *v, uint32_t at,
			  const uint8_t *data, uint32_t size)
{
	struct exchange x = { .request = SET_CONFIG,
			      .size = CONFIG_HEAD + size };

	le32_put(x.payload, at);
	le32_put(x.payload + 4, size);
	memcpy(x.payload + CONFIG_HEAD, data, size);
	return ask(v, &x);
}

int vhost_user_set_requests(struct vhost_user *v, int fd)
{
	struct exchange x = { .request = SET_BACKEND_REQ_FD,
			      .fds = { fd },
			      .nfds = 1 };

	return ask(v, &x);
}

const char *vhost_user_why(const struct vhost_user *v, char *out, size_t size)
{
	const char *what;

	switch (v->error) {
	case -ECONNRESET:
		what = "it has gone";
		break;
	case -ETIMEDOUT:
		what = "it does not answer";
		break;
	case -EPROTO:
		what = "its reply is none";
		break;
	case -EBADMSG:
		what = "its reply has a wrong size";
		break;
	case -EREMOTEIO:
		what = "it refuses";
		break;
	default:
		what = strerror(-v->error);
		break;
	}
	if (v->during)
		snprintf(out, size, "%s: %s", v->during, what);
	else
		snprintf(out, size, "%s", what);
	return out;
}
