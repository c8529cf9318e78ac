/* SPDX-License-Identifier: MIT */
/* sftp-link.c - see sftp-link.h */
#include "hvctl/sftp-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define RX_SIZE (SFTP_PACKET_MAX + 4)
#define TX_SIZE (SFTP_PACKET_MAX + 4)
#define PIPE_SIZE (1 << 20)

/* ---- packets */

int sftp_die(struct sftp_link *l, int error)
{
	if (!l->dead)
		l->dead = error;
	return l->dead;
}

static int send_bytes(struct sftp_link *l, size_t n)
{
	const uint8_t *p = l->tx;

	while (n) {
		ssize_t k = write(l->to, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return sftp_die(l, errno == EPIPE ? -ECONNRESET :
							    -errno);
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int sftp_send(struct sftp_link *l, struct sftp_out *o)
{
	size_t n = sftp_end(o);

	if (l->dead)
		return l->dead;
	return n ? send_bytes(l, n) : -ENAMETOOLONG;
}

static struct sftp_out begin(struct sftp_link *l, enum sftp_type type)
{
	return sftp_begin(l->tx, TX_SIZE, type, ++l->id);
}

/* The next packet; @ret points into rx until the next call. */
static int receive(struct sftp_link *l, struct sftp_reply *ret)
{
	size_t size;
	int r;

	if (l->dead)
		return l->dead;
	for (;;) {
		ssize_t k;

		r = sftp_frame(l->rx + l->rx_at, l->rx_len, &size);
		if (r < 0)
			return sftp_die(l, r);
		if (r)
			break;
		if (l->rx_at > RX_SIZE) {
			memmove(l->rx, l->rx + l->rx_at, l->rx_len);
			l->rx_at = 0;
		}
		k = read(l->from, l->rx + l->rx_at + l->rx_len,
			 RX_SIZE * 2 - l->rx_at - l->rx_len);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return sftp_die(l, k ? -errno : -ECONNRESET);
		l->rx_len += (size_t)k;
	}
	r = sftp_decode(l->rx + l->rx_at, size, ret);
	l->rx_at += size;
	l->rx_len -= size;
	if (!l->rx_len)
		l->rx_at = 0;
	return r ? sftp_die(l, r) : 0;
}

/* The answer to request @id, of @type or a status. */
int sftp_answer(struct sftp_link *l, uint32_t id, enum sftp_type type,
		struct sftp_reply *ret)
{
	int r = receive(l, ret);

	if (r)
		return r;
	if (ret->id != id || (ret->type != type && ret->type != SFTP_STATUS))
		return sftp_die(l, -EPROTO);
	if (ret->type != SFTP_STATUS)
		return 0;
	if (ret->status == SFTP_OK && type != SFTP_STATUS)
		return sftp_die(l, -EPROTO);
	return ret->status <= SFTP_OP_UNSUPPORTED ? (int)ret->status :
						    SFTP_FAILURE;
}

static int ask(struct sftp_link *l, struct sftp_out *o, enum sftp_type type,
	       struct sftp_reply *ret)
{
	int r = sftp_send(l, o);

	return r ? r : sftp_answer(l, l->id, type, ret);
}

/* ---- beginning and end */

static int greet(struct sftp_link *l)
{
	struct sftp_out o = sftp_begin(l->tx, TX_SIZE, SFTP_INIT, 3);
	uint64_t reads = 0, writes = 0;
	struct sftp_reply a;
	int r = sftp_send(l, &o);

	if (!r)
		r = receive(l, &a);
	if (r)
		return r;
	if (a.type != SFTP_VERSION || a.id < 3)
		return sftp_die(l, -EPROTO);
	l->features = a.features;
	l->chunk_read = l->chunk_write = SFTP_CHUNK;
	if (!a.features.limits)
		return 0;
	o = begin(l, SFTP_EXTENDED);
	sftp_put_text(&o, "limits@openssh.com");
	r = ask(l, &o, SFTP_EXTENDED_REPLY, &a);
	if (r)
		return r < 0 ? r : 0;
	r = sftp_decode_limits(&a, &reads, &writes);
	if (r)
		return sftp_die(l, r);
	if (reads > SFTP_CHUNK)
		l->chunk_read = reads < SFTP_CHUNK_MAX ? (uint32_t)reads :
							 SFTP_CHUNK_MAX;
	if (writes > SFTP_CHUNK)
		l->chunk_write = writes < SFTP_CHUNK_MAX ? (uint32_t)writes :
							   SFTP_CHUNK_MAX;
	return 0;
}

static int start(struct session *s, struct sftp_link *l)
{
	cleanup_words_ struct words w = { 0 };
	int in[2], out[2];

	session_words(s, &w, true);
	if (*s->control)
		words_add(&w, "-oControlMaster=no");
	words_add(&w, "-s");
	session_host(s, &w);
	words_add(&w, "sftp");
	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		close(in[0]);
		close(in[1]);
		return -errno;
	}
	fcntl(in[1], F_SETPIPE_SZ, PIPE_SIZE);
	fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE);
	l->pid = session_spawn(&w, in[0], out[1], NULL);
	close(in[0]);
	close(out[1]);
	l->to = in[1];
	l->from = out[0];
	return l->pid < 0 ? (int)l->pid : 0;
}

int sftp_open_link(struct session *s, struct sftp_link *ret)
{
	struct sftp_link l = { .pid = -1, .to = -1, .from = -1 };
	int r = session_keep(s);

	if (r)
		return SESSION_FAILED;
	l.rx = malloc(RX_SIZE * 2);
	l.tx = malloc(TX_SIZE);
	r = l.rx && l.tx ? start(s, &l) : -ENOMEM;
	if (!r)
		r = greet(&l);
	if (r) {
		sftp_close_link(&l);
		return r;
	}
	*ret = l;
	return 0;
}

void sftp_close_link(struct sftp_link *l)
{
	if (l->to >= 0)
		close(l->to);
	if (l->from >= 0)
		close(l->from);
	if (l->pid > 0) {
		/* one that has not understood is not waited for */
		if (l->dead)
			kill(l->pid, SIGTERM);
		(void)session_wait(l->pid);
	}
	free(l->rx);
	free(l->tx);
	*l = (struct sftp_link){ .pid = -1, .to = -1, .from = -1 };
}

const char *sftp_link_text(int result)
{
	if (result > 0)
		return sftp_status_text((uint32_t)result);
	switch (-result) {
	case ECONNRESET:
		return "the connection was cut";
	case EPROTO:
		return "this is no sftp server's answer";
	default:
		return strerror(-result);
	}
}

/* ---- calls */

static int stat_answer(struct sftp_link *l, struct sftp_out *o,
		       struct sftp_attrs *ret)
{
	struct sftp_reply a;
	int r = ask(l, o, SFTP_ATTRS, &a);

	if (r)
		return r;
	/* without these nothing can be copied */
	if (!(a.attrs.flags & SFTP_ATTR_SIZE) ||
	    !(a.attrs.flags & SFTP_ATTR_MODE) || a.attrs.size > INT64_MAX)
		return sftp_die(l, -EPROTO);
	*ret = a.attrs;
	return 0;
}

int sftp_stat(struct sftp_link *l, const char *path, bool follow,
	      struct sftp_attrs *ret)
{
	struct sftp_out o = begin(l, follow ? SFTP_STAT : SFTP_LSTAT);

	sftp_put_text(&o, path);
	return stat_answer(l, &o, ret);
}

struct sftp_out sftp_with_handle(struct sftp_link *l, enum sftp_type type,
				 const struct sftp_handle *h)
{
	struct sftp_out o = begin(l, type);

	sftp_put_bytes(&o, h->bytes, h->len);
	return o;
}

int sftp_fstat(struct sftp_link *l, const struct sftp_handle *h,
	       struct sftp_attrs *ret)
{
	struct sftp_out o = sftp_with_handle(l, SFTP_FSTAT, h);

	return stat_answer(l, &o, ret);
}

static int handle_answer(struct sftp_link *l, struct sftp_out *o,
			 struct sftp_handle *ret)
{
	struct sftp_reply a;
	int r = ask(l, o, SFTP_HANDLE, &a);

	if (r)
		return r;
	ret->len = a.bytes.len;
	if (a.bytes.len)
		memcpy(ret->bytes, a.bytes.p, a.bytes.len);
	return 0;
}

int sftp_open(struct sftp_link *l, const char *path, uint32_t flags,
	      uint32_t mode, struct sftp_handle *ret)
{
	const struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE,
					  .mode = mode };
	const struct sftp_attrs none = { 0 };
	struct sftp_out o = begin(l, SFTP_OPEN);

	sftp_put_text(&o, path);
	sftp_put_u32(&o, flags);
	sftp_put_attrs(&o, flags & SFTP_OPEN_CREAT ? &attrs : &none);
	return handle_answer(l, &o, ret);
}

