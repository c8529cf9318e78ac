/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-uplink - carries what goes over the uplink between two brokers
 *
 * What is its own of a helper of the broker (beside-main.h). The rest is
 * joints.c. See hvsocket-uplink(8).
 */
#include <seccomp.h>

#include "transport/beside-main.h"
#include "transport/uplink/joints.h"

static const char usage_text[] =
	"Usage: hvsocket-uplink [OPTION]...\n"
	"Carries connections between the broker of a guest and that of its "
	"host, for\n"
	"one hvsocketd, which starts it.\n"
	"\n"
	"  --on-demand          end when the broker has, and the last "
	"connection\n"
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            say more\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-uplink(8).\n";

/* poll() is for a broker that does not read at once, the rest for splicing. */
static const int calls[] = {
	SCMP_SYS(poll),	    SCMP_SYS(ppoll),  SCMP_SYS(pipe2),
	SCMP_SYS(recvfrom), SCMP_SYS(splice), -1,
};

static int start(struct ev *ev, bool on_demand, void **ret,
		 const char **ret_why)
{
	struct joints *joints;
	int r = joints_new(ev, on_demand, &joints, ret_why);

	if (r == 0)
		*ret = joints;
	return r;
}

static void serve(void *p)
{
	joints_start(p);
}

static const char *refused(const void *p)
{
	return joints_refused(p);
}

static void stop(void *p)
{
	joints_free(p);
}

int main(int argc, char **argv)
{
	static const struct beside_program program = {
		.name = "hvsocket-uplink",
		.usage = usage_text,
		.calls = calls,
		.start = start,
		.serve = serve,
		.refused = refused,
		.stop = stop,
	};

	return beside_main(&program, argc, argv);
}
