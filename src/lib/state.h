/* SPDX-License-Identifier: MIT */
/*
 * state.h - what the library knows about single sockets
 *
 * A table of the process, by SO_COOKIE: the same for every duplicate of a
 * descriptor and for forked children, and never used twice. A socket has an
 * entry only while there is something to remember that differs from a fresh
 * socket's: nothing for sockets that set no option and do not fail.
 *
 * close(2) is the kernel's and tells nobody, so entries of sockets that are
 * gone are found by looking through the process's descriptors when the table
 * has doubled since the last look.
 */
#ifndef LIB_STATE_H
#define LIB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

enum parked {
	PARKED_NO,
	PARKED_WAITING, /* EINPROGRESS was said; token is set */
	PARKED_FAILED, /* it failed; error is set until it has been read */
};

struct options {
	uint32_t timeout_ms; /* 0: the default */
	bool passthru, suspend, high_vtl, wait, native;
};

struct sock_state {
	struct options opt;
	bool pending_bind; /* bound to zero/zero: undecided */
	bool parent_only; /* vsock.c: bound to PARENT */
	bool datagram; /* made for datagrams */
	bool has_dest; /* .dest is where they go without an address */
	SOCKADDR_HV dest;
	bool ask_listen; /* the service was disabled when it was bound */
	enum parked parked;
	int error;
	uint64_t token;
};

/**
 * state_get() - a copy of what is known
 *
 * No system call while the table is empty.
 *
 * Return: true; or false if there is nothing (@ret is then a fresh socket's,
 * and errno untouched: whether @fd is a socket was not looked at).
 */
bool state_get(int fd, struct sock_state *ret);

/**
 * state_change() - change what is known
 * @fn:		called with the lock held, on a zeroed state if there was none;
 *		must not sleep or call into this module
 *
 * Return: 0, or -ENOMEM, -EBADF, -ENOTSOCK. An entry that is that of a fresh
 * socket afterwards is removed.
 */
int state_change(int fd, void (*fn)(struct sock_state *s, void *arg),
		 void *arg);

/** state_set_reason() - the socket's last failure; code NONE: forget it.
 * Best effort: without memory nothing is kept. errno is preserved. */
void state_set_reason(int fd, const struct hvs_reason *reason);
/** state_clear_reason() - a call succeeded. Free while the table is empty. */
void state_clear_reason(int fd);
/** state_get_reason() - code NONE if there is none */
void state_get_reason(int fd, struct hvs_reason *ret);

/** state_count() - entries now; for tests */
size_t state_count(void);

/**
 * struct state_watch - for a process that makes calls for others
 *
 * Their sockets are not among its descriptors, so somebody else has to tell
 * which of them there still are. Set before the first socket.
 */
struct state_watch {
	/* there is an entry from now on */
	void (*born)(int fd, uint64_t cookie);
	/* mark() each that may live; false: not all are known. With the lock
	 * held, as mark() wants it. */
	bool (*living)(void (*mark)(uint64_t cookie));
};

void state_watch(const struct state_watch *watch);

/* For pthread_atfork(). */
void state_lock_for_fork(void);
void state_unlock_after_fork(void);

#endif /* LIB_STATE_H */
