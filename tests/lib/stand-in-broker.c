/* SPDX-License-Identifier: MIT */
/* stand-in-broker.c - the stand-in itself: one process, no policy */
#include "stand-in.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/guid.h"
#include "proto/message.h"
#include "proto/name.h"

#define CLIENTS 256

/* The child's own state. */
struct broker {
	struct stand_in *s;
	struct pollfd p[CLIENTS + 2]; /* 0: listener, 1: go */
	size_t n;
	int rendezvous, parked;
	size_t filler;
	int waiting; /* DELAY: the client, */
	struct msg_header waiting_header; /* and its request */
	uint32_t port;
	uint64_t token;
	uint32_t result_state;
	GUID partition;
};

static void send_frame(int fd, const struct msg_buf *b)
{
	(void)fdmsg_send(fd, b->data, b->len, NULL, 0, MSG_DONTWAIT);
}

static void refuse(int fd, const struct msg_header *h, uint32_t error,
		   uint32_t reason, const char *text)
{
	uint8_t raw[1024];
	struct msg_buf b = msg_buf(raw, sizeof(raw));

	msg_begin_reply(&b, h->type, h->serial, 0, error, reason);
	msg_put_bytes(&b, text, strlen(text));
	send_frame(fd, &b);
}

static void do_hello(struct broker *br, int fd, const struct msg_header *h)
{
	uint8_t raw[256];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		br->s->shared->uid = cred.uid;
	br->s->shared->hellos++;
	msg_begin_reply(&b, h->type, h->serial, 0, 0, 0);
	msg_put_u32(&b, MSG_VERSION);
	msg_put_u32(&b, MSG_MAX);
	msg_put_guid(&b, &br->partition);
	msg_put_guid(&b, &br->partition);
	msg_put_bytes(&b, "stand-in", 8);
	send_frame(fd, &b);
}

static uint8_t type_of(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	return (uint8_t)type;
}

static int listener_name(int fd, const SOCKADDR_HV *a, struct sockaddr_un *sa)
{
	struct listener_name n = { .type = type_of(fd), .vmid = a->VmId,
				   .service = a->ServiceId };

	return (int)listener_name_encode(&n, sa);
}

static uint32_t bind_it(struct broker *br, int fd, SOCKADDR_HV *a)
{
	struct sockaddr_un sa;
	socklen_t len;

	if (guid_is_zero(&a->ServiceId))
		a->ServiceId = guid_from_port(0x80000000 + br->port++);
	len = (socklen_t)listener_name(fd, a, &sa);
	return bind(fd, (struct sockaddr *)&sa, len) < 0 ? (uint32_t)errno : 0;
}

/* Does somebody listen there? Asked with the other type, as brokers do, before
 * the socket gets a name that it could never lose. */
static bool alive(int type, const struct sockaddr_un *sa, socklen_t len)
{
	int other = type == SOCK_STREAM ? SOCK_SEQPACKET : SOCK_STREAM;
	int fd = socket(AF_UNIX, other | SOCK_CLOEXEC, 0);
	bool yes;

	yes = connect(fd, (const struct sockaddr *)sa, len) < 0 &&
	      errno == EPROTOTYPE;
	close(fd);
	return yes;
}

static uint32_t connect_it(struct broker *br, int fd,
			   const struct msg_connect *m, bool park)
{
	struct connector_name n = { .type = type_of(fd), .peer = guid_loopback,
				    .peer_service = guid_from_port(0x80000001),
				    .dest = m->dest.VmId,
				    .dest_service = m->dest.ServiceId };
	struct rendezvous_name r = { .type = SOCK_STREAM };
	SOCKADDR_HV heard = m->dest;
	struct sockaddr_un sa, to;
	socklen_t len, to_len;

	if (park) {
		to_len = rendezvous_name_encode(&r, &to);
	} else {
		heard.VmId = guid_zero;
		to_len = (socklen_t)listener_name(fd, &heard, &to);
		if (!alive(n.type, &to, to_len))
			return ECONNREFUSED;
	}
	br->token = br->token * 6364136223846793005u + 1442695040888963407u;
	n.token = br->token ^ (uint64_t)getpid() << 32;
	br->s->shared->token = n.token;
	len = connector_name_encode(&n, &sa);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 ||
	    connect(fd, (struct sockaddr *)&to, to_len) < 0)
		return (uint32_t)errno;
	return 0;
}

