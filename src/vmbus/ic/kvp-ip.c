/* SPDX-License-Identifier: MIT */
/*
 * kvp-ip.c - what a person types for adapters and addresses, as a guest
 * compares and reads it
 *
 * Linux compares texts: an adapter's GUID with what its device's file has,
 * lower case in braces, and a MAC address with colons and in upper case. It
 * writes what it is given as addresses into files that its scripts read; so
 * nothing goes there that is none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "vmbus/ic/services.h"

#define MAC_BYTES 6u

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* With colons, with hyphens, or with nothing between the bytes. */
static int parse_mac(const char *text, uint8_t *ret)
{
	char between = text[0] && text[1] ? text[2] : '\0';

	if (between != ':' && between != '-')
		between = '\0';
	for (size_t i = 0; i < MAC_BYTES; i++) {
		int high, low;

		if (i && between && *text++ != between)
			return -EINVAL;
		high = hex(text[0]);
		low = high < 0 ? -1 : hex(text[1]);
		if (low < 0)
			return -EINVAL;
		ret[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return *text ? -EINVAL : 0;
}

int kvp_adapter(const char *text, char *out, size_t size)
{
	char id[GUID_TEXT_SIZE];
	uint8_t mac[MAC_BYTES];
	GUID guid;
	int n;

	if (guid_parse(text, &guid) == 0)
		n = snprintf(out, size, "{%s}", guid_format(&guid, id));
	else if (parse_mac(text, mac) == 0)
		n = snprintf(out, size, "%02X:%02X:%02X:%02X:%02X:%02X", mac[0],
			     mac[1], mac[2], mac[3], mac[4], mac[5]);
	else
		return -EINVAL;
	return n < 0 || (size_t)n >= size ? -E2BIG : 0;
}

/* ---- lists */

/* The ones of a mask are at its front. */
static bool is_mask(const struct in_addr *a)
{
	uint32_t zeros = ~ntohl(a->s_addr);

	return !(zeros & (zeros + 1));
}

static bool is_prefix(const char *item)
{
	unsigned int bits = 0;

	item += *item == '/';
	if (!*item || strlen(item) > 3)
		return false;
	for (; *item; item++) {
		if (*item < '0' || *item > '9')
			return false;
		bits = bits * 10 + (unsigned int)(*item - '0');
	}
	return bits <= 128;
}

/* Return: the family, KVP_IPV4 or KVP_IPV6; 0: it is none */
static unsigned int family_of(const char *item, bool mask)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, item, &four) == 1)
		return !mask || is_mask(&four) ? KVP_IPV4 : 0;
	if (inet_pton(AF_INET6, item, &six) == 1 || (mask && is_prefix(item)))
		return KVP_IPV6;
	return 0;
}

int kvp_addresses(const char *list, bool mask, struct kvp_list *ret)
{
	*ret = (struct kvp_list) { .count = 0 };
	while (*list) {
		size_t n = strcspn(list, ";");
		char item[INET6_ADDRSTRLEN + 1];
		unsigned int family = 0;

		if (n < sizeof(item)) {
			memcpy(item, list, n);
			item[n] = '\0';
			family = family_of(item, mask);
		}
		if (!family) {
			ret->bad = list;
			ret->bad_len = n;
			return -EINVAL;
		}
		ret->families |= family;
		ret->count++;
		list += n;
		/* one at the end is no other address: so guests tell theirs */
		list += *list == ';';
	}
	return 0;
}
