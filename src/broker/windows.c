/* SPDX-License-Identifier: MIT */
/*
 * windows.c - see windows.h
 *
 * Two tables, of rules and of errors. The sources are those that
 * docs/windows-profile.md names; "inferred" is said where none states it.
 */
#include "broker/windows.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/verdict.h"
#include "proto/name.h"

const char windows_no_wait[] =
	"not on Windows: there a connect does not wait for a listener (profile \"windows\")";

bool windows_in_force(const struct world *w, const struct caller *c)
{
	return w->profile == PROFILE_WINDOWS || c->profile == PROFILE_WINDOWS;
}

/* Does the partition's file say anything about services? Then it is what HCS
 * calls HvSocketSystemConfig, whose AllowWildcardBinds is false unless set. */
static bool has_own_table(const struct partition *p)
{
	const struct rules *d = &p->defaults;

	return p->table || d->policy != POLICY_DEFAULT || d->bind.set ||
	       d->connect.set || d->wildcard >= 0;
}

void windows_rules(struct effective *e)
{
	if (e->wildcard_set || !has_own_table(e->lower))
		return;
	e->wildcard = false;
	e->wildcard_from =
		"Windows' default for a partition with a table of its own";
}

/* ---- Rules ---------------------------------------------------------------*/

static bool is_administrator(const struct windows_case *k, uint32_t uid)
{
	return uid == 0 || uid == k->w->broker_uid;
}

static bool by_vmid(const struct windows_case *k)
{
	return !guid_special_name(&k->addr->VmId);
}

static bool in_vm(const struct world *w, const struct partition *p)
{
	const struct partition *up = parent_of(w, p);

	/* a root with a parent is a virtual machine */
	return p->kind == PARTITION_CONTAINER && up &&
	       (up->kind == PARTITION_VM ||
		(up->kind == PARTITION_HOST && parent_of(w, up)));
}

static bool not_stream(const struct windows_case *k)
{
	return k->type != SOCK_STREAM;
}

static bool itself(const struct windows_case *k)
{
	return by_vmid(k) && k->target == k->me;
}

static bool to_sibling(const struct windows_case *k)
{
	return by_vmid(k) && k->target &&
	       relation(k->w, k->target, k->me) == REL_SIBLING;
}

/* Past one's child there is only the container in a virtual machine. */
static bool too_deep(const struct windows_case *k)
{
	const struct partition *up;

	if (!by_vmid(k) || !k->target)
		return false;
	up = parent_of(k->w, k->target);
	if (!up || up == k->me)
		return false;
	return !(in_vm(k->w, k->target) && parent_of(k->w, up) == k->me);
}

static bool passthru_of_a_vm(const struct windows_case *k)
{
	const struct partition *up = parent_of(k->w, k->me);

	return k->passthru && up && parent_of(k->w, up) &&
	       guid_equal(&k->addr->VmId, &guid_parent) && !in_vm(k->w, k->me);
}

/* Whom it is registered for: whoever is to be reached by a child. */
static bool registered_by_a_user(const struct windows_case *k)
{
	const struct service *s = k->e->service;
	bool needed = k->bind ? by_vmid(k) || guid_equal(&k->addr->VmId,
							 &guid_children) :
				is_below(k->w, k->me, k->target);

	return needed && !k->e->table && s && s->origin == ORIGIN_VOLATILE &&
	       !is_administrator(k, s->owner_uid);
}

static bool not_an_administrator(const struct windows_case *k)
{
	return k->me->kind == PARTITION_HOST && k->me != k->w->parent &&
	       !k->e->connect &&
	       is_below(k->w, k->target, k->me) &&
	       !is_administrator(k, k->caller->uid);
}

#define BIND 1u
#define CONNECT 2u

