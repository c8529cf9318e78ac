/* SPDX-License-Identifier: MIT */
/* resolve.h - what people type, as GUIDs */
#ifndef BROKER_RESOLVE_H
#define BROKER_RESOLVE_H

#include "broker/broker.h"

/** resolve_partition() - a VmId as partition @from would use it for @service
 * (NULL: for none): a word (parent, loopback, host ...), a GUID, or a name.
 * False: none */
bool resolve_partition(const struct broker *b, const GUID *from,
		       const GUID *service, const char *text, GUID *ret);

/** resolve_service() - a GUID, a port number, or a name. False: none */
bool resolve_service(const struct broker *b, const char *text, GUID *ret);

#endif /* BROKER_RESOLVE_H */
