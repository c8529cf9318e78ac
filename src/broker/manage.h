/* SPDX-License-Identifier: MIT */
/*
 * manage.h - management calls: JSON in, JSON out (docs/protocol.md, section 4)
 *
 * Each method is a function over one request; manage.c has the table, and who
 * may call what. Arguments are unpacked strictly: a member that is not known
 * is refused by name.
 */
#ifndef BROKER_MANAGE_H
#define BROKER_MANAGE_H

#include <jansson.h>

#include "broker/broker.h"

struct call {
	struct broker *b;
	struct client *client;
	uint32_t serial;
	json_t *args; /* borrowed; without "method" */
	struct verdict *v; /* refuse() here and return NULL */
	bool later; /* the reply comes later: return NULL */
};

/* Each returns a new reference, or NULL. */
json_t *manage_service_list(struct call *c);
json_t *manage_service_show(struct call *c);
json_t *manage_service_add(struct call *c);
json_t *manage_service_set(struct call *c);
json_t *manage_service_remove(struct call *c);
json_t *manage_partition_list(struct call *c);
json_t *manage_partition_show(struct call *c);
json_t *manage_partition_add(struct call *c);
json_t *manage_partition_set(struct call *c);
json_t *manage_partition_remove(struct call *c);
json_t *manage_partition_wait(struct call *c); /* ready.c */
json_t *manage_status(struct call *c);
json_t *manage_listeners(struct call *c);
json_t *manage_connections(struct call *c);
json_t *manage_explain(struct call *c);
json_t *manage_wait(struct call *c);
json_t *manage_names(struct call *c);
json_t *manage_reload(struct call *c);
json_t *manage_simulate(struct call *c);
json_t *manage_integration(struct call *c); /* control.c */

/** call_reply() - the answer of a call that came later; @result is borrowed */
void call_reply(struct client *client, uint32_t serial, json_t *result);

/** unpack() - json_unpack_ex() with every member named; refuses what is left
 * over or of the wrong type. Return: false: refused */
bool unpack(struct call *c, const char *fmt, ...);

/** from_registry() - refuse with the registry's error and sentence */
void from_registry(struct call *c, int err, const char *why);

/* Helpers that more than one group uses. */
json_t *json_guid(const GUID *g);
json_t *refused_json(const uint64_t *refused); /* by reason name */
const struct service *find_service(struct call *c, const char *text);
const struct partition *find_partition(struct call *c, const char *text);
const char *partition_name(const struct broker *b, const GUID *vmid);
/* "PARTITION:SERVICE" as seen from @from. False: refused */
bool parse_address(struct call *c, const GUID *from, const char *text,
		   SOCKADDR_HV *ret);

/** connections_direct() - of partition @vmid with others, from program to
 * program. Return: how many, or -errno where the kernel does not tell */
int connections_direct(const struct broker *b, const GUID *vmid);

/** lease_watch() - look at leases when this process ends */
void lease_watch(struct broker *b, int32_t pid);

#endif /* BROKER_MANAGE_H */
