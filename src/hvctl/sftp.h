/* SPDX-License-Identifier: MIT */
/*
 * sftp.h - packets of the SSH file transfer protocol, version 3, as a client
 * sees them (draft-ietf-secsh-filexfer-02), with OpenSSH's extensions
 *
 * Pure: bytes to structures and back, no I/O, no allocation. The server is a
 * guest's and may say anything: each length and count is checked against the
 * bytes that are there, and a name of a directory's entry is one that can only
 * be in that directory, or it is refused.
 */
#ifndef HVCTL_SFTP_H
#define HVCTL_SFTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFTP_PACKET_MAX (256u << 10) /* without its length; OpenSSH's too */
#define SFTP_HANDLE_MAX 256u
#define SFTP_NAME_MAX 255u /* of a directory's entry: Linux's NAME_MAX */
#define SFTP_CHUNK 32768u /* what every server takes */
#define SFTP_CHUNK_MAX (SFTP_PACKET_MAX - 1024)

enum sftp_type {
	SFTP_INIT = 1,
	SFTP_VERSION = 2,
	SFTP_OPEN = 3,
	SFTP_CLOSE = 4,
	SFTP_READ = 5,
	SFTP_WRITE = 6,
	SFTP_LSTAT = 7,
	SFTP_FSTAT = 8,
	SFTP_SETSTAT = 9,
	SFTP_FSETSTAT = 10,
	SFTP_OPENDIR = 11,
	SFTP_READDIR = 12,
	SFTP_REMOVE = 13,
	SFTP_MKDIR = 14,
	SFTP_STAT = 17,
	SFTP_STATUS = 101,
	SFTP_HANDLE = 102,
	SFTP_DATA = 103,
	SFTP_NAME = 104,
	SFTP_ATTRS = 105,
	SFTP_EXTENDED = 200,
	SFTP_EXTENDED_REPLY = 201,
};

enum sftp_status {
	SFTP_OK = 0,
	SFTP_EOF = 1,
	SFTP_NO_SUCH_FILE = 2,
	SFTP_PERMISSION_DENIED = 3,
	SFTP_FAILURE = 4,
	SFTP_BAD_MESSAGE = 5,
	SFTP_OP_UNSUPPORTED = 8,
};

#define SFTP_OPEN_READ 1u
#define SFTP_OPEN_WRITE 2u
#define SFTP_OPEN_CREAT 8u
#define SFTP_OPEN_EXCL 0x20u

#define SFTP_ATTR_SIZE 1u
#define SFTP_ATTR_UIDGID 2u
#define SFTP_ATTR_MODE 4u
#define SFTP_ATTR_TIMES 8u
#define SFTP_ATTR_EXTENDED 0x80000000u

/* What the server can besides version 3. */
struct sftp_features {
	bool posix_rename, fsync, statvfs, limits;
};

struct sftp_attrs {
	uint32_t flags; /* which of these are there */
	uint64_t size;
	uint32_t uid;  /* with SFTP_ATTR_UIDGID; it is never sent */
	uint32_t mode; /* st_mode's bits */
	uint32_t atime, mtime;
};

struct sftp_bytes {
	const uint8_t *p;
	size_t len;
};

struct sftp_statvfs {
	uint64_t free_blocks, free_files;
	bool read_only;
};

struct sftp_reply {
	enum sftp_type type;
	uint32_t id; /* of VERSION: the version */
	uint32_t status; /* STATUS */
	struct sftp_bytes bytes; /* HANDLE, DATA; NAME, EXTENDED_REPLY: what
				  * follows the id and the count */
	uint32_t count; /* NAME */
	struct sftp_attrs attrs; /* ATTRS */
	struct sftp_features features; /* VERSION */
};

struct sftp_entry {
	struct sftp_bytes name;
	struct sftp_attrs attrs;
};

/** sftp_frame() - is there a whole packet at @p? Return: 1: it is @ret_size
 * bytes with its length in front; 0: not yet; -EPROTO: it is too long, or
 * empty */
int sftp_frame(const uint8_t *p, size_t len, size_t *ret_size);

/** sftp_decode() - a whole packet, with its length. @ret points into it.
 * Return: 0 or -EPROTO */
int sftp_decode(const uint8_t *p, size_t size, struct sftp_reply *ret);

/** sftp_next_entry() - the next of a NAME's; @r->count and bytes go on.
 * Return: 1; 0: there are no more; -EPROTO; -EBADMSG: @ret->name is none that
 * an entry can have */
int sftp_next_entry(struct sftp_reply *r, struct sftp_entry *ret);

/** sftp_entry_ok() - may an entry of a directory be called that? "." and ".."
 * are not ok, nor are "/", newline, NUL in it */
bool sftp_entry_ok(const uint8_t *name, size_t len);

/** sftp_decode_limits() - of limits@openssh.com. Return: 0 or -EPROTO */
int sftp_decode_limits(const struct sftp_reply *r, uint64_t *ret_read,
		       uint64_t *ret_write);
/** sftp_decode_statvfs() - of statvfs@openssh.com. Return: 0 or -EPROTO */
int sftp_decode_statvfs(const struct sftp_reply *r, struct sftp_statvfs *ret);

/* A request that is being written; what does not fit sets overflow. */
struct sftp_out {
	uint8_t *p;
	size_t len, size;
	bool overflow;
};

/** sftp_begin() - into @p of @size bytes; INIT has the version for an id */
struct sftp_out sftp_begin(uint8_t *p, size_t size, enum sftp_type type,
			   uint32_t id);
void sftp_put_u32(struct sftp_out *o, uint32_t v);
void sftp_put_u64(struct sftp_out *o, uint64_t v);
void sftp_put_bytes(struct sftp_out *o, const void *p, size_t len);
void sftp_put_text(struct sftp_out *o, const char *s);
void sftp_put_attrs(struct sftp_out *o, const struct sftp_attrs *a);

/** sftp_end() - the length in front. Return: bytes to send, or 0: overflow */
size_t sftp_end(struct sftp_out *o);

/** sftp_status_text() - a status in words */
const char *sftp_status_text(uint32_t status);

#endif /* HVCTL_SFTP_H */
