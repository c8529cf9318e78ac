/* SPDX-License-Identifier: MIT */
/*
 * reason.h - why a call failed: of this thread, and of this socket
 */
#ifndef LIB_REASON_H
#define LIB_REASON_H

#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

/**
 * hvs__fail() - a call fails for a reason
 * @fd:		the socket whose reason this is, or -1
 * @error:	errno
 * @code:	enum hvs_reason_code
 * @broker:	runtime directory of the broker that said so, or NULL
 * @fmt:	the sentence
 *
 * Return: -1, with errno set.
 */
int hvs__fail(int fd, int error, uint32_t code, const char *broker,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** hvs__fail_text() - the same with a sentence of @len bytes of a peer's */
int hvs__fail_text(int fd, int error, uint32_t code, const char *broker,
		   const char *text, size_t len);

/** hvs__fail_errno() - the kernel said no: errno is why. Return: -1. */
int hvs__fail_errno(void);

/** hvs__reason_of_thread() - the last failure of this thread */
const struct hvs_reason *hvs__reason_of_thread(void);
/** hvs__reason_restore() - as if nothing had failed since */
void hvs__reason_restore(const struct hvs_reason *reason);

#endif /* LIB_REASON_H */
