/* SPDX-License-Identifier: MIT */
/* query.c - RESULT, RESOLVE and NAMES: small questions of programs */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/broker.h"
#include "broker/resolve.h"
#include "broker/rules.h"
#include "broker/sibling.h"

struct outcome *outcome_find(const struct broker *b, uint64_t token)
{
	struct outcome *o;

	HASH_FIND(hh, b->outcomes, &token, sizeof(token), o);
	return o;
}

void request_result(struct client *c, struct frame *f)
{
	struct outcome *o;
	uint64_t token;
	MSG_BUF(m, 512);

	if (msg_u64_decode(f->p, f->len, &token) < 0) {
		client_refuse(c, MSG_RESULT, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, "RESULT is malformed");
		return;
	}
	o = outcome_find(c->b, token);
	if (o && (o->uid != c->uid ||
		  !guid_equal(&o->partition, &c->door->partition)))
		o = NULL;
	msg_begin_reply(&m, MSG_RESULT, f->h.serial, 0, 0, 0);
	msg_put_u32(&m, o ? o->state : RESULT_UNKNOWN);
	msg_put_u32(&m, o ? o->error : 0);
	msg_put_u32(&m, o ? o->reason : 0);
	if (o)
		msg_put_bytes(&m, o->text, strlen(o->text));
	client_send(c, &m, NULL, 0);
}

/* A child learns of itself, its parent, those below it, and of a sibling that
 * it may reach with that service; the host of all. */
static bool may_name(const struct broker *b, const GUID *from,
		     const GUID *service, const struct partition *p)
{
	const struct partition *me = registry_partition(b->registry, from);

	return me && (p == me || p->kind == PARTITION_HOST ||
		      parent_of(&b->world, me) == p ||
		      is_below(&b->world, p, me) ||
		      (service && sibling_named(&b->world, me, p, service)));
}

bool resolve_partition(const struct broker *b, const GUID *from,
		       const GUID *service, const char *text, GUID *ret)
{
	const struct partition *p;

	if (guid_special_parse(text, ret) || guid_parse(text, ret) == 0)
		return true;
	if (strcasecmp(text, "host") == 0) {
		*ret = guid_is_zero(from) ? guid_loopback : guid_parent;
		return true;
	}
	p = registry_partition_by_name(b->registry, text);
	if (!p || !may_name(b, from, service, p))
		return false;
	*ret = p->vmid;
	if (guid_equal(ret, from))
		*ret = guid_loopback;
	else if (p->kind == PARTITION_HOST)
		*ret = guid_parent;
	return true;
}

bool resolve_service(const struct broker *b, const char *text, GUID *ret)
{
	const struct service *s;
	unsigned long long port;
	char *end;

	if (guid_parse(text, ret) == 0)
		return true;
	if (text[0] >= '0' && text[0] <= '9') {
		errno = 0;
		port = strtoull(text, &end, 0);
		if (!*end && !errno && port <= UINT32_MAX) {
			*ret = guid_from_port((uint32_t)port);
			return true;
		}
	}
	s = registry_service_by_name(b->registry, text);
	if (!s)
		return false;
	*ret = s->id;
	return true;
}

void request_resolve(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	const char *partition, *service;
	SOCKADDR_HV addr = { .Family = AF_HYPERV };
	struct verdict v;
	bool registered;
	MSG_BUF(m, 64);

	verdict_init(&v);
	if (msg_strings_decode(f->p, f->len, false, &partition, &service) < 0) {
		client_refuse(c, MSG_RESOLVE, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, "RESOLVE is malformed");
		return;
	}
	broker_refresh(b);
	registered = resolve_service(b, service, &addr.ServiceId);
	if (!resolve_partition(b, &c->door->partition,
			       registered ? &addr.ServiceId : NULL, partition,
			       &addr.VmId))
		refuse(&v, HVS_REASON_PARTITION_UNKNOWN,
		       "no partition is named \"%.100s\"", partition);
	else if (!registered)
		refuse(&v, HVS_REASON_NOT_FOUND,
		       "no service is named \"%.100s\"", service);
	if (v.reason) {
		client_refuse_verdict(c, MSG_RESOLVE, f->h.serial, &v);
		return;
	}
	msg_begin_reply(&m, MSG_RESOLVE, f->h.serial, 0, 0, 0);
	msg_put_address(&m, &addr);
	client_send(c, &m, NULL, 0);
}

void request_names(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	const struct partition *p;
	const struct service *s;
	const char *word;
	SOCKADDR_HV addr;
	MSG_BUF(m, 1024);

	if (msg_address_decode(f->p, f->len, false, &addr) < 0) {
		client_refuse(c, MSG_NAMES, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, "NAMES is malformed");
		return;
	}
	broker_refresh(b);
	word = guid_special_name(&addr.VmId);
	p = registry_partition(b->registry, &addr.VmId);
	if (p && !may_name(b, &c->door->partition, &addr.ServiceId, p))
		p = NULL;
	s = registry_service(b->registry, &addr.ServiceId);
	msg_begin_reply(&m, MSG_NAMES, f->h.serial, 0, 0, 0);
	msg_put_string(&m, word ? word : p ? p->name : "");
	msg_put_string(&m, s ? s->name : "");
	client_send(c, &m, NULL, 0);
}
