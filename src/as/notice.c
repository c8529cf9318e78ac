/* SPDX-License-Identifier: MIT */
/* notice.c - see notice.h */
#include "as/notice.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

/* A later kernel's structures may be longer: it writes its own length. */
#define ROOM 512

int notice_probe(int listener)
{
	struct seccomp_notif_addfd add = {
		.id = UINT64_MAX, /* nobody's */
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)listener,
	};
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	if (sizes.seccomp_notif > ROOM || sizes.seccomp_notif_resp > ROOM)
		return -EOPNOTSUPP;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 &&
	    errno != ENOENT)
		return errno == EINVAL || errno == ENOTTY ? -EOPNOTSUPP :
							    -errno;
	return 0;
}

int notice_receive(int listener, struct notice *ret)
{
	alignas(struct seccomp_notif) char raw[ROOM];
	struct seccomp_notif n;

	memset(raw, 0, sizeof(raw)); /* or the kernel refuses */
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, raw) < 0)
		return -errno;
	memcpy(&n, raw, sizeof(n));
	*ret = (struct notice){ .id = n.id, .tid = (pid_t)n.pid,
				.nr = n.data.nr };
	for (int i = 0; i < 6; i++)
		ret->args[i] = n.data.args[i];
	return 0;
}

bool notice_valid(int listener, uint64_t id)
{
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static int respond(int listener, const struct seccomp_notif_resp *r)
{
	alignas(struct seccomp_notif_resp) char raw[ROOM] = { 0 };

	memcpy(raw, r, sizeof(*r));
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, raw) < 0 ? -errno : 0;
}

int notice_answer(int listener, uint64_t id, int64_t value)
{
	struct seccomp_notif_resp r = { .id = id };

	if (value < 0)
		r.error = (int32_t)value;
	else
		r.val = value;
	return respond(listener, &r);
}

int notice_continue(int listener, uint64_t id)
{
	const struct seccomp_notif_resp r = {
		.id = id,
		.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
	};

	return respond(listener, &r);
}

int notice_give(int listener, uint64_t id, int fd, bool cloexec)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? -errno :
								      0;
}
