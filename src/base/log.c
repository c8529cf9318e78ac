/* SPDX-License-Identifier: MIT */
/* log.c - see log.h */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

static enum log_level log_level = LOG_INFO_;

void log_set_level(enum log_level level)
{
	log_level = level;
}

bool log_enabled(enum log_level level)
{
	return level <= log_level;
}

static void log_vmsg(enum log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void log_vmsg(enum log_level level, const char *fmt, va_list ap)
{
	static const int priority[] = { 3, 4, 6, 7 };
	char line[2048];
	size_t n = 0;
	int len, saved = errno;

	if (!log_enabled(level))
		return;
	if (getenv("JOURNAL_STREAM"))
		n = (size_t)snprintf(line, sizeof(line), "<%d>",
				     priority[level]);
	len = snprintf(line + n, sizeof(line) - n, "%s: ",
		       program_invocation_short_name);
	if (len > 0)
		n += (size_t)len;
	errno = saved; /* for %m */
	len = vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	if (len > 0)
		n += (size_t)len;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0) {
		/* nowhere left to complain */
	}
	errno = saved;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vmsg(level, fmt, ap);
	va_end(ap);
}

void log_limited(struct log_limit *l, enum log_level level, const char *fmt,
		 ...)
{
	struct timespec ts;
	long long now;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
	if (!l->count || now - l->window_start_ms > 10000) {
		if (l->suppressed)
			log_msg(level, "(%u more such messages)",
				l->suppressed);
		l->window_start_ms = now;
		l->count = l->suppressed = 0;
	}
	if (l->count++ >= 10) {
		l->suppressed++;
		return;
	}
	va_start(ap, fmt);
	log_vmsg(level, fmt, ap);
	va_end(ap);
}

char *log_escape(const char *text, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {
		size_t seq = utf8_sequence(text + i, len - i);
		unsigned char c = (unsigned char)text[i];

		if (n + 8 > size) {
			memcpy(out + n, "...", 3);
			n += 3;
			break;
		}
		if (!seq || !utf8_printable(text + i, seq)) {
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
			i++;
		} else {
			memcpy(out + n, text + i, seq);
			n += seq;
			i += seq;
		}
	}
	out[n] = '\0';
	return out;
}
