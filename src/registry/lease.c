/* SPDX-License-Identifier: MIT */
/*
 * lease.c - does the process that a registration belongs to still live?
 *
 * A process is known by its pid, its start time and the boot: numbers come
 * again, these three do not.
 */
#include "registry/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"

static int read_small(const char *path, char *buf, size_t size)
{
	cleanup_close_ int fd = -1;
	ssize_t n;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

/* Field 22 of /proc/PID/stat, counted from behind the last parenthesis: a
 * process may call itself anything. A zombie has ended. */
static int start_time(int32_t pid, uint64_t *ret)
{
	unsigned long long start;
	char path[64], buf[1024];
	char *p, state;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = read_small(path, buf, sizeof(buf));
	if (r == -ENOENT)
		return -ESRCH;
	if (r < 0)
		return r;
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1,
			 " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
			 "%*d %*d %*d %*d %*d %*d %llu", &state, &start) != 2)
		return -EIO;
	if (state == 'Z' || state == 'X' || state == 'x')
		return -ESRCH;
	*ret = start;
	return 0;
}

static int boot_id(char *text)
{
	char buf[64];
	GUID g;
	int r;

	r = read_small("/proc/sys/kernel/random/boot_id", buf, sizeof(buf));
	if (r < 0)
		return r;
	buf[strcspn(buf, "\n")] = '\0';
	r = guid_parse(buf, &g);
	if (r < 0)
		return -EIO;
	guid_format(&g, text);
	return 0;
}

int lease_take(int32_t pid, struct service_text *t)
{
	char boot[GUID_TEXT_SIZE], number[24];
	uint64_t start;
	int r;

	if (pid <= 0)
		return -ESRCH;
	r = start_time(pid, &start);
	if (!r)
		r = boot_id(boot);
	if (r < 0)
		return r;
	snprintf(number, sizeof(number), "%d", pid);
	r = service_text_set(t, SERVICE_LEASE_PID, number);
	if (r < 0)
		return r;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)start);
	r = service_text_set(t, SERVICE_LEASE_START, number);
	if (r < 0)
		return r;
	return service_text_set(t, SERVICE_LEASE_BOOT, boot);
}

/* Only what is known to be over is over: an unreadable /proc ends nothing. */
bool lease_over(const struct service *s)
{
	char boot[GUID_TEXT_SIZE];
	uint64_t start;
	int r;

	if (!s->lease_pid)
		return false;
	if (boot_id(boot) == 0 && strcmp(boot, s->lease_boot) != 0)
		return true;
	r = start_time(s->lease_pid, &start);
	return r == -ESRCH || (r == 0 && start != s->lease_start);
}