int sftp_opendir(struct sftp_link *l, const char *path,
		 struct sftp_handle *ret)
{
	struct sftp_out o = begin(l, SFTP_OPENDIR);

	sftp_put_text(&o, path);
	return handle_answer(l, &o, ret);
}

static int status_of(struct sftp_link *l, struct sftp_out *o)
{
	struct sftp_reply a;

	return ask(l, o, SFTP_STATUS, &a);
}

int sftp_close(struct sftp_link *l, const struct sftp_handle *h)
{
	struct sftp_out o = sftp_with_handle(l, SFTP_CLOSE, h);

	return status_of(l, &o);
}

int sftp_fsetstat(struct sftp_link *l, const struct sftp_handle *h,
		  const struct sftp_attrs *a)
{
	struct sftp_out o = sftp_with_handle(l, SFTP_FSETSTAT, h);

	sftp_put_attrs(&o, a);
	return status_of(l, &o);
}

int sftp_setstat(struct sftp_link *l, const char *path,
		 const struct sftp_attrs *a)
{
	struct sftp_out o = begin(l, SFTP_SETSTAT);

	sftp_put_text(&o, path);
	sftp_put_attrs(&o, a);
	return status_of(l, &o);
}

int sftp_remove(struct sftp_link *l, const char *path)
{
	struct sftp_out o = begin(l, SFTP_REMOVE);

	sftp_put_text(&o, path);
	return status_of(l, &o);
}

