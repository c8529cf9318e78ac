/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-dgram - carries datagrams between programs
 *
 * What is its own of a helper of the broker (beside-main.h). The rest is
 * relay.c. See hvsocket-dgram(8).
 */
#include <seccomp.h>

#include "transport/beside-main.h"
#include "transport/dgram/relay.h"

static const char usage_text[] =
	"Usage: hvsocket-dgram [OPTION]...\n"
	"Carries datagrams between the programs of one hvsocketd, which starts "
	"it.\n"
	"\n"
	"  --on-demand          end when the broker has, and the last socket\n"
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            say more\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-dgram(8).\n";

/* poll() is for a broker that does not read at once. */
static const int calls[] = { SCMP_SYS(poll), SCMP_SYS(ppoll), -1 };

static int start(struct ev *ev, bool on_demand, void **ret,
		 const char **ret_why)
{
	struct relay *relay;
	int r = relay_new(ev, on_demand, &relay, ret_why);

	if (r == 0)
		*ret = relay;
	return r;
}

static void serve(void *p)
{
	relay_start(p);
}

static const char *refused(const void *p)
{
	return relay_refused(p);
}

static void stop(void *p)
{
	relay_free(p);
}

int main(int argc, char **argv)
{
	static const struct beside_program program = {
		.name = "hvsocket-dgram",
		.usage = usage_text,
		.calls = calls,
		.start = start,
		.serve = serve,
		.refused = refused,
		.stop = stop,
	};

	return beside_main(&program, argc, argv);
}
