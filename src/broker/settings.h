/* SPDX-License-Identifier: MIT */
/* settings.h - broker.conf of the configuration's directories */
#ifndef BROKER_SETTINGS_H
#define BROKER_SETTINGS_H

#include "registry/broker-file.h"

/** settings_read() - the file of the highest directory (@dirs: lowest first)
 * that has one, even an empty one or a mask; @ret stays if nothing is said.
 * Prints what is wrong. Return: 0, or -errno: a broker that is to be strict
 * must not start without being so */
int settings_read(const struct registry_dir *dirs, size_t n,
		  struct broker_file *ret);

#endif /* BROKER_SETTINGS_H */