/* The first that is broken is the answer. */
static const struct rule {
	const char *name; /* as in docs/windows-profile.md */
	const char *source;
	unsigned int verbs;
	bool (*broken)(const struct windows_case *k);
	uint32_t reason;
	const char *says;
} rules[] = {
	{ "SOCK_STREAM only", "Microsoft's documentation", BIND | CONNECT,
	  not_stream, HVS_REASON_TYPE,
	  "Hyper-V sockets are SOCK_STREAM only" },
	{ "a partition is LOOPBACK to itself", "inferred", BIND | CONNECT,
	  itself, HVS_REASON_PARTITION_UNKNOWN,
	  "a partition reaches itself as HV_GUID_LOOPBACK; a VmId names one below it" },
	{ "no way between siblings", "Microsoft's documentation",
	  BIND | CONNECT, to_sibling, HVS_REASON_PARTITION_UNKNOWN,
	  "a partition and its parent reach each other; two of one parent do not" },
	{ "one host and its partitions", "Microsoft's documentation",
	  BIND | CONNECT, too_deep, HVS_REASON_PARTITION_UNKNOWN,
	  "a VmId names a child, or a container in a virtual machine that is a child" },
	{ "passthru is of containers", "the SDK's header", CONNECT,
	  passthru_of_a_vm, HVS_REASON_NOT_A_DESTINATION,
	  "HVSOCKET_CONTAINER_PASSTHRU leads a container past its virtual machine, and nobody else" },
	{ "administrators register", "Microsoft's documentation",
	  BIND | CONNECT, registered_by_a_user, HVS_REASON_NOT_REGISTERED,
	  "only an administrator registers services, and this one was registered by an ordinary user" },
	{ "the default descriptor", "Microsoft's documentation", CONNECT,
	  not_an_administrator, HVS_REASON_CONNECT_DENIED,
	  "without a connect descriptor (Connect=) only administrators connect from the host to a partition" },
};

bool windows_allows(const struct windows_case *k, struct verdict *v)
{
	unsigned int verb = k->bind ? BIND : CONNECT;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		if (!(r->verbs & verb) || !r->broken(k))
			continue;
		rule_is(v, "profile \"windows\": %s (source: %s)", r->name,
			r->source);
		fix_is(v, "on Windows nothing; here, to do without the profile");
		refuse(v, r->reason, "not on Windows: %s (profile \"windows\")",
		       r->says);
		return false;
	}
	verdict_step(v, "Windows has nothing against it");
	return true;
}

/* ---- Errors --------------------------------------------------------------*/

enum who { ANY, ABOVE, BELOW }; /* the caller, seen from whom it asked for */

/* Where ours is another one. */
static const struct {
	uint32_t reason;
	unsigned int verbs;
	enum who who;
	int error;
} errors[] = {
	/* as if socket() had refused it */
	{ HVS_REASON_TYPE, BIND | CONNECT, ANY, ESOCKTNOSUPPORT },
	/* a guest learns of no rule: WSAECONNREFUSED (hcsshim's tests) */
	{ HVS_REASON_DISABLED, CONNECT, BELOW, ECONNREFUSED },
	{ HVS_REASON_NOT_REGISTERED, CONNECT, BELOW, ECONNREFUSED },
	{ HVS_REASON_BIND_DENIED, CONNECT, BELOW, ECONNREFUSED },
	{ HVS_REASON_CONNECT_DENIED, CONNECT, BELOW, ECONNREFUSED },
	/* WSAENETUNREACH is among those that diallers try again on (go-winio);
	 * WSAEHOSTUNREACH and WSAEHOSTDOWN are not */
	{ HVS_REASON_PARTITION_UNKNOWN, CONNECT, ANY, ENETUNREACH },
	{ HVS_REASON_PARTITION_OFF, CONNECT, ANY, ENETUNREACH },
};

int windows_error(int error, uint32_t reason, bool bind, bool up)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].reason == reason &&
		    errors[i].verbs & (bind ? BIND : CONNECT) &&
		    (errors[i].who == ANY || (errors[i].who == BELOW) == up))
			return errors[i].error;
	return error;
}
