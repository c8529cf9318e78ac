/* SPDX-License-Identifier: MIT */
/* session-save.c - sessions that go on in another process */
#include <errno.h>
#include <sys/socket.h>

#include "transport/session-internal.h"

int session_save(const struct session *s, struct session_saved *ret)
{
	if (s->state != S_LIVE || !s->has_token || relay_held(&s->relay))
		return -ENOTCONN;
	*ret = (struct session_saved) {
		.token = s->token,
		.to_guest = s->relay.to_guest,
		.from_guest = s->relay.from_guest,
		.uid = s->uid,
		.from_host = s->from_host,
		.shut = s->relay.shut,
		.service = s->service,
		.source = s->source,
	};
	return s->relay.fd;
}

int session_restore(struct sessions *ss, const struct session_saved *saved,
		    int fd, void *conn, struct session **ret)
{
	struct session *s;
	int r;

	if (session_find(ss, saved->token))
		return -EEXIST;
	s = session_new(ss, S_LIVE, SOCK_STREAM);
	if (!s)
		return -ENOMEM;
	r = session_watch(s, fd);
	if (r < 0) {
		session_finish(s);
		return r;
	}
	relay_attach(&s->relay, fd);
	s->relay.to_guest = saved->to_guest;
	s->relay.from_guest = saved->from_guest;
	s->relay.shut = saved->shut;
	s->uid = saved->uid;
	s->from_host = saved->from_host;
	s->service = saved->service;
	s->source = saved->source;
	s->conn = conn;
	session_set_token(s, saved->token);
	session_notice_live(s);
	*ret = s;
	return 0;
}
