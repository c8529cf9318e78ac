/* SPDX-License-Identifier: MIT */
/* host-broker.c - see host.h: the ends are sessions */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/attach.h"
#include "transport/link.h"
#include "transport/vmbus/host.h"


struct broker {
	struct host host;
	struct ev *ev;
	struct link *link;
	struct sessions *sessions;
};

static struct broker *of(struct host *h)
{
	return container_of(h, struct broker, host);
}

static int b_dial(struct host *h, void *conn, const GUID *service,
		  const GUID *source, void **ret_end)
{
	struct session *s;
	int r = session_dial(of(h)->sessions, conn, SOCK_STREAM, service,
			     source, &s);

	if (r == 0)
		*ret_end = s;
	return r;
}

static void b_answered(void *end, const GUID *peer)
{
	session_answered(end, peer != NULL);
}

static ssize_t b_pull(void *end, const struct iovec *iov, unsigned int n)
{
	return session_pull(end, iov, n);
}

static ssize_t b_push(void *end, const struct iovec *iov, unsigned int n)
{
	return session_write(end, iov, n);
}

static void b_shut(void *end)
{
	session_shut(end, true, false);
}

static void b_end(void *end)
{
	session_end(end);
}

static void b_running(struct host *h, bool running)
{
	sessions_running(of(h)->sessions, running);
}

static int b_save(void *end, struct session_saved *ret)
{
	return session_save(end, ret);
}

static int b_restore(struct host *h, const struct session_saved *saved, int fd,
		     void *conn, void **ret_end)
{
	struct session *s;
	int r = session_restore(of(h)->sessions, saved, fd, conn, &s);

	if (r == 0)
		*ret_end = s;
	return r;
}

static void b_pause(struct host *h, bool pause)
{
	/* the broker takes this for the end of the transport, which it is */
	if (pause)
		link_stop(of(h)->link);
	else
		link_start(of(h)->link);
}

static void b_control_reply(struct host *h, uint32_t serial, uint32_t error,
			    uint32_t reason, const char *text)
{
	link_reply_control(of(h)->link, serial, error, reason, text);
}

static GUID b_vmid(struct host *h)
{
	return link_vmid(of(h)->link);
}

static struct host *b_free(struct host *h)
{
	struct broker *b = of(h);

	sessions_free(b->sessions);
	link_free(b->link);
	free(b);
	return NULL;
}

static const struct host_ops broker_ops = {
	.dial = b_dial,
	.answered = b_answered,
	.pull = b_pull,
	.push = b_push,
	.shut = b_shut,
	.end = b_end,
	.running = b_running,
	.save = b_save,
	.restore = b_restore,
	.pause = b_pause,
	.control_reply = b_control_reply,
	.vmid = b_vmid,
	.free = b_free,
};

int host_broker(struct ev *ev, const char *partition, const GUID *vmid,
		const struct session_guest_ops *ops, void *ctx,
		struct host **ret, const char **ret_why)
{
	const struct link_config config = { .partition = partition,
					    .kind = TRANSPORT_VMBUS,
					    .vmid = *vmid,
					    .control = true };
	struct broker *b = calloc(1, sizeof(*b));
	int r;

	*ret_why = "no memory";
	if (!b)
		return -ENOMEM;
	b->host.ops = &broker_ops;
	b->ev = ev;
	r = sessions_new(ev, ops, ctx, &b->sessions);
	if (r == 0)
		r = link_new(ev, &config, sessions_link_ops(), b->sessions,
			     &b->link, ret_why);
	if (r < 0) {
		b_free(&b->host);
		return r;
	}
	sessions_set_link(b->sessions, b->link);
	*ret = &b->host;
	return 0;
}

int host_broker_attach(struct host *h, const char **ret_why,
		       const char **ret_place)
{
	struct broker *b = of(h);
	int r;

	*ret_place = link_place(b->link);
	r = attach_wait(b->link, b->ev);
	*ret_why = r == -ENOMEM ? "no memory" : link_error(b->link);
	return r == -ETIMEDOUT ? -ENETDOWN : r;
}
