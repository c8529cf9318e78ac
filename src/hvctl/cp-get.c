/* SPDX-License-Identifier: MIT */
/* cp-get.c - a file out of a guest; see cp.h */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/cksum.h"
#include "hvctl/cp.h"
#include "hvctl/out.h"

#define CHUNK (256u << 10)
#define BLOCK 4096u

struct sink {
	struct cp *c;
	int fd;
	uint64_t at; /* so much is there */
	struct cksum sum;
	int error; /* a positive errno of writing */
};

static int write_at(int fd, const uint8_t *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t k = pwrite(fd, p, n, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return 0;
}

static bool zeros(const uint8_t *p, size_t n)
{
	return !p[0] && !p[n - 1] && !memcmp(p, p + 1, n - 1);
}

/* The protocol has no holes: whole blocks of zeros become some. */
static int write_sparse(int fd, const uint8_t *p, size_t n, uint64_t at)
{
	size_t from = 0, i = 0;
	int r;

	while (i < n) {
		size_t block = BLOCK - (size_t)((at + i) % BLOCK);

		if (block > n - i)
			block = n - i;
		if (block == BLOCK && zeros(p + i, block)) {
			r = write_at(fd, p + from, i - from, at + from);
			if (r)
				return r;
			from = i + block;
		}
		i += block;
	}
	return write_at(fd, p + from, n - from, at + from);
}

static int take(void *arg, uint64_t offset, const uint8_t *p, size_t n)
{
	struct sink *s = arg;
	int r = offset + n > INT64_MAX ? -EFBIG :
					 write_sparse(s->fd, p, n, offset);

	if (r) {
		s->error = -r;
		return -EIO;
	}
	cksum_add(&s->sum, p, n);
	cp_moved(s->c, n);
	s->at = offset + n;
	return 0;
}

/* What is there already. */
static int sum_up(struct sink *s)
{
	cleanup_free_ uint8_t *buf = malloc(CHUNK);

	if (!buf)
		return ENOMEM;
	for (;;) {
		ssize_t n = pread(s->fd, buf, CHUNK, (off_t)s->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		cksum_add(&s->sum, buf, (size_t)n);
		s->at += (uint64_t)n;
	}
}

/* Is it ours alone, and still what is called that? Who has it locked may give
 * it its final name, or remove it. */
static bool claim(int dirfd, const char *part, int fd, struct stat *ret)
{
	struct stat there;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, ret) == 0 &&
	       fstatat(dirfd, part, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ret->st_dev == there.st_dev && ret->st_ino == there.st_ino &&
	       S_ISREG(ret->st_mode) && ret->st_uid == geteuid() &&
	       ret->st_nlink == 1;
}

/* Return: 0 or a positive errno; @s->fd is the caller's */
static int open_part(struct cp *c, int dirfd, char part[static CP_PART_SIZE],
		     uint64_t size, struct sink *s)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	struct stat st;

	s->fd = openat(dirfd, part, flags | O_NONBLOCK, 0600);
	if (s->fd >= 0 && claim(dirfd, part, s->fd, &st)) {
		if (c->resume && (uint64_t)st.st_size <= size)
			return sum_up(s);
		return ftruncate(s->fd, 0) < 0 ? errno : 0;
	}
	if (s->fd >= 0)
		close(fd_take(&s->fd));
	else if (errno != ELOOP && errno != EISDIR && errno != EACCES &&
		 errno != EPERM && errno != ENXIO)
		return errno;
	cp_part_name(NULL, part);
	s->fd = openat(dirfd, part, flags | O_EXCL, 0600);
	return s->fd < 0 ? errno : 0;
}

static int finish(const struct cp *c, const struct sink *s,
		  const struct sftp_attrs *a)
{
	const struct timespec times[2] = { { .tv_sec = a->atime },
					   { .tv_sec = a->mtime } };

	if (ftruncate(s->fd, (off_t)s->at) < 0 ||
	    fchmod(s->fd, a->mode & 0777) < 0 ||
	    (c->preserve && (a->flags & SFTP_ATTR_TIMES) &&
	     futimens(s->fd, times) < 0) ||
	    fsync(s->fd) < 0)
		return errno;
	return 0;
}

struct get {
	const char *from, *shown;
	int dirfd;
	char part[CP_PART_SIZE];
};

static int failed_with(struct cp *c, const struct get *g, const char *what)
{
	cp_over(c);
	c->failed = true;
	return complain("cp: %s:%s: %s", show(c->s->vm), show(g->from), what);
}

/* Tell what became of the part. Return: 1 */
static int give_up(struct cp *c, const struct sink *s, const struct get *g,
		   int r)
{
	if (s->error) {
		unlinkat(g->dirfd, g->part, 0);
		return cp_local_failed(c, g->shown, s->error);
	}
	if (c->l->dead) {
		/* A file that ends in a hole is as long as what has come. */
		if (ftruncate(s->fd, (off_t)s->at) < 0)
			unlinkat(g->dirfd, g->part, 0);
		cp_over(c);
		c->failed = true;
		return complain("cp: %s:%s: %s; %llu bytes are kept as %s for "
				"the next time", show(c->s->vm), show(g->from),
				sftp_link_text(r), (unsigned long long)s->at,
				g->part);
	}
	unlinkat(g->dirfd, g->part, 0);
	return cp_remote_failed(c, g->from, r);
}

static int verify(struct cp *c, const struct sink *s, const struct get *g,
		  bool resumed)
{
	uint32_t theirs;
	int r = cp_remote_sum(c, g->from, s->at, &theirs);

	if (r)
		return give_up(c, s, g, r);
	if (theirs == cksum_end(&s->sum))
		return 0;
	unlinkat(g->dirfd, g->part, 0);
	return resumed ? 2 :
			 failed_with(c, g, "what has arrived is not what is "
					   "there: the checksums differ");
}

/* Return: 0; 1 (told); 2: once more, from the beginning */
static int get_once(struct cp *c, struct get *g, const char *name,
		    const struct sftp_handle *h, const struct sftp_attrs *a)
{
	struct sink s = { .c = c, .fd = -1 };
	struct sftp_attrs after;
	bool resumed;
	int r;

	s.error = open_part(c, g->dirfd, g->part, a->size, &s);
	resumed = s.at;
	cp_begin(c, g->from, a->size, s.at);
	r = s.error ? -EIO :
		      sftp_get(c->l, h, s.at, a->size,
			       a->size ? a->size : CP_UNSIZED_MAX, take, &s);
	if (r == -EFBIG && a->size) {
		unlinkat(g->dirfd, g->part, 0);
		close(s.fd);
		return failed_with(c, g, CP_CHANGED);
	}
	if (!r)
		r = sftp_fstat(c->l, h, &after);
	if (!r)
		s.error = finish(c, &s, a);
	if (r || s.error)
		r = give_up(c, &s, g, r);
	else if (after.size != a->size || after.mtime != a->mtime) {
		unlinkat(g->dirfd, g->part, 0);
		r = failed_with(c, g, CP_CHANGED);
	} else if (c->verify) {
		r = verify(c, &s, g, resumed);
	}
	if (!r && renameat(g->dirfd, g->part, g->dirfd, name) < 0) {
		s.error = errno;
		r = give_up(c, &s, g, -EIO);
	}
	if (!r) {
		(void)fsync(g->dirfd);
		cp_over(c);
	}
	if (s.fd >= 0)
		close(s.fd);
	return r;
}

int cp_get(struct cp *c, const char *from, int dirfd, const char *name,
	   const char *shown)
{
	struct get g = { .from = from, .shown = shown, .dirfd = dirfd };
	bool resume = c->resume;
	cleanup_free_ char *of = NULL;
	struct sftp_handle h;
	struct sftp_attrs a;
	int r;

	/* a pipe of the guest's must not be opened: the server would wait */
	r = sftp_stat(c->l, from, true, &a);
	if (r)
		return cp_remote_failed(c, from, r);
	if (!S_ISREG(a.mode))
		return failed_with(c, &g, S_ISDIR(a.mode) ?
						  "a directory: -r is for it" :
						  CP_NO_FILE);
	r = sftp_open(c->l, from, SFTP_OPEN_READ, 0, &h);
	if (r)
		return cp_remote_failed(c, from, r);
	if (asprintf(&of, "%s/%s/%s/%" PRIu64 "/%" PRIu32, name, c->s->vmid,
		     from, a.size, a.mtime) < 0) {
		of = NULL;
		(void)sftp_close(c->l, &h);
		return cp_local_failed(c, shown, ENOMEM);
	}
	cp_part_name(of, g.part);
	r = get_once(c, &g, name, &h, &a);
	if (r == 2) {
		c->resume = false;
		r = get_once(c, &g, name, &h, &a);
		c->resume = resume;
	}
	if (!c->l->dead)
		(void)sftp_close(c->l, &h);
	return r;
}
