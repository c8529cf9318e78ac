/* SPDX-License-Identifier: MIT */
/*
 * plain.h - what a program knows that never heard of us: the numbers
 *
 * The tests of the preload library include none of our headers. sys_get() is
 * the same call past the library, to compare with. They are run, statically
 * linked, under hvctl as --via=seccomp too (tests/as); TEST_BY_SECCOMP is then
 * set.
 */
#ifndef TESTS_PRELOAD_PLAIN_H
#define TESTS_PRELOAD_PLAIN_H

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAMILY 34
#define PROTOCOL 1
#define LEVEL 1
#define SOL_OURS 0x4856
#define OPT_CONNECT_TIMEOUT 1
#define OPT_PASSTHRU 2
#define OPT_SUSPEND 4
#define OPT_HIGH_VTL 8

struct hv {
	uint16_t family, reserved;
	uint8_t vm[16], service[16];
};

_Static_assert(sizeof(struct hv) == 36, "as on Windows");

static const uint8_t loopback[16] = { 0x97, 0x61, 0xe1, 0xe0, 0x56, 0xdd,
				      0x10, 0x4a, 0x91, 0x95, 0x5e, 0xe7,
				      0xa1, 0x55, 0xa8, 0x38 };

#define SA(p) ((struct sockaddr *)(uintptr_t)(p))

/* A port of the VSOCK template, in this partition; a different one for every
 * test and process, so that tests may run at once. */
static inline struct hv address(void)
{
	static uint32_t calls;
	uint32_t port = ((uint32_t)getpid() << 8 | (calls++ & 0xff)) &
			0x7fffffff;
	struct hv a = { .family = FAMILY,
			.service = { [4] = 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58,
				     0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 } };

	memcpy(a.service, &port, sizeof(port));
	memcpy(a.vm, loopback, sizeof(a.vm));
	return a;
}

static inline int make(int type)
{
	int fd = socket(FAMILY, type, PROTOCOL);

	ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
	return fd;
}

static inline int serve(int type, const struct hv *a)
{
	int fd = make(type);

	ck_assert_msg(bind(fd, SA(a), sizeof(*a)) == 0, "bind: %s",
		      strerror(errno));
	ck_assert_msg(listen(fd, 8) == 0, "listen: %s", strerror(errno));
	return fd;
}

static inline int dial(int type, const struct hv *a)
{
	int fd = make(type);

	ck_assert_msg(connect(fd, SA(a), sizeof(*a)) == 0, "connect: %s",
		      strerror(errno));
	return fd;
}

/* An option of four bytes; -errno on failure. */
static inline long get(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int v = 0;

	if (getsockopt(fd, level, name, &v, &len) < 0)
		return -errno;
	ck_assert_uint_eq(len, sizeof(int));
	return v;
}

static inline int set(int fd, int level, int name, int v)
{
	return setsockopt(fd, level, name, &v, sizeof(v)) < 0 ? -errno : 0;
}

/* A number nobody passes where the kernel looks at nothing: past the filter. */
#define SYS_MARK 0x687673636b65745fL

/* Past the preload library. */
static inline long sys_get(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int v = 0;

	if (syscall(SYS_getsockopt, fd, level, name, &v, &len, SYS_MARK) < 0)
		return -errno;
	return v;
}

Suite *suite_sockets(void);
Suite *suite_options(void);
Suite *suite_foreign(void);
Suite *suite_inherit(const char *self);
/* What this program does when suite_inherit() has executed it. */
int inherited(int argc, char **argv);

#endif /* TESTS_PRELOAD_PLAIN_H */
