/* SPDX-License-Identifier: MIT */
/*
 * notice.h - notifications: a call that the kernel has stopped, and its answer
 *
 * -ENOENT from any of these: the call is over, by a signal or with its thread.
 */
#ifndef AS_NOTICE_H
#define AS_NOTICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct notice {
	uint64_t id;
	pid_t tid; /* 0: of a PID namespace that we do not see into */
	int nr; /* of the call */
	uint64_t args[6];
};

/** notice_probe() - has this kernel all that is needed? 0 or -errno */
int notice_probe(int listener);

/** notice_receive() - the next one. 0 or -errno */
int notice_receive(int listener, struct notice *ret);

/** notice_valid() - is its thread still in that call? */
bool notice_valid(int listener, uint64_t id);

/** notice_answer() - the call gives @value, or fails if it is negative, an
 * -errno. 0 or -errno */
int notice_answer(int listener, uint64_t id, int64_t value);

/** notice_continue() - the kernel's own call is made */
int notice_continue(int listener, uint64_t id);

/** notice_give() - the call gives a descriptor: a duplicate of @fd, in one step
 * with the answer. On failure (-EMFILE: it has no room) there is neither. */
int notice_give(int listener, uint64_t id, int fd, bool cloexec);

#endif /* AS_NOTICE_H */
