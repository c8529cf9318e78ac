/* SPDX-License-Identifier: MIT */
/*
 * ktap.h - do the results in a KTAP (or TAP) stream say that all is well?
 *
 * Result lines are "ok" and "not ok", at any depth, also behind a kernel log's
 * time stamp. Those marked as skipped or as expected to fail are no failures.
 */
#ifndef HVVM_EXEC_KTAP_H
#define HVVM_EXEC_KTAP_H

#include <stdbool.h>
#include <stddef.h>

struct ktap {
	unsigned int good, bad;
	bool bailed;
	char line[1024];
	size_t len;
};

/** ktap_data() - bytes as they come; a zeroed struct ktap is a new one */
void ktap_data(struct ktap *k, const char *data, size_t len);

/** ktap_end() - Return: NULL: all is well; else what is not, in @ret */
const char *ktap_end(struct ktap *k, char *ret, size_t size);

#endif /* HVVM_EXEC_KTAP_H */
