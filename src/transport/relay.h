/* SPDX-License-Identifier: MIT */
/*
 * relay.h - bytes between a connected socket and a guest's own buffers
 *
 * Reads and writes work on the guest's memory itself, given as iovecs; nothing
 * is copied on the way, except what the socket does not take at once: that is
 * held, a copy, until it does. Whoever calls bounds it (by credit, or by the
 * size of a ring).
 *
 * With SOCK_SEQPACKET each push is one message, and each pull takes one, of
 * the length that relay_next() says.
 */
#ifndef TRANSPORT_RELAY_H
#define TRANSPORT_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/ev.h"
#include "transport/message-queue.h"

struct relay {
	int fd;	       /* -1: none yet, all is held; or closed */
	bool messages; /* SOCK_SEQPACKET: set before it is attached */
	bool broken;   /* nobody reads any more */
	bool shut;     /* we have said that no more comes */
	bool full;     /* relay_write() could not write all */
	bool drained;  /* all was read, and no event has come since */
	bool eof;      /* its end was read */
	bool ended;    /* there will be no event when all was read */
	bool stalled;  /* nothing moves: relay_stall() */
	bool splices;  /* it brings bytes only, no descriptors */
	bool unix_;    /* AF_UNIX, whose splice() stops at each write's end */
	bool shut_write, shut_read; /* what relay_shut() has put off */
	/* of a stream, set before it is attached: as much may come at once, and
	 * the socket's buffer should take it. 0: it stays as it is */
	uint32_t burst;
	uint8_t *held; /* held_len bytes from held_at on */
	size_t held_at, held_len, held_size;
	struct message_queue queue; /* is held instead, of messages */
	uint64_t empty; /* messages without a byte, dropped */
	uint64_t to_guest, from_guest; /* bytes moved */
};

void relay_init(struct relay *r);
/** relay_attach() - @fd, a connected socket, is owned from now on */
void relay_attach(struct relay *r, int fd);
/** relay_fini() - close at once; twice is fine */
void relay_fini(struct relay *r);

/** relay_event() - what epoll(7), edge-triggered, says of the socket */
void relay_event(struct relay *r, uint32_t events);
/** relay_quiet() - with these events, is there nothing but data to read? */
static inline bool relay_quiet(uint32_t events)
{
	return events & EPOLLIN &&
	       !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}
/** relay_pull() - read. Return: bytes; 0: end of file; -EAGAIN; -errno */
ssize_t relay_pull(struct relay *r, const struct iovec *iov, unsigned int n);
/** relay_next() - the length of the message that relay_pull() takes next.
 * Return: bytes; 0: end of file; -EAGAIN; -EBUSY: only empty messages, which
 * are dropped, and there are more; -errno */
ssize_t relay_next(struct relay *r);
/** relay_waiting() - bytes to be read */
size_t relay_waiting(const struct relay *r);
/** relay_unread() - the same of any socket of a connection */
size_t relay_unread(int fd);
/** relay_push() - write all of @iov, or hold it. Return: bytes written; -errno:
 * nobody reads any more, nothing is held; or -ENOMEM; -EFAULT: @iov is not
 * there; -EMSGSIZE: no such message can be sent */
ssize_t relay_push(struct relay *r, const struct iovec *iov, unsigned int n);
/** relay_write() - write what fits, hold nothing. Return: bytes, 0 if none;
 * -errno as above. If not all, relay_wanted() until there is room */
ssize_t relay_write(struct relay *r, const struct iovec *iov, unsigned int n);
/** relay_move() - what there is on @from, a chunk at most, to @to, which holds
 * what is not taken at once; by splice(2) where @from brings bytes only.
 * Return: as relay_pull(); *@ret_taken: does somebody still read there? */
ssize_t relay_move(struct relay *from, struct relay *to, bool *ret_taken);
/** relay_move_start() - the pipe for that, before the sandbox; without it
 * relay_move() copies. 0 or -errno */
int relay_move_start(void);
/** relay_held() - bytes held */
size_t relay_held(const struct relay *r);
/** relay_wanted() - is room for more waited for? */
bool relay_wanted(const struct relay *r);
/** relay_watch() - before an event is served (@io, @events), and after
 * relay_write() (@events 0): EPOLLOUT is asked for only while it is wanted, as
 * each read of the other side makes an event of it. Finding out that nobody
 * reads any more is then left to the next write */
void relay_watch(const struct relay *r, struct ev_io *io, uint32_t events);
/** relay_flush() - write what is held. Return: as relay_push() */
ssize_t relay_flush(struct relay *r);
/** relay_probe() - with these events, does somebody read? Sends nothing. Of
 * messages, and after relay_shut(), it is known only when both directions are
 * over */
bool relay_probe(struct relay *r, uint32_t events);
/** relay_shut() - nothing is held by now. Before there is a socket: it is shut
 * when it comes */
void relay_shut(struct relay *r, bool no_more_data, bool no_more_reading);

/** relay_stall() - from now on the socket seems neither to have anything nor to
 * take anything; what is pushed is held. Or all goes on: what is there to be
 * read or written then makes no event */
void relay_stall(struct relay *r, bool stalled);

#endif /* TRANSPORT_RELAY_H */
