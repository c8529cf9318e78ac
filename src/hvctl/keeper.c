/* SPDX-License-Identifier: MIT */
/* keeper.c - see keeper.h */
#include "hvctl/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "hvctl/agent-conn.h"

#define TRY_MS (15 * 60 * 1000) /* to thaw */
#define PAUSE_MS 1000 /* between two tries */
#define ANSWER_MS 60000 /* of a thaw: the guest writes what has gathered */

static const struct agent_step freeze_steps[] = {
	{ .command = "guest-fsfreeze-freeze" },
	{ .command = NULL },
};

static const struct agent_step thaw_steps[] = {
	{ .command = "guest-fsfreeze-thaw" },
	{ .command = NULL },
};

/* How a job went, between the two processes. */
struct verdict {
	int result;
	struct call_error err;
	json_int_t count;
};

struct held {
	char *vm;
	int fd; /* where we are told; -1: nobody can */
	bool frozen; /* or may be */
	bool gone; /* thawed by another */
	int result; /* of the thaw */
	struct call_error err;
	json_int_t count;
};

struct keeping {
	struct held *held;
	size_t n;
	int fd; /* to who asked; -1: is gone */
	int term;
	bool leased;
	bool asked; /* to thaw, by whom it is leased to */
};

/* ---- being told that it is over */

static socklen_t told_name(const char *vm, struct sockaddr_un *ret)
{
	char text[600], guid[HVS_GUID_TEXT_SIZE];
	SOCKADDR_HV addr;
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(text, sizeof(text), "%s:" AGENT_SERVICE, vm);
	if (n >= (int)sizeof(text) || hvs_address_parse(text, &addr) < 0)
		return 0;
	n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1,
		     "hvctl-freeze-%u-%s", (unsigned int)geteuid(),
		     hvs_guid_format(&addr.VmId, guid));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)n);
}

void keeper_told(const char *vm)
{
	cleanup_close_ int fd =
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	socklen_t len = told_name(vm, &sa);

	if (fd >= 0 && len)
		(void)!sendto(fd, "", 1, MSG_NOSIGNAL, (struct sockaddr *)&sa,
			      len);
}

static int told_listen(const char *vm)
{
	cleanup_close_ int fd =
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	socklen_t len = told_name(vm, &sa);
	int on = 1;

	if (fd < 0 || !len ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -1;
	return fd_take(&fd);
}

/* Anybody can send to an abstract name; only our user and root are heard. */
static bool was_told(int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct ucred cred;
	struct cmsghdr *cm;

	if (recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return false;
	cm = CMSG_FIRSTHDR(&m);
	if (!cm || cm->cmsg_level != SOL_SOCKET ||
	    cm->cmsg_type != SCM_CREDENTIALS)
		return false;
	memcpy(&cred, CMSG_DATA(cm), sizeof(cred));
	return cred.uid == geteuid() || cred.uid == 0;
}

/* ---- the keeper's own process */

static bool any_left(const struct keeping *k)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->held[i].frozen && !k->held[i].gone)
			return true;
	return false;
}

static void look_told(struct keeping *k)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->held[i].fd >= 0 && was_told(k->held[i].fd))
			k->held[i].gone = true;
}

/* Wait for any of the reasons. True: the time is over, or we shall thaw. */
static bool wait_some(struct keeping *k, uint64_t end_ms)
{
	cleanup_free_ struct pollfd *p = calloc(k->n + 2, sizeof(*p));
	uint64_t now = agent_now_ms();
	size_t n = 0;
	char byte;

	if (!p || now >= end_ms)
		return true;
	p[n++] = (struct pollfd){ .fd = k->term, .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = k->fd, .events = POLLIN };
	for (size_t i = 0; i < k->n; i++)
		p[n++] = (struct pollfd){ .fd = k->held[i].fd,
					  .events = POLLIN };
	if (poll(p, n, (int)(end_ms - now)) < 0)
		return errno != EINTR;
	look_told(k);
	if (p[0].revents)
		return true;
	if (!p[1].revents)
		return false;
	if (recv(k->fd, &byte, 1, MSG_DONTWAIT) == 1) {
		k->asked = true;
		return true;
	}
	close(k->fd);
	k->fd = -1;
	return k->leased;
}

static void pause_before_next(void)
{
	(void)poll(NULL, 0, PAUSE_MS);
}

static bool is_over(const struct agent_job *j)
{
	return !j->result || j->err.reason == HVS_REASON_PARTITION_OFF ||
	       j->err.reason == HVS_REASON_PARTITION_UNKNOWN;
}

static void thaw_once(struct keeping *k, struct agent_job *jobs)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++)
		if (k->held[i].frozen && !k->held[i].gone)
			jobs[n++] = (struct agent_job){ .vm = k->held[i].vm };
	agent_run(jobs, n, thaw_steps, NULL, ANSWER_MS);
	n = 0;
	for (size_t i = 0; i < k->n; i++) {
		struct held *h = &k->held[i];

		if (!h->frozen || h->gone)
			continue;
		h->result = jobs[n].result;
		h->err = jobs[n].err;
		h->count = json_integer_value(jobs[n].answers[0]);
		h->frozen = !is_over(&jobs[n]);
		agent_job_fini(&jobs[n++]);
	}
}

static void thaw_all(struct keeping *k)
{
	cleanup_free_ struct agent_job *jobs = calloc(k->n + 1, sizeof(*jobs));
	uint64_t end = agent_now_ms() + TRY_MS;

	while (jobs && any_left(k)) {
		thaw_once(k, jobs);
		if (!any_left(k) || agent_now_ms() >= end)
			return;
		pause_before_next();
		look_told(k);
	}
}

