/* SPDX-License-Identifier: MIT */
/*
 * trace.c - run $TRACE_PROGRAM and write down, in $TRACE_LOG, where its
 * system calls move bytes
 *
 * Like strace, but with the addresses of buffers, which strace shows the
 * contents of. One line per call that returned:
 *
 *   mmap ADDRESS LENGTH PROT FLAGS FD
 *   munmap ADDRESS LENGTH
 *   NAME FD RESULT ADDRESS:LENGTH ...	read, write, readv, writev, recvmsg,
 *					sendmsg, recvfrom, sendto
 *   other NUMBER			anything else that could move bytes
 *
 * SIGTERM is passed on; the exit code is the program's.
 */
#include <errno.h>
#include <signal.h>
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

static pid_t child;
static FILE *out;

static void pass_on(int sig)
{
	kill(child, sig);
}

static size_t peek(pid_t pid, uint64_t at, void *to, size_t len)
{
	struct iovec local = { to, len };
	struct iovec remote = { (void *)(uintptr_t)at, len };
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return n < 0 ? 0 : (size_t)n;
}

static void vectors(pid_t pid, uint64_t at, uint64_t n)
{
	struct iovec iov[1024];

	if (n > 1024 ||
	    peek(pid, at, iov, n * sizeof(*iov)) != n * sizeof(*iov)) {
		fprintf(out, " unreadable");
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		fprintf(out, " %p:%zu", iov[i].iov_base, iov[i].iov_len);
}

static void message(pid_t pid, uint64_t at)
{
	struct msghdr m;

	if (peek(pid, at, &m, sizeof(m)) != sizeof(m))
		fprintf(out, " unreadable");
	else
		vectors(pid, (uintptr_t)m.msg_iov, m.msg_iovlen);
}

static void returned(pid_t pid, const uint64_t nr, const uint64_t *a, int64_t r)
{
	static const struct {
		uint64_t nr;
		const char *name;
		enum { BUFFER, VECTOR, MESSAGE } kind;
	} calls[] = {
		{ SYS_read, "read", BUFFER },
		{ SYS_write, "write", BUFFER },
		{ SYS_recvfrom, "recvfrom", BUFFER },
		{ SYS_sendto, "sendto", BUFFER },
		{ SYS_readv, "readv", VECTOR },
		{ SYS_writev, "writev", VECTOR },
		{ SYS_recvmsg, "recvmsg", MESSAGE },
		{ SYS_sendmsg, "sendmsg", MESSAGE },
	};
	static const uint64_t others[] = {
		SYS_splice,	      SYS_sendfile,
		SYS_vmsplice,	      SYS_tee,
		SYS_pread64,	      SYS_pwrite64,
		SYS_preadv,	      SYS_pwritev,
		SYS_preadv2,	      SYS_pwritev2,
		SYS_recvmmsg,	      SYS_sendmmsg,
		SYS_process_vm_readv, SYS_process_vm_writev,
		SYS_copy_file_range,  SYS_io_uring_setup,
	};

	if (nr == SYS_mmap && (r > 0 || r < -4095))
		fprintf(out, "mmap %#llx %llu %llu %llu %d\n",
			(unsigned long long)r, (unsigned long long)a[1],
			(unsigned long long)a[2], (unsigned long long)a[3],
			(int)a[4]);
	else if (nr == SYS_munmap && r == 0)
		fprintf(out, "munmap %#llx %llu\n", (unsigned long long)a[0],
			(unsigned long long)a[1]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (nr == others[i])
			fprintf(out, "other %d\n", (int)nr);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (nr != calls[i].nr || r <= 0)
			continue;
		fprintf(out, "%s %d %lld", calls[i].name, (int)a[0],
			(long long)r);
		if (calls[i].kind == BUFFER)
			fprintf(out, " %#llx:%llu", (unsigned long long)a[1],
				(unsigned long long)a[2]);
		else if (calls[i].kind == VECTOR)
			vectors(pid, a[1], a[2]);
		else
			message(pid, a[1]);
		fputc('\n', out);
	}
}

/* Threads are few: what each has entered and not left. */
static struct entered {
	pid_t pid;
	uint64_t nr, args[6];
} entered[16];

static struct entered *of(pid_t pid)
{
	for (int i = 0; i < 16; i++) {
		if (entered[i].pid == pid)
			return &entered[i];
		if (!entered[i].pid) {
			entered[i].pid = pid;
			return &entered[i];
		}
	}
	abort();
}

static void stopped(pid_t pid)
{
	struct entered *e = of(pid);
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		e->nr = info.entry.nr;
		memcpy(e->args, info.entry.args, sizeof(e->args));
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
		returned(pid, e->nr, e->args, info.exit.rval);
	}
}

int main(int argc, char **argv)
{
	const char *program = getenv("TRACE_PROGRAM");
	const char *log = getenv("TRACE_LOG");
	const struct sigaction sa = { .sa_handler = pass_on };
	int status;
	pid_t pid;

	(void)argc;
	out = log ? fopen(log, "w") : NULL;
	if (!out || !program)
		return 126;
	child = fork();
	if (child < 0)
		return 126;
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		argv[0] = (char *)(uintptr_t)program;
		execv(program, argv);
		_exit(127);
	}
	sigaction(SIGTERM, &sa, NULL);
	waitpid(child, &status, 0);
	ptrace(PTRACE_SETOPTIONS, child, NULL,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, child, NULL, NULL);
	for (;;) {
		int sig = 0;

		pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return 125;
		if (pid == child && (WIFEXITED(status) || WIFSIGNALED(status)))
			break;
		if (!WIFSTOPPED(status))
			continue;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			stopped(pid);
		else if (WSTOPSIG(status) != SIGTRAP &&
			 WSTOPSIG(status) != SIGSTOP)
			sig = WSTOPSIG(status);
		ptrace(PTRACE_SYSCALL, pid, NULL, sig);
	}
	fclose(out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
