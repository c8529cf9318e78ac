/* SPDX-License-Identifier: MIT */
/*
 * client.c - one control connection: who it is, its frames, its end
 *
 * Who is calling is what the kernel says: the door it came in by, and
 * SO_PEERCRED and SO_PEERGROUPS. A few frames are handled per turn, so that
 * nobody is served much more than another.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/dgram.h"
#include "broker/offload.h"
#include "broker/ready.h"
#include "broker/transport.h"
#include "broker/uplink.h"

#define FRAMES_PER_TURN 16

int frame_take_fd(struct frame *f, int i)
{
	int fd = f->fds[i];

	f->fds[i] = -1;
	return fd;
}

struct caller client_caller(const struct client *c)
{
	return (struct caller){
		.partition = c->door->partition,
		.uid = c->uid,
		.gid = c->gid,
		.groups = c->groups,
		.ngroups = c->ngroups,
		.profile = c->profile,
	};
}

bool client_may_change(const struct client *c)
{
	const struct broker *b = c->b;

	if (!guid_is_zero(&c->door->partition))
		return false;
	if (c->uid == 0 || c->uid == b->world.broker_uid)
		return true;
	if (b->admin_gid == UINT32_MAX)
		return false;
	for (size_t i = 0; i < c->ngroups; i++)
		if (c->groups[i] == b->admin_gid)
			return true;
	return c->gid == b->admin_gid;
}

/* ---- Sending --------------------------------------------------------------*/

/*
 * Whoever sends may be in the middle of something that belongs to this client
 * (an attempt, a transport's connections): it ends when the batch is over.
 */
static void drop_broken(void *p)
{
	client_drop(p);
}

void client_drop_soon(struct client *c)
{
	c->broken = true;
	ev_later(c->b->ev, drop_broken, c);
}

static void send_frame(struct client *c, const struct msg_buf *m,
		       const int *fds, int nfds, bool wait)
{
	int r;

	if (c->dead || c->broken)
		return;
	r = m->overflow ? -EMSGSIZE : client_out(c, m, fds, nfds, wait);
	if (r == 0)
		return;
	if (r == -EAGAIN)
		log_limited(&c->b->client_log, LOG_WARN_,
			    "pid %d (uid %u) does not read its replies: dropped",
			    c->pid, c->uid);
	client_drop_soon(c);
}

void client_send(struct client *c, const struct msg_buf *m, const int *fds,
		 int nfds)
{
	send_frame(c, m, fds, nfds,
		   c->relay ||
			   (c->transport && uplink_is_relay(c->transport)));
}

void client_send_kept(struct client *c, const struct msg_buf *m)
{
	send_frame(c, m, NULL, 0, true);
}

void client_refuse(struct client *c, uint16_t type, uint32_t serial,
		   uint32_t error, uint32_t reason, const char *text)
{
	MSG_BUF(m, MSG_REPLY_HEADER + MSG_TEXT_MAX);
	size_t n = strlen(text);

	msg_begin_reply(&m, type, serial, 0, error, reason);
	msg_put_bytes(&m, text, n > MSG_TEXT_MAX ? MSG_TEXT_MAX : n);
	client_send(c, &m, NULL, 0);
}

void client_refuse_verdict(struct client *c, uint16_t type, uint32_t serial,
			   const struct verdict *v)
{
	client_refuse(c, type, serial, (uint32_t)v->error, v->reason, v->text);
}

void client_reply_empty(struct client *c, uint16_t type, uint32_t serial)
{
	MSG_BUF(m, MSG_REPLY_HEADER);

	msg_begin_reply(&m, type, serial, 0, 0, 0);
	client_send(c, &m, NULL, 0);
}

/* ---- Frames ---------------------------------------------------------------*/

static void request_hello(struct client *c, struct frame *f)
{
	MSG_BUF(m, 512);
	struct broker *b = c->b;
	const struct partition *p;
	struct msg_hello h;

	if (msg_hello_decode(f->p, f->len, &h) < 0) {
		client_drop(c);
		return;
	}
	if (h.lowest > MSG_VERSION || h.highest < MSG_VERSION) {
		client_refuse(c, MSG_HELLO, f->h.serial, EPROTONOSUPPORT,
			      HVS_REASON_BAD_REQUEST,
			      "this broker speaks version 1 of the protocol only");
		return;
	}
	if (profile_parse(h.profile, h.profile_len, &c->profile) < 0) {
		client_refuse(c, MSG_HELLO, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST,
			      "HELLO: this broker knows the profiles \"default\" and \"windows\" only");
		return;
	}
	if (!c->hello) {
		c->hello = true;
		DL_DELETE2(b->half_open, c, half_prev, half_next);
		b->half_open_n--;
	}
	p = registry_partition(b->registry, &c->door->partition);
	msg_begin_reply(&m, MSG_HELLO, f->h.serial, 0, 0, 0);
	msg_put_u32(&m, MSG_VERSION);
	msg_put_u32(&m, MSG_MAX);
	msg_put_guid(&m, &b->epoch);
	msg_put_guid(&m, &c->door->partition);
	if (p)
		msg_put_bytes(&m, p->name, strnlen(p->name, 255));
	client_send(c, &m, NULL, 0);
}

