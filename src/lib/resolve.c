/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - hvs_address_parse(), hvs_address_format()
 *
 * What is a word, a GUID or a number needs nobody; names are the broker's to
 * know. A name that would be read as something else is never written.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/guid.h"
#include "base/utf8.h"
#include "lib/address.h"
#include "lib/call.h"
#include "lib/reason.h"

#define TEXT_MAX 512

static bool all_digits(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0';
}

static bool port_parse(const char *s, uint32_t *ret)
{
	uint64_t v = 0;

	for (; *s; s++) {
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)v;
	return true;
}

/* "PARTITION:SERVICE" in two. Return: 0 or -1, errno and reason set */
static int split(const char *text, char *buf, const char **ret_partition,
		 const char **ret_service)
{
	size_t len = text ? strnlen(text, TEXT_MAX) : TEXT_MAX;
	char *colon;

	if (len >= TEXT_MAX)
		return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 text ? "the address is too long" :
					"the address is NULL");
	memcpy(buf, text, len + 1);
	colon = strchr(buf, ':');
	if (!colon || strchr(colon + 1, ':') || colon == buf || !colon[1])
		return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "\"%.100s\" is not PARTITION:SERVICE", text);
	if (!utf8_printable(buf, len))
		return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "the address has control characters, or is "
				 "not UTF-8");
	*colon = '\0';
	*ret_partition = buf;
	*ret_service = colon + 1;
	return 0;
}

static int ask(const char *partition, const char *service, SOCKADDR_HV *ret)
{
	uint8_t raw[MSG_HEADER + TEXT_MAX + 2];
	SOCKADDR_HV a;
	struct call c;

	call_begin(&c, MSG_RESOLVE, raw, sizeof(raw));
	msg_put_string(&c.frame, partition);
	msg_put_string(&c.frame, service);
	if (call_run(&c) < 0)
		return -1;
	if (msg_address_decode(c.reply, c.reply_len, true, &a) < 0 ||
	    a.Family != AF_HYPERV || a.Reserved)
		return call_bad_reply(&c);
	*ret = a;
	return 0;
}

int hvs_address_parse(const char *text, SOCKADDR_HV *addr)
{
	SOCKADDR_HV a = address_none();
	const char *partition = NULL, *service = NULL;
	bool local;
	char buf[TEXT_MAX];
	uint32_t port;

	if (split(text, buf, &partition, &service) < 0)
		return -1;
	local = guid_special_parse(partition, &a.VmId) ||
		guid_parse(partition, &a.VmId) == 0;
	if (all_digits(service)) {
		if (!port_parse(service, &port))
			return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST,
					 NULL, "port %.40s is above 4294967295",
					 service);
		a.ServiceId = guid_from_port(port);
	} else if (guid_parse(service, &a.ServiceId) < 0) {
		local = false;
	}
	if (!local && ask(partition, service, &a) < 0)
		return -1;
	*addr = a;
	return 0;
}

/* Would @name be read as a name again? */
static bool plain_name(const char *name, size_t len)
{
	GUID g;

	return len && len <= 100 && !memchr(name, ':', len) &&
	       utf8_printable(name, len) && !guid_special_parse(name, &g) &&
	       strcasecmp(name, "host") != 0 && guid_parse(name, &g) < 0 &&
	       !all_digits(name);
}

/* The broker's names, where it has them; NULL where not. Who formats an
 * address does not want to hear of brokers: errno and reason are kept. */
static void names_of(const SOCKADDR_HV *addr, struct call *c,
		     const char **ret_partition, const char **ret_service)
{
	struct hvs_reason before = *hvs__reason_of_thread();
	uint8_t raw[CALL_FRAME_SIZE];
	const char *a, *b;
	int saved = errno;

	*ret_partition = *ret_service = NULL;
	call_begin(c, MSG_NAMES, raw, sizeof(raw));
	msg_put_address(&c->frame, addr);
	if (call_run(c) > 0 &&
	    msg_strings_decode(c->reply, c->reply_len, true, &a, &b) == 0) {
		if (plain_name(a, strlen(a)))
			*ret_partition = a;
		if (plain_name(b, strlen(b)))
			*ret_service = b;
	}
	hvs__reason_restore(&before);
	errno = saved;
}

int hvs_address_format(const SOCKADDR_HV *addr, char *text, size_t size,
		       unsigned int flags)
{
	char partition_guid[HVS_GUID_TEXT_SIZE];
	char service_guid[HVS_GUID_TEXT_SIZE];
	const char *partition = NULL, *service = NULL;
	SOCKADDR_HV a = *addr;
	struct call c;
	uint32_t port;
	int n;

	if (flags & ~HVS_FORMAT_NUMERIC) {
		errno = EINVAL;
		return hvs__fail_errno();
	}
	/* the answer is about the GUIDs, whatever else stands there */
	a.Family = AF_HYPERV;
	a.Reserved = 0;
	if (!(flags & HVS_FORMAT_NUMERIC)) {
		names_of(&a, &c, &partition, &service);
		if (guid_special_name(&a.VmId))
			partition = guid_special_name(&a.VmId);
	}
	if (!partition)
		partition = guid_format(&a.VmId, partition_guid);
	if (!service)
		service = guid_format(&a.ServiceId, service_guid);
	if (service == service_guid && !(flags & HVS_FORMAT_NUMERIC) &&
	    guid_is_port(&a.ServiceId, &port))
		snprintf(service_guid, sizeof(service_guid), "%u", port);
	n = snprintf(text, size, "%s:%s", partition, service);
	if (n < 0 || (size_t)n >= size) {
		errno = ENOSPC;
		return hvs__fail_errno();
	}
	return 0;
}
