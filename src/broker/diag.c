/* SPDX-License-Identifier: MIT */
/* diag.c - see diag.h; linux/unix_diag.h */
#include "broker/diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define TCP_ESTABLISHED 1

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
		       .udiag_show = UDIAG_SHOW_NAME },
	};

	return send(fd, &req, sizeof(req), 0) < 0 ? -errno : 0;
}

static int one(const struct nlmsghdr *h,
	       int (*fn)(const struct connector_name *n, void *arg), void *arg)
{
	const char *base = (const char *)h;
	size_t at = NLMSG_LENGTH(sizeof(struct unix_diag_msg));

	while (at + sizeof(struct nlattr) <= h->nlmsg_len) {
		struct sockaddr_un sa = { .sun_family = AF_UNIX };
		struct nlattr a;
		struct name name;
		size_t len;

		memcpy(&a, base + at, sizeof(a));
		if (a.nla_len < sizeof(a) || at + a.nla_len > h->nlmsg_len)
			return 0;
		len = a.nla_len - sizeof(a);
		if (a.nla_type == UNIX_DIAG_NAME &&
		    len <= sizeof(sa.sun_path)) {
			memcpy(sa.sun_path, base + at + sizeof(a), len);
			name_decode(&sa,
				    (socklen_t)(offsetof(struct sockaddr_un,
							 sun_path) +
						len),
				    &name);
			if (name.kind == NAME_CONNECTOR)
				return fn(&name.connector, arg);
			return 0;
		}
		at += NLA_ALIGN(a.nla_len);
	}
	return 0;
}

int diag_connectors(int (*fn)(const struct connector_name *n, void *arg),
		    void *arg)
{
	static _Alignas(struct nlmsghdr) char buf[32768]; /* one thread */
	cleanup_close_ int fd = -1;
	int r;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return -errno;
	r = ask(fd);
	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		unsigned int left = n > 0 ? (unsigned int)n : 0;
		const struct nlmsghdr *h = (const void *)buf;

		if (n < 0)
			return -errno;
		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return -EOPNOTSUPP;
			if (one(h, fn, arg))
				return 0;
		}
		if (n == 0)
			return 0;
	}
}