static const struct {
	void (*fn)(struct client *c, struct frame *f);
	int min_fds, max_fds;
} requests[] = {
	[MSG_HELLO] = { request_hello, 0, 0 },
	[MSG_BIND] = { request_bind, 1, 1 },
	[MSG_CONNECT] = { request_connect, 1, 1 },
	[MSG_LISTEN] = { request_listen, 0, 0 },
	[MSG_RESULT] = { request_result, 0, 0 },
	[MSG_CALL] = { request_call, 0, 0 },
	[MSG_RESOLVE] = { request_resolve, 0, 0 },
	[MSG_NAMES] = { request_names, 0, 0 },
	[MSG_REACH] = { request_reach, 0, 0 },
	[MSG_KEEP] = { request_keep, 0, 0 },
	[MSG_ATTACH] = { request_attach, 1, 2 },
	[MSG_CIDS] = { request_cids, 0, 0 },
	[MSG_RELAY] = { request_relay, 0, 0 },
	[MSG_UPLINK] = { request_uplink, 0, 0 },
};

static void dispatch(struct client *c, struct frame *f)
{
	if (c->transport) {
		transport_frame(c, f);
		return;
	}
	if (c->relay) {
		dgram_frame(c, f);
		return;
	}
	if (c->overseer) {
		overseer_frame(c, f);
		return;
	}
	if (f->h.reply || (!c->hello && f->h.type != MSG_HELLO)) {
		client_drop(c);
		return;
	}
	if (f->h.type >= ARRAY_LEN(requests) || !requests[f->h.type].fn) {
		client_refuse(c, f->h.type, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST,
			      "no such request in this version");
		return;
	}
	if (f->lost) {
		client_refuse(c, f->h.type, f->h.serial, EMFILE,
			      HVS_REASON_BROKER_FAILED,
			      "the broker has no descriptors left");
		return;
	}
	if (f->nfds < requests[f->h.type].min_fds ||
	    f->nfds > requests[f->h.type].max_fds) {
		client_refuse(c, f->h.type, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST,
			      "wrong number of descriptors attached");
		return;
	}
	requests[f->h.type].fn(c, f);
}

/* Closing what the handler did not take: strangers' files elsewhere. */
static void close_rest(struct broker *b, struct account *user, struct frame *f)
{
	for (int i = 0; i < f->nfds; i++) {
		if (f->fds[i] >= 0)
			stranger_close(b, user, f->fds[i]);
	}
}

/* One frame. Return: false: there was none, or the client is gone */
static bool receive(struct client *c, uint32_t events)
{
	struct broker *b = c->b;
	struct account *user = c->account;
	static uint8_t buf[MSG_MAX]; /* one thread */
	struct fdmsg msg;
	struct frame f;
	int r;

	/* Descriptors that our table has no room for are closed in there. */
	guard_arm(&b->guard);
	r = fdmsg_recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT, &msg);
	if (r == -EAGAIN || r == -EINTR)
		return false;
	if (r < 0 || (msg.len == 0 && msg.nfds == 0)) {
		c->eof = events & EPOLLHUP;
		client_drop(c);
		return false;
	}
	f = (struct frame){
		.p = buf,
		.len = msg.len,
		.fds = msg.fds,
		.nfds = msg.nfds,
		.lost = msg.fds_lost,
	};
	user->refs++; /* beyond the client */
	if (msg.truncated || msg_header_decode(buf, msg.len, &f.h) < 0)
		client_drop(c);
	else
		dispatch(c, &f);
	close_rest(b, user, &f);
	account_unref(b, user);
	return !c->dead;
}

