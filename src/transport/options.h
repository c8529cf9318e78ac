/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of transports, of which much is the same
 *
 * The table of a transport of one partition begins with OPTIONS_OF_ALL, that of
 * other programs with OPTIONS_OF_EVERY; what else stands in it, with
 * values from OPTION_OWN on, is the program's.
 */
#ifndef TRANSPORT_OPTIONS_H
#define TRANSPORT_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include <hvsocket.h>

enum {
	OPTION_PARTITION = 1,
	OPTION_VM_ID,
	OPTION_UDS_PATH,
	OPTION_SANDBOX,
	OPTION_VERBOSE,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_OWN = 256,
};

/* clang-format off */
#define OPTIONS_OF_EVERY                                          \
	{ "sandbox", required_argument, NULL, OPTION_SANDBOX },     \
	{ "verbose", no_argument, NULL, OPTION_VERBOSE },           \
	{ "help", no_argument, NULL, OPTION_HELP },                 \
	{ "version", no_argument, NULL, OPTION_VERSION }
#define OPTIONS_OF_ALL                                            \
	{ "partition", required_argument, NULL, OPTION_PARTITION }, \
	{ "vm-id", required_argument, NULL, OPTION_VM_ID },         \
	{ "uds-path", required_argument, NULL, OPTION_UDS_PATH },   \
	OPTIONS_OF_EVERY
/* clang-format on */

struct options {
	const char *usage;
	int (*own)(int c); /* as options_parse(); optarg is set */

	const char *partition; /* NULL, or 1 to 255 bytes */
	const char *uds_path;  /* NULL, or not empty */
	GUID vm_id;	       /* zero: not given */
	bool no_sandbox;
};

/** options_parse() - Return: -1 to go on, else the exit status; what is wrong,
 * or was asked for, has been said */
int options_parse(int argc, char **argv, const struct option *table,
		  struct options *o);

#endif /* TRANSPORT_OPTIONS_H */
