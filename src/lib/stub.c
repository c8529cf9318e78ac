/* SPDX-License-Identifier: MIT */
/* stub.c - calls that are not there yet: ENOSYS */
#include <hvsocket.h>
#include <errno.h>
#define STUB(name, args) int name args { errno = ENOSYS; return -1; }
#pragma GCC diagnostic ignored "-Wunused-parameter"
STUB(hvs_socket, (int af, int type, int protocol))
STUB(hvs_bind, (int fd, const SOCKADDR_HV *addr, socklen_t len))
STUB(hvs_listen, (int fd, int backlog))
STUB(hvs_accept, (int fd, SOCKADDR_HV *addr, socklen_t *len, int flags))
STUB(hvs_connect, (int fd, const SOCKADDR_HV *addr, socklen_t len))
STUB(hvs_getsockname, (int fd, SOCKADDR_HV *addr, socklen_t *len))
STUB(hvs_getpeername, (int fd, SOCKADDR_HV *addr, socklen_t *len))
STUB(hvs_setsockopt, (int fd, int level, int name, const void *val, socklen_t len))
STUB(hvs_getsockopt, (int fd, int level, int name, void *val, socklen_t *len))
STUB(hvs_reason, (int fd, struct hvs_reason *reason))
STUB(hvs_address_parse, (const char *text, SOCKADDR_HV *addr))
STUB(hvs_address_format, (const SOCKADDR_HV *addr, char *text, size_t size, unsigned int flags))
STUB(hvs_dial, (const char *address, uint32_t timeout_ms, unsigned int flags))
STUB(hvs_serve, (const char *address, int backlog, unsigned int flags))
STUB(hvs_partition, (GUID *vmid, char *name, size_t size))
