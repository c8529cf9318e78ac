/* SPDX-License-Identifier: MIT */
/*
 * broker-file.h - broker.conf, what a broker is told by a file
 *
 * Pure. Of the form that all files of the registry have (parse.h).
 */
#ifndef REGISTRY_BROKER_FILE_H
#define REGISTRY_BROKER_FILE_H

#include "proto/profile.h"
#include "registry/parse.h"

struct broker_file {
	bool has_profile;
	enum profile profile;
};

/** broker_file_parse() - a whole file; what it does not mention stays as it was
 * in @ret. Return: 0; -EINVAL with @e and @ret untouched */
int broker_file_parse(const char *text, size_t len, struct broker_file *ret,
		      struct parse_error *e);

#endif /* REGISTRY_BROKER_FILE_H */
