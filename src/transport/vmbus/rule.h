/* SPDX-License-Identifier: MIT */
/*
 * rule.h - a rule of --inject: which messages, and what becomes of them
 *
 *	on=NAME[,from=guest|host][,skip=N][,count=N] ACTION
 *	ACTION: do=rescind | drop | delay=TIME | msg=hex:BYTES
 *
 * Words may be parted by blanks or commas. NAME is a message's name, or `any`.
 * The first N that match are skipped, the next `count` (default: all) are
 * disturbed. TIME: 500ms, 2s.
 */
#ifndef VMBUS_RULE_H
#define VMBUS_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmbus-host.h>

enum rule_action { RULE_DROP, RULE_DELAY, RULE_RESCIND, RULE_SEND };

struct rule {
	uint32_t type;	  /* of message; 0: any */
	bool guest, host; /* from whom */
	uint32_t skip, count;
	enum rule_action action;
	uint32_t delay_ms;
	uint8_t message[VMBH_MESSAGE_MAX];
	size_t len;
};

/** rule_parse() - Return: 0; -EINVAL: @ret_why */
int rule_parse(const char *text, struct rule *ret, const char **ret_why);
/** rule_matches() - and count it */
bool rule_matches(struct rule *r, bool from_guest, const uint8_t *message,
		  size_t len);

#endif /* VMBUS_RULE_H */
