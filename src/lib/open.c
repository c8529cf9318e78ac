/* SPDX-License-Identifier: MIT */
/*
 * open.c - see open.h
 *
 * HVSOCKET_RUNTIME_DIR names the broker if it is set; else the system's is
 * tried, then the user's, which is where a broker of this user puts itself
 * (src/broker/paths.c). A setuid program looks at the system's only.
 */
#include "lib/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "lib/reason.h"
#include "lib/sys.h"
#include "lib/vsock.h"
#include "proto/message.h"

#define SYSTEM_DIR "/run/hvsocket"
/* connect() and send() wait so long for a broker that does not read */
#define SEND_TIMEOUT_S 5
/* Programs expect the low numbers to be theirs. */
#define FD_MIN 200

static const char *env(const char *name)
{
	const char *v = secure_getenv(name);

	return v ? v : "";
}

int broker_env_read(struct broker_env *ret)
{
	const char *dir = env("HVSOCKET_RUNTIME_DIR");
	const char *user = env("XDG_RUNTIME_DIR");
	const char *profile = env("HVSOCKET_PROFILE");
	enum profile known;
	int vsock = vsock_chosen();

	if (vsock)
		return vsock < 0 ? -1 :
				   hvs__fail(-1, ENETDOWN, HVS_REASON_NO_BROKER,
					     NULL, "HVSOCKET_TRANSPORT=vsock: "
					     "no broker is asked, and this "
					     "needs one");
	if (strlen(dir) >= sizeof(ret->dir) ||
	    strlen(user) >= sizeof(ret->user))
		return hvs__fail(-1, ENETDOWN, HVS_REASON_NO_BROKER, NULL,
				 "no broker: the path in %s is too long",
				 strlen(dir) >= sizeof(ret->dir) ?
					 "HVSOCKET_RUNTIME_DIR" :
					 "XDG_RUNTIME_DIR");
	if (profile_parse(profile, strlen(profile), &known) < 0)
		return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "HVSOCKET_PROFILE: there is no such profile");
	strcpy(ret->profile, profile);
	strcpy(ret->dir, dir);
	strcpy(ret->user, user);
	return 0;
}

int broker_env_same(const struct broker_env *e)
{
	return strcmp(e->dir, env("HVSOCKET_RUNTIME_DIR")) == 0 &&
	       strcmp(e->profile, env("HVSOCKET_PROFILE")) == 0 &&
	       (e->dir[0] || strcmp(e->user, env("XDG_RUNTIME_DIR")) == 0);
}

static int connect_unix(int fd, const struct sockaddr_un *sa)
{
	int r;

	do {
		r = sys_connect(fd, sa, sizeof(*sa));
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* @dir / @sub control: paths longer than sun_path go through /proc. */
static int connect_control(int fd, const char *dir, const char *sub)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_close_ int at = -1;
	char path[4096 + 32];
	int n;

	n = snprintf(path, sizeof(path), "%s%s/control", dir, sub);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	if ((size_t)n < sizeof(sa.sun_path)) {
		memcpy(sa.sun_path, path, (size_t)n);
		return connect_unix(fd, &sa);
	}
	path[(size_t)n - strlen("/control")] = '\0';
	at = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/control",
		 at);
	return connect_unix(fd, &sa);
}

static int control_socket(int timeout_ms)
{
	struct timeval snd = { .tv_sec = SEND_TIMEOUT_S };
	struct timeval rcv = { .tv_sec = timeout_ms / 1000,
			       .tv_usec = timeout_ms % 1000 * 1000 };
	int fd, high;

	fd = sys_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	high = fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN);
	if (high >= 0) {
		close(fd);
		fd = high;
	}
	(void)sys_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &snd, sizeof(snd));
	(void)sys_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof(rcv));
	return fd;
}

static int send_hello(int fd, const char *profile)
{
	uint8_t raw[MSG_HEADER + 8 + PROFILE_NAME_MAX];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	int r;

	msg_begin(&b, MSG_HELLO, 0);
	msg_put_u32(&b, MSG_VERSION);
	msg_put_u32(&b, MSG_VERSION);
	msg_put_bytes(&b, profile, strlen(profile));
	do {
		r = fdmsg_send(fd, b.data, b.len, NULL, 0, 0);
	} while (r == -EINTR);
	return r;
}

static int try_dir(int fd, const struct broker_env *e, const char *base,
		   const char *sub, char *dir, size_t size)
{
	int r = connect_control(fd, base, sub);

	if (r == 0)
		r = send_hello(fd, e->profile);
	if (r == 0)
		snprintf(dir, size, "%s%s", base, sub);
	return r;
}

/* Where a user's broker is; a relative path in the environment is none. */
static void user_dir(const struct broker_env *e, char *ret, size_t size)
{
	if (e->user[0] == '/')
		snprintf(ret, size, "%s", e->user);
	else
		snprintf(ret, size, "/run/user/%u", geteuid());
}

/* strerror() of libc is not for threads, and its language is the user's */
static const char *why(int r)
{
	const char *text = strerrordesc_np(-r);

	return text ? text : "unknown error";
}

int broker_open(const struct broker_env *e, int timeout_ms, char *dir,
		size_t size)
{
	cleanup_close_ int fd = control_socket(timeout_ms);
	char run[sizeof(e->user)];
	int r, user;

	if (fd < 0)
		return hvs__fail_errno();
	if (e->dir[0]) {
		r = try_dir(fd, e, e->dir, "", dir, size);
		if (r == 0)
			return fd_take(&fd);
		return hvs__fail(-1, ENETDOWN, HVS_REASON_NO_BROKER, e->dir,
				 "no broker answers in %.200s "
				 "(HVSOCKET_RUNTIME_DIR): %s", e->dir, why(r));
	}
	r = try_dir(fd, e, SYSTEM_DIR, "", dir, size);
	if (r == 0)
		return fd_take(&fd);
	if (getauxval(AT_SECURE))
		return hvs__fail(-1, ENETDOWN, HVS_REASON_NO_BROKER, SYSTEM_DIR,
				 "no broker answers in " SYSTEM_DIR ": %s",
				 why(r));
	/* one that took the connection and then died has used this one up */
	close(fd);
	fd = control_socket(timeout_ms);
	if (fd < 0)
		return hvs__fail_errno();
	user_dir(e, run, sizeof(run));
	user = try_dir(fd, e, run, "/hvsocket", dir, size);
	if (user == 0)
		return fd_take(&fd);
	return hvs__fail(-1, ENETDOWN, HVS_REASON_NO_BROKER, SYSTEM_DIR,
			 "no broker answers in " SYSTEM_DIR ": %s; nor in "
			 "%.160s/hvsocket: %s%s", why(r), run, why(user),
			 e->user[0] ? "" : " (XDG_RUNTIME_DIR is not set)");
}