static void park(struct broker *br, int fd)
{
	static char filler[4096];
	ssize_t n;

	br->parked = accept4(br->rendezvous, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
	br->filler = 0;
	br->result_state = RESULT_PENDING;
	while ((n = send(fd, filler, sizeof(filler),
			 MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		br->filler += (size_t)n;
}

static void unpark(struct broker *br, uint64_t what)
{
	char buf[4096];

	if (what == 1) {
		while (br->filler) {
			size_t want = br->filler < sizeof(buf) ? br->filler :
								 sizeof(buf);
			ssize_t n = recv(br->parked, buf, want, 0);

			if (n <= 0)
				break;
			br->filler -= (size_t)n;
		}
		br->result_state = RESULT_CONNECTED;
		return; /* the guest's end stays open */
	}
	br->result_state = RESULT_FAILED;
	close(br->parked);
	br->parked = -1;
}

static void reply_connect(struct broker *br, int fd, const struct msg_header *h,
			  uint32_t state)
{
	uint8_t raw[64];
	struct msg_buf b = msg_buf(raw, sizeof(raw));

	msg_begin_reply(&b, h->type, h->serial, 0, 0, 0);
	msg_put_u32(&b, state);
	msg_put_u64(&b, state ? (uint64_t)br->s->shared->token : 0);
	send_frame(fd, &b);
}

/* Return: false where the connection is to be closed */
static bool do_connect(struct broker *br, int client,
		       const struct msg_header *h, const struct msg_connect *m,
		       int fd, int mode)
{
	struct stand_in_shared *sh = br->s->shared;
	bool parked = mode == PARK || mode == PARK_CLOSE;
	uint32_t error;

	sh->timeout_ms = m->timeout_ms;
	sh->flags = m->flags;
	sh->nonblock = !!(fcntl(fd, F_GETFL) & O_NONBLOCK);
	if (m->flags & CONNECT_HIGH_VTL) {
		refuse(client, h, ECONNREFUSED, HVS_REASON_NO_LISTENER,
		       "no guest here has VTL 2");
		return true;
	}
	error = connect_it(br, fd, m, parked);
	if (error) {
		refuse(client, h, error, HVS_REASON_NO_LISTENER,
		       "nobody listens there");
		return true;
	}
	if (parked)
		park(br, fd);
	if (mode == CLOSE_AFTER || mode == PARK_CLOSE)
		return false;
	reply_connect(br, client, h, parked);
	return true;
}

static bool do_bind(struct broker *br, int client, const struct msg_header *h,
		    struct msg_bind *m, int fd, int mode)
{
	uint8_t raw[128];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	uint32_t error = bind_it(br, fd, &m->addr);

	if (error) {
		refuse(client, h, error, HVS_REASON_ADDRESS_TAKEN,
		       "the address is taken");
		return true;
	}
	if (mode == CLOSE_AFTER)
		return false;
	msg_begin_reply(&b, h->type, h->serial, 0, 0, 0);
	msg_put_address(&b, &m->addr);
	msg_put_u32(&b, mode == DISABLED ? BIND_REPLY_DISABLED : 0);
	send_frame(client, &b);
	return true;
}

static void do_result(struct broker *br, int client, const struct msg_header *h)
{
	uint8_t raw[128];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	bool failed = br->result_state == RESULT_FAILED;

	br->s->shared->results++;
	msg_begin_reply(&b, h->type, h->serial, 0, 0, 0);
	msg_put_u32(&b, br->result_state);
	msg_put_u32(&b, failed ? ECONNREFUSED : 0);
	msg_put_u32(&b, failed ? HVS_REASON_NO_LISTENER : 0);
	if (failed)
		msg_put_bytes(&b, "the guest has no listener", 25);
	send_frame(client, &b);
}

static void do_resolve(struct broker *br, int client,
		       const struct msg_header *h, const uint8_t *p, size_t len)
{
	uint8_t raw[128];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = guid_loopback };
	const char *partition, *service;

	br->s->shared->resolves++;
	if (msg_strings_decode(p, len, false, &partition, &service) < 0) {
		refuse(client, h, EINVAL, HVS_REASON_BAD_REQUEST, "bad");
		return;
	}
	if (strcmp(partition, "web1") != 0 && strcmp(partition, "host") != 0 &&
	    !guid_special_parse(partition, &a.VmId)) {
		refuse(client, h, EHOSTUNREACH, HVS_REASON_PARTITION_UNKNOWN,
		       "there is no such partition");
		return;
	}
	a.ServiceId = guid_from_port((uint32_t)strtoul(service, NULL, 10));
	if (strcmp(service, "echo") == 0)
		a.ServiceId = guid_from_port(7);
	msg_begin_reply(&b, h->type, h->serial, 0, 0, 0);
	msg_put_address(&b, &a);
	send_frame(client, &b);
}

static void do_names(int client, const struct msg_header *h, const uint8_t *p,
		     size_t len)
{
	uint8_t raw[128];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	uint32_t port = 0;
	SOCKADDR_HV a;

	if (msg_address_decode(p, len, false, &a) < 0)
		return;
	guid_is_port(&a.ServiceId, &port);
	msg_begin_reply(&b, h->type, h->serial, 0, 0, 0);
	/* partition with Data1 9 has a name that must not be written */
	msg_put_string(&b, a.VmId.Data1 == 9 ? "parent" :
			   a.VmId.Data1 == 1 ? "web1" : "");
	msg_put_string(&b, port == 7 ? "echo" : port == 8 ? "12" : "");
	send_frame(client, &b);
}

static int take_mode(struct stand_in_shared *sh)
{
	if (sh->times <= 0)
		return DO_IT;
	sh->times--;
	return sh->mode;
}

/* Until the client has had enough. */
static void babble(int client, const struct msg_header *h)
{
	const int fds[2] = { client, client };
	uint8_t frame[16] = { (uint8_t)h->type, 0x80, 0, 0, 0xee, 0xee };

	while (fdmsg_send(client, frame, sizeof(frame), fds, 2, 0) == 0 &&
	       fdmsg_send(client, frame, 3, NULL, 0, 0) == 0) {
		/* a request of its own, and a reply of another serial */
		frame[1] ^= 0x80;
		poll(NULL, 0, 5);
	}
}

/* Return: false where the connection is to be closed */
static bool special(struct broker *br, int client, const struct msg_header *h,
		    int mode)
{
	struct stand_in_shared *sh = br->s->shared;

	switch (mode) {
	case REFUSE:
		refuse(client, h, sh->error, sh->reason, sh->text);
		return true;
	case DELAY:
		br->waiting = client;
		br->waiting_header = *h;
		return true;
	case NONSENSE:
		send(client, (uint8_t[16]){ (uint8_t)h->type, 0x80, 0, 0,
					    (uint8_t)h->serial,
					    (uint8_t)(h->serial >> 8) },
		     16, MSG_NOSIGNAL);
		return true;
	case BABBLE:
		babble(client, h);
		return true;
	case SILENT:
		return true;
	default:
		return false;
	}
}

static bool handle(struct broker *br, int client, const uint8_t *p,
		   struct fdmsg *m)
{
	struct stand_in_shared *sh = br->s->shared;
	union {
		struct msg_bind bind;
		struct msg_connect connect;
		struct msg_listen listen;
	} u;
	struct msg_header h;
	int mode;

	if (msg_header_decode(p, m->len, &h) < 0)
		return false;
	switch (h.type) {
	case MSG_HELLO:
		do_hello(br, client, &h);
		return true;
	case MSG_BIND:
		sh->binds++;
		mode = take_mode(sh);
		if (mode != DO_IT && mode != CLOSE_AFTER && mode != DISABLED)
			return special(br, client, &h, mode);
		if (m->nfds != 1 || msg_bind_decode(p, m->len, &u.bind) < 0)
			return false;
		return do_bind(br, client, &h, &u.bind, m->fds[0], mode);
	case MSG_CONNECT:
		sh->connects++;
		mode = take_mode(sh);
		if (mode != DO_IT && mode != CLOSE_AFTER && mode != PARK &&
		    mode != PARK_CLOSE)
			return special(br, client, &h, mode);
		if (m->nfds != 1 ||
		    msg_connect_decode(p, m->len, &u.connect) < 0)
			return false;
		return do_connect(br, client, &h, &u.connect, m->fds[0], mode);
	case MSG_LISTEN:
		if (m->nfds || msg_listen_decode(p, m->len, &u.listen) < 0)
			return false;
		if (u.listen.flags & LISTEN_NOTICE) {
			sh->notices++;
			return true;
		}
		sh->listens++;
		mode = take_mode(sh);
		if (mode == DISABLED)
			refuse(client, &h, EINVAL, HVS_REASON_DISABLED,
			       "the service is disabled");
		else
			refuse(client, &h, 0, 0, "");
		return true;
	case MSG_RESULT:
		do_result(br, client, &h);
		return true;
	case MSG_RESOLVE:
		do_resolve(br, client, &h, p, m->len);
		return true;
	case MSG_NAMES:
		do_names(client, &h, p, m->len);
		return true;
	default:
		return false;
	}
}

static bool serve(struct broker *br, int client)
{
	static uint8_t buf[MSG_MAX];
	static struct fdmsg m;
	bool keep;

	if (fdmsg_recv(client, buf, sizeof(buf), MSG_DONTWAIT, &m) < 0)
		return errno == EAGAIN;
	keep = m.len && handle(br, client, buf, &m);
	for (int i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	return keep;
}

static void on_go(struct broker *br)
{
	uint64_t what;

	if (read(br->p[1].fd, &what, sizeof(what)) != sizeof(what))
		return;
	if (br->waiting >= 0) {
		refuse(br->waiting, &br->waiting_header, ECONNREFUSED,
		       HVS_REASON_NO_LISTENER, "after a while");
		br->waiting = -1;
	} else if (br->parked >= 0) {
		unpark(br, what);
	}
}

static int control_socket(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX,
				  .sun_path = "../control" };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	unlink(sa.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    chmod(sa.sun_path, 0666) < 0 || listen(fd, 128) < 0)
		_exit(2);
	return fd;
}

static int rendezvous_socket(void)
{
	struct rendezvous_name n = { .type = SOCK_STREAM };
	struct sockaddr_un sa;
	socklen_t len = rendezvous_name_encode(&n, &sa);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(sa.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 ||
	    listen(fd, 16) < 0)
		_exit(3);
	return fd;
}

void stand_in_run(struct stand_in *s, int ready)
{
	static struct broker br;
	char path[96];

	br.s = s;
	br.parked = br.waiting = -1;
	br.partition = guid_from_port(4711);
	snprintf(path, sizeof(path), "%s/broker", s->dir);
	if (chdir(path) < 0)
		_exit(1);
	br.rendezvous = rendezvous_socket();
	br.p[0] = (struct pollfd){ .fd = control_socket(), .events = POLLIN };
	br.p[1] = (struct pollfd){ .fd = s->go, .events = POLLIN };
	br.n = 2;
	if (write(ready, "", 1) != 1)
		_exit(4);
	for (;;) {
		if (poll(br.p, br.n, -1) < 0)
			continue;
		for (size_t i = br.n; i-- > 2;) {
			if (!br.p[i].revents || serve(&br, br.p[i].fd))
				continue;
			close(br.p[i].fd);
			s->shared->ended++;
			br.p[i] = br.p[--br.n];
		}
		if (br.p[1].revents)
			on_go(&br);
		if (br.p[0].revents && br.n < CLIENTS) {
			int fd = accept4(br.p[0].fd, NULL, NULL, SOCK_CLOEXEC);

			if (fd < 0)
				continue;
			s->shared->accepted++;
			br.p[br.n++] = (struct pollfd){ .fd = fd,
							.events = POLLIN };
		}
	}
}
