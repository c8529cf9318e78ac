/* SPDX-License-Identifier: MIT */
/* cp-common.c - what both directions of hvctl cp need; see cp.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "hvctl/cksum.h"
#include "hvctl/cp.h"
#include "hvctl/out.h"
#include "hvctl/uuid5.h"

/* Up to here a file is read back; above, the guest's cksum(1) is started. */
#define READ_BACK_MAX (1u << 20)
#define SHOW_MS 200

void cp_part_name(const char *of, char ret[static CP_PART_SIZE])
{
	const GUID ns = guid_from_port(22);
	char id[GUID_TEXT_SIZE];
	GUID g;

	if (!of)
		(void)hvs_guid_make(&g);
	else
		uuid5(&ns, (const uint8_t *)of, strlen(of), &g);
	snprintf(ret, CP_PART_SIZE, ".hvctl-%s.part", guid_format(&g, id));
}

/* ---- checksums */

static int add_sum(void *arg, uint64_t offset, const uint8_t *p, size_t n)
{
	(void)offset;
	cksum_add(arg, p, n);
	return 0;
}

static int read_back(struct cp *c, const char *path, uint64_t size,
		     uint32_t *ret)
{
	struct cksum sum = { 0 };
	struct sftp_handle h;
	int r = sftp_open(c->l, path, SFTP_OPEN_READ, 0, &h);
	int r2;

	if (r)
		return r;
	r = sftp_get(c->l, &h, 0, size, size, add_sum, &sum);
	if (!c->l->dead) {
		r2 = sftp_close(c->l, &h);
		r = r ? r : r2;
	}
	*ret = cksum_end(&sum);
	return r;
}

/* Return: 0; 1: there is no such program, or no shell */
static int run_cksum(struct cp *c, const char *path, uint64_t size,
		     uint32_t *ret)
{
	cleanup_free_ char *quoted = shell_quote(path);
	cleanup_words_ struct words w = { 0 };
	unsigned long long crc, bytes;
	char *end, *end2;
	char out[80];

	if (!quoted)
		return 1;
	session_words(c->s, &w, true);
	words_add(&w, "-T");
	if (*c->s->control)
		words_add(&w, "-oControlMaster=no");
	session_host(c->s, &w);
	words_add(&w, "exec 2>/dev/null; cksum <%s", quoted);
	if (session_run(c->s, &w, out, sizeof(out)))
		return 1;
	crc = strtoull(out, &end, 10);
	bytes = strtoull(end, &end2, 10);
	if (end == out || end2 == end || crc > UINT32_MAX)
		return 1;
	*ret = (uint32_t)crc;
	/* that of another length is that of other bytes */
	if (bytes != size)
		*ret = ~*ret;
	return 0;
}

int cp_remote_sum(struct cp *c, const char *path, uint64_t size, uint32_t *ret)
{
	if (size > READ_BACK_MAX && !run_cksum(c, path, size, ret))
		return 0;
	return read_back(c, path, size, ret);
}

/* ---- what went wrong */

static const char *parent_of(const char *path, char *ret, size_t size)
{
	const char *slash = strrchr(path, '/');

	snprintf(ret, size, "%.*s",
		 slash ? (int)(slash - path + (slash == path)) : 1,
		 slash ? path : ".");
	return ret;
}

/* The protocol has one word, "failure", for most; the server can be asked. */
static const char *why(struct cp *c, const char *path, int result)
{
	char dir[CP_PATH_MAX];
	struct sftp_attrs st;
	struct sftp_statvfs fs;

	if (result != SFTP_FAILURE && result != SFTP_PERMISSION_DENIED &&
	    result != SFTP_NO_SUCH_FILE)
		return sftp_link_text(result);
	parent_of(path, dir, sizeof(dir));
	if (sftp_stat(c->l, dir, true, &st) == SFTP_NO_SUCH_FILE)
		return "the directory does not exist";
	if (result == SFTP_NO_SUCH_FILE)
		return sftp_link_text(result);
	if (sftp_statvfs(c->l, dir, &fs))
		return sftp_link_text(result);
	if (fs.read_only)
		return strerror(EROFS);
	if (!fs.free_blocks || !fs.free_files)
		return strerror(ENOSPC);
	return sftp_link_text(result);
}

int cp_remote_failed(struct cp *c, const char *path, int result)
{
	cp_over(c);
	c->failed = true;
	return complain("cp: %s:%s: %s", show(c->s->vm), show(path),
			why(c, path, result));
}

int cp_local_failed(struct cp *c, const char *path, int error)
{
	cp_over(c);
	c->failed = true;
	return complain("cp: %s: %s", show(path), strerror(error));
}

/* ---- progress */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void show_line(struct cp *c, uint64_t now)
{
	uint64_t ms = now - c->start_ms;
	uint64_t rate = ms ? (c->done - c->start_done) / ms * 1000 : 0;
	uint64_t left = rate && c->total > c->done ?
				(c->total - c->done) / rate : 0;

	fprintf(stderr, "\r%-30.60s %3u%% %8.1f MiB %7.1f MiB/s %3u:%02u\033[K",
		show(c->name),
		c->total ? (unsigned int)((double)c->done * 100 /
					  (double)c->total) : 100,
		(double)c->done / (1 << 20), (double)rate / (1 << 20),
		(unsigned int)(left / 60), (unsigned int)(left % 60));
	c->shown_ms = now;
}

void cp_begin(struct cp *c, const char *name, uint64_t total, uint64_t done)
{
	if (!c->show)
		return;
	c->name = name;
	c->total = total;
	c->done = c->start_done = done;
	c->start_ms = now_ms();
	show_line(c, c->start_ms);
}

void cp_moved(struct cp *c, uint64_t n)
{
	uint64_t now;

	if (!c->name)
		return;
	c->done += n;
	now = now_ms();
	if (now - c->shown_ms >= SHOW_MS)
		show_line(c, now);
}

void cp_over(struct cp *c)
{
	if (!c->name)
		return;
	show_line(c, now_ms());
	fputc('\n', stderr);
	c->name = NULL;
}
