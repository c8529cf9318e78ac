/* SPDX-License-Identifier: MIT */
/* manage.c - CALL: the table of methods, arguments and replies */
#include "broker/manage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "broker/resolve.h"
#include "broker/rules.h"

#define FILES_MAX 8 /* large replies of a user that are not read yet */

enum who {
	ANYBODY, /* also from a child partition */
	HOST, /* any user of the host partition */
	CHANGER, /* client_may_change() */
};

static const struct {
	const char *name;
	json_t *(*fn)(struct call *c);
	enum who who;
} methods[] = {
	{ "status", manage_status, ANYBODY },
	{ "names", manage_names, ANYBODY },
	{ "explain", manage_explain, ANYBODY },
	{ "wait", manage_wait, ANYBODY },
	{ "service.list", manage_service_list, HOST },
	{ "service.show", manage_service_show, HOST },
	{ "service.add", manage_service_add, HOST },
	{ "service.set", manage_service_set, HOST },
	{ "service.remove", manage_service_remove, HOST },
	{ "partition.list", manage_partition_list, HOST },
	{ "partition.show", manage_partition_show, HOST },
	{ "partition.wait", manage_partition_wait, HOST },
	{ "partition.add", manage_partition_add, CHANGER },
	{ "partition.set", manage_partition_set, CHANGER },
	{ "partition.remove", manage_partition_remove, CHANGER },
	{ "listeners", manage_listeners, HOST },
	{ "connections", manage_connections, HOST },
	{ "reload", manage_reload, CHANGER },
	{ "simulate", manage_simulate, HOST },
	{ "integration", manage_integration, HOST },
};

/* ---- Helpers -------------------------------------------------------------*/

bool unpack(struct call *c, const char *fmt, ...)
{
	json_error_t error;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = json_vunpack_ex(c->args, &error, JSON_STRICT, fmt, ap);
	va_end(ap);
	if (r == 0)
		return true;
	refuse(c->v, HVS_REASON_BAD_REQUEST, "arguments: %s", error.text);
	return false;
}

void from_registry(struct call *c, int err, const char *why)
{
	uint32_t reason = HVS_REASON_BROKER_FAILED;

	if (err == -EINVAL || err == -ENAMETOOLONG)
		reason = HVS_REASON_BAD_REQUEST;
	else if (err == -EEXIST)
		reason = HVS_REASON_EXISTS;
	else if (err == -ENOENT)
		reason = HVS_REASON_NOT_FOUND;
	else if (err == -EPERM)
		reason = HVS_REASON_NOT_PERMITTED;
	refuse(c->v, reason, "%s", why);
	c->v->error = -err;
}

json_t *json_guid(const GUID *g)
{
	char text[GUID_TEXT_SIZE];

	return json_string(guid_format(g, text));
}

json_t *refused_json(const uint64_t *refused)
{
	json_t *o = json_object();

	for (uint32_t i = 1; i < REASON_COUNT; i++) {
		json_int_t n = (json_int_t)refused[i];

		if (n)
			json_object_set_new(o, reason_name(i), json_integer(n));
	}
	return o;
}

const struct service *find_service(struct call *c, const char *text)
{
	const struct service *s = NULL;
	GUID g;

	if (resolve_service(c->b, text, &g))
		s = registry_service(c->b->registry, &g);
	if (!s)
		refuse(c->v, HVS_REASON_NOT_FOUND,
		       "no service \"%.100s\" is registered", text);
	return s;
}

const struct partition *find_partition(struct call *c, const char *text)
{
	const struct partition *p;
	GUID g;

	if (strcasecmp(text, "host") == 0)
		return registry_partition(c->b->registry, &guid_zero);
	if (guid_parse(text, &g) == 0)
		p = registry_partition(c->b->registry, &g);
	else
		p = registry_partition_by_name(c->b->registry, text);
	if (!p)
		refuse(c->v, HVS_REASON_PARTITION_UNKNOWN,
		       "there is no partition \"%.100s\"", text);
	return p;
}

const char *partition_name(const struct broker *b, const GUID *vmid)
{
	const struct partition *p = partition_find(&b->world, vmid);

	return p ? p->name : "?";
}

bool parse_address(struct call *c, const GUID *from, const char *text,
		   SOCKADDR_HV *ret)
{
	cleanup_free_ char *part = strdup(text);
	char *colon = part ? strrchr(part, ':') : NULL;
	bool registered;

	if (!colon) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "\"%.100s\" is not PARTITION:SERVICE", text);
		return false;
	}
	*colon = '\0';
	*ret = (SOCKADDR_HV){ .Family = AF_HYPERV };
	registered = resolve_service(c->b, colon + 1, &ret->ServiceId);
	/* (the host knows names that whoever it asks about does not) */
	if (!resolve_partition(c->b, from, registered ? &ret->ServiceId : NULL,
			       part, &ret->VmId) &&
	    !resolve_partition(c->b, &c->client->door->partition, NULL, part,
			       &ret->VmId)) {
		refuse(c->v, HVS_REASON_PARTITION_UNKNOWN,
		       "there is no partition \"%.100s\"", part);
		return false;
	}
	if (!registered) {
		refuse(c->v, HVS_REASON_NOT_FOUND,
		       "no service is named \"%.100s\"", colon + 1);
		return false;
	}
	return true;
}

