/* SPDX-License-Identifier: MIT */
/*
 * broker-file.h - broker.conf, what a broker is told by a file
 *
 * Pure. Of the form that all files of the registry have (parse.h).
 */
#ifndef REGISTRY_BROKER_FILE_H
#define REGISTRY_BROKER_FILE_H

#include <stdbool.h>

#include "proto/profile.h"
#include "registry/parse.h"

/* "_" and a port have to fit into an address behind it */
#define UPLINK_PATH_MAX 100

/* Uplink=, --uplink: where the broker of this machine's host is. */
struct uplink_place {
	enum { UPLINK_NONE, UPLINK_VSOCK, UPLINK_UNIX } kind;
	char path[UPLINK_PATH_MAX + 1]; /* of a Unix socket */
};

struct broker_file {
	bool has_profile;
	enum profile profile;
	bool has_uplink;
	struct uplink_place uplink;
};

/** uplink_place_parse() - none, vsock, unix:/PATH. Return: 0 or -EINVAL */
int uplink_place_parse(const char *text, struct uplink_place *ret);
/** uplink_place_text() - the same again. @ret: UPLINK_PATH_MAX + 6 bytes */
const char *uplink_place_text(const struct uplink_place *p, char *ret);

/** broker_file_parse() - a whole file; what it does not mention stays as it was
 * in @ret. Return: 0; -EINVAL with @e and @ret untouched */
int broker_file_parse(const char *text, size_t len, struct broker_file *ret,
		      struct parse_error *e);

#endif /* REGISTRY_BROKER_FILE_H */
