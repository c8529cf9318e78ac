/* SPDX-License-Identifier: MIT */
/* target.c - see target.h */
#include "as/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* since Linux 6.9 */
#endif

#define PATH_SIZE 64
#define PIECES 4

static int pidfd_open_raw(pid_t pid, unsigned int flags)
{
	int r = (int)syscall(SYS_pidfd_open, pid, flags);

	return r < 0 ? -errno : r;
}

/* /proc/TID/status, as much of it as is of interest. Return: 0 or -errno */
static int read_status(pid_t tid, char *ret, size_t size)
{
	cleanup_close_ int fd = -1;
	char path[PATH_SIZE];
	size_t len = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	do {
		n = read(fd, ret + len, size - 1 - len);
		if (n < 0)
			return -errno;
		len += (size_t)n;
	} while (n > 0 && len < size - 1);
	ret[len] = '\0';
	return 0;
}

/* What follows "\nKEY:"; NULL if there is no such line. */
static const char *status_line(const char *text, const char *key)
{
	char want[16];
	const char *at;

	snprintf(want, sizeof(want), "\n%s:", key);
	at = strstr(text, want);
	return at ? at + strlen(want) : NULL;
}

static pid_t process_of(pid_t tid)
{
	char text[4096];
	const char *line;

	if (read_status(tid, text, sizeof(text)) < 0)
		return -1;
	line = status_line(text, "Tgid");
	return line ? (pid_t)strtol(line, NULL, 10) : -1;
}

int target_open(pid_t tid)
{
	static atomic_bool no_threads;
	pid_t pid;
	int r;

	if (!atomic_load_explicit(&no_threads, memory_order_relaxed)) {
		r = pidfd_open_raw(tid, PIDFD_THREAD);
		if (r != -EINVAL)
			return r;
		atomic_store_explicit(&no_threads, true, memory_order_relaxed);
	}
	r = pidfd_open_raw(tid, 0);
	if (r != -EINVAL && r != -ENOENT)
		return r;
	/* not the first of its process */
	pid = process_of(tid);
	return pid <= 0 ? -ESRCH : pidfd_open_raw(pid, 0);
}

int target_fd(int pidfd, int fd)
{
	int r = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return r < 0 ? -errno : r;
}

/*
 * Not /proc/PID/mem, which also writes where the program itself could not.
 */
int target_read(pid_t tid, uint64_t from, void *to, size_t len)
{
	struct iovec local = { .iov_base = to, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)from,
				.iov_len = len };
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

int target_write(pid_t tid, const struct piece *p, size_t n)
{
	struct iovec local[PIECES], remote[PIECES];
	size_t total = 0;
	ssize_t done;

	if (n > PIECES)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		local[i].iov_base = (void *)(uintptr_t)p[i].from;
		remote[i].iov_base = (void *)(uintptr_t)p[i].to;
		local[i].iov_len = remote[i].iov_len = p[i].len;
		total += p[i].len;
	}
	if (!total)
		return 0;
	done = process_vm_writev(tid, local, n, remote, n, 0);
	if (done < 0)
		return -errno;
	return (size_t)done == total ? 0 : -EFAULT;
}

/* A mask, in hexadecimal. */
static uint64_t mask(const char *text, const char *key)
{
	const char *line = status_line(text, key);

	return line ? strtoull(line, NULL, 16) : 0;
}

bool target_interrupted(pid_t tid)
{
	char text[8192];

	if (read_status(tid, text, sizeof(text)) < 0 ||
	    !status_line(text, "SigCgt"))
		return true; /* it may have more groups than there is room */
	return ((mask(text, "SigCgt") | mask(text, "SigPnd") |
		 mask(text, "ShdPnd")) & ~mask(text, "SigBlk")) != 0;
}

bool target_exempt(pid_t tid)
{
	char path[PATH_SIZE], exe[4096], *file;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", tid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0)
		return false;
	exe[n] = '\0';
	file = strrchr(exe, '/');
	file = file ? file + 1 : exe;
	/* " (deleted)" may follow: an upgrade */
	return !strcmp(file, "hvsocketd") || !strncmp(file, "hvsocketd ", 10) ||
	       !strncmp(file, "hvsocket-", 9);
}

/* The second number of a line: real, effective, saved, of file systems. */
static bool effective(const char *line, uint32_t *ret)
{
	unsigned int real, eff;

	if (!line || sscanf(line, "%u %u", &real, &eff) != 2)
		return false;
	*ret = eff;
	return true;
}

int target_identity(pid_t tid, struct identity *ret)
{
	char text[8192], *end;
	const char *line;
	int r;

	r = read_status(tid, text, sizeof(text));
	if (r < 0)
		return r;
	if (!effective(status_line(text, "Uid"), &ret->uid) ||
	    !effective(status_line(text, "Gid"), &ret->gid))
		return -EPROTO;
	ret->n = 0;
	line = status_line(text, "Groups");
	while (line && ret->n < IDENTITY_GROUPS) {
		unsigned long g;

		while (*line == ' ' || *line == '\t')
			line++;
		if (*line < '0' || *line > '9')
			break;
		g = strtoul(line, &end, 10);
		ret->groups[ret->n++] = (gid_t)g;
		line = end;
	}
	return 0;
}
