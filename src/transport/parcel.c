/* SPDX-License-Identifier: MIT */
/*
 * parcel.c - see parcel.h
 *
 * The first message:	"hvsP", u32 version, u64 length of the state,
 *			u32 descriptors; and the file
 * The others:		"hvsF", u32 number of the first descriptor; and they
 */
#include "transport/parcel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "transport/state-file.h"

#define VERSION 1u
#define HEAD 20u
#define FDS_HEAD 8u
#define STATE_MAX (2ul << 30)

void parcel_fini(struct parcel *p)
{
	/* what was packed was borrowed */
	for (unsigned int i = 0; p->copy && i < p->nfds; i++)
		if (p->fds[i] >= 0)
			close(p->fds[i]);
	pack_fini(&p->out);
	free(p->fds);
	free(p->copy);
	*p = (struct parcel) { 0 };
}

void parcel_put_fd(struct parcel *p, int fd)
{
	unsigned int room = p->room ? p->room * 2 : 64;
	int *fds = p->fds;

	pack_u8(&p->out, fd >= 0);
	if (fd < 0)
		return;
	if (p->nfds == p->room) {
		fds = reallocarray(p->fds, room, sizeof(*fds));
		if (!fds) {
			p->out.failed = true;
			return;
		}
		p->fds = fds;
		p->room = room;
	}
	p->fds[p->nfds++] = fd;
}

int parcel_take_fd(struct parcel *p)
{
	if (!unpack_bool(&p->in) || p->in.failed)
		return -1;
	if (p->next == p->nfds) {
		p->in.failed = true;
		return -1;
	}
	return fd_take(&p->fds[p->next++]);
}

/* ---- sending */

int parcel_send(int sock, const struct parcel *p, unsigned int *ret_messages)
{
	uint8_t head[HEAD] = "hvsP", fds_head[FDS_HEAD] = "hvsF";
	cleanup_close_ int fd = -1;
	unsigned int at = 0;
	int r;

	*ret_messages = 0;
	if (p->out.failed)
		return -ENOMEM;
	r = state_file_write("hvsocket-state", p->out.data, p->out.len, &fd);
	if (r < 0)
		return r;
	le32_put(head + 4, VERSION);
	le64_put(head + 8, p->out.len);
	le32_put(head + 16, p->nfds);
	r = fdmsg_send(sock, head, sizeof(head), &fd, 1, MSG_DONTWAIT);
	while (r == 0) {
		unsigned int n = p->nfds - at;

		++*ret_messages;
		if (!n)
			break;
		if (n > FDMSG_MAX)
			n = FDMSG_MAX;
		le32_put(fds_head + 4, at);
		r = fdmsg_send(sock, fds_head, sizeof(fds_head), p->fds + at,
			       (int)n, MSG_DONTWAIT);
		at += n;
	}
	return r;
}

/* ---- receiving */

static void close_all(struct fdmsg *m)
{
	for (int i = 0; i < m->nfds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->nfds = 0;
}

void parcel_skip(int sock, unsigned int n)
{
	uint8_t buf[HEAD];
	struct fdmsg m;

	while (n-- && fdmsg_recv(sock, buf, sizeof(buf), MSG_DONTWAIT, &m) == 0)
		close_all(&m);
}

static int begin(const uint8_t *buf, const struct fdmsg *m, struct parcel *p,
		 unsigned int *ret_want)
{
	uint64_t len;
	uint32_t n;
	int r;

	if (m->len != HEAD || m->nfds != 1)
		return -EPROTO;
	if (le32_get(buf + 4) != VERSION)
		return -EPROTONOSUPPORT;
	n = le32_get(buf + 16);
	if (n > PARCEL_FDS_MAX)
		return -EPROTO;
	len = le64_get(buf + 8);
	r = state_file_read(m->fds[0], len, STATE_MAX, &p->copy);
	if (r < 0)
		return r == -EINVAL ? -EPROTO : r;
	p->in = (struct unpack) { .p = p->copy, .left = len };
	p->fds = calloc(n + 1ul, sizeof(*p->fds));
	if (!p->fds)
		return -ENOMEM;
	p->room = n;
	*ret_want = n;
	return 0;
}

static int more(const uint8_t *buf, struct fdmsg *m, struct parcel *p)
{
	if (m->len != FDS_HEAD || le32_get(buf + 4) != p->nfds ||
	    (unsigned int)m->nfds > p->room - p->nfds)
		return -EPROTO;
	memcpy(p->fds + p->nfds, m->fds, (size_t)m->nfds * sizeof(*m->fds));
	p->nfds += (unsigned int)m->nfds;
	m->nfds = 0;
	return 0;
}

int parcel_recv(int sock, struct parcel *ret)
{
	struct parcel p = { 0 }, last = { 0 };
	unsigned int want = 0;
	uint8_t buf[HEAD];
	struct fdmsg m;
	int r = 0;

	while (fdmsg_recv(sock, buf, sizeof(buf), MSG_DONTWAIT, &m) == 0 &&
	       m.len) {
		if (m.len >= 4 && memcmp(buf, "hvsP", 4) == 0) {
			parcel_fini(&p);
			r = begin(buf, &m, &p, &want);
		} else if (m.len >= 4 && memcmp(buf, "hvsF", 4) == 0) {
			/* of one whose head is gone: it was being replaced */
			r = p.copy ? more(buf, &m, &p) : 0;
		} else {
			r = -EPROTO;
		}
		if (m.fds_lost)
			r = -EMFILE;
		close_all(&m);
		if (r < 0)
			break;
		if (p.copy && p.nfds == want) {
			parcel_fini(&last);
			last = p;
			p = (struct parcel) { 0 };
		}
	}
	parcel_fini(&p);
	if (r == 0 && !last.copy)
		r = -ENODATA;
	if (r < 0) {
		parcel_fini(&last);
		return r;
	}
	*ret = last;
	return 0;
}
