/* SPDX-License-Identifier: MIT */
/* huge.c - see huge.h */
#include "hvvm/huge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdmsg.h"

#define SYSTEM "/sys/kernel/mm/transparent_hugepage/"

/* Has the administrator chosen @word? */
static bool chosen(const char *file, const char *word)
{
	char line[128];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[n < 0 ? 0 : n] = '\0';
	return strstr(line, word) != NULL;
}

static int set(int fs, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0
		       ? -errno
		       : 0;
}

/* A tmpfs that is mounted nowhere: it goes with the last descriptor. */
static int mount_tmpfs(uint64_t size)
{
	char text[24];
	int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), r;

	if (fs < 0)
		return -errno;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	r = set(fs, "huge", "always");
	if (r == 0)
		r = set(fs, "size", text);
	if (r == 0 && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL,
			      0) < 0)
		r = -errno;
	if (r == 0) {
		r = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
				 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					 MOUNT_ATTR_NOEXEC);
		if (r < 0)
			r = -errno;
	}
	close(fs);
	return r;
}

static int make_file(uint64_t size)
{
	int mount = mount_tmpfs(size), fd;

	if (mount < 0)
		return mount;
	fd = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = -errno;
	close(mount);
	if (fd >= 0 && ftruncate(fd, (off_t)size) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static int put(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		r = -errno;
	close(fd);
	return r;
}

/* Whoever has no id in it may make no file. */
static int enter_user_namespace(void)
{
	char users[32], groups[32];
	int r;

	snprintf(users, sizeof(users), "0 %u 1", (unsigned int)geteuid());
	snprintf(groups, sizeof(groups), "0 %u 1", (unsigned int)getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -errno;
	r = put("/proc/self/uid_map", users);
	if (r == 0)
		r = put("/proc/self/setgroups", "deny");
	if (r == 0)
		r = put("/proc/self/gid_map", groups);
	return r;
}

static _Noreturn void child(int sock, uint64_t size)
{
	int fd = enter_user_namespace();

	if (fd == 0)
		fd = make_file(size);
	_exit(fd < 0 || fdmsg_send(sock, "", 1, &fd, 1, 0) < 0);
}

/* The namespace stays behind as the owner of the file's file system. */
static int by_child(uint64_t size)
{
	struct fdmsg m;
	int pair[2], r;
	char byte;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(pair[1], size);
	r = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (r == 0) {
		r = fdmsg_recv(pair[0], &byte, 1, 0, &m);
		if (r == 0)
			r = m.nfds == 1 ? m.fds[0] : -EPERM;
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(pair[0]);
	return r;
}

int huge_file(uint64_t size)
{
	int r;

	if (chosen(SYSTEM "enabled", "[never]") ||
	    chosen(SYSTEM "shmem_enabled", "[deny]"))
		return -EOPNOTSUPP;
	r = make_file(size);
	return r == -EPERM ? by_child(size) : r;
}
