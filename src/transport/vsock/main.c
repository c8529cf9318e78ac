/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-vsock - VMs of the host kernel's own vsock
 *
 * Options, the kernel, the broker, the sandbox; then the loop. See
 * hvsocket-vsock(8).
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/wakeup.h"
#include "transport/closer.h"
#include "transport/options.h"
#include "transport/process.h"
#include "transport/relay.h"
#include "transport/sandbox.h"
#include "transport/vsock/host.h"
#include "transport/vsock/vsocket.h"

static const char usage_text[] =
	"Usage: hvsocket-vsock [OPTION]...\n"
	"Attach every VM whose partition has a CID of the kernel's vsock.\n"
	"\n"
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            say more\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-vsock(8).\n";

/* (it attaches whatever there is, under no name of its own) */
static const struct option table[] = { OPTIONS_OF_EVERY, { 0 } };

static struct options arg = { .usage = usage_text };

/* listening as services come; moving bytes */
static const int calls[] = { SCMP_SYS(bind), SCMP_SYS(splice),
			     SCMP_SYS(sched_yield), -1 };

static int serve(struct ev *ev, struct host *h)
{
	int may_remove, r = host_start(h);

	if (r == -EINTR)
		return 0;
	if (r < 0)
		return process_fail("%s: %s", host_place(h),
				    *host_error(h) ? host_error(h)
						   : strerror(-r));
	log_info("serving the kernel's vsock at %s", host_place(h));
	/* being woken costs as much as what there is to do */
	ev_eager(ev, wakeup_look_ns());
	if (!arg.no_sandbox) {
		sandbox_allow_vsock();
		r = sandbox_enter(NULL, calls, &may_remove);
		if (r < 0)
			return process_fail("cannot enter the sandbox: %s",
					    strerror(-r));
	}
	r = ev_run(ev);
	return r < 0 ? process_fail("the event loop is broken: %s",
				    strerror(-r))
		     : 0;
}

static int run(struct ev *ev)
{
	const char *what = "";
	struct host *h;
	int r = vsocket_there();

	if (r < 0)
		return process_fail("the kernel has no AF_VSOCK (%s): load "
				    "vhost_vsock",
				    strerror(-r));
	r = host_new(ev, &h, &what);
	if (r < 0)
		return process_fail("%s: %s", what, strerror(-r));
	r = serve(ev, h);
	host_free(h);
	return r;
}

int main(int argc, char **argv)
{
	struct ev_io signal_io = { 0 };
	struct ev *ev = NULL;
	int r;

	process_name("hvsocket-vsock");
	r = options_parse(argc, argv, table, &arg);
	if (r >= 0)
		return r;
	process_limits();
	r = ev_new(&ev);
	if (r == 0)
		r = process_signals(ev, &signal_io);
	if (r == 0)
		r = closer_start();
	if (r == 0)
		r = relay_move_start();
	if (r < 0)
		return process_fail("cannot start: %s", strerror(-r));
	r = run(ev);
	ev_io_stop(&signal_io);
	ev_free(ev);
	return r;
}
