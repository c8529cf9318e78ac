/* SPDX-License-Identifier: MIT */
/* tell.c - what SIGUSR1 asks for: counters, processors, connections */
#include <string.h>

#include "transport/vmbus/conn.h"

#define CONNS_MAX 64u /* that are told of one by one */

static void tell_vp(const struct vm *vm, unsigned int i)
{
	const struct vp *vp = &vm->vps[i];
	unsigned int slot, flags;

	if (!vp->messages)
		return;
	slot = vmbh_slot_taken(vp->messages);
	flags = vp->events ? vmbh_events_set(vp->events) : 0;
	if (slot || flags || vp->ack_io.ev)
		log_warn("processor %u: %s message that it has not taken, "
			 "%u event flags%s",
			 i, slot ? "a" : "no", flags,
			 vp->ack_io.ev ? ", more messages wait" : "");
}

static void tell_conn(const struct conn *c)
{
	char text[512] = "no channel";

	if (c->s)
		(void)vmbh_sock_describe(c->s, text, sizeof(text));
	log_warn("%s%s%s%s%s%s%s", text, c->end ? "" : "; no host's end",
		 c->answered ? "" : "; not answered",
		 c->ready ? "; in turn" : "",
		 c->guest_done ? "; guest done" : "",
		 c->host_done ? "; host done" : "", c->deaf ? "; deaf" : "");
}

void vm_tell(void *ctx)
{
	const struct vm *vm = ctx;
	const struct vm_stats *st = &vm->stats;
	struct vmbh_counters k;
	struct conn *c;
	unsigned int n = 0;

	if (!vm)
		return;
	for (unsigned int i = 0; i < VPS_MAX; i++)
		tell_vp(vm, i);
	TAILQ_FOREACH(c, &vm->conns, all)
	if (n++ < CONNS_MAX)
		tell_conn(c);
	vmbh_counters(vm->bus, &k);
	log_warn("doorbells: %llu in, %llu out; messages: %llu in, %llu out; "
		 "reads %llu (%llu bytes), writes %llu (%llu bytes); "
		 "waits %llu; "
		 "channels: %u, open %u, not released %u; malformed: %llu",
		 (unsigned long long)st->doorbells_in,
		 (unsigned long long)st->doorbells_out,
		 (unsigned long long)st->messages_in,
		 (unsigned long long)st->messages_out,
		 (unsigned long long)st->reads,
		 (unsigned long long)st->bytes_in,
		 (unsigned long long)st->writes,
		 (unsigned long long)st->bytes_out,
		 (unsigned long long)ev_waits(vm->ev), k.channels, k.open,
		 k.unreleased, (unsigned long long)k.malformed);
}
