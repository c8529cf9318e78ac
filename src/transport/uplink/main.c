/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-uplink - carries what goes over the uplink between two brokers
 *
 * Options, the sandbox, the loop. The rest is joints.c. See hvsocket-uplink(8).
 */
#include <errno.h>
#include <getopt.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "config.h"
#include "transport/closer.h"
#include "transport/uplink/joints.h"
#include "transport/process.h"
#include "transport/sandbox.h"

static bool arg_on_demand;
static bool arg_sandbox = true;

static const char usage_text[] =
	"Usage: hvsocket-uplink [OPTION]...\n"
	"Carries connections between the broker of a guest and that of its host, for\n"
	"one hvsocketd, which starts it.\n"
	"\n"
	"  --on-demand          end when the broker has, and the last connection\n"
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            say more\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-uplink(8).\n";

/* Return: -1 to go on, else the exit code */
static int parse_options(int argc, char **argv)
{
	enum { DEMAND = 256, BOX, VERBOSE, HELP, VERSION };
	static const struct option options[] = {
		{ "on-demand", no_argument, NULL, DEMAND },
		{ "sandbox", required_argument, NULL, BOX },
		{ "verbose", no_argument, NULL, VERBOSE },
		{ "help", no_argument, NULL, HELP },
		{ "version", no_argument, NULL, VERSION },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case DEMAND:
			arg_on_demand = true;
			break;
		case BOX:
			if (!process_sandbox(optarg, &arg_sandbox))
				return 1;
			break;
		case VERBOSE:
			log_set_level(LOG_DEBUG_);
			break;
		case HELP:
			fputs(usage_text, stdout);
			return 0;
		case VERSION:
			printf("hvsocket-uplink %s\n", HVSOCKET_VERSION);
			return 0;
		default:
			return 1;
		}
	}
	if (optind < argc)
		return process_fail("unexpected argument %s", argv[optind]);
	return -1;
}

/* poll() is for a broker that does not read at once, the rest for splicing. */
static int enter_sandbox(void)
{
	static const int more[] = {
		SCMP_SYS(poll),	    SCMP_SYS(ppoll), SCMP_SYS(pipe2),
		SCMP_SYS(recvfrom), SCMP_SYS(splice), -1,
	};
	int may_remove;

	return arg_sandbox ? sandbox_enter(NULL, more, &may_remove) : 0;
}

int main(int argc, char **argv)
{
	struct ev_io signals = { .ev = NULL };
	const char *why = strerror(ENOMEM);
	struct joints *joints = NULL;
	struct ev *ev = NULL;
	int r, status = 0;

	process_name("hvsocket-uplink");
	r = parse_options(argc, argv);
	if (r >= 0)
		return r;
	process_limits();
	if (chdir("/") < 0)
		return process_fail("/: %s", strerror(errno));
	r = ev_new(&ev);
	if (r == 0)
		r = process_signals(ev, &signals);
	if (r == 0)
		r = closer_start();
	if (r < 0)
		return process_fail("%s", strerror(-r));
	r = joints_new(ev, arg_on_demand, &joints, &why);
	if (r < 0) {
		ev_free(ev);
		return process_fail("%s: %s", why, strerror(-r));
	}
	r = enter_sandbox();
	if (r < 0) {
		status = process_fail("the sandbox: %s", strerror(-r));
	} else {
		joints_start(joints);
		r = ev_run(ev);
		if (r < 0)
			status = process_fail("%s", strerror(-r));
		else if (arg_on_demand && joints_refused(joints))
			status = process_fail("%s", joints_refused(joints));
	}
	joints_free(joints);
	ev_io_stop(&signals);
	ev_free(ev);
	return status;
}
