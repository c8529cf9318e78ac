/* SPDX-License-Identifier: MIT */
/* options.c - see options.h */
#include "transport/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/log.h"
#include "config.h"
#include "transport/process.h"

#define PARTITION_MAX 255u

static int of_all(int c, struct options *o)
{
	bool sandbox;

	switch (c) {
	case OPTION_PARTITION:
		o->partition = optarg;
		if (!*optarg || strlen(optarg) > PARTITION_MAX)
			return process_fail("--partition: the name has 1 to %u "
					    "bytes",
					    PARTITION_MAX);
		return -1;
	case OPTION_VM_ID:
		if (guid_parse(optarg, &o->vm_id) < 0)
			return process_fail("--vm-id %s is not a GUID", optarg);
		return -1;
	case OPTION_UDS_PATH:
		o->uds_path = optarg;
		return *optarg ? -1 : process_fail("--uds-path is empty");
	case OPTION_SANDBOX:
		if (!process_sandbox(optarg, &sandbox))
			return 1;
		o->no_sandbox = !sandbox;
		return -1;
	case OPTION_VERBOSE:
		log_set_level(LOG_DEBUG_);
		return -1;
	case OPTION_HELP:
		fputs(o->usage, stdout);
		return 0;
	case OPTION_VERSION:
		printf("%s %s\n", process_program(), HVSOCKET_VERSION);
		return 0;
	default:
		return c >= OPTION_OWN ? o->own(c) : 1;
	}
}

int options_parse(int argc, char **argv, const struct option *table,
		  struct options *o)
{
	int c, r;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		/* '?': getopt has said what is wrong */
		r = c == '?' ? 1 : of_all(c, o);
		if (r >= 0)
			return r;
	}
	if (optind < argc)
		return process_fail("unexpected argument %s", argv[optind]);
	return -1;
}
