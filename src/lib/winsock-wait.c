/* SPDX-License-Identifier: MIT */
/*
 * winsock-wait.c - WSAPoll and select of WinSock, both over ppoll(2)
 *
 * A signal does not end the wait: what is left of the time is waited for.
 */
#define HVSOCKET_WINSOCK_NO_NAMES
#include <hvsocket/winsock.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "lib/winsock-internal.h"

/* Sockets that select() watches without asking for memory. */
#define SELECT_SMALL 192

static int64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* @wait_ns < 0: for ever. As poll(2), never EINTR. */
static int poll_all(struct pollfd *fds, nfds_t count, int64_t wait_ns)
{
	int64_t end = wait_ns > 0 ? now_ns() + wait_ns : 0;
	struct timespec ts;
	int r;

	for (;;) {
		ts = (struct timespec){ .tv_sec = wait_ns / 1000000000,
					.tv_nsec = wait_ns % 1000000000 };
		r = ppoll(fds, count, wait_ns < 0 ? NULL : &ts, NULL);
		if (r >= 0 || errno != EINTR)
			return r;
		if (wait_ns > 0) {
			wait_ns = end - now_ns();
			if (wait_ns < 0)
				wait_ns = 0;
		}
	}
}

int hvs_ws_poll(WSAPOLLFD *fds, ULONG count, int timeout_ms)
{
	int r;

	if (!count)
		return ws_fail_wsa(WSAEINVAL);
	if (!fds)
		return ws_fail_wsa(WSAEFAULT);
	r = poll_all(fds, count,
		     timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000000);
	return r < 0 ? ws_fail(errno) : r;
}

static unsigned int fill(struct pollfd *p, const unsigned int *count,
			 const SOCKET *array, short events)
{
	unsigned int i, n = count ? *count : 0;

	for (i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = array[i], .events = events };
	return n;
}

static bool in_set(SOCKET s, const unsigned int *count, const SOCKET *array)
{
	unsigned int i, n = count ? *count : 0;

	for (i = 0; i < n; i++) {
		if (array[i] == s)
			return true;
	}
	return false;
}

/* Keeps the sockets of a set that have one of @bits. */
static unsigned int keep(const struct pollfd *p, unsigned int *count,
			 SOCKET *array, short bits)
{
	unsigned int i, n = 0, total = count ? *count : 0;

	for (i = 0; i < total; i++) {
		if (p[i].revents & bits)
			array[n++] = p[i].fd;
	}
	if (count)
		*count = n;
	return n;
}

/*
 * A connect that failed goes to the set of exceptions, as on Windows, and only
 * there: programs look at the set for writing first.
 */
static void failed_connects(struct pollfd *w, unsigned int nw,
			    const unsigned int *ne, const SOCKET *e)
{
	unsigned int i;

	for (i = 0; i < nw; i++) {
		if ((w[i].revents & POLLERR) && in_set(w[i].fd, ne, e))
			w[i].revents = 0;
	}
}

int hvs_ws_select_arrays(unsigned int *nr, SOCKET *r, unsigned int *nw,
			 SOCKET *w, unsigned int *ne, SOCKET *e,
			 const struct timeval *timeout)
{
	struct pollfd small[SELECT_SMALL], *p = small;
	cleanup_free_ struct pollfd *large = NULL;
	unsigned int i, r_count, w_count, e_count, ready;
	int64_t wait_ns = -1;
	size_t total;

	total = (size_t)(nr ? *nr : 0) + (nw ? *nw : 0) + (ne ? *ne : 0);
	if (!total)
		return ws_fail_wsa(WSAEINVAL);
	if (timeout) {
		if (timeout->tv_sec < 0 || timeout->tv_sec > INT32_MAX ||
		    timeout->tv_usec < 0 || timeout->tv_usec > 999999)
			return ws_fail_wsa(WSAEINVAL);
		wait_ns = (int64_t)timeout->tv_sec * 1000000000 +
			  (int64_t)timeout->tv_usec * 1000;
	}
	if (total > SELECT_SMALL) {
		large = calloc(total, sizeof(*large));
		if (!large)
			return ws_fail_wsa(WSAENOBUFS);
		p = large;
	}
	r_count = fill(p, nr, r, POLLIN);
	w_count = fill(p + r_count, nw, w, POLLOUT);
	e_count = fill(p + r_count + w_count, ne, e, POLLPRI);

	if (poll_all(p, r_count + w_count + e_count, wait_ns) < 0)
		return ws_fail(errno);
	for (i = 0; i < total; i++) {
		if (p[i].revents & POLLNVAL)
			return ws_fail_wsa(WSAENOTSOCK);
	}
	failed_connects(p + r_count, w_count, ne, e);
	/* Hanging up alone is for readers: it says nothing about writing. */
	ready = keep(p, nr, r, POLLIN | POLLHUP | POLLERR);
	ready += keep(p + r_count, nw, w, POLLOUT | POLLERR);
	ready += keep(p + r_count + w_count, ne, e, POLLPRI | POLLERR);
	return (int)ready;
}
