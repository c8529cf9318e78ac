/* SPDX-License-Identifier: MIT */
/* as-program.h - what kind of program is it, and what reaches it? */
#ifndef HVCTL_AS_PROGRAM_H
#define HVCTL_AS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum as_way { AS_PRELOAD, AS_SECCOMP };

enum program_kind {
	PROGRAM_OTHER, /* none of these: whoever runs it is not known */
	PROGRAM_SCRIPT, /* "#!" */
	PROGRAM_DYNAMIC, /* ELF with an interpreter, the dynamic linker */
	PROGRAM_GO, /* such, but built by Go: makes system calls of its own */
	PROGRAM_STATIC, /* ELF without an interpreter */
	PROGRAM_FOREIGN, /* the same for another machine or word size */
};

#define PROGRAM_HEAD 65536 /* as much of a file is looked at */

/** program_kind() - by the first @len bytes of its file, at most PROGRAM_HEAD.
 * Pure: the file is whatever somebody names. */
enum program_kind program_kind(const uint8_t *head, size_t len);

/**
 * as_choose() - which way?
 * @via:	what --via said, or NULL
 * @verbose:	say on stderr which, and why
 * @command:	as for execvp()
 *
 * One that cannot be found or read is left to exec.
 *
 * Return: 0; or hvctl's exit code (told).
 */
int as_choose(const char *via, bool verbose, const char *command,
	      enum as_way *ret);

#endif /* HVCTL_AS_PROGRAM_H */
