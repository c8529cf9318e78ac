/* SPDX-License-Identifier: MIT */
/* service.h - what the verbs for services share */
#ifndef HVCTL_SERVICE_H
#define HVCTL_SERVICE_H

#include <jansson.h>

#include "hvctl/store.h"
#include "registry/registry.h"

/**
 * service_add_file() - a permanent service, in force when this returns
 * @d:		without id and port it gets a random id
 * @ret:	the broker's object
 *
 * Nothing is left behind where the broker does not take it. Return: 0, or 1
 * (told).
 */
int service_add_file(struct store *s, const struct service_draft *d,
		     json_t **ret);

/** service_remove_object() - take it out of force, whatever it is. Return: 0,
 * or 1 (told) */
int service_remove_object(struct store *s, const char *about, const json_t *o);

#endif /* HVCTL_SERVICE_H */
