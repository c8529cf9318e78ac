/* SPDX-License-Identifier: MIT */
/* cp-put.c - a file into a guest; see cp.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/cksum.h"
#include "hvctl/cp.h"
#include "hvctl/out.h"

#define CHUNK (256u << 10)

struct source {
	struct cp *c;
	int fd;
	uint64_t at, data_end, size;
	struct cksum sum;
	int error; /* a positive errno of reading */
};

static int source_failed(struct source *s, int error)
{
	s->error = error;
	return -EIO;
}

/* The next part that is no hole; @s->at is moved there. */
static int find_data(struct source *s)
{
	off_t data = lseek(s->fd, (off_t)s->at, SEEK_DATA);
	off_t hole;

	if (data < 0 && errno == ENXIO)
		data = (off_t)s->size;
	else if (data < 0)
		data = (off_t)s->at; /* it knows of no holes */
	if ((uint64_t)data > s->size)
		data = (off_t)s->size;
	cksum_zeros(&s->sum, (uint64_t)data - s->at);
	cp_moved(s->c, (uint64_t)data - s->at);
	s->at = (uint64_t)data;
	hole = lseek(s->fd, data, SEEK_HOLE);
	s->data_end = hole < 0 || (uint64_t)hole > s->size ? s->size :
							     (uint64_t)hole;
	return 0;
}

