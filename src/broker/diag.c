/* SPDX-License-Identifier: MIT */
/* diag.c - see diag.h; linux/unix_diag.h */
#include "broker/diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define TCP_ESTABLISHED 1

/* One end of a connection. */
struct end {
	uint32_t inode, peer;
	struct name name;
};

struct ends {
	struct end *end;
	size_t n, size;
};

static int ask(int fd)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} req = {
		.h = { .nlmsg_len = sizeof(req),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_UNIX,
		       .udiag_states = 1u << TCP_ESTABLISHED,
		       .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER },
	};

	return send(fd, &req, sizeof(req), 0) < 0 ? -errno : 0;
}

static int keep(struct ends *ends, const struct end *e)
{
	if (ends->n == ends->size) {
		size_t size = ends->size ? ends->size * 2 : 64;
		struct end *p = realloc(ends->end, size * sizeof(*p));

		if (!p)
			return -ENOMEM;
		ends->end = p;
		ends->size = size;
	}
	ends->end[ends->n++] = *e;
	return 0;
}

/* Notes the connecting ends that are ours, and all accepting ones. */
static int one(struct nlmsghdr *h, uint16_t mark, struct ends *ends)
{
	const char *base = (const char *)h;
	size_t at = NLMSG_LENGTH(sizeof(struct unix_diag_msg));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct unix_diag_msg m;
	struct end e = { .name.kind = NAME_NONE };

	if (h->nlmsg_len < at)
		return 0;
	memcpy(&m, NLMSG_DATA(h), sizeof(m));
	e.inode = m.udiag_ino;
	while (at + sizeof(struct nlattr) <= h->nlmsg_len) {
		struct nlattr a;
		const char *data = base + at + sizeof(a);
		size_t len;

		memcpy(&a, base + at, sizeof(a));
		if (a.nla_len < sizeof(a) || at + a.nla_len > h->nlmsg_len)
			return 0;
		len = a.nla_len - sizeof(a);
		if (a.nla_type == UNIX_DIAG_NAME &&
		    len <= sizeof(sa.sun_path)) {
			memcpy(sa.sun_path, data, len);
			len += offsetof(struct sockaddr_un, sun_path);
			name_decode(&sa, (socklen_t)len, &e.name);
		} else if (a.nla_type == UNIX_DIAG_PEER &&
			   len >= sizeof(e.peer)) {
			memcpy(&e.peer, data, sizeof(e.peer));
		}
		at += NLA_ALIGN(a.nla_len);
	}
	if (e.name.kind == NAME_LISTENER ||
	    (e.name.kind == NAME_CONNECTOR &&
	     e.name.connector.token >> 48 == mark))
		return keep(ends, &e);
	return 0;
}

static int read_all(int fd, uint16_t mark, struct ends *ends)
{
	static _Alignas(struct nlmsghdr) char buf[32768]; /* one thread */

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		unsigned int left = n > 0 ? (unsigned int)n : 0;
		struct nlmsghdr *h = (void *)buf;

		if (n < 0)
			return -errno;
		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			int r;

			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return -EOPNOTSUPP;
			r = one(h, mark, ends);
			if (r < 0)
				return r;
		}
		if (n == 0)
			return 0;
	}
}

static int by_inode(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

int diag_connections(uint16_t mark, diag_fn fn, void *arg)
{
	cleanup_close_ int fd = -1;
	struct ends ends = { .n = 0 };
	int r;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return -errno;
	r = ask(fd);
	if (r == 0)
		r = read_all(fd, mark, &ends);
	if (r == 0 && ends.n)
		qsort(ends.end, ends.n, sizeof(*ends.end), by_inode);
	for (size_t i = 0; r == 0 && i < ends.n; i++) {
		struct end key = { .inode = ends.end[i].peer }, *peer;

		if (ends.end[i].name.kind != NAME_CONNECTOR)
			continue;
		peer = bsearch(&key, ends.end, ends.n, sizeof(key), by_inode);
		if (peer && peer->name.kind == NAME_LISTENER &&
		    fn(&ends.end[i].name.connector, &peer->name.listener, arg))
			break;
	}
	free(ends.end);
	return r;
}