void client_on_io(struct ev_io *io, uint32_t events)
{
	struct client *c = container_of(io, struct client, io);

	if (events & EPOLLOUT)
		client_out_more(c);
	if (strangers_too_many(c->account)) {
		ev_io_stop(io); /* until clients_resume() */
		return;
	}
	/*
	 * A program that connects in a loop sends its next request as soon as
	 * it gets to run. Letting it, and looking again, costs less than a
	 * wait for events where both share a processor.
	 */
	if (!receive(c, events))
		return;
	for (int budget = FRAMES_PER_TURN; budget; budget--) {
		bool more;

		if (!yielder_try(&c->b->yielder))
			return;
		sched_yield();
		more = receive(c, events);
		yielder_judge(&c->b->yielder, more);
		if (!more)
			return;
	}
}

void clients_resume(struct broker *b, const struct account *user)
{
	struct client *c;

	DL_FOREACH(b->clients, c) {
		if (c->account == user && !c->io.ev &&
		    ev_io_start(b->ev, &c->io, c->fd,
				c->out ? EPOLLIN | EPOLLOUT : EPOLLIN,
				client_on_io) < 0)
			client_drop_soon(c);
	}
}

/* ---- Life -----------------------------------------------------------------*/

static int read_peer(struct client *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	uint32_t groups[64];

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	c->pid = cred.pid;
	c->uid = cred.uid;
	c->gid = cred.gid;
	len = sizeof(groups);
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
		c->groups = malloc(len ? len : 1);
		if (!c->groups)
			return -ENOMEM;
		memcpy(c->groups, groups, len);
	} else if (errno == ERANGE) {
		c->groups = malloc(len);
		if (!c->groups)
			return -ENOMEM;
		if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups,
			       &len) < 0)
			len = 0;
	} else {
		len = 0;
	}
	c->ngroups = len / sizeof(uint32_t);
	return 0;
}

static void client_free(void *p)
{
	struct client *c = p;

	free(c->groups);
	free(c);
}

static bool within_quota(const struct client *c)
{
	const struct account *a = c->account;
	uint32_t most = c->b->limits.clients;

	if (a->clients >= most)
		log_limited(&c->account->log_limit, LOG_WARN_,
			    "uid %u has %u control connections: one more is refused",
			    c->uid, a->clients);
	else if (!guid_is_zero(&c->door->partition) && c->door->clients >= most)
		log_limited(&c->account->log_limit, LOG_WARN_,
			    "a partition has %u control connections: one more, of uid %u, is refused",
			    c->door->clients, c->uid);
	else
		return true;
	return false;
}

void client_new(struct door *d, int fd)
{
	struct broker *b = d->b;
	struct client *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->b = b;
	c->door = d;
	c->fd = fd;
	c->out_end = &c->out;
	if (read_peer(c) < 0 || !(c->account = account_of_user(b, c->uid))) {
		close(fd);
		client_free(c);
		return;
	}
	c->pair = account_of_pair(b, c->uid, &d->partition);
	if (!c->pair || !within_quota(c) ||
	    ev_io_start(b->ev, &c->io, fd, EPOLLIN, client_on_io) < 0) {
		account_unref(b, c->pair);
		account_unref(b, c->account);
		close(fd);
		client_free(c);
		return;
	}
	c->account->clients++;
	d->clients++;
	DL_APPEND(b->clients, c);
	DL_APPEND2(b->half_open, c, half_prev, half_next);
	if (++b->half_open_n > HALF_OPEN_MAX)
		client_drop(b->half_open); /* the oldest */
}

void client_drop(struct client *c)
{
	struct broker *b = c->b;

	if (c->dead)
		return;
	c->dead = true;
	ev_io_stop(&c->io);
	if (!c->hello) {
		DL_DELETE2(b->half_open, c, half_prev, half_next);
		b->half_open_n--;
	}
	DL_DELETE(b->clients, c);
	attempts_cancel(c);
	controls_client_gone(c);
	ready_client_gone(c);
	dgram_waits_cancel(c);
	dgram_asks_cancel(c);
	if (c->relay)
		dgram_relay_gone(c->b->dgrams);
	if (c->transport)
		transport_gone(c);
	overseer_gone(c);
	c->door->clients--;
	c->account->clients--;
	c->account->files -= c->files;
	bind_owner_gone(c);
	held_end(c);
	client_out_drop(c);
	c->pair = account_unref(b, c->pair);
	c->account = account_unref(b, c->account);
	/* There may be frames with descriptors in its queue. */
	if (c->eof)
		sock_close(b, c->fd);
	else
		offload_close(b->offload, c->fd);
	ev_later(b->ev, client_free, c);
}
