/* SPDX-License-Identifier: MIT */
/* channel.c - see channel.h */
#include "transport/vhost-user/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"

void vu_channel_init(struct vu_channel *ch, int fd)
{
	*ch = (struct vu_channel) { .fd = fd };
}

void vu_channel_next(struct vu_channel *ch)
{
	for (int i = 0; i < ch->nfds; i++)
		if (ch->fds[i] >= 0)
			close(ch->fds[i]);
	ch->nfds = 0;
	ch->got = 0;
}

void vu_channel_fini(struct vu_channel *ch)
{
	vu_channel_next(ch);
	if (ch->fd >= 0)
		close(ch->fd);
	ch->fd = -1;
}

/* Up to @want bytes of the message in all. 1: there; else as recv() */
static int fill(struct vu_channel *ch, size_t want)
{
	struct fdmsg m;
	int r;

	while (ch->got < want) {
		r = fdmsg_recv(ch->fd, ch->buf + ch->got, want - ch->got,
			       MSG_DONTWAIT, &m);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		for (int i = 0; i < m.nfds; i++) {
			if (ch->nfds < VU_FDS_MAX) {
				ch->fds[ch->nfds++] = m.fds[i];
				continue;
			}
			close(m.fds[i]);
			r = -EBADF;
		}
		if (r < 0)
			return r;
		if (!m.len)
			return 0;
		ch->got += m.len;
	}
	return 1;
}

int vu_channel_recv(struct vu_channel *ch, struct vu_header *ret)
{
	int r;

	r = fill(ch, VU_HEADER);
	if (r <= 0)
		return r;
	r = vu_header_decode(ch->buf, ret);
	if (r < 0)
		return r;
	return fill(ch, VU_HEADER + ret->size);
}

int vu_channel_reply(struct vu_channel *ch, uint32_t request, const void *p,
		     uint32_t size)
{
	uint8_t buf[VU_HEADER + VU_PAYLOAD_MAX];

	if (size > VU_PAYLOAD_MAX)
		return -EMSGSIZE;
	vu_reply_encode(request, size, buf);
	memcpy(buf + VU_HEADER, p, size);
	/* Replies are small: one that does not fit in the socket's buffer as a
	 * whole goes to a front-end that has stopped reading. */
	return fdmsg_send(ch->fd, buf, VU_HEADER + size, NULL, 0, MSG_DONTWAIT);
}
