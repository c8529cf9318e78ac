/* SPDX-License-Identifier: MIT */
/*
 * session.h - OpenSSH over a connection to a VM's sshd
 *
 * The logins, keys and the encryption are ssh(1)'s, which is started with a
 * ProxyCommand that connects (hvctl nc --fdpass) and hands it the socket, and
 * with a HostKeyAlias made of the VmId: a key belongs to a VM, whatever it is
 * called. A kept connection is ssh's own ControlMaster, one per VM, service,
 * user, identity and option, in $XDG_RUNTIME_DIR/hvsocket.
 */
#ifndef HVCTL_SESSION_H
#define HVCTL_SESSION_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/guid.h"
#include "hvctl/args.h"
#include "hvctl/call.h"

/* ssh's: the session failed, and not the command in it */
#define SESSION_FAILED 255
/* where sshd listens: newer systemd's sshd-vsock.socket, and ours */
#define SESSION_SERVICE "22"
#define SESSION_PERSIST_S 600

/* A command line that grows; running out of memory is told once, at its end. */
struct words {
	char **v; /* NULL-ended */
	size_t n;
	bool failed;
};

/** words_add() - a copy, printf-like */
void words_add(struct words *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void words_free(struct words *w);

#define cleanup_words_ cleanup_(words_free)

struct session {
	struct ctl *c;
	const struct args *args;
	char *user; /* or NULL: ssh's choice */
	char *vm; /* as typed */
	char vmid[GUID_TEXT_SIZE];
	char proxy[PATH_MAX * 2 + 256]; /* the ProxyCommand */
	char control[108]; /* the kept connection's socket; "": none */
};

/** session_open() - @target is [USER@]VM; nothing is connected yet. Return: 0,
 * or SESSION_FAILED (told) */
int session_open(struct ctl *c, const struct args *a, const char *target,
		 struct session *ret);
void session_fini(struct session *s);

/** session_words() - "ssh", and the options that every call has. @kept: by
 * the kept connection, if there is one */
void session_words(const struct session *s, struct words *w, bool kept);

/** session_host() - the destination, behind all options */
void session_host(const struct session *s, struct words *w);

/** session_keep() - have a kept connection, or know that there can be none.
 * Return: 0, or ssh's exit status (told) */
int session_keep(struct session *s);

/** session_become() - this process is @w from now on. Return: the exit status
 * if it cannot (told) */
int session_become(const struct session *s, struct words *w);

/** session_run() - start @w; what it says on its standard output is left
 * where ours goes, or read: @ret_out of @size bytes with a 0 at the end.
 * Return: its exit status, SESSION_FAILED */
int session_run(const struct session *s, struct words *w, char *ret_out,
		size_t size);

/** session_spawn() - start @w with these as its standard streams (-1: ours).
 * It dies with us. @blocked: signals that it does not get, or NULL. Return:
 * a pid or -errno */
pid_t session_spawn(const struct words *w, int in, int out,
		    const sigset_t *blocked);

/** session_wait() - Return: its exit status, 128 + the signal that ended it */
int session_wait(pid_t pid);

/** session_directory() - where kept connections are, made if need be.
 * Return: 0, or -errno: there is none */
int session_directory(char *ret, size_t size);

/** session_proxy() - the ProxyCommand to @vmid. Return: 0 or -errno */
int session_proxy(const char *vmid, const char *service, const char *timeout,
		  char *ret, size_t size);

/** shell_quote() - @word as a POSIX shell reads it. NULL: no memory */
char *shell_quote(const char *word);

/** session_lock() - of this user's calls only one has @name at a time
 * @wait:	for the others; else -EWOULDBLOCK
 *
 * Return: a descriptor, for session_unlock(); -errno, -ENOENT where there is no
 * XDG_RUNTIME_DIR */
int session_lock(const char *name, bool wait);
void session_unlock(int fd, const char *name);

#endif /* HVCTL_SESSION_H */