static int fill(void *arg, uint8_t *p, size_t max, uint64_t *ret_offset,
		size_t *ret_n)
{
	struct source *s = arg;
	ssize_t n;

	if (s->at >= s->data_end && s->at < s->size)
		find_data(s);
	if (s->at >= s->size) {
		*ret_n = 0;
		return 0;
	}
	if (max > s->data_end - s->at)
		max = (size_t)(s->data_end - s->at);
	do {
		n = pread(s->fd, p, max, (off_t)s->at);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return source_failed(s, n ? errno : ESTALE);
	cksum_add(&s->sum, p, (size_t)n);
	cp_moved(s->c, (uint64_t)n);
	*ret_offset = s->at;
	*ret_n = (size_t)n;
	s->at += (uint64_t)n;
	return 0;
}

/* What is there already is not sent again, but summed up. */
static int skip(struct source *s, uint64_t to)
{
	cleanup_free_ uint8_t *buf = malloc(CHUNK);

	if (!buf)
		return source_failed(s, ENOMEM);
	while (s->at < to) {
		uint64_t left = to - s->at;
		ssize_t n = pread(s->fd, buf, left < CHUNK ? left : CHUNK,
				  (off_t)s->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return source_failed(s, n ? errno : ESTALE);
		cksum_add(&s->sum, buf, (size_t)n);
		s->at += (uint64_t)n;
	}
	return 0;
}

/* "dir/name" -> "dir/.hvctl-….part" */
static int part_path(const char *to, const struct stat *st, char *ret,
		     size_t size)
{
	const char *slash = strrchr(to, '/');
	const char *name = slash ? slash + 1 : to;
	char part[64];
	int n, r;

	r = cp_part_name(name, (uint64_t)st->st_size,
			 st->st_mtim.tv_sec * 1000000000LL +
				 st->st_mtim.tv_nsec,
			 part, sizeof(part));
	if (r)
		return r;
	n = snprintf(ret, size, "%.*s%s", (int)(name - to), to, part);
	return n < (int)size ? 0 : -ENAMETOOLONG;
}

/* Open it; @ret_have: so much of it is there. */
static int open_part(struct cp *c, const char *part, uint64_t size,
		     struct sftp_handle *h, uint64_t *ret_have)
{
	struct sftp_attrs a;
	int r;

	*ret_have = 0;
	r = sftp_stat(c->l, part, false, &a);
	if (r < 0)
		return r;
	if (!r && c->resume && S_ISREG(a.mode) && a.size <= size) {
		*ret_have = a.size;
		return sftp_open(c->l, part, SFTP_OPEN_WRITE, 0, h);
	}
	if (!r) {
		r = sftp_remove(c->l, part);
		if (r)
			return r;
	}
	return sftp_open(c->l, part,
			 SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL,
			 0600, h);
}

static int finish(struct cp *c, const struct sftp_handle *h,
		  const struct stat *st)
{
	struct sftp_attrs a = {
		.flags = SFTP_ATTR_SIZE | SFTP_ATTR_MODE |
			 (c->preserve ? SFTP_ATTR_TIMES : 0),
		.size = (uint64_t)st->st_size,
		.mode = st->st_mode & 0777,
		.atime = (uint32_t)st->st_atim.tv_sec,
		.mtime = (uint32_t)st->st_mtim.tv_sec,
	};
	int r = sftp_fsetstat(c->l, h, &a);

	return r ? r : sftp_fsync(c->l, h);
}

/* The bytes, into the part. Return: 0, a result of the link's, or -EIO with
 * @s->error */
static int send_all(struct cp *c, struct source *s, const char *part,
		    const struct stat *st, uint64_t *ret_have)
{
	struct sftp_handle h;
	int r, r2;

	r = open_part(c, part, s->size, &h, ret_have);
	if (r)
		return r;
	r = skip(s, *ret_have);
	if (!r)
		r = sftp_put(c->l, &h, fill, s);
	if (!r)
		r = finish(c, &h, st);
	if (c->l->dead)
		return r;
	r2 = sftp_close(c->l, &h);
	return r ? r : r2;
}

static int changed(const struct source *s, const struct stat *before)
{
	struct stat st;

	return fstat(s->fd, &st) < 0 || st.st_size != before->st_size ||
	       st.st_mtim.tv_sec != before->st_mtim.tv_sec ||
	       st.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

/* Tell what became of @part, which is not complete. Return: 1 */
static int give_up(struct cp *c, struct source *s, const char *from,
		   const char *to, const char *part, int r)
{
	if (s->error) {
		if (!c->l->dead)
			(void)sftp_remove(c->l, part);
		return cp_local_failed(c, from, s->error);
	}
	if (c->l->dead) {
		cp_over(c);
		c->failed = true;
		return complain("cp: %s:%s: %s; what is there is kept as %s "
				"for the next time", show(c->s->vm), show(to),
				sftp_link_text(r), show(part));
	}
	(void)cp_remote_failed(c, to, r);
	(void)sftp_remove(c->l, part);
	return 1;
}

/* Return: 0; 1 (told); 2: once more, from the beginning */
static int put_once(struct cp *c, int fd, const struct stat *st,
		    const char *from, const char *to, const char *part)
{
	struct source s = { .c = c, .fd = fd, .size = (uint64_t)st->st_size };
	uint64_t have = 0;
	uint32_t theirs;
	int r;

	cp_begin(c, from, s.size, have);
	r = send_all(c, &s, part, st, &have);
	if (r)
		return give_up(c, &s, from, to, part, r);
	if (changed(&s, st)) {
		s.error = ESTALE;
		return give_up(c, &s, from, to, part, -EIO);
	}
	if (c->verify) {
		r = cp_remote_sum(c, part, s.size, &theirs);
		if (r)
			return give_up(c, &s, from, to, part, r);
		if (theirs != cksum_end(&s.sum)) {
			(void)sftp_remove(c->l, part);
			if (have)
				return 2;
			cp_over(c);
			c->failed = true;
			return complain("cp: %s:%s: what has arrived is not "
					"what was sent: the checksums differ",
					show(c->s->vm), show(to));
		}
	}
	r = sftp_replace(c->l, part, to);
	if (r)
		return give_up(c, &s, from, to, part, r);
	cp_over(c);
	return 0;
}

int cp_put(struct cp *c, const char *from, const char *to)
{
	cleanup_close_ int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char part[CP_PATH_MAX];
	bool resume = c->resume;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cp_local_failed(c, from, errno);
	if (!S_ISREG(st.st_mode))
		return cp_local_failed(c, from,
				       S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
	r = part_path(to, &st, part, sizeof(part));
	if (r)
		return cp_remote_failed(c, to, r);
	r = put_once(c, fd, &st, from, to, part);
	if (r == 2) {
		c->resume = false;
		r = put_once(c, fd, &st, from, to, part);
		c->resume = resume;
	}
	return r;
}
