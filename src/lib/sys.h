/* SPDX-License-Identifier: MIT */
/*
 * sys.h - the kernel's own socket calls
 *
 * libhvsocket asks for AF_UNIX sockets and wants AF_UNIX answers. Where the
 * preload library is in the same process, libc's names of these calls are
 * ours and would come straight back here; so they are made without libc.
 * It also keeps them from being cancellation points: a thread that is
 * cancelled half way through a connect would leave O_NONBLOCK set and a
 * request outstanding.
 *
 * Under hvctl as --via=seccomp it is the kernel that stops these calls; there
 * SYS_MARK, in an argument that the kernel does not look at, tells ours from
 * the program's.
 */
#ifndef LIB_SYS_H
#define LIB_SYS_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define SYS_MARK ((long)0x687673636b65745fLL)

static inline int sys_socket(int domain, int type, int protocol)
{
	return (int)syscall(SYS_socket, domain, type, protocol, 0L, 0L,
			    SYS_MARK);
}

static inline int sys_connect(int fd, const void *sa,
			      socklen_t len)
{
	return (int)syscall(SYS_connect, fd, sa, len, 0L, 0L, SYS_MARK);
}

static inline int sys_bind(int fd, const void *sa, socklen_t len)
{
	return (int)syscall(SYS_bind, fd, sa, len);
}

static inline int sys_listen(int fd, int backlog)
{
	return (int)syscall(SYS_listen, fd, backlog, 0L, 0L, 0L, SYS_MARK);
}

static inline int sys_accept4(int fd, void *sa, socklen_t *len,
			      int flags)
{
	return (int)syscall(SYS_accept4, fd, sa, len, flags, 0L, SYS_MARK);
}

static inline int sys_getsockname(int fd, void *sa,
				  socklen_t *len)
{
	return (int)syscall(SYS_getsockname, fd, sa, len, 0L, 0L, SYS_MARK);
}

static inline int sys_getpeername(int fd, void *sa,
				  socklen_t *len)
{
	return (int)syscall(SYS_getpeername, fd, sa, len, 0L, 0L, SYS_MARK);
}

static inline int sys_getsockopt(int fd, int level, int name, void *val,
				 socklen_t *len)
{
	return (int)syscall(SYS_getsockopt, fd, level, name, val, len,
			    SYS_MARK);
}

static inline int sys_setsockopt(int fd, int level, int name, const void *val,
				 socklen_t len)
{
	return (int)syscall(SYS_setsockopt, fd, level, name, val, len,
			    SYS_MARK);
}

/* Zero is no socket's cookie: @fd is no socket, or not open (errno says). */
static inline unsigned long long sys_cookie(int fd)
{
	unsigned long long cookie = 0;
	socklen_t len = sizeof(cookie);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

#endif /* LIB_SYS_H */
