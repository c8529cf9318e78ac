/* SPDX-License-Identifier: MIT */
/*
 * trace-payload - where do the bytes lie that a device moves over sockets?
 *
 *	trace-payload PROGRAM [ARG...]
 *
 * Runs PROGRAM and looks at each of its system calls that reads or writes a
 * socket. Each byte is counted by where it lay: in the guest's memory, which
 * is a mapping of a memfd, or in the program's own. At the end, which SIGTERM
 * brings about, it says "payload guest=N own=N".
 *
 * Started by its tracer, a program that makes itself undumpable stays traced.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/ptrace.h>

#define THREADS_MAX 64
#define MAPS_MAX 64
#define IOV_MAX_ 1024

struct thread {
	pid_t tid; /* 0: free */
	uint64_t nr, args[6];
};

struct map {
	uint64_t start, end;
};

static struct thread threads[THREADS_MAX];
static struct map maps[MAPS_MAX];
static size_t map_count;
static bool maps_old = true;
static pid_t program;
static uint64_t in_guest, in_own;

static void fail(const char *what)
{
	fprintf(stderr, "trace-payload: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void on_term(int sig)
{
	kill(program, sig);
}

/* Mappings of memfds: the guest's memory. */
static void read_maps(void)
{
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)program);
	f = fopen(path, "re");
	if (!f)
		fail(path);
	map_count = 0;
	while (fgets(line, sizeof(line), f)) {
		struct map m;

		if (strstr(line, "/memfd:") &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64, &m.start, &m.end) ==
			    2 &&
		    map_count < MAPS_MAX)
			maps[map_count++] = m;
	}
	fclose(f);
	maps_old = false;
}

static void count(uint64_t base, uint64_t len)
{
	if (maps_old)
		read_maps();
	for (size_t i = 0; i < map_count; i++) {
		if (base >= maps[i].start && base < maps[i].end) {
			in_guest += len;
			return;
		}
	}
	in_own += len;
}

static void peek(uint64_t at, void *to, size_t len)
{
	struct iovec local = { .iov_base = to, .iov_len = len };
	struct iovec remote = { .iov_len = len };

	memcpy(&remote.iov_base, &at, sizeof(at));
	if (process_vm_readv(program, &local, 1, &remote, 1, 0) !=
	    (ssize_t)len)
		fail("process_vm_readv");
}

static void count_iov(uint64_t at, uint64_t n, uint64_t moved)
{
	static struct iovec iov[IOV_MAX_];

	if (n > IOV_MAX_)
		n = IOV_MAX_;
	peek(at, iov, n * sizeof(iov[0]));
	for (uint64_t i = 0; i < n && moved; i++) {
		uint64_t len = iov[i].iov_len < moved ? iov[i].iov_len : moved;

		count((uint64_t)(uintptr_t)iov[i].iov_base, len);
		moved -= len;
	}
}

static bool is_socket(uint64_t fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)program, (int)fd);
	n = readlink(path, target, sizeof(target) - 1);
	return n > 7 && memcmp(target, "socket:", 7) == 0;
}

/* A system call that has ended: @moved is its result. */
static void ended(const struct thread *t, int64_t moved)
{
	struct msghdr msg;

	switch (t->nr) {
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mremap:
	case SYS_execve:
		maps_old = true;
		return;
	case SYS_read:
	case SYS_write:
	case SYS_recvfrom:
	case SYS_sendto:
		if (moved > 0 && is_socket(t->args[0]))
			count(t->args[1], (uint64_t)moved);
		return;
	case SYS_readv:
	case SYS_writev:
	case SYS_preadv2:
	case SYS_pwritev2:
		if (moved > 0 && is_socket(t->args[0]))
			count_iov(t->args[1], t->args[2], (uint64_t)moved);
		return;
	case SYS_recvmsg:
	case SYS_sendmsg:
		if (moved <= 0)
			return;
		peek(t->args[1], &msg, sizeof(msg));
		count_iov((uint64_t)(uintptr_t)msg.msg_iov, msg.msg_iovlen,
			  (uint64_t)moved);
		return;
	default:
		return;
	}
}

static struct thread *thread_of(pid_t tid)
{
	struct thread *unused = NULL;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (threads[i].tid == tid)
			return &threads[i];
		if (!threads[i].tid && !unused)
			unused = &threads[i];
	}
	if (!unused) {
		errno = EMFILE;
		fail("threads");
	}
	*unused = (struct thread){ .tid = tid };
	return unused;
}

static void on_syscall(pid_t tid)
{
	struct ptrace_syscall_info info;
	struct thread *t = thread_of(tid);

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		t->nr = info.entry.nr;
		memcpy(t->args, info.entry.args, sizeof(t->args));
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
		ended(t, info.exit.rval);
	}
}

/* Until the program ends. Return: its exit code */
static int trace(void)
{
	for (;;) {
		int status, sig = 0;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			fail("waitpid");
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			thread_of(tid)->tid = 0;
			if (tid == program)
				return WIFEXITED(status) ?
					       WEXITSTATUS(status) :
					       128 + WTERMSIG(status);
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			on_syscall(tid);
		else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP &&
			 WSTOPSIG(status) != SIGTRAP)
			sig = WSTOPSIG(status);
		/* ESRCH: killed meanwhile; waitpid() tells */
		(void)ptrace(PTRACE_SYSCALL, tid, 0, sig);
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	int status;

	if (argc < 2) {
		fprintf(stderr, "usage: trace-payload PROGRAM [ARG...]\n");
		return 2;
	}
	program = fork();
	if (program < 0)
		fail("fork");
	if (program == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			fail("PTRACE_TRACEME");
		raise(SIGSTOP);
		execvp(argv[1], argv + 1);
		fail(argv[1]);
	}
	if (waitpid(program, &status, 0) != program || !WIFSTOPPED(status))
		fail("waitpid");
	sigaction(SIGTERM, &sa, NULL);
	if (ptrace(PTRACE_SETOPTIONS, program, 0,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
			   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0)
		fail("PTRACE_SETOPTIONS");
	if (ptrace(PTRACE_SYSCALL, program, 0, 0) < 0)
		fail("PTRACE_SYSCALL");
	status = trace();
	printf("payload guest=%" PRIu64 " own=%" PRIu64 "\n", in_guest, in_own);
	return status;
}
