/* SPDX-License-Identifier: MIT */
/* text.c - GUIDs and reasons as text: nothing here asks anybody */
#include <hvsocket.h>

#include <errno.h>

#include "base/guid.h"
#include "proto/message.h"

int hvs_guid_parse(const char *text, GUID *guid)
{
	GUID g;

	if (guid_parse(text, &g) < 0) {
		errno = EINVAL;
		return -1;
	}
	*guid = g;
	return 0;
}

char *hvs_guid_format(const GUID *guid, char *text)
{
	return guid_format(guid, text);
}

int hvs_guid_make(GUID *guid)
{
	int r = guid_random(guid);

	if (r < 0) {
		errno = -r;
		return -1;
	}
	return 0;
}

void hvs_guid_from_port(uint32_t port, GUID *guid)
{
	*guid = guid_from_port(port);
}

int hvs_guid_to_port(const GUID *guid, uint32_t *port)
{
	if (!guid_is_port(guid, port)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

const char *hvs_reason_name(uint32_t code)
{
	return reason_name(code);
}
