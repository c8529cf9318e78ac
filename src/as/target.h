/* SPDX-License-Identifier: MIT */
/*
 * target.h - a thread of the program: its memory, descriptors, identity
 *
 * What is looked up by the number of a thread is only good if the notification
 * is valid afterwards (notice_valid()): until then it may have been another's.
 * All of it takes what ptrace would; a program that is not dumpable keeps what
 * it has to itself, and its calls are the kernel's.
 */
#ifndef AS_TARGET_H
#define AS_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** target_open() - Return: a pidfd, of the thread where the kernel (6.9) has
 * such, else of its process; or -errno */
int target_open(pid_t tid);

/** target_fd() - Return: a duplicate of its descriptor @fd, or -errno */
int target_fd(int pidfd, int fd);

/** target_read() - all of @len bytes. 0 or -errno; -EFAULT: not its memory */
int target_read(pid_t tid, uint64_t from, void *to, size_t len);

struct piece {
	uint64_t to;
	const void *from;
	size_t len;
};

/** target_write() - up to 4 pieces, in order. 0 or -errno */
int target_write(pid_t tid, const struct piece *p, size_t n);

/** target_room() - has it a number for one more descriptor? True also where
 * that cannot be known. */
bool target_room(pid_t tid);

/** target_interrupted() - can a signal have ended a call of it just now: does
 * it handle any, or is one pending? True also where that cannot be known. */
bool target_interrupted(pid_t tid);

/** target_exempt() - does it run one of the project's own daemons? (See
 * ours_exempt() of preload/ours.h.) */
bool target_exempt(pid_t tid);

#define IDENTITY_GROUPS 64

struct identity {
	uid_t uid; /* effective, as is what follows */
	gid_t gid;
	size_t n;
	gid_t groups[IDENTITY_GROUPS]; /* more are left out */
};

/** target_identity() - 0 or -errno */
int target_identity(pid_t tid, struct identity *ret);

#endif /* AS_TARGET_H */
