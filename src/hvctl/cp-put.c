/* SPDX-License-Identifier: MIT */
/* cp-put.c - a file into a guest; see cp.h */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
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

static int no_copy(struct cp *c, const char *from, const char *why)
{
	cp_over(c);
	c->failed = true;
	return complain("cp: %s: %s", show(from), why);
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

/* Where the bytes go, and the lock of it: the guest has none. */
struct part {
	const char *to;
	char name[CP_PART_SIZE], path[CP_PATH_MAX];
	int lock;
	bool again; /* the next call finds it */
};

/* "dir/name" -> "dir/.hvctl-….part" */
static int part_path(struct part *p)
{
	const char *slash = strrchr(p->to, '/');
	int n = snprintf(p->path, sizeof(p->path), "%.*s%s",
			 slash ? (int)(slash + 1 - p->to) : 0, p->to, p->name);

	return n < (int)sizeof(p->path) ? 0 : -ENAMETOOLONG;
}

static int part_of_nobody(struct part *p)
{
	p->again = false;
	cp_part_name(NULL, p->name);
	return part_path(p);
}

/* That of this source and target if no other call has it. */
static int part_init(const struct cp *c, struct part *p, const struct stat *st)
{
	cleanup_free_ char *of = NULL;

	if (asprintf(&of, "%s/%s/%ju/%ju/%jd/%jd.%09ld", c->s->vmid, p->to,
		     (uintmax_t)st->st_dev, (uintmax_t)st->st_ino,
		     (intmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec,
		     st->st_mtim.tv_nsec) < 0) {
		of = NULL;
		return -ENOMEM;
	}
	cp_part_name(of, p->name);
	p->lock = session_lock(p->name, false);
	p->again = p->lock >= 0;
	return p->again ? part_path(p) : part_of_nobody(p);
}

/* Made by the user who we are there? Of that only the home tells. */
static bool is_ours(struct cp *c, const struct sftp_attrs *a)
{
	struct sftp_attrs home;

	return S_ISREG(a->mode) && !(a->mode & 022) &&
	       (a->flags & SFTP_ATTR_UIDGID) &&
	       !sftp_stat(c->l, ".", true, &home) &&
	       (home.flags & SFTP_ATTR_UIDGID) && home.uid == a->uid;
}

/* Open it; @ret_have: so much of it is there. */
static int open_part(struct cp *c, struct part *p, uint64_t size,
		     struct sftp_handle *h, uint64_t *ret_have)
{
	struct sftp_attrs a;
	int r;

	*ret_have = 0;
	r = sftp_stat(c->l, p->path, false, &a);
	if (r < 0)
		return r;
	if (!r && c->resume && a.size <= size && is_ours(c, &a)) {
		*ret_have = a.size;
		return sftp_open(c->l, p->path, SFTP_OPEN_WRITE, 0, h);
	}
	if (!r && !c->l->dead)
		r = sftp_remove(c->l, p->path) > 0 ? part_of_nobody(p) : 0;
	if (c->l->dead || r < 0)
		return c->l->dead ? c->l->dead : r;
	return sftp_open(c->l, p->path,
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
static int send_all(struct cp *c, struct source *s, struct part *part,
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
		   const struct part *p, int r)
{
	const char *to = p->to, *part = p->path;

	if (s->error) {
		if (!c->l->dead)
			(void)sftp_remove(c->l, part);
		return s->error == ESTALE ?
			       no_copy(c, from, CP_CHANGED) :
			       cp_local_failed(c, from, s->error);
	}
	if (c->l->dead) {
		cp_over(c);
		c->failed = true;
		return complain("cp: %s:%s: %s; what is there is %s as %s%s",
				show(c->s->vm), show(to), sftp_link_text(r),
				p->again ? "kept" : "left", show(part),
				p->again ? " for the next time" : "");
	}
	(void)cp_remote_failed(c, to, r);
	(void)sftp_remove(c->l, part);
	return 1;
}

/* Return: 0; 1 (told); 2: once more, from the beginning */
static int put_once(struct cp *c, int fd, const struct stat *st,
		    const char *from, struct part *p)
{
	const char *to = p->to;

	struct source s = { .c = c, .fd = fd, .size = (uint64_t)st->st_size };
	uint64_t have = 0;
	uint32_t theirs;
	int r;

	cp_begin(c, from, s.size, have);
	r = send_all(c, &s, p, st, &have);
	if (r)
		return give_up(c, &s, from, p, r);
	if (changed(&s, st)) {
		s.error = ESTALE;
		return give_up(c, &s, from, p, -EIO);
	}
	if (c->verify) {
		r = cp_remote_sum(c, p->path, s.size, &theirs);
		if (r)
			return give_up(c, &s, from, p, r);
		if (theirs != cksum_end(&s.sum)) {
			(void)sftp_remove(c->l, p->path);
			if (have)
				return 2;
			cp_over(c);
			c->failed = true;
			return complain("cp: %s:%s: what has arrived is not "
					"what was sent: the checksums differ",
					show(c->s->vm), show(to));
		}
	}
	r = sftp_replace(c->l, p->path, to);
	if (r)
		return give_up(c, &s, from, p, r);
	cp_over(c);
	return 0;
}

int cp_put(struct cp *c, const char *from, const char *to)
{
	cleanup_close_ int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct part p = { .to = to, .lock = -1 };
	char lock[CP_PART_SIZE];
	bool resume = c->resume;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cp_local_failed(c, from, errno);
	if (!S_ISREG(st.st_mode))
		return no_copy(c, from, S_ISDIR(st.st_mode) ?
						strerror(EISDIR) :
						CP_NO_FILE);
	r = part_init(c, &p, &st);
	snprintf(lock, sizeof(lock), "%s", p.name);
	if (r)
		r = cp_remote_failed(c, to, r);
	else
		r = put_once(c, fd, &st, from, &p);
	if (r == 2) {
		c->resume = false;
		r = put_once(c, fd, &st, from, &p);
		c->resume = resume;
	}
	session_unlock(p.lock, lock);
	return r;
}
