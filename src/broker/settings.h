/* SPDX-License-Identifier: MIT */
/* settings.h - broker.conf of the configuration's directories */
#ifndef BROKER_SETTINGS_H
#define BROKER_SETTINGS_H

#include "registry/broker-file.h"

/** settings_read() - of all directories, lowest first: a higher one overrides.
 * Prints what is wrong. Return: 0, or -errno: a broker that is to be strict
 * must not start without being so */
int settings_read(const struct registry_dir *dirs, size_t n,
		  struct broker_file *ret);

#endif /* BROKER_SETTINGS_H */
