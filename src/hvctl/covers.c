/* SPDX-License-Identifier: MIT */
/* covers.c - see covers.h */
#include "hvctl/covers.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "hvctl/out.h"

void covers_print(const json_t *listener, const char *indent, FILE *f)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(listener, "covers"), i, p) {
		const char *text = json_text(p, "text");
		const char *reason = json_text(p, "reason");

		if (json_is(p, "ok"))
			fprintf(f, "%s%s: yes\n", indent,
				show(json_text(p, "partition")));
		else
			fprintf(f, "%s%s: no, %s (%s)\n", indent,
				show(json_text(p, "partition")),
				show(*text ? text : reason), show(reason));
	}
}

static const json_t *find(const json_t *reply, const SOCKADDR_HV *addr,
			  const char *partition)
{
	char vmid[GUID_TEXT_SIZE], service[GUID_TEXT_SIZE];
	const json_t *l;
	size_t i;

	guid_format(&addr->VmId, vmid);
	guid_format(&addr->ServiceId, service);
	json_array_foreach(json_object_get(reply, "listeners"), i, l) {
		const json_t *pid = json_object_get(l, "pid");

		if (strcasecmp(json_text(l, "service"), service) ||
		    strcasecmp(json_text(l, "vmid"), vmid) ||
		    strcasecmp(json_text(l, "partition"), partition))
			continue;
		if (pid && json_integer_value(pid) != getpid())
			continue;
		return l;
	}
	return NULL;
}

void covers_say(struct ctl *c, int fd)
{
	cleanup_json_ json_t *reply = NULL;
	char text[HVS_ADDRESS_TEXT_SIZE];
	struct call_error err;
	socklen_t len = sizeof(SOCKADDR_HV);
	const json_t *l;
	char name[256], guid[GUID_TEXT_SIZE];
	SOCKADDR_HV addr;

	if (hvs_getsockname(fd, &addr, &len) < 0 ||
	    hvs_address_format(&addr, text, sizeof(text), 0) < 0) {
		complain("%s: %s", c->verb, strerror(errno));
		return;
	}
	fprintf(stderr, "listening on %s\n", show(text));
	if (!guid_is_zero(&addr.VmId) &&
	    !guid_equal(&addr.VmId, &guid_children))
		return;
	if (hvs_partition(NULL, name, sizeof(name)) < 0 ||
	    call(c, CALL_HOST,
		 json_pack("{s:s, s:s}", "method", "listeners", "service",
			   guid_format(&addr.ServiceId, guid)),
		 &reply, &err)) {
		fprintf(stderr, "which partitions that covers, only the host "
				"may ask\n");
		return;
	}
	l = find(reply, &addr, name);
	if (l)
		covers_print(l, "  ", stderr);
}