int sftp_mkdir(struct sftp_link *l, const char *path, uint32_t mode)
{
	const struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE,
					  .mode = mode };
	struct sftp_out o = begin(l, SFTP_MKDIR);

	sftp_put_text(&o, path);
	sftp_put_attrs(&o, &attrs);
	return status_of(l, &o);
}

int sftp_readdir(struct sftp_link *l, const struct sftp_handle *h,
		 struct sftp_reply *ret)
{
	struct sftp_out o = sftp_with_handle(l, SFTP_READDIR, h);

	return ask(l, &o, SFTP_NAME, ret);
}

int sftp_replace(struct sftp_link *l, const char *from, const char *to)
{
	struct sftp_out o = begin(l, SFTP_EXTENDED);

	if (!l->features.posix_rename)
		return SFTP_OP_UNSUPPORTED;
	sftp_put_text(&o, "posix-rename@openssh.com");
	sftp_put_text(&o, from);
	sftp_put_text(&o, to);
	return status_of(l, &o);
}

int sftp_fsync(struct sftp_link *l, const struct sftp_handle *h)
{
	struct sftp_out o = begin(l, SFTP_EXTENDED);

	if (!l->features.fsync)
		return 0;
	sftp_put_text(&o, "fsync@openssh.com");
	sftp_put_bytes(&o, h->bytes, h->len);
	return status_of(l, &o);
}

int sftp_statvfs(struct sftp_link *l, const char *path,
		 struct sftp_statvfs *ret)
{
	struct sftp_out o = begin(l, SFTP_EXTENDED);
	struct sftp_reply a;
	int r;

	if (!l->features.statvfs)
		return SFTP_OP_UNSUPPORTED;
	sftp_put_text(&o, "statvfs@openssh.com");
	sftp_put_text(&o, path);
	r = ask(l, &o, SFTP_EXTENDED_REPLY, &a);
	if (!r && sftp_decode_statvfs(&a, ret))
		return sftp_die(l, -EPROTO);
	return r;
}
