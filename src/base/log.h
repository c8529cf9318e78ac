/* SPDX-License-Identifier: MIT */
/*
 * log.h - messages of programs (never of libraries and parsers)
 *
 * One line to standard error, with a <N> priority in front where it goes to
 * the journal. Text that comes from outside is escaped by log_escape(); what
 * a peer can cause goes through log_limited(), 10 lines in 10 seconds.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERR_, LOG_WARN_, LOG_INFO_, LOG_DEBUG_ };

struct log_limit {
	long long window_start_ms;
	unsigned int count, suppressed;
};

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

void log_msg(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_limited(struct log_limit *l, enum log_level level, const char *fmt,
		 ...) __attribute__((format(printf, 3, 4)));

#define log_err(...) log_msg(LOG_ERR_, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_WARN_, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO_, __VA_ARGS__)
#define log_debug(...)                                      \
	do {                                                \
		if (log_enabled(LOG_DEBUG_))                \
			log_msg(LOG_DEBUG_, __VA_ARGS__);   \
	} while (0)

/** log_escape() - @text with control characters and invalid UTF-8 as \xNN, cut
 * to @size (ended by "..." where cut). Return: @out. */
char *log_escape(const char *text, size_t len, char *out, size_t size);

#endif /* BASE_LOG_H */
