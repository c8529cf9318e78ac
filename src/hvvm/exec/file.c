/* SPDX-License-Identifier: MIT */
/* file.c - see file.h */
#include "hvvm/exec/file.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"

/* Until the end, which need not be where fstat() said. */
static int read_to_end(int fd, size_t expected, uint8_t **ret, size_t *ret_len)
{
	size_t room = expected + 1, len = 0;
	uint8_t *data = malloc(room), *more;
	int r = data ? 0 : -ENOMEM;

	while (r == 0) {
		ssize_t n;

		if (len + 1 >= room) {
			room = room * 2 + 65536;
			more = realloc(data, room);
			if (!more) {
				r = -ENOMEM;
				break;
			}
			data = more;
		}
		n = read(fd, data + len, room - len - 1);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n > 0)
			len += (size_t)n;
		if (len > FILE_MOST)
			r = -EFBIG;
	}
	if (r < 0) {
		free(data);
		return r;
	}
	data[len] = 0;
	*ret = data;
	*ret_len = len;
	return 0;
}

static int open_regular(const char *path, int *ret_fd, size_t *ret_len)
{
	cleanup_close_ int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	if ((uint64_t)st.st_size > FILE_MOST)
		return -EFBIG;
	*ret_len = (size_t)st.st_size;
	*ret_fd = fd_take(&fd);
	return 0;
}

int file_read(const char *path, uint8_t **ret, size_t *ret_len)
{
	cleanup_close_ int fd = -1;
	size_t len = 0;
	int r = open_regular(path, &fd, &len);

	return r < 0 ? r : read_to_end(fd, len + 1, ret, ret_len);
}

/* ---- packed ones */

static int spawn(const char *tool, int in, int out, pid_t *ret)
{
	char *argv[] = { (char *)(uintptr_t)tool, (char *)(uintptr_t) "-dcq",
			 NULL };
	posix_spawn_file_actions_t a;
	int r = -posix_spawn_file_actions_init(&a);

	if (r < 0)
		return r;
	r = -posix_spawn_file_actions_adddup2(&a, in, STDIN_FILENO);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&a, out, STDOUT_FILENO);
	if (r == 0)
		r = -posix_spawnp(ret, tool, &a, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&a);
	return r;
}

static int run(const char *tool, int in, uint8_t **ret, size_t *ret_len)
{
	cleanup_close_ int from = -1, to = -1;
	int p[2], r, r2, status;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	from = p[0];
	to = p[1];
	r = spawn(tool, in, to, &pid);
	if (r < 0)
		return r == -ENOENT ? -ENOPKG : r;
	close(fd_take(&to));
	r = read_to_end(from, 65536, ret, ret_len);
	close(fd_take(&from)); /* if that was too much, it ends */
	do
		r2 = waitpid(pid, &status, 0);
	while (r2 < 0 && errno == EINTR);
	if (r == 0 && (r2 < 0 || status != 0)) {
		free(*ret);
		*ret = NULL;
		/* so says a posix_spawn() that has forked */
		return r2 > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127
			       ? -ENOPKG
			       : -EBADMSG;
	}
	return r;
}

int file_unpack(const char *path, uint8_t **ret, size_t *ret_len,
		const char **ret_tool)
{
	static const struct {
		const char *suffix, *tool;
	} known[] = { { ".xz", "xz" }, { ".zst", "zstd" }, { ".gz", "gzip" } };
	cleanup_close_ int fd = -1;
	size_t n = strlen(path), len;
	int r;

	*ret_tool = NULL;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t m = strlen(known[i].suffix);

		if (n > m && strcmp(path + n - m, known[i].suffix) == 0)
			*ret_tool = known[i].tool;
	}
	if (!*ret_tool)
		return file_read(path, ret, ret_len);
	r = open_regular(path, &fd, &len);
	return r < 0 ? r : run(*ret_tool, fd, ret, ret_len);
}
