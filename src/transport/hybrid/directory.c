/* SPDX-License-Identifier: MIT */
/* directory.c - see directory.h */
#include "transport/hybrid/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/unix.h"
#include "proto/hybrid.h"

#define LOCK ".hvsocket-hybrid.lock"

static int complain(char *why, int error, const char *what)
{
	snprintf(why, DIRECTORY_WHY, "%s", what);
	return error;
}

static int open_parent(const char *path, const char *name)
{
	cleanup_free_ char *dir = NULL;
	size_t len = (size_t)(name - path);
	int fd;

	/* up to the last slash, "" is the working directory */
	dir = len ? strndup(path, len) : strdup(".");
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int check(int fd, char *why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return complain(why, -errno, strerror(errno));
	if (st.st_uid != geteuid()) {
		snprintf(why, DIRECTORY_WHY,
			 "its directory belongs to uid %u: it has to be uid "
			 "%u's own",
			 st.st_uid, geteuid());
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		snprintf(why, DIRECTORY_WHY,
			 "others may write to its directory (mode %04o): it "
			 "has to be private, such as 0700",
			 st.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

/* It may have been removed, by who had it before, while we waited for it. */
static bool in_place(int fd)
{
	struct stat st, named;

	return fstat(fd, &st) == 0 && lstat(LOCK, &named) == 0 &&
	       st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

static int lock_file(char *why)
{
	int fd = open(LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
				    O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0) {
		snprintf(why, DIRECTORY_WHY, "%s: %s", LOCK, strerror(errno));
		return -errno;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid() || fchmod(fd, 0600) < 0) {
		close(fd);
		return complain(why, -EPERM,
				LOCK " in its directory is not the user's own "
				     "file");
	}
	return fd;
}

/*
 * A file that nobody else may open. (The directory itself could be locked by
 * whoever may look into it.) Return: the descriptor that holds it, or -errno
 */
static int lock(char *why)
{
	for (;;) {
		cleanup_close_ int fd = lock_file(why);

		if (fd < 0)
			return fd;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ?
				       complain(why, -EBUSY,
						"another process serves the VM "
						"of its directory") :
				       complain(why, -errno, strerror(errno));
		if (in_place(fd))
			return fd_take(&fd);
	}
}

/* Sockets of services that a process before us could not take away. */
static void remove_left(const char *name)
{
	cleanup_closedir_ DIR *d = opendir(".");
	size_t len = strlen(name);
	struct dirent *e;
	GUID service;

	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, name, len) == 0 &&
		    hybrid_suffix_parse(e->d_name + len, &service) &&
		    unix_remove_stale(e->d_name) == 0)
			log_debug("%s: left by an earlier process, removed",
				  e->d_name);
}

int directory_enter(const char *path, char ret_name[DIRECTORY_NAME_SIZE],
		    char *why)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	cleanup_close_ int fd = -1;
	int r;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return complain(why, -EINVAL, "not the name of a socket");
	if (strlen(name) >= DIRECTORY_NAME_SIZE) {
		snprintf(why, DIRECTORY_WHY,
			 "the socket's name has more than %zu bytes",
			 DIRECTORY_NAME_SIZE - 1);
		return -EINVAL;
	}
	fd = open_parent(path, name);
	if (fd < 0)
		return complain(why, fd, strerror(-fd));
	r = check(fd, why);
	if (r < 0)
		return r;
	if (fchdir(fd) < 0)
		return complain(why, -errno, strerror(errno));
	r = lock(why); /* held for as long as the process lives */
	if (r < 0)
		return r;
	strcpy(ret_name, name);
	remove_left(name);
	return 0;
}

void directory_leave(void)
{
	(void)unlink(LOCK);
}
