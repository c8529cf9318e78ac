/* SPDX-License-Identifier: MIT */
/* dgram.c - see dgram.h */
#include "proto/dgram.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#define VERSION 1
#define KIND_DATA 1
#define ADDRESS_SIZE 36
#define RECEIVER_SIZE 24

static void address_put(uint8_t *p, const SOCKADDR_HV *a)
{
	le16_put(p, a->Family);
	le16_put(p + 2, a->Reserved);
	guid_put(p + 4, &a->VmId);
	guid_put(p + 20, &a->ServiceId);
}

static SOCKADDR_HV address_get(const uint8_t *p)
{
	return (SOCKADDR_HV){
		.Family = le16_get(p),
		.Reserved = le16_get(p + 2),
		.VmId = guid_get(p + 4),
		.ServiceId = guid_get(p + 20),
	};
}

void dgram_encode(const struct dgram *d, uint8_t *ret)
{
	ret[0] = VERSION;
	ret[1] = KIND_DATA;
	le16_put(ret + 2, d->flags);
	address_put(ret + 4, &d->addr);
}

int dgram_decode(const uint8_t *p, size_t len, struct dgram *ret)
{
	struct dgram d;

	if (len < DGRAM_HEADER || len > DGRAM_HEADER + DGRAM_MAX ||
	    p[0] != VERSION || p[1] != KIND_DATA)
		return -EINVAL;
	d.flags = le16_get(p + 2);
	d.addr = address_get(p + 4);
	if ((d.flags & ~DGRAM_BROADCAST) || d.addr.Family != AF_HYPERV ||
	    d.addr.Reserved)
		return -EINVAL;
	*ret = d;
	return 0;
}

int msg_reach_decode(const uint8_t *p, size_t len, struct msg_reach *ret)
{
	if (len != MSG_HEADER + ADDRESS_SIZE + 8)
		return -EINVAL;
	ret->dest = address_get(p + MSG_HEADER);
	ret->token = le64_get(p + MSG_HEADER + ADDRESS_SIZE);
	return 0;
}

int msg_route_decode(const uint8_t *p, size_t len, struct msg_reach *ret)
{
	if (len != MSG_HEADER + 8 + ADDRESS_SIZE)
		return -EINVAL;
	ret->token = le64_get(p + MSG_HEADER);
	ret->dest = address_get(p + MSG_HEADER + 8);
	return 0;
}

int msg_socket_decode(const uint8_t *p, size_t len, struct msg_socket *ret)
{
	size_t size = SOCKET_SIZE, groups;
	bool named;

	if (len < size)
		return -EINVAL;
	named = le32_get(p + 76) & SOCKET_NAMED;
	if (named)
		size += 8;
	groups = len - size;
	if (len < size || groups % 4 || groups / 4 > SOCKET_GROUPS_MAX)
		return -EINVAL;
	*ret = (struct msg_socket){
		.token = le64_get(p + 8),
		.partition = guid_get(p + 16),
		.vmid = guid_get(p + 32),
		.service = guid_get(p + 48),
		.uid = le32_get(p + 64),
		.gid = le32_get(p + 68),
		.pid = le32_get(p + 72),
		.flags = le32_get(p + 76),
		.name = le64_get(p + (named ? SOCKET_SIZE : 8)),
		.groups = p + size,
		.ngroups = groups / 4,
	};
	return 0;
}

void msg_put_socket(struct msg_buf *b, const struct msg_socket *m)
{
	msg_put_u64(b, m->token);
	msg_put_guid(b, &m->partition);
	msg_put_guid(b, &m->vmid);
	msg_put_guid(b, &m->service);
	msg_put_u32(b, m->uid);
	msg_put_u32(b, m->gid);
	msg_put_u32(b, m->pid);
	msg_put_u32(b, m->flags);
	if (m->flags & SOCKET_NAMED)
		msg_put_u64(b, m->name);
	msg_put_bytes(b, m->groups, m->ngroups * 4);
}

int msg_route_reply_decode(const uint8_t *p, size_t len,
			   struct msg_receiver *ret)
{
	size_t n = (len - MSG_REPLY_HEADER) / RECEIVER_SIZE;

	if (len < MSG_REPLY_HEADER || n > ROUTE_MAX ||
	    len != MSG_REPLY_HEADER + n * RECEIVER_SIZE)
		return -EINVAL;
	p += MSG_REPLY_HEADER;
	for (size_t i = 0; i < n; i++, p += RECEIVER_SIZE) {
		ret[i].token = le64_get(p);
		ret[i].peer = guid_get(p + 8);
	}
	return (int)n;
}

int msg_drops_decode(const uint8_t *p, size_t len, struct msg_drops *ret)
{
	if (len != MSG_HEADER + (2 + DROP_COUNT) * 8)
		return -EINVAL;
	p += MSG_HEADER;
	ret->sent = le64_get(p);
	ret->delivered = le64_get(p + 8);
	for (size_t i = 0; i < DROP_COUNT; i++)
		ret->dropped[i] = le64_get(p + 16 + i * 8);
	return 0;
}

void msg_put_drops(struct msg_buf *b, const struct msg_drops *m)
{
	msg_put_u64(b, m->sent);
	msg_put_u64(b, m->delivered);
	for (size_t i = 0; i < DROP_COUNT; i++)
		msg_put_u64(b, m->dropped[i]);
}

const char *drop_name(uint32_t drop)
{
	switch (drop) {
	case DROP_QUEUE_FULL:
		return "queue full";
	case DROP_RECEIVER_GONE:
		return "receiver gone";
	case DROP_NO_MEMORY:
		return "no memory";
	default:
		return reason_name(drop);
	}
}
