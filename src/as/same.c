/* SPDX-License-Identifier: MIT */
/*
 * same.c - is it the same call, made again?
 *
 * A loop around EINTR passes the same arguments; what is in the registers
 * beyond them, and in the upper half of an int's, is whatever was there.
 */
#include <string.h>
#include <sys/syscall.h>

#include "as/call.h"

/* i: an int, p: all of the register */
static const char *arguments(int nr)
{
	switch (nr) {
	case SYS_listen:
		return "ii";
	case SYS_socket:
		return "iii";
	case SYS_bind:
	case SYS_connect:
		return "ipi";
#ifdef SYS_accept
	case SYS_accept:
#endif
	case SYS_getsockname:
	case SYS_getpeername:
		return "ipp";
	case SYS_accept4:
		return "ippi";
	case SYS_getsockopt:
		return "iiipp";
	case SYS_setsockopt:
		return "iiipi";
	default:
		return "pppppp";
	}
}

static bool same_arguments(const struct notice *a, const struct notice *b)
{
	const char *kinds = arguments(a->nr);

	for (int i = 0; kinds[i]; i++)
		if (kinds[i] == 'i' ?
			    (uint32_t)a->args[i] != (uint32_t)b->args[i] :
			    a->args[i] != b->args[i])
			return false;
	return true;
}

static bool same_identity(const struct call_in *a, const struct call_in *b)
{
	if (a->other != b->other)
		return false;
	return !a->other ||
	       (a->who.uid == b->who.uid && a->who.gid == b->who.gid &&
		a->who.n == b->who.n &&
		!memcmp(a->who.groups, b->who.groups,
			a->who.n * sizeof(*a->who.groups)));
}

bool call_same(const struct call_in *a, const struct call_in *b)
{
	return a->notice.nr == b->notice.nr && a->cookie == b->cookie &&
	       a->room == b->room &&
	       same_arguments(&a->notice, &b->notice) &&
	       !memcmp(a->bytes, b->bytes, sizeof(a->bytes)) &&
	       same_identity(a, b);
}
