/* SPDX-License-Identifier: MIT */
/*
 * sftp-link.h - a conversation with a guest's sftp-server
 *
 * Over ssh(1), by the kept connection if there is one. Calls wait for their
 * answers; what moves a file's bytes keeps up to SFTP_WINDOW requests under
 * way. A result is 0, a status of the server's (> 0), or -errno: the
 * conversation is then over.
 */
#ifndef HVCTL_SFTP_LINK_H
#define HVCTL_SFTP_LINK_H

#include <sys/types.h>

#include "hvctl/session.h"
#include "hvctl/sftp.h"

#define SFTP_WINDOW 64u

struct sftp_handle {
	uint8_t bytes[SFTP_HANDLE_MAX];
	size_t len;
};

struct sftp_link {
	pid_t pid;
	int to, from;
	uint8_t *rx, *tx;
	size_t rx_at, rx_len; /* of rx, not yet taken */
	uint32_t id;
	uint32_t chunk_read, chunk_write;
	struct sftp_features features;
	int dead; /* -errno that ended it */
};

/** sftp_open_link() - Return: 0; -errno; SESSION_FAILED and more: ssh's exit
 * status, which has told why */
int sftp_open_link(struct session *s, struct sftp_link *ret);
void sftp_close_link(struct sftp_link *l);

/** sftp_link_text() - a result in words */
const char *sftp_link_text(int result);

int sftp_stat(struct sftp_link *l, const char *path, bool follow,
	      struct sftp_attrs *ret);
int sftp_fstat(struct sftp_link *l, const struct sftp_handle *h,
	       struct sftp_attrs *ret);
int sftp_open(struct sftp_link *l, const char *path, uint32_t flags,
	      uint32_t mode, struct sftp_handle *ret);
int sftp_close(struct sftp_link *l, const struct sftp_handle *h);
int sftp_fsetstat(struct sftp_link *l, const struct sftp_handle *h,
		  const struct sftp_attrs *a);
int sftp_setstat(struct sftp_link *l, const char *path,
		 const struct sftp_attrs *a);
int sftp_remove(struct sftp_link *l, const char *path);
int sftp_mkdir(struct sftp_link *l, const char *path, uint32_t mode);
int sftp_opendir(struct sftp_link *l, const char *path,
		 struct sftp_handle *ret);
/** sftp_readdir() - @ret points into the link's memory until its next call.
 * SFTP_EOF: that was all */
int sftp_readdir(struct sftp_link *l, const struct sftp_handle *h,
		 struct sftp_reply *ret);
/** sftp_replace() - rename over what may be there: posix-rename */
int sftp_replace(struct sftp_link *l, const char *from, const char *to);
/** sftp_fsync() - 0 where the server has no such thing */
int sftp_fsync(struct sftp_link *l, const struct sftp_handle *h);
int sftp_statvfs(struct sftp_link *l, const char *path,
		 struct sftp_statvfs *ret);

/* Bytes at @offset, in order. Return: 0 or -errno, which ends it */
typedef int (*sftp_data_fn)(void *arg, uint64_t offset, const uint8_t *p,
			    size_t n);
/** sftp_get() - from @offset to the file's end, which is likely at @size.
 * Return: also -EFBIG, which ends nothing: there is more than @max */
int sftp_get(struct sftp_link *l, const struct sftp_handle *h, uint64_t offset,
	     uint64_t size, uint64_t max, sftp_data_fn fn, void *arg);

/* Up to @max bytes into @p: where they belong, and how many; 0: no more.
 * Return: 0 or -errno */
typedef int (*sftp_fill_fn)(void *arg, uint8_t *p, size_t max,
			    uint64_t *ret_offset, size_t *ret_n);
/** sftp_put() - @fn's error is the result after what was under way is over */
int sftp_put(struct sftp_link *l, const struct sftp_handle *h,
	     sftp_fill_fn fn, void *arg);

#endif /* HVCTL_SFTP_LINK_H */
