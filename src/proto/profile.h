/* SPDX-License-Identifier: MIT */
/*
 * profile.h - by whose rules decisions are made
 *
 * A profile takes away and never gives: it is on top of the rules of the
 * registry. So a program may choose one for itself (HELLO).
 */
#ifndef PROTO_PROFILE_H
#define PROTO_PROFILE_H

#include <stddef.h>

#define PROFILE_NAME_MAX 15 /* bytes */

enum profile {
	PROFILE_DEFAULT, /* nothing is taken away */
	PROFILE_WINDOWS, /* what Windows does not allow */
};

/** profile_parse() - @len bytes of text, exactly as profile_name() gives it;
 * nothing (@len 0) is the default. Return: 0 or -EINVAL, @ret untouched */
int profile_parse(const char *text, size_t len, enum profile *ret);

const char *profile_name(enum profile p);

#endif /* PROTO_PROFILE_H */
