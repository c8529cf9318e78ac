/* SPDX-License-Identifier: MIT */
/*
 * reason.c - see reason.h
 *
 * The thread's reason is written by every call that fails, the socket's only
 * where there is more to say than errno does: a socket that never failed has
 * no entry in the table of state.c.
 */
#include "lib/reason.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "lib/parked.h"
#include "lib/state.h"
#include "lib/sys.h"

static _Thread_local struct hvs_reason last;

const struct hvs_reason *hvs__reason_of_thread(void)
{
	return &last;
}

void hvs__reason_restore(const struct hvs_reason *reason)
{
	last = *reason;
}

/*
 * Copies whole characters only, so that the text stays UTF-8; and none that
 * would drive the terminal on which programs print it.
 */
static void copy_text(char *to, size_t size, const char *from, size_t len)
{
	size_t n = 0;

	while (n < len && from[n]) {
		size_t step = utf8_sequence(from + n, len - n);

		if (!step || !utf8_printable(from + n, step)) {
			/* not text: show where, and go on */
			if (n + 1 >= size)
				break;
			to[n++] = '?';
			continue;
		}
		if (n + step >= size)
			break;
		memcpy(to + n, from + n, step);
		n += step;
	}
	to[n] = '\0';
}

static int keep(int fd, int error, uint32_t code, const char *broker)
{
	last.code = code;
	last.error = error;
	if (!broker)
		broker = "";
	copy_text(last.broker, sizeof(last.broker), broker, strlen(broker));
	if (fd >= 0)
		state_set_reason(fd, &last);
	errno = error;
	return -1;
}

int hvs__fail(int fd, int error, uint32_t code, const char *broker,
	      const char *fmt, ...)
{
	char text[sizeof(last.text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	copy_text(last.text, sizeof(last.text), text, strlen(text));
	return keep(fd, error, code, broker);
}

int hvs__fail_text(int fd, int error, uint32_t code, const char *broker,
		   const char *text, size_t len)
{
	copy_text(last.text, sizeof(last.text), text, len);
	return keep(fd, error, code, broker);
}

int hvs__fail_errno(void)
{
	last.code = HVS_REASON_NONE;
	last.error = errno;
	last.text[0] = '\0'; /* hvs_reason() writes it if it is asked */
	last.broker[0] = '\0';
	return -1;
}

int hvs_reason(int fd, struct hvs_reason *reason)
{
	const char *text;

	if (fd == -1) {
		*reason = last;
		if (reason->code == HVS_REASON_NONE && reason->error) {
			text = strerrordesc_np(reason->error);
			if (!text)
				text = "unknown error";
			copy_text(reason->text, sizeof(reason->text), text,
				  strlen(text));
		}
		return 0;
	}
	if (!sys_cookie(fd))
		return -1;
	parked_resolve(fd);
	state_get_reason(fd, reason);
	return 0;
}
