/* SPDX-License-Identifier: MIT */
/* sftp-bytes.c - a file's bytes, many requests at a time; see sftp-link.h */
#include "hvctl/sftp-internal.h"

#include <errno.h>

static int send_read(struct sftp_link *l, const struct sftp_handle *h,
		     uint64_t offset)
{
	struct sftp_out o = sftp_with_handle(l, SFTP_READ, h);

	sftp_put_u64(&o, offset);
	sftp_put_u32(&o, l->chunk_read);
	return sftp_send(l, &o);
}

/* Answers to @n requests that nobody wants any more; the last one was l->id. */
static int drain(struct sftp_link *l, uint32_t n, enum sftp_type type)
{
	struct sftp_reply a;
	int r = 0;

	for (; n && r >= 0; n--)
		r = sftp_answer(l, l->id - n + 1, type, &a);
	return r < 0 ? r : 0;
}

int sftp_get(struct sftp_link *l, const struct sftp_handle *h, uint64_t offset,
	     uint64_t size, uint64_t max, sftp_data_fn fn, void *arg)
{
	uint64_t asked = offset; /* up to here */
	uint32_t under_way = 0;
	struct sftp_reply a;
	int r;

	for (;;) {
		/* behind the likely end one is enough, which finds it */
		while (under_way < SFTP_WINDOW &&
		       (asked < size || !under_way)) {
			r = send_read(l, h, asked);
			if (r)
				return r;
			asked += l->chunk_read;
			under_way++;
		}
		r = sftp_answer(l, l->id - under_way + 1, SFTP_DATA, &a);
		under_way--;
		if (r == SFTP_EOF)
			return drain(l, under_way, SFTP_DATA);
		if (r < 0)
			return r;
		if (!r && (!a.bytes.len || a.bytes.len > l->chunk_read))
			return sftp_die(l, -EPROTO);
		if (!r && (offset > max || a.bytes.len > max - offset))
			r = -EFBIG;
		if (!r)
			r = fn(arg, offset, a.bytes.p, a.bytes.len);
		if (r) {
			int r2 = drain(l, under_way, SFTP_DATA);

			return r2 ? r2 : r;
		}
		offset += a.bytes.len;
		if (a.bytes.len < l->chunk_read) {
			/* what follows was asked for at the wrong place */
			r = drain(l, under_way, SFTP_DATA);
			if (r)
				return r;
			under_way = 0;
			asked = offset;
		}
	}
}

int sftp_put(struct sftp_link *l, const struct sftp_handle *h,
	     sftp_fill_fn fn, void *arg)
{
	uint32_t under_way = 0;
	bool end = false;
	int result = 0;

	for (;;) {
		struct sftp_reply a;
		int r;

		while (!end && under_way < SFTP_WINDOW) {
			struct sftp_out o = sftp_with_handle(l, SFTP_WRITE, h);
			size_t head = o.len + 12, n = 0;
			uint64_t offset = 0;

			r = fn(arg, l->tx + head, l->chunk_write, &offset, &n);
			if (r)
				result = r;
			end = r || !n;
			if (end) {
				l->id--; /* it is not sent */
				break;
			}
			sftp_put_u64(&o, offset);
			sftp_put_u32(&o, (uint32_t)n);
			o.len += n;
			r = sftp_send(l, &o);
			if (r)
				return r;
			under_way++;
		}
		if (!under_way)
			return result;
		r = sftp_answer(l, l->id - under_way + 1, SFTP_STATUS, &a);
		under_way--;
		if (r < 0)
			return r;
		if (r && !result)
			result = r;
		end |= r != 0;
	}
}
