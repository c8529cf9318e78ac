/* SPDX-License-Identifier: MIT */
/* packet.c - see packet.h */
#include "transport/vsock-device/packet.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

void vsock_header_decode(const uint8_t *p, struct vsock_header *ret)
{
	*ret = (struct vsock_header) {
		.src_cid = le64_get(p),
		.dst_cid = le64_get(p + 8),
		.src_port = le32_get(p + 16),
		.dst_port = le32_get(p + 20),
		.len = le32_get(p + 24),
		.type = le16_get(p + 28),
		.op = le16_get(p + 30),
		.flags = le32_get(p + 32),
		.buf_alloc = le32_get(p + 36),
		.fwd_cnt = le32_get(p + 40),
	};
}

void vsock_header_encode(const struct vsock_header *h, uint8_t *p)
{
	le64_put(p, h->src_cid);
	le64_put(p + 8, h->dst_cid);
	le32_put(p + 16, h->src_port);
	le32_put(p + 20, h->dst_port);
	le32_put(p + 24, h->len);
	le16_put(p + 28, h->type);
	le16_put(p + 30, h->op);
	le32_put(p + 32, h->flags);
	le32_put(p + 36, h->buf_alloc);
	le32_put(p + 40, h->fwd_cnt);
}

int vsock_iov_read(const struct iovec *iov, unsigned int n, uint8_t *p,
		   size_t len)
{
	for (unsigned int i = 0; i < n && len; i++) {
		size_t part = iov[i].iov_len < len ? iov[i].iov_len : len;

		memcpy(p, iov[i].iov_base, part);
		p += part;
		len -= part;
	}
	/*
	 * The guest may write meanwhile. What is checked from here on must be
	 * the copy, never a second look at the original.
	 */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return len ? -EMSGSIZE : 0;
}

int vsock_iov_write(const struct iovec *iov, unsigned int n, const uint8_t *p,
		    size_t len)
{
	for (unsigned int i = 0; i < n && len; i++) {
		size_t part = iov[i].iov_len < len ? iov[i].iov_len : len;

		memcpy(iov[i].iov_base, p, part);
		p += part;
		len -= part;
	}
	return len ? -EMSGSIZE : 0;
}

unsigned int vsock_iov_slice(const struct iovec *iov, unsigned int n,
			     size_t skip, size_t len, struct iovec *ret,
			     unsigned int max, size_t *ret_len)
{
	unsigned int count = 0;
	size_t total = 0;

	for (unsigned int i = 0; i < n && len && count < max; i++) {
		size_t part = iov[i].iov_len;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part -= skip;
		if (part > len)
			part = len;
		ret[count].iov_base = (char *)iov[i].iov_base + skip;
		ret[count++].iov_len = part;
		skip = 0;
		len -= part;
		total += part;
	}
	*ret_len = total;
	return count;
}
