/* SPDX-License-Identifier: MIT */
/*
 * call.h - one call of the program: whose it is, and what comes of it
 *
 * Made by the very functions of the preload library, on a duplicate of the
 * program's descriptor, with copies of what it passed: so the rules are the
 * same ones. Memory of the program is read once, before, and written once,
 * after.
 *
 * What is not a Hyper-V socket's, or not for us to look at, goes on to the
 * kernel (NATIVE); where it is us who cannot, the call fails. The program may
 * change its memory and its descriptors between our look and the kernel's; then
 * the kernel sees what we did not, and does what it does without us. That is
 * nothing it could not have had by a call that the filter does not stop: this
 * is a convenience for the program, and no boundary around it. The boundary is
 * the broker, which judges what arrives there.
 */
#ifndef AS_CALL_H
#define AS_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "as/identity.h"
#include "as/notice.h"

#define CALL_BYTES 64 /* of an address or an option's value */

enum call_when {
	CALL_NATIVE, /* not ours */
	CALL_NOW, /* asks nobody and waits for nothing */
	CALL_LATER, /* may take as long as it likes */
};

enum outcome_kind { OUTCOME_ANSWER, OUTCOME_NATIVE, OUTCOME_FD };

struct outcome {
	enum outcome_kind kind;
	int64_t value; /* ANSWER: or -errno */
	int fd; /* FD: ours; else -1 */
	bool cloexec;
	/* before the answer: @n bytes, and their whole length */
	uint64_t to, len_to; /* 0: none */
	uint8_t bytes[CALL_BYTES]; /* .have of them; .n are asked for */
	size_t have, n;
	int32_t len;
};

struct call_in {
	struct notice notice;
	int fd; /* a duplicate, or -1 */
	int pidfd; /* of its caller, or -1 */
	uint64_t cookie; /* of the socket */
	uint8_t bytes[CALL_BYTES]; /* an address, a value */
	int32_t room; /* for what is written */
	bool other; /* its caller is @who, not as we are */
	struct identity who;
};

/**
 * call_look() - whose is it?
 * @error:	an -errno to answer at once, with CALL_NOW; or 0
 *
 * The notification must be found valid after it, or all is void. Whatever comes
 * of it, call_release() is owed.
 */
enum call_when call_look(const struct notice *n, struct call_in *ret,
			 int *error);

/** call_make() - any of them but accept */
void call_make(const struct call_in *c, struct outcome *ret);

/** call_is_accept() - is it? Then it is accept.h's */
bool call_is_accept(const struct call_in *c);

/** call_accept() - one connection, if there is one; waits if the socket does */
void call_accept(const struct call_in *c, struct outcome *ret);

/** call_accept_again() - @o is what some other accept() on that socket would
 * have had: make it @c's */
void call_accept_again(const struct call_in *c, struct outcome *o);

/** call_same() - is it the same call, made again? */
bool call_same(const struct call_in *a, const struct call_in *b);

void call_release(struct call_in *c);

#endif /* AS_CALL_H */
