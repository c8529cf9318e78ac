/* SPDX-License-Identifier: MIT */
/* integration-internal.h - between integration.c and the files of its verbs */
#ifndef VMBUS_INTEGRATION_INTERNAL_H
#define VMBUS_INTEGRATION_INTERNAL_H

#include <jansson.h>

#include "transport/vmbus/integration.h"
#include "transport/vmbus/vm.h"
#include "vmbus/ic/set.h"

struct integration {
	struct vm *vm;
	struct ic_set set;
	struct vmbh_channel *channels[IC_KINDS]; /* NULL: disabled */
	struct slot { /* what a channel's callbacks get */
		struct integration *i;
		enum ic_kind kind;
		bool more; /* packets were left for another turn */
	} slots[IC_KINDS];
	uint8_t packet[IC_PACKET_MAX + 8];
};

/* One verb that is being answered. */
struct ask {
	struct integration *i;
	uint32_t serial;
	uint64_t session;
	bool lease; /* it ends with the session */
	enum ic_kind kind;
	uint32_t timeout_ms;
	uint64_t due; /* when that is over */
	json_t *args; /* without "verb" and "timeout_ms" */

	/* of lists: what was found so far, and where it goes on */
	json_t *found;
	size_t size;
	uint32_t index;
	unsigned int pool;
	const char *key; /* the one that is looked for */
};

/** ask_done() - the answer, which is taken; @a is over */
void ask_done(struct ask *a, json_t *result);
/** ask_failed() - an errno, a reason or 0, a sentence; @a is over */
void ask_failed(struct ask *a, uint32_t error, uint32_t reason,
		const char *format, ...) __attribute__((format(printf, 4, 5)));
/** ask_unpack() - json_unpack_ex(), strictly. Return: false: it has failed */
bool ask_unpack(struct ask *a, const char *format, ...);
/** ask_begun() - @r of ic_ask() and the like. Return: false: it has failed */
bool ask_begun(struct ask *a, int r);
/** ask_good() - what the guest answered. Return: false: it has failed */
bool ask_good(struct ask *a, const struct ic_answer *answer);

/** ask_left() - milliseconds */
uint32_t ask_left(const struct ask *a);
/** ask_empty() - an answer of which only the status counts. ic_done_fn */
void ask_empty(void *arg, const struct ic_answer *answer);

/* ---- control-fcopy.c */
void fcopy_verb_start(struct ask *a);
void fcopy_verb_write(struct ask *a);
void fcopy_verb_end(struct ask *a);
void fcopy_verb_cancel(struct ask *a);

/* ---- control-vss.c */
void vss_verb_freeze(struct ask *a);
void vss_verb_thaw(struct ask *a);
const char *vss_word(const struct integration *i);

/* ---- control-kvp.c */
void kvp_verb_get(struct ask *a);
void kvp_verb_set(struct ask *a);
void kvp_verb_delete(struct ask *a);
void kvp_verb_list(struct ask *a);
void kvp_verb_ip(struct ask *a);
void kvp_verb_set_ip(struct ask *a);

#endif /* VMBUS_INTEGRATION_INTERNAL_H */
