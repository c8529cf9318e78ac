/* SPDX-License-Identifier: MIT */
/*
 * ours.h - is this descriptor a Hyper-V socket?
 *
 * The kernel is asked, not a table, so that the answer is the same after
 * dup(), fork() and exec(), and closing needs no bookkeeping. A socket that is
 * bound or connected says it by its name (docs/protocol.md, section 6). One
 * that is neither carries a mark that we set when it was made:
 * SO_MAX_PACING_RATE, which the kernel keeps with any socket and heeds for TCP
 * and in packet schedulers only; AF_UNIX never looks at it. The mark also
 * remembers which type was asked for, RAW being SEQPACKET underneath.
 */
#ifndef PRELOAD_OURS_H
#define PRELOAD_OURS_H

#include <stdbool.h>

/** ours_mark() - @fd has just been made for @type (SOCK_STREAM, SOCK_RAW or
 * SOCK_SEQPACKET). Keeps errno. */
void ours_mark(int fd, int type);

/** ours_exempt() - is this one of the project's own daemons, for which the
 * library does nothing? (exempt.c; hvsocket-as has an answer of its own) */
bool ours_exempt(void);

/** ours() - is it? Keeps errno. */
bool ours(int fd);

/** ours_type() - the type asked for, 0 where that is not known. Keeps errno. */
int ours_type(int fd);

#endif /* PRELOAD_OURS_H */