/* ---- Replies -------------------------------------------------------------*/

/* The text in a sealed memfd. Return: descriptor or -errno */
static int text_file(const char *text, size_t len)
{
	cleanup_close_ int fd = -1;
	size_t done = 0;

	fd = memfd_create("hvsocket-reply", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return fd_take(&fd);
}

/*
 * A large reply is memory of ours until the other side has read and closed it.
 * Return: may this user have one more?
 */
static bool may_have_file(struct client *client)
{
	struct account *user = client->account;
	struct client *c;

	if (user->files < FILES_MAX)
		return true;
	DL_FOREACH(client->b->clients, c) {
		int unread = 0;

		if (c->account == user && c->files &&
		    ioctl(c->fd, SIOCOUTQ, &unread) == 0 && !unread) {
			user->files -= c->files;
			c->files = 0;
		}
	}
	return user->files < FILES_MAX;
}

void call_reply(struct client *client, uint32_t serial, json_t *result)
{
	cleanup_free_ char *text =
		json_dumps(result, JSON_COMPACT | JSON_ENSURE_ASCII);
	cleanup_close_ int fd = -1;
	static uint8_t bytes[MSG_MAX]; /* one thread */
	struct msg_buf m = msg_buf(bytes, sizeof(bytes));
	size_t len = text ? strlen(text) : 0;

	if (!text) {
		client_refuse(client, MSG_CALL, serial, ENOMEM,
			      HVS_REASON_BROKER_FAILED, "no memory");
		return;
	}
	if (len <= MSG_MAX / 2) {
		msg_begin_reply(&m, MSG_CALL, serial, 0, 0, 0);
		msg_put_bytes(&m, text, len);
		client_send(client, &m, NULL, 0);
		return;
	}
	if (!may_have_file(client)) {
		client_refuse(client, MSG_CALL, serial, ENOBUFS,
			      HVS_REASON_QUOTA,
			      "too many large replies have not been read");
		return;
	}
	fd = text_file(text, len);
	if (fd < 0) {
		client_refuse(client, MSG_CALL, serial, (uint32_t)-fd,
			      HVS_REASON_BROKER_FAILED, strerror(-fd));
		return;
	}
	msg_begin_reply(&m, MSG_CALL, serial, MSG_FLAG_FD, 0, 0);
	client->files++;
	client->account->files++;
	client_send(client, &m, &fd, 1);
}

static json_t *run(struct call *c, const char *method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		bool child = !guid_is_zero(&c->client->door->partition);

		if (strcmp(methods[i].name, method) != 0)
			continue;
		if (child && methods[i].who != ANYBODY) {
			refuse(c->v, HVS_REASON_NOT_PERMITTED,
			       "%s may be called from the host partition only",
			       method);
			return NULL;
		}
		if (methods[i].who == CHANGER &&
		    !client_may_change(c->client)) {
			refuse(c->v, HVS_REASON_NOT_PERMITTED,
			       "uid %u may not call %s on this broker",
			       c->client->uid, method);
			return NULL;
		}
		broker_refresh(c->b);
		return methods[i].fn(c);
	}
	refuse(c->v, HVS_REASON_BAD_REQUEST, "there is no method \"%.60s\"",
	       method);
	return NULL;
}

void request_call(struct client *client, struct frame *f)
{
	struct verdict v;
	struct call c = { .b = client->b,
			  .client = client,
			  .serial = f->h.serial,
			  .v = &v };
	json_error_t error;
	json_t *args, *method, *result = NULL;

	verdict_init(&v);
	args = json_loadb((const char *)f->p + MSG_HEADER, f->len - MSG_HEADER,
			  JSON_REJECT_DUPLICATES, &error);
	method = args ? json_object_get(args, "method") : NULL;
	if (!args) {
		refuse(&v, HVS_REASON_BAD_REQUEST, "CALL is not JSON: %s",
		       error.text);
	} else if (!json_is_string(method)) {
		refuse(&v, HVS_REASON_BAD_REQUEST,
		       "CALL: an object with \"method\" is needed");
	} else {
		char name[64];

		strncpy(name, json_string_value(method), sizeof(name) - 1);
		name[sizeof(name) - 1] = '\0';
		json_object_del(args, "method");
		c.args = args;
		result = run(&c, name);
		if (!result && !v.reason && !c.later)
			refuse(&v, HVS_REASON_BROKER_FAILED, "no memory");
	}
	if (result)
		call_reply(client, f->h.serial, result);
	else if (!c.later)
		client_refuse_verdict(client, MSG_CALL, f->h.serial, &v);
	json_decref(result);
	json_decref(args);
}
