/* SPDX-License-Identifier: MIT */
/* call.c - see call.h */
#include "hvctl/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "base/log.h"
#include "hvctl/out.h"
#include "proto/message.h"
#include "proto/profile.h"

#define SYSTEM_DIR "/run/hvsocket"
#define ANSWER_MS 10000 /* beyond what was asked to be waited for */
#define REPLY_MAX (256 * 1024 * 1024) /* what one reply may make us hold */

static const struct caller caller_none = { .fd = -1 };

void ctl_init(struct ctl *c)
{
	c->side[CALL_HOST] = caller_none;
	c->side[CALL_SELF] = caller_none;
	c->verb = NULL;
}

void ctl_fini(struct ctl *c)
{
	cleanup_close(&c->side[CALL_HOST].fd);
	cleanup_close(&c->side[CALL_SELF].fd);
	ctl_init(c);
}

int control_connect(const char *dir)
{
	/* a broker that is stopped does not take connections for ever */
	const struct timeval limit = { .tv_sec = ANSWER_MS / 1000 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_close_ int fd = -1;
	cleanup_close_ int path = -1;

	if (strlen(dir) + sizeof("/control") <= sizeof(sa.sun_path)) {
		snprintf(sa.sun_path, sizeof(sa.sun_path), "%.*s/control",
			 (int)sizeof(sa.sun_path) - 10, dir);
	} else {
		path = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (path < 0)
			return -errno;
		snprintf(sa.sun_path, sizeof(sa.sun_path),
			 "/proc/self/fd/%d/control", path);
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return fd_take(&fd);
}

int runtime_dir(enum call_side side, char *ret, size_t size)
{
	const char *dir = NULL;
	const char *user = getenv("XDG_RUNTIME_DIR");
	int fd, n;

	if (side == CALL_HOST)
		dir = getenv("HVSOCKET_HOST_RUNTIME_DIR");
	if (!dir || !*dir)
		dir = getenv("HVSOCKET_RUNTIME_DIR");
	if (dir && *dir) {
		n = snprintf(ret, size, "%s", dir);
		return n < (int)size ? 0 : -ENAMETOOLONG;
	}
	fd = control_connect(SYSTEM_DIR);
	if (fd >= 0) {
		close(fd);
		n = snprintf(ret, size, "%s", SYSTEM_DIR);
	} else if (user && *user) {
		n = snprintf(ret, size, "%s/hvsocket", user);
	} else {
		n = snprintf(ret, size, "/run/user/%u/hvsocket",
			     (unsigned int)geteuid());
	}
	return n < (int)size ? 0 : -ENAMETOOLONG;
}

/* ---- Frames ---------------------------------------------------------------*/

/* Of the next reply. */
static int answer_within(int fd, json_int_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
			      .tv_usec = ms % 1000 * 1000 };

	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ?
		       -errno :
		       0;
}

/* One reply in @buf (MSG_MAX bytes); @ret_fd: attached, or -1. */
static int reply_any(int fd, uint32_t *ret_serial, uint8_t *buf,
		     size_t *ret_len, uint16_t *ret_flags, int *ret_fd)
{
	struct msg_header h;
	struct fdmsg m;
	int r;

	do {
		r = fdmsg_recv(fd, buf, MSG_MAX, 0, &m);
	} while (r == -EINTR);
	if (r)
		return r == -EAGAIN ? -ETIMEDOUT : r;
	for (int i = 1; i < m.nfds; i++)
		close(m.fds[i]);
	*ret_fd = m.nfds ? m.fds[0] : -1;
	if (m.len == 0)
		return -ECONNRESET;
	r = msg_header_decode(buf, m.len, &h);
	if (r || m.truncated || !h.reply)
		return -EPROTO;
	*ret_serial = h.serial;
	*ret_len = m.len;
	*ret_flags = h.flags;
	return 0;
}

/* The one to @serial. */
static int reply_recv(int fd, uint32_t serial, uint8_t *buf, size_t *ret_len,
		      uint16_t *ret_flags, int *ret_fd)
{
	uint32_t got;
	int r = reply_any(fd, &got, buf, ret_len, ret_flags, ret_fd);

	return r ? r : got == serial ? 0 : -EPROTO;
}

static int hello(struct caller *s, uint8_t *buf)
{
	const char *profile = getenv("HVSOCKET_PROFILE");
	uint8_t bytes[64];
	struct msg_buf m = msg_buf(bytes, sizeof(bytes)), *b = &m;
	cleanup_close_ int fd = -1;
	struct msg_hello_reply h;
	uint16_t flags;
	size_t len;
	int r;

	msg_begin(b, MSG_HELLO, ++s->serial);
	msg_put_u32(b, MSG_VERSION);
	msg_put_u32(b, MSG_VERSION);
	if (profile) /* a known one: call() */
		msg_put_bytes(b, profile, strlen(profile));
	r = fdmsg_send(s->fd, b->data, b->len, NULL, 0, 0);
	if (!r)
		r = answer_within(s->fd, ANSWER_MS);
	if (r)
		return r;
	r = reply_recv(s->fd, s->serial, buf, &len, &flags, &fd);
	if (r)
		return r;
	r = msg_hello_reply_decode(buf, len, &h);
	if (r)
		return -EPROTO;
	s->partition = h.partition;
	return 0;
}

static int caller_open(struct caller *s, enum call_side side, uint8_t *buf)
{
	int r;

	if (s->fd >= 0)
		return 0;
	r = runtime_dir(side, s->dir, sizeof(s->dir));
	if (r)
		return r;
	r = control_connect(s->dir);
	if (r < 0)
		return r;
	s->fd = r;
	r = hello(s, buf);
	if (r) {
		close(s->fd);
		s->fd = -1;
	}
	return r;
}

/* The payload of a reply that was too long for a frame. */
static int payload_read(int fd, char **ret, size_t *ret_len)
{
	cleanup_free_ char *p = NULL;
	struct stat st;
	size_t n = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > REPLY_MAX)
		return -EPROTO;
	p = malloc((size_t)st.st_size + 1);
	if (!p)
		return -ENOMEM;
	while (n < (size_t)st.st_size) {
		ssize_t k = pread(fd, p + n, (size_t)st.st_size - n, (off_t)n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EPROTO;
		n += (size_t)k;
	}
	*ret = p;
	*ret_len = n;
	p = NULL;
	return 0;
}

static int reply_json(const uint8_t *buf, size_t len, uint16_t flags, int fd,
		      json_t **ret, struct call_error *err)
{
	cleanup_free_ char *big = NULL;
	struct msg_reply m;
	const char *text;
	int r;

	if (msg_reply_decode(buf, len, &m))
		return -EPROTO;
	if (m.error) {
		err->reason = m.reason;
		log_escape((const char *)m.payload, m.len, err->text,
			   sizeof(err->text));
		return m.error < 4096 ? -(int)m.error : -EPROTO;
	}
	text = (const char *)m.payload;
	len = m.len;
	if (flags & MSG_FLAG_FD) {
		r = payload_read(fd, &big, &len);
		if (r)
			return r;
		text = big;
	}
	/* "wait" has nothing to say */
	*ret = len ? json_loadb(text, len, JSON_ALLOW_NUL, NULL)
		   : json_object();
	return json_is_object(*ret) ? 0 : -EPROTO;
}

static int request_send(struct caller *s, const json_t *request)
{
	cleanup_free_ uint8_t *bytes = malloc(MSG_MAX);
	struct msg_buf b = msg_buf(bytes, MSG_MAX);
	cleanup_free_ char *text = json_dumps(request, JSON_COMPACT);

	if (!bytes || !text)
		return -ENOMEM;
	msg_begin(&b, MSG_CALL, ++s->serial);
	msg_put_bytes(&b, text, strlen(text));
	if (b.overflow)
		return -EMSGSIZE;
	return fdmsg_send(s->fd, b.data, b.len, NULL, 0, 0);
}

/* How long the request itself may take, and what answering it may. */
static json_int_t patience(const json_t *request)
{
	json_int_t ms =
		json_integer_value(json_object_get(request, "timeout_ms"));

	return ANSWER_MS + (ms > 0 && ms <= HVSOCKET_CONNECT_TIMEOUT_MAX ? ms :
									   0);
}

int call(struct ctl *c, enum call_side side, json_t *request, json_t **ret,
	 struct call_error *err)
{
	cleanup_free_ uint8_t *buf = malloc(MSG_MAX);
	cleanup_json_ json_t *q = request;
	cleanup_json_ json_t *reply = NULL;
	cleanup_close_ int fd = -1;
	struct caller *s = &c->side[side];
	const char *profile = getenv("HVSOCKET_PROFILE");
	enum profile known;
	bool silent = false;
	uint16_t flags;
	size_t len;
	int r;

	*err = (struct call_error){ 0 };
	if (profile && profile_parse(profile, strlen(profile), &known) < 0) {
		err->error = EINVAL;
		err->reason = HVS_REASON_BAD_REQUEST;
		snprintf(err->text, sizeof(err->text),
			 "HVSOCKET_PROFILE: there is no such profile");
		return -EINVAL;
	}
	if (!q || !buf) {
		err->error = ENOMEM;
		return -ENOMEM;
	}
	r = caller_open(s, side, buf);
	if (r && r != -ENOMEM && r != -EMFILE) {
		err->reason = HVS_REASON_NO_BROKER;
		snprintf(err->text, sizeof(err->text),
			 "no broker answers there: %s", strerror(-r));
		r = -ENETDOWN;
	}
	if (!r)
		r = request_send(s, q);
	if (!r)
		r = answer_within(s->fd, patience(q));
	if (!r) {
		r = reply_recv(s->fd, s->serial, buf, &len, &flags, &fd);
		if (r == -ETIMEDOUT)
			silent = true;
	}
	if (!r)
		r = reply_json(buf, len, flags, fd, &reply, err);
	if (r) {
		err->error = -r;
		if (r == -EPROTO && !err->text[0])
			snprintf(err->text, sizeof(err->text),
				 "the broker's answer cannot be understood");
		if (silent) {
			err->error = ENETDOWN;
			err->reason = HVS_REASON_NO_BROKER;
			snprintf(err->text, sizeof(err->text),
				 "the broker does not answer");
			close(s->fd);
			s->fd = -1;
		}
		if (r == -ECONNRESET && !err->text[0]) {
			snprintf(err->text, sizeof(err->text),
				 "the broker ended before it answered");
			err->reason = HVS_REASON_NO_BROKER;
			close(s->fd);
			s->fd = -1;
		}
		return r;
	}
	*ret = reply;
	reply = NULL;
	return 0;
}

/* ---- Many at a time ------------------------------------------------------*/

#define AT_A_TIME 32u /* neither side's queue is filled by as many */

/* The next answer of those from serial @first on. 0 or -errno: all is lost */
static int take_one(struct caller *s, uint32_t first, size_t n, bool *answered,
		    uint8_t *buf, call_got_fn got, void *arg)
{
	struct call_error err = { 0 };
	cleanup_json_ json_t *reply = NULL;
	cleanup_close_ int fd = -1;
	uint32_t serial;
	uint16_t flags;
	size_t len;
	int r;

	r = reply_any(s->fd, &serial, buf, &len, &flags, &fd);
	if (r)
		return r;
	if (serial - first >= n || answered[serial - first])
		return -EPROTO;
	answered[serial - first] = true;
	r = reply_json(buf, len, flags, fd, &reply, &err);
	err.error = -r;
	if (r == -EPROTO && !err.text[0])
		snprintf(err.text, sizeof(err.text),
			 "the broker's answer cannot be understood");
	got(arg, serial - first, r ? NULL : reply, &err);
	return 0;
}

int call_many(struct ctl *c, json_t *const *requests, size_t n,
	      call_got_fn got, void *arg)
{
	cleanup_free_ uint8_t *buf = malloc(MSG_MAX);
	cleanup_free_ bool *answered = calloc(n + 1, sizeof(bool));
	struct caller *s = &c->side[CALL_HOST];
	struct call_error err = { .reason = HVS_REASON_NO_BROKER };
	size_t sent = 0, taken = 0;
	uint32_t first = 0;
	int r = buf && answered ? 0 : -ENOMEM;

	if (!r)
		r = caller_open(s, CALL_HOST, buf);
	first = s->serial + 1;
	while (!r && taken < n) {
		while (!r && sent < n && sent - taken < AT_A_TIME)
			r = request_send(s, requests[sent++]);
		if (!r)
			r = answer_within(s->fd, patience(requests[taken]));
		if (!r)
			r = take_one(s, first, n, answered, buf, got, arg);
		if (!r)
			taken++;
	}
	if (!r)
		return 0;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	err.error = -r;
	snprintf(err.text, sizeof(err.text), "the broker does not answer: %s",
		 strerror(-r));
	for (size_t i = 0; i < n; i++)
		if (!answered || !answered[i])
			got(arg, i, NULL, &err);
	return r;
}

/* ---- Failures as one line ------------------------------------------------*/

static int say(struct ctl *c, const char *about, const char *text,
	       uint32_t reason, int error, const char *dir)
{
	const char *why = reason ? reason_name(reason) : strerror(error);

	if (!text[0])
		text = strerror(error);
	return complain("%s%s%s: %s (%s%s%s)", c->verb, about ? " " : "",
		    about ? show(about) : "", text, why,
		    dir[0] ? "; broker " : "", dir[0] ? show(dir) : "");
}

int say_refused(struct ctl *c, enum call_side side, const char *about,
		const struct call_error *err)
{
	return say(c, about, err->text, err->reason, err->error,
		   c->side[side].dir);
}

int say_failed(struct ctl *c, const char *about, int fd, int error)
{
	struct hvs_reason why = { 0 };
	char text[sizeof(why.text)];

	if (hvs_reason(fd, &why) || why.code == HVS_REASON_NONE ||
	    (why.error && why.error != error))
		return say(c, about, "", 0, error, "");
	log_escape(why.text, strnlen(why.text, sizeof(why.text)), text,
		   sizeof(text));
	why.broker[sizeof(why.broker) - 1] = '\0';
	return say(c, about, text, why.code, error, why.broker);
}

int call_or_say(struct ctl *c, json_t *request, const char *about,
		json_t **ret)
{
	struct call_error err;

	if (call(c, CALL_HOST, request, ret, &err))
		return say_refused(c, CALL_HOST, about, &err);
	return 0;
}
