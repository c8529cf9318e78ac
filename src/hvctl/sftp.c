/* SPDX-License-Identifier: MIT */
/* sftp.c - see sftp.h */
#include "hvctl/sftp.h"

#include <errno.h>
#include <string.h>

/* ---- reading: what is not there sets bad, and reads as 0 */

struct reader {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || r->left < n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static uint32_t get_u32(struct reader *r)
{
	const uint8_t *p = take(r, 4);

	return p ? be32(p) : 0;
}

static uint64_t get_u64(struct reader *r)
{
	uint64_t high = get_u32(r);

	return high << 32 | get_u32(r);
}

static struct sftp_bytes get_bytes(struct reader *r)
{
	size_t len = get_u32(r);
	const uint8_t *p = take(r, len);

	return (struct sftp_bytes){ .p = p, .len = p ? len : 0 };
}

static bool is(const struct sftp_bytes *b, const char *text)
{
	return b->len == strlen(text) && !memcmp(b->p, text, b->len);
}

static struct sftp_attrs get_attrs(struct reader *r)
{
	struct sftp_attrs a = { .flags = get_u32(r) };

	if (a.flags & SFTP_ATTR_SIZE)
		a.size = get_u64(r);
	if (a.flags & SFTP_ATTR_UIDGID) {
		a.uid = get_u32(r);
		(void)get_u32(r);
	}
	if (a.flags & SFTP_ATTR_MODE)
		a.mode = get_u32(r);
	if (a.flags & SFTP_ATTR_TIMES) {
		a.atime = get_u32(r);
		a.mtime = get_u32(r);
	}
	/* each takes 8 bytes at least: a count ends with the packet */
	if (a.flags & SFTP_ATTR_EXTENDED)
		for (uint32_t n = get_u32(r); n && !r->bad; n--) {
			(void)get_bytes(r);
			(void)get_bytes(r);
		}
	return a;
}

int sftp_frame(const uint8_t *p, size_t len, size_t *ret_size)
{
	uint32_t n;

	if (len < 4)
		return 0;
	n = be32(p);
	if (n < 5 || n > SFTP_PACKET_MAX)
		return -EPROTO;
	if (len - 4 < n)
		return 0;
	*ret_size = n + (size_t)4;
	return 1;
}

static void get_features(struct reader *r, struct sftp_features *f)
{
	while (r->left && !r->bad) {
		struct sftp_bytes name = get_bytes(r);
		struct sftp_bytes value = get_bytes(r);

		if (r->bad)
			break;
		f->posix_rename |= is(&name, "posix-rename@openssh.com") &&
				   is(&value, "1");
		f->fsync |= is(&name, "fsync@openssh.com") && is(&value, "1");
		f->statvfs |= is(&name, "statvfs@openssh.com") &&
			      is(&value, "2");
		f->limits |= is(&name, "limits@openssh.com") &&
			     is(&value, "1");
	}
}

int sftp_decode(const uint8_t *p, size_t size, struct sftp_reply *ret)
{
	struct reader r = { .p = p, .left = size };
	struct sftp_reply a = { 0 };
	const uint8_t *type;

	if (get_u32(&r) != size - 4)
		return -EPROTO;
	type = take(&r, 1);
	a.id = get_u32(&r);
	if (r.bad)
		return -EPROTO;
	a.type = (enum sftp_type)*type;
	switch (*type) {
	case SFTP_VERSION:
		get_features(&r, &a.features);
		break;
	case SFTP_STATUS:
		a.status = get_u32(&r);
		r.left = 0; /* its text is never shown */
		break;
	case SFTP_HANDLE:
		a.bytes = get_bytes(&r);
		if (a.bytes.len > SFTP_HANDLE_MAX)
			return -EPROTO;
		break;
	case SFTP_DATA:
		a.bytes = get_bytes(&r);
		break;
	case SFTP_NAME:
		a.count = get_u32(&r);
		a.bytes = (struct sftp_bytes){ .p = r.p, .len = r.left };
		break;
	case SFTP_EXTENDED_REPLY:
		a.bytes = (struct sftp_bytes){ .p = r.p, .len = r.left };
		break;
	case SFTP_ATTRS:
		a.attrs = get_attrs(&r);
		break;
	default:
		return -EPROTO;
	}
	if (r.bad)
		return -EPROTO;
	*ret = a;
	return 0;
}

bool sftp_entry_ok(const uint8_t *name, size_t len)
{
	return len && len <= SFTP_NAME_MAX && !memchr(name, '/', len) &&
	       !memchr(name, '\0', len) && !memchr(name, '\n', len) &&
	       !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

int sftp_next_entry(struct sftp_reply *r, struct sftp_entry *ret)
{
	struct reader in = { .p = r->bytes.p, .left = r->bytes.len };
	struct sftp_entry e = { 0 };

	for (;;) {
		if (!r->count)
			return 0;
		e.name = get_bytes(&in);
		(void)get_bytes(&in); /* a line as of ls -l */
		e.attrs = get_attrs(&in);
		if (in.bad)
			return -EPROTO;
		r->count--;
		r->bytes = (struct sftp_bytes){ .p = in.p, .len = in.left };
		if (!is(&e.name, ".") && !is(&e.name, ".."))
			break;
	}
	*ret = e;
	return sftp_entry_ok(e.name.p, e.name.len) ? 1 : -EBADMSG;
}

int sftp_decode_limits(const struct sftp_reply *r, uint64_t *ret_read,
		       uint64_t *ret_write)
{
	struct reader in = { .p = r->bytes.p, .left = r->bytes.len };
	uint64_t reads, writes;

	(void)get_u64(&in); /* packets */
	reads = get_u64(&in);
	writes = get_u64(&in);
	if (in.bad || r->type != SFTP_EXTENDED_REPLY)
		return -EPROTO;
	*ret_read = reads;
	*ret_write = writes;
	return 0;
}

int sftp_decode_statvfs(const struct sftp_reply *r, struct sftp_statvfs *ret)
{
	struct reader in = { .p = r->bytes.p, .left = r->bytes.len };
	uint64_t v[11];

	/* bsize frsize blocks bfree bavail files ffree favail fsid flag max */
	for (size_t i = 0; i < 11; i++)
		v[i] = get_u64(&in);
	if (in.bad || r->type != SFTP_EXTENDED_REPLY)
		return -EPROTO;
	*ret = (struct sftp_statvfs){
		/* of what has no limit file systems say 0 of 0 */
		.free_blocks = v[2] ? v[4] : 1,
		.free_files = v[5] ? v[7] : 1,
		.read_only = v[9] & 1,
	};
	return 0;
}

/* ---- writing */

static uint8_t *room(struct sftp_out *o, size_t n)
{
	uint8_t *p;

	if (o->overflow || o->size - o->len < n) {
		o->overflow = true;
		return NULL;
	}
	p = o->p + o->len;
	o->len += n;
	return p;
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void sftp_put_u32(struct sftp_out *o, uint32_t v)
{
	uint8_t *p = room(o, 4);

	if (p)
		put_be32(p, v);
}

void sftp_put_u64(struct sftp_out *o, uint64_t v)
{
	sftp_put_u32(o, (uint32_t)(v >> 32));
	sftp_put_u32(o, (uint32_t)v);
}

void sftp_put_bytes(struct sftp_out *o, const void *p, size_t len)
{
	uint8_t *to;

	sftp_put_u32(o, (uint32_t)len);
	to = room(o, len);
	if (to && len)
		memcpy(to, p, len);
}

void sftp_put_text(struct sftp_out *o, const char *s)
{
	sftp_put_bytes(o, s, strlen(s));
}

void sftp_put_attrs(struct sftp_out *o, const struct sftp_attrs *a)
{
	sftp_put_u32(o, a->flags & (SFTP_ATTR_SIZE | SFTP_ATTR_MODE |
				    SFTP_ATTR_TIMES));
	if (a->flags & SFTP_ATTR_SIZE)
		sftp_put_u64(o, a->size);
	if (a->flags & SFTP_ATTR_MODE)
		sftp_put_u32(o, a->mode);
	if (a->flags & SFTP_ATTR_TIMES) {
		sftp_put_u32(o, a->atime);
		sftp_put_u32(o, a->mtime);
	}
}

struct sftp_out sftp_begin(uint8_t *p, size_t size, enum sftp_type type,
			   uint32_t id)
{
	struct sftp_out o = { .p = p, .size = size };
	uint8_t *t;

	sftp_put_u32(&o, 0);
	t = room(&o, 1);
	if (t)
		*t = (uint8_t)type;
	sftp_put_u32(&o, id);
	return o;
}

size_t sftp_end(struct sftp_out *o)
{
	if (o->overflow || o->len - 4 > SFTP_PACKET_MAX)
		return 0;
	put_be32(o->p, (uint32_t)(o->len - 4));
	return o->len;
}

const char *sftp_status_text(uint32_t status)
{
	switch (status) {
	case SFTP_OK:
		return "it worked";
	case SFTP_EOF:
		return "end of file";
	case SFTP_NO_SUCH_FILE:
		return "No such file or directory";
	case SFTP_PERMISSION_DENIED:
		return "Permission denied";
	case SFTP_BAD_MESSAGE:
		return "the sftp server did not understand";
	case SFTP_OP_UNSUPPORTED:
		return "the sftp server cannot do that";
	default:
		return "the sftp server failed";
	}
}
