/* SPDX-License-Identifier: MIT */
/* vmbus-link.c - see vmbus-link.h */
#include "hvvm/vmbus-link.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/unix.h"

#define CONNECT_LIMIT_S 10
#define END_LIMIT_MS 5000u /* between SIGTERM and SIGKILL */

int vmbus_link_spawn(struct vmbus_link *l, char **argv, int child_fd,
		     int our_fd)
{
	pid_t parent = getpid();
	sigset_t none;

	l->fd = our_fd;
	l->pid = vfork();
	if (l->pid < 0) {
		l->pid = 0;
		return -errno;
	}
	if (l->pid == 0) {
		/* it ends with us, however we end */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(127);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		(void)fcntl(child_fd, F_SETFD, 0);
		execv(argv[0], argv);
		_exit(127);
	}
	return 0;
}

int vmbus_link_connect(struct vmbus_link *l, const char *path)
{
	int fd = unix_connect(path, SOCK_SEQPACKET, CONNECT_LIMIT_S);

	if (fd < 0)
		return fd;
	l->fd = fd;
	return 0;
}

void vmbus_link_limit(struct vmbus_link *l, unsigned int s)
{
	const struct timeval limit = { .tv_sec = (time_t)s };

	(void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static void end_process(pid_t pid)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	/* its end of the connection has told it already */
	(void)kill(pid, SIGTERM);
	for (unsigned int i = 0; i < END_LIMIT_MS; i++) {
		pid_t p = waitpid(pid, NULL, WNOHANG);

		if (p > 0 || (p < 0 && errno != EINTR))
			return;
		(void)nanosleep(&moment, NULL);
	}
	/* it is stopped, or does not want to */
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void vmbus_link_close(struct vmbus_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (l->pid > 0)
		end_process(l->pid);
	l->pid = 0;
}

static void drop(struct fdmsg *m)
{
	for (int i = 0; i < m->nfds; i++)
		close(m->fds[i]);
	m->nfds = 0;
}

/* A frame. The back-end answers at once, and is mostly awake: it is let run
 * before this processor's thread is put to sleep. */
static int next_frame(struct vmbus_link *l)
{
	int r = -EAGAIN;

	if (yielder_try(&l->yielder)) {
		do {
			sched_yield();
			r = fdmsg_recv(l->fd, l->frame, sizeof(l->frame),
				       MSG_DONTWAIT, &l->in);
		} while (r == -EAGAIN && yielder_in_time(&l->yielder));
		yielder_judge(&l->yielder, r != -EAGAIN);
	}
	if (r != -EAGAIN)
		return r;
	/* a signal that came meanwhile interrupts nothing */
	if (l->give_up && l->give_up(l->ctx))
		return -EINTR;
	return fdmsg_recv(l->fd, l->frame, sizeof(l->frame), 0, &l->in);
}

/* The answer to @serial. */
static int receive(struct vmbus_link *l, uint32_t serial,
		   struct vmbu_reply *ret)
{
	int r;

	for (;;) {
		r = next_frame(l);
		if (r == -EINTR) {
			if (l->give_up && l->give_up(l->ctx))
				return -EINTR;
			continue;
		}
		if (r < 0)
			return -EPIPE;
		if (l->in.len == 0 || l->in.truncated ||
		    vmbu_reply_decode(l->frame, l->in.len,
				      (unsigned int)l->in.nfds, ret) < 0) {
			drop(&l->in);
			return -EPIPE;
		}
		if (ret->serial == serial)
			return 0;
		drop(&l->in); /* somebody gave this one up */
	}
}

static int send_request(struct vmbus_link *l, struct vmbu_request *r,
			const int *fds, int nfds)
{
	struct msg_buf b = msg_buf(l->frame, sizeof(l->frame));
	int err;

	if (l->fd < 0)
		return -EPIPE;
	r->serial = ++l->serial;
	vmbu_request_encode(r, &b);
	do
		err = fdmsg_send(l->fd, b.data, b.len, fds, nfds, 0);
	while (err == -EINTR && !(l->give_up && l->give_up(l->ctx)));
	if (err == -EINTR)
		return err;
	return err < 0 ? -EPIPE : 0;
}

int vmbus_link_tell(struct vmbus_link *l, struct vmbu_request *r)
{
	return send_request(l, r, NULL, 0);
}

int vmbus_link_ask(struct vmbus_link *l, struct vmbu_request *r, const int *fds,
		   int nfds, struct vmbu_reply *ret)
{
	int err = send_request(l, r, fds, nfds);

	if (err < 0)
		return err;
	err = receive(l, r->serial, ret);
	if (err < 0)
		return err;
	if (ret->type != r->type) {
		drop(&l->in);
		return -EPIPE;
	}
	/* whatever number it says, it is not success: there is no body then */
	if (ret->error)
		return ret->error & 0xffff ? -(int)(ret->error & 0xffff)
					   : -EPROTO;
	return 0;
}
