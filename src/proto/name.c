/* SPDX-License-Identifier: MIT */
/* name.c - see name.h */
#include "proto/name.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/b64.h"
#include "base/bytes.h"

#define VERSION 1
#define TYPE_WINDOWS 0x80 /* of a listener's type: profile "windows" */
#define LISTENER_SIZE 58
#define RENDEZVOUS_SIZE 18
#define CONNECTOR_SIZE 82
#define LISTENER_NATIVE 0x40 /* bit in a listener's type */

static const char connector_magic[4] = { 'h', 'v', 's', '1' };

static bool type_ok(uint8_t type)
{
	return type == SOCK_STREAM || type == SOCK_SEQPACKET;
}

/* "DIR" "base64url"; sun_path ends in a zero byte, which the length counts. */
static socklen_t path_encode(const char *dir, const uint8_t *raw, size_t len,
			     struct sockaddr_un *ret)
{
	size_t n = strlen(dir);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, dir, n);
	n += b64_encode(raw, len, ret->sun_path + n);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
}

socklen_t listener_name_encode(const struct listener_name *n,
			       struct sockaddr_un *ret)
{
	uint8_t raw[LISTENER_SIZE];

	raw[0] = VERSION;
	raw[1] = n->type;
	if (n->profile == PROFILE_WINDOWS)
		raw[1] |= TYPE_WINDOWS;
	if (n->native)
		raw[1] |= LISTENER_NATIVE;
	guid_put(raw + 2, &n->partition);
	guid_put(raw + 18, &n->vmid);
	guid_put(raw + 34, &n->service);
	le32_put(raw + 50, n->uid);
	le32_put(raw + 54, n->gid);
	return path_encode(NAME_LISTENER_DIR, raw, sizeof(raw), ret);
}

static int listener_decode(const char *text, size_t len,
			   struct listener_name *ret)
{
	uint8_t raw[LISTENER_SIZE], type;

	if (b64_decode(text, len, raw, sizeof(raw)) < 0 || raw[0] != VERSION)
		return -EINVAL;
	type = raw[1] & (uint8_t)~(TYPE_WINDOWS | LISTENER_NATIVE);
	/* only streams are handed over */
	if (!type_ok(type) ||
	    (raw[1] & LISTENER_NATIVE && type != SOCK_STREAM))
		return -EINVAL;
	*ret = (struct listener_name){
		.type = type,
		.native = raw[1] & LISTENER_NATIVE,
		.profile = raw[1] & TYPE_WINDOWS ? PROFILE_WINDOWS :
						   PROFILE_DEFAULT,
		.partition = guid_get(raw + 2),
		.vmid = guid_get(raw + 18),
		.service = guid_get(raw + 34),
		.uid = le32_get(raw + 50),
		.gid = le32_get(raw + 54),
	};
	return 0;
}

int listener_file_decode(const char *file, struct listener_name *ret)
{
	return listener_decode(file, strlen(file), ret);
}

socklen_t rendezvous_name_encode(const struct rendezvous_name *n,
				 struct sockaddr_un *ret)
{
	uint8_t raw[RENDEZVOUS_SIZE];

	raw[0] = VERSION;
	raw[1] = n->type;
	guid_put(raw + 2, &n->partition);
	return path_encode(NAME_RENDEZVOUS_DIR, raw, sizeof(raw), ret);
}

static int rendezvous_decode(const char *text, size_t len,
			     struct rendezvous_name *ret)
{
	uint8_t raw[RENDEZVOUS_SIZE];

	if (b64_decode(text, len, raw, sizeof(raw)) < 0 || raw[0] != VERSION ||
	    !type_ok(raw[1]))
		return -EINVAL;
	*ret = (struct rendezvous_name){
		.type = raw[1],
		.partition = guid_get(raw + 2),
	};
	return 0;
}

socklen_t connector_name_encode(const struct connector_name *n,
				struct sockaddr_un *ret)
{
	uint8_t *p = (uint8_t *)ret->sun_path + 1;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(p, connector_magic, 4);
	p[4] = n->type;
	p[5] = n->flags;
	guid_put(p + 6, &n->peer);
	guid_put(p + 22, &n->peer_service);
	guid_put(p + 38, &n->dest);
	guid_put(p + 54, &n->dest_service);
	le32_put(p + 70, n->uid);
	le64_put(p + 74, n->token);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   CONNECTOR_SIZE);
}

static int connector_decode(const char *text, size_t len,
			    struct connector_name *ret)
{
	const uint8_t *p = (const uint8_t *)text;

	if (len != CONNECTOR_SIZE || memcmp(p, connector_magic, 4) != 0 ||
	    (!type_ok(p[4]) && p[4] != SOCK_DGRAM))
		return -EINVAL;
	*ret = (struct connector_name){
		.type = p[4],
		.flags = p[5],
		.peer = guid_get(p + 6),
		.peer_service = guid_get(p + 22),
		.dest = guid_get(p + 38),
		.dest_service = guid_get(p + 54),
		.uid = le32_get(p + 70),
		.token = le64_get(p + 74),
	};
	return 0;
}

void name_decode(const struct sockaddr_un *sa, socklen_t len, struct name *ret)
{
	const size_t off = offsetof(struct sockaddr_un, sun_path);
	const size_t ldir = sizeof(NAME_LISTENER_DIR) - 1;
	const size_t rdir = sizeof(NAME_RENDEZVOUS_DIR) - 1;
	const char *path = sa->sun_path;
	size_t n;

	ret->kind = NAME_FOREIGN;
	if (len < sizeof(sa->sun_family) || sa->sun_family != AF_UNIX)
		return;
	if (len <= off) {
		ret->kind = NAME_NONE;
		return;
	}
	n = len - off;
	if (n > sizeof(sa->sun_path))
		n = sizeof(sa->sun_path);
	if (path[0] == '\0') {
		if (connector_decode(path + 1, n - 1, &ret->connector) == 0)
			ret->kind = ret->connector.type == SOCK_DGRAM ?
					    NAME_DATAGRAM :
					    NAME_CONNECTOR;
		return;
	}
	n = strnlen(path, n);
	if (n > ldir && memcmp(path, NAME_LISTENER_DIR, ldir) == 0) {
		if (listener_decode(path + ldir, n - ldir, &ret->listener) == 0)
			ret->kind = NAME_LISTENER;
	} else if (n > rdir && memcmp(path, NAME_RENDEZVOUS_DIR, rdir) == 0) {
		if (rendezvous_decode(path + rdir, n - rdir,
				      &ret->rendezvous) == 0)
			ret->kind = NAME_RENDEZVOUS;
	}
}