static bool send_verdict(int fd, int result, const struct call_error *err,
			 json_int_t count)
{
	struct verdict v = { .result = result, .err = *err, .count = count };

	return send(fd, &v, sizeof(v), MSG_NOSIGNAL) == sizeof(v);
}

/* Nothing of ours may keep somebody's pipe or lock. */
static void let_go(int told)
{
	/* ours may be 0 to 2 if nobody has opened those */
	int keep = fcntl(told, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (keep < 0)
		_exit(1);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (keep != 3) {
		dup2(keep, 3);
		fcntl(3, F_SETFD, FD_CLOEXEC);
	}
	(void)close_range(4, ~0u, 0);
}

static void freeze(struct keeping *k, struct agent_job *jobs,
		   uint32_t timeout_ms)
{
	/* before: who thaws in between must be able to say so */
	for (size_t i = 0; i < k->n; i++) {
		k->held[i].vm = strdup(jobs[i].vm);
		k->held[i].fd = told_listen(jobs[i].vm);
	}
	agent_run(jobs, k->n, freeze_steps, NULL, timeout_ms);
	for (size_t i = 0; i < k->n; i++) {
		struct held *h = &k->held[i];
		int r = jobs[i].result;

		/* What was sent and has no answer may be done yet. */
		h->frozen = h->vm && (!r || (jobs[i].sent && r != -EPERM &&
					     r != -ENOSYS && r != -EREMOTEIO));
		if (k->fd < 0)
			continue;
		if (!send_verdict(k->fd, r, &jobs[i].err,
				  json_integer_value(jobs[i].answers[0]))) {
			close(k->fd);
			k->fd = -1;
		}
	}
}

static bool all_unsure(const struct agent_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!jobs[i].result)
			return false;
	return true;
}

/* What had ended before anybody asked is none of what the command wanted. */
static void tell_end(const struct keeping *k)
{
	const struct held *h = &k->held[0];

	(void)send_verdict(k->fd, h->gone || (!k->asked && !h->result) ?
				  -ENOENT : h->result, &h->err, h->count);
}

static void keep(const struct keeper *by, struct agent_job *jobs, size_t n,
		 uint32_t timeout_ms)
{
	struct keeping k = { .n = n, .fd = 3, .leased = by->leased };
	uint64_t end;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	k.term = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	k.held = calloc(n + 1, sizeof(*k.held));
	if (!k.held)
		return;
	freeze(&k, jobs, timeout_ms);
	end = all_unsure(jobs, n) || (k.leased && k.fd < 0) ?
		      0 : agent_now_ms() + by->hold_ms;
	while (any_left(&k) && !wait_some(&k, end))
		;
	thaw_all(&k);
	if (k.fd >= 0 && k.leased && n)
		tell_end(&k);
}

/* ---- who asks for it */

static void lost(struct agent_job *jobs, size_t from, size_t n, int error)
{
	for (size_t i = from; i < n; i++)
		jobs[i].result = agent_fail(&jobs[i].err, error, "%s",
					    strerror(error));
}

/* A keeper that was killed thaws nothing: we do. Return: as keeper_thaw() */
static int thaw_for_it(const char *vm, struct call_error *err)
{
	struct agent_job job = { .vm = vm };
	json_int_t count;

	agent_run(&job, 1, thaw_steps, NULL, ANSWER_MS);
	count = json_integer_value(job.answers[0]);
	*err = job.err;
	agent_job_fini(&job);
	if (!job.result && count <= 0)
		return agent_fail(err, ENOENT, "it was not frozen any more");
	return job.result;
}

static void collect(struct keeper *k, struct agent_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct verdict v;

		if (recv(k->fd, &v, sizeof(v), 0) != sizeof(v)) {
			lost(jobs, i, n, ECANCELED);
			for (struct call_error e; i < n; i++)
				(void)thaw_for_it(jobs[i].vm, &e);
			return;
		}
		jobs[i].result = v.result;
		jobs[i].err = v.err;
		if (!v.result)
			jobs[i].answers[0] = json_integer(v.count);
	}
}

void keeper_freeze(struct keeper *k, struct agent_job *jobs, size_t n,
		   uint32_t timeout_ms)
{
	int pair[2];

	k->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		lost(jobs, 0, n, errno);
		return;
	}
	/* Before this process has a connection of the library's. */
	k->pid = fork();
	if (k->pid == 0) {
		/* twice: nobody waits for it */
		if (setsid() < 0 || fork() != 0)
			_exit(0);
		let_go(pair[1]);
		keep(k, jobs, n, timeout_ms);
		_exit(0);
	}
	close(pair[1]);
	k->fd = pair[0];
	if (k->pid < 0)
		lost(jobs, 0, n, errno);
	else
		collect(k, jobs, n);
	if (k->pid > 0)
		while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
			;
	if (k->leased && n && !jobs[0].result)
		return;
	close(k->fd);
	k->fd = -1;
}

int keeper_thaw(struct keeper *k, const char *vm, struct call_error *err)
{
	struct verdict v;
	int r = -1;

	if (k->fd < 0)
		return 0;
	(void)send(k->fd, "", 1, MSG_NOSIGNAL);
	/* That it has not read our byte is an error that is told once, and
	 * before what it has said. */
	for (int i = 0; r && i < 2; i++)
		r = recv(k->fd, &v, sizeof(v), 0) == sizeof(v) ? 0 : -1;
	close(k->fd);
	k->fd = -1;
	if (r)
		return thaw_for_it(vm, err);
	*err = v.err;
	if (v.result == -ENOENT || (!v.result && !v.count))
		return agent_fail(err, ENOENT, "it was not frozen any more");
	return v.result;
}
