/* SPDX-License-Identifier: MIT */
/* message.c - see message.h */
#include "vmbus/message.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"

/* name and, of those that the guest sends, the least size */
static const struct {
	const char *name;
	uint8_t from_guest;
} types[] = {
	[MSG_OFFER_CHANNEL] = { "OFFER_CHANNEL", 0 },
	[MSG_RESCIND_CHANNEL_OFFER] = { "RESCIND_CHANNEL_OFFER", 0 },
	[MSG_REQUEST_OFFERS] = { "REQUEST_OFFERS", 8 },
	[MSG_ALL_OFFERS_DELIVERED] = { "ALL_OFFERS_DELIVERED", 0 },
	[MSG_OPEN_CHANNEL] = { "OPEN_CHANNEL", 148 },
	[MSG_OPEN_CHANNEL_RESULT] = { "OPEN_CHANNEL_RESULT", 0 },
	[MSG_CLOSE_CHANNEL] = { "CLOSE_CHANNEL", 12 },
	[MSG_GPADL_HEADER] = { "GPADL_HEADER", 28 },
	[MSG_GPADL_BODY] = { "GPADL_BODY", 16 },
	[MSG_GPADL_CREATED] = { "GPADL_CREATED", 0 },
	[MSG_GPADL_TEARDOWN] = { "GPADL_TEARDOWN", 16 },
	[MSG_GPADL_TORNDOWN] = { "GPADL_TORNDOWN", 0 },
	[MSG_RELID_RELEASED] = { "RELID_RELEASED", 12 },
	[MSG_INITIATE_CONTACT] = { "INITIATE_CONTACT", 40 },
	[MSG_VERSION_RESPONSE] = { "VERSION_RESPONSE", 0 },
	[MSG_UNLOAD] = { "UNLOAD", 8 },
	[MSG_UNLOAD_COMPLETE] = { "UNLOAD_COMPLETE", 0 },
	[18] = { "OPEN_RESERVED_CHANNEL", 28 },
	[19] = { "CLOSE_RESERVED_CHANNEL", 20 },
	[20] = { "CLOSE_RESERVED_RESPONSE", 0 },
	[MSG_TL_CONNECT_REQUEST] = { "TL_CONNECT_REQUEST", 40 },
	[MSG_MODIFY_CHANNEL] = { "MODIFY_CHANNEL", 16 },
	[MSG_TL_CONNECT_RESULT] = { "TL_CONNECT_RESULT", 0 },
	[MSG_MODIFY_CHANNEL_RESPONSE] = { "MODIFY_CHANNEL_RESPONSE", 0 },
	[25] = { "MODIFY_CONNECTION", 24 },
	[26] = { "MODIFY_CONNECTION_RESPONSE", 0 },
	[27] = { "PAUSE", 8 },
	[28] = { "PAUSE_RESPONSE", 0 },
	[29] = { "RESUME", 8 },
};

const char *vmbh_message_name(uint32_t type)
{
	return type < ARRAY_LEN(types) ? types[type].name : NULL;
}

uint32_t vmbh_message_type(const char *name)
{
	for (uint32_t i = 1; i < ARRAY_LEN(types); i++)
		if (types[i].name && strcasecmp(types[i].name, name) == 0)
			return i;
	return 0;
}

bool message_complete(uint32_t type, size_t len)
{
	return type < ARRAY_LEN(types) && types[type].from_guest &&
	       len >= types[type].from_guest;
}

void get_initiate_contact(const uint8_t *m, struct initiate_contact *ret)
{
	ret->version = le32_get(m + 8);
	ret->vp = le32_get(m + 12);
	ret->sint = m[16];
	ret->vtl = m[17];
}

void get_open_channel(const uint8_t *m, struct open_channel *ret)
{
	ret->relid = le32_get(m + 8);
	ret->open_id = le32_get(m + 12);
	ret->gpadl = le32_get(m + 16);
	ret->vp = le32_get(m + 20);
	ret->downstream = le32_get(m + 24);
}

void get_gpadl_header(const uint8_t *m, struct gpadl_header *ret)
{
	ret->relid = le32_get(m + 8);
	ret->gpadl = le32_get(m + 12);
	ret->bytes = le16_get(m + 16);
	ret->ranges = le16_get(m + 18);
	ret->byte_count = le32_get(m + 20);
	ret->byte_offset = le32_get(m + 24);
}

size_t put_words(uint8_t *m, uint32_t type, unsigned int n, uint32_t a,
		 uint32_t b, uint32_t c)
{
	memset(m, 0, MSG_HEADER);
	le32_put(m, type);
	le32_put(m + 8, a);
	le32_put(m + 12, b);
	le32_put(m + 16, c);
	return MSG_HEADER + 4u * n;
}

size_t put_offer(uint8_t *m, const struct offer *o)
{
	memset(m, 0, MSG_OFFER_SIZE);
	le32_put(m, MSG_OFFER_CHANNEL);
	guid_put(m + 8, &o->type);
	guid_put(m + 24, &o->instance);
	le16_put(m + 56, o->flags);
	memcpy(m + 60, o->user_data, 120);
	le32_put(m + 184, o->relid);
	m[188] = 0xff;	      /* no monitor page */
	le16_put(m + 190, 1); /* an event flag of its own */
	le32_put(m + 192, vmbh_connection_id(o->relid));
	return MSG_OFFER_SIZE;
}

void put_hvsock_user_data(uint8_t *user_data, bool accept)
{
	memset(user_data, 0, 120);
	user_data[4] = accept;
	le32_put(user_data + 6, 1); /* the form of these, since RS5 */
}

size_t put_version_response(uint8_t *m, bool supported, uint32_t value)
{
	memset(m, 0, 16);
	le32_put(m, MSG_VERSION_RESPONSE);
	m[8] = supported;
	le32_put(m + 12, value);
	return 16;
}

size_t put_tl_result(uint8_t *m, const GUID *endpoint, const GUID *service,
		     uint32_t status)
{
	memset(m, 0, 44);
	le32_put(m, MSG_TL_CONNECT_RESULT);
	guid_put(m + 8, endpoint);
	guid_put(m + 24, service);
	le32_put(m + 40, status);
	return 44;
}
