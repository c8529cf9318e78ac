/* SPDX-License-Identifier: MIT */
/* beside-main.c - see beside-main.h */
#include "transport/beside-main.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "transport/closer.h"
#include "transport/options.h"
#include "transport/process.h"
#include "transport/sandbox.h"

enum { ON_DEMAND = OPTION_OWN };

static const struct option table[] = {
	OPTIONS_OF_EVERY,
	{ "on-demand", no_argument, NULL, ON_DEMAND },
	{ 0 },
};

static bool arg_on_demand;

static int own_option(int c)
{
	(void)c; /* there is one only */
	arg_on_demand = true;
	return -1;
}

static int serve(const struct beside_program *program, struct ev *ev, void *p,
		 const struct options *arg)
{
	int may_remove, r = 0;

	if (!arg->no_sandbox)
		r = sandbox_enter(NULL, program->calls, &may_remove);
	if (r < 0)
		return process_fail("the sandbox: %s", strerror(-r));
	program->serve(p);
	r = ev_run(ev);
	if (r < 0)
		return process_fail("%s", strerror(-r));
	if (arg_on_demand && program->refused(p))
		return process_fail("%s", program->refused(p));
	return 0;
}

int beside_main(const struct beside_program *program, int argc, char **argv)
{
	struct options arg = { .usage = program->usage, .own = own_option };
	struct ev_io signals = { .ev = NULL };
	const char *why = strerror(ENOMEM);
	struct ev *ev = NULL;
	void *p = NULL;
	int r;

	process_name(program->name);
	r = options_parse(argc, argv, table, &arg);
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
	r = program->start(ev, arg_on_demand, &p, &why);
	if (r < 0) {
		r = process_fail("%s: %s", why, strerror(-r));
	} else {
		r = serve(program, ev, p, &arg);
		program->stop(p);
	}
	ev_io_stop(&signals);
	ev_free(ev);
	return r;
}
