/* SPDX-License-Identifier: MIT */
/*
 * hvbench-services - many VMs on VMBus whose guests do everything at once,
 * simulated
 *
 *	hvbench-services PARTITION...
 *
 * Attaches each as hvsocket-vmbus does, and answers what the integration
 * services are asked for as they would. Says "ready" when all are attached, and
 * runs until it is killed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ev.h"
#include "transport/link.h"

struct machine {
	struct link *link;
};

static int attached, wanted;

static void on_attached(void *ctx)
{
	const struct machine *m = ctx;

	link_notice_state(m->link, true);
	if (++attached < wanted)
		return;
	puts("ready");
	fflush(stdout);
}

static void on_lost(void *ctx)
{
	(void)ctx;
	exit(0);
}

static void on_open(void *ctx, uint32_t serial, const struct msg_open *o)
{
	const struct machine *m = ctx;

	(void)o;
	link_reply(m->link, serial, HVS_REASON_NO_LISTENER, "nobody listens");
}

static void on_parked(void *ctx, uint64_t token, uint64_t filler)
{
	(void)ctx;
	(void)token;
	(void)filler;
}

static void on_close(void *ctx, uint64_t token, uint32_t reason)
{
	(void)ctx;
	(void)token;
	(void)reason;
}

static void on_counters(void *ctx, uint32_t serial)
{
	const struct machine *m = ctx;

	(void)link_counters_begin(m->link, serial);
	link_send(m->link);
}

static void on_control(void *ctx, uint32_t serial, const struct msg_control *c)
{
	const struct machine *m = ctx;

	(void)c;
	link_reply_control(m->link, serial, 0, 0,
			   "{\"heartbeat\":\"ok\",\"application\":\"ok\"}");
}

static void on_leave(void *ctx, uint64_t session)
{
	(void)ctx;
	(void)session;
}

static void on_dialled(void *ctx, uint32_t serial, uint32_t error,
		       uint32_t reason, const struct msg_dial_reply *r, int fd)
{
	(void)ctx;
	(void)serial;
	(void)error;
	(void)reason;
	(void)r;
	close(fd);
}

static void on_arrived(void *ctx, int fd, const struct connector_name *n)
{
	(void)ctx;
	(void)n;
	close(fd);
}

static const struct link_ops ops = {
	.attached = on_attached,
	.lost = on_lost,
	.open = on_open,
	.parked = on_parked,
	.close = on_close,
	.counters = on_counters,
	.control = on_control,
	.leave = on_leave,
	.dialled = on_dialled,
	.arrived = on_arrived,
};

int main(int argc, char **argv)
{
	struct machine *machines;
	struct ev *ev;

	wanted = argc - 1;
	machines = calloc((size_t)argc, sizeof(*machines));
	if (!machines || ev_new(&ev) < 0)
		return 1;
	for (int i = 0; i < wanted; i++) {
		const struct link_config config = { .partition = argv[i + 1],
						    .kind = TRANSPORT_VMBUS,
						    .control = true };
		const char *why;

		if (link_new(ev, &config, &ops, &machines[i], &machines[i].link,
			     &why) < 0) {
			fprintf(stderr, "%s: %s\n", argv[i + 1], why);
			return 1;
		}
		link_start(machines[i].link);
	}
	return ev_run(ev) < 0;
}
