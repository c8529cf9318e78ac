/* SPDX-License-Identifier: MIT */
/*
 * shutdown.c - a guest is asked to end
 *
 *	u32 reason, u32 seconds, u32 flags, 2048 bytes of text
 *
 * Linux insists on all of it, ends in good order whatever "force" says, and
 * answers before it begins.
 */
#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define REASON_PLANNED 0x80000000u
#define TEXT_UNITS 1024u

int shutdown_put(uint8_t *body, uint32_t flags, uint32_t seconds,
		 const char *text)
{
	le32_put(body, REASON_PLANNED);
	le32_put(body + 4, seconds);
	le32_put(body + 8, flags);
	return utf16_put(body + 12, TEXT_UNITS, text);
}
