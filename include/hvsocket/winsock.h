/* SPDX-License-Identifier: MIT */
/*
 * hvsocket/winsock.h - one source file for Windows and for Linux
 *
 * A program written against WinSock and Hyper-V sockets includes this header
 * instead of <winsock2.h> and <hvsocket.h>:
 *
 *	#include <hvsocket/winsock.h>
 *
 *	WSAStartup(MAKEWORD(2, 2), &data);
 *	s = socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
 *
 * On Windows (MSVC, mingw-w64) it includes the real headers and adds what an
 * older SDK leaves out: link with ws2_32. Here it maps the WinSock spellings
 * to hvs_ws_* functions of libhvsocket: link with hvsocket.
 *
 * Here the names of WinSock are macros (socket, bind, send, recv, select,
 * shutdown, SOL_SOCKET, ...), which take the place of libc's for the rest of
 * the file, with WinSock's conventions: failures return SOCKET_ERROR or
 * INVALID_SOCKET, the reason is WSAGetLastError() and not errno, SO_RCVTIMEO
 * takes a DWORD of milliseconds. So include it last, and do not mix both
 * conventions in one file; or define HVSOCKET_WINSOCK_NO_NAMES first, and only
 * types, WSA numbers and hvs_ws_* are defined. Sockets of other families work
 * through it too. HVSOCKET_WINSOCK_NO_TYPES leaves out BYTE, DWORD, BOOL and
 * their like, for programs that have them from elsewhere.
 *
 * What differs from Windows:
 *   - a SOCKET is a file descriptor: an int, and INVALID_SOCKET is -1;
 *   - a signal does not end a call: it is begun again (WSAEINTR is left for
 *     what closesocket() in another thread interrupts);
 *   - overlapped operations are not there: WSA_FLAG_OVERLAPPED is accepted
 *     and means nothing;
 *   - FormatMessage() is not there: hvs_wsa_strerror() is.
 */
#ifndef HVSOCKET_WINSOCK_H
#define HVSOCKET_WINSOCK_H

#ifdef _WIN32

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <winsock2.h>
#include <ws2tcpip.h>

/*
 * The toolchain's own <hvsocket.h>, not the one beside this folder, which is
 * for Linux; then, one by one, what it does not have. A toolchain without any
 * (or HVSOCKET_WINSOCK_NO_SDK) gets all of it from here.
 */
#if defined(HVSOCKET_WINSOCK_NO_SDK)
/* nothing */
#elif defined(__GNUC__)
#pragma GCC system_header
#if __has_include_next(<hvsocket.h>)
#include_next <hvsocket.h>
#define HVSOCKET_WINSOCK_SDK 1
#endif
#else
#include <initguid.h>
#include <hvsocket.h>
#define HVSOCKET_WINSOCK_SDK 1
#endif

#ifndef AF_HYPERV
#define AF_HYPERV 34
#endif
#ifndef HV_PROTOCOL_RAW
#define HV_PROTOCOL_RAW 1
#endif
#ifndef HVSOCKET_CONNECT_TIMEOUT
#define HVSOCKET_CONNECT_TIMEOUT 0x01
#define HVSOCKET_CONNECT_TIMEOUT_MAX 300000
#endif
#ifndef HVSOCKET_CONTAINER_PASSTHRU
#define HVSOCKET_CONTAINER_PASSTHRU 0x02
#endif
#ifndef HVSOCKET_CONNECTED_SUSPEND
#define HVSOCKET_CONNECTED_SUSPEND 0x04
#endif
#ifndef HVSOCKET_HIGH_VTL
#define HVSOCKET_HIGH_VTL 0x08
#endif
#ifndef HVSOCKET_ADDRESS_FLAG_PASSTHRU
#define HVSOCKET_ADDRESS_FLAG_PASSTHRU 0x00000001
#endif

#ifndef HVSOCKET_WINSOCK_SDK
#include <initguid.h>

typedef struct _SOCKADDR_HV {
	ADDRESS_FAMILY Family;
	USHORT Reserved;
	GUID VmId;
	GUID ServiceId;
} SOCKADDR_HV, *PSOCKADDR_HV;

typedef struct _HVSOCKET_ADDRESS_INFO {
	GUID SystemId;
	GUID VirtualMachineId;
	GUID SiloId;
	ULONG Flags;
} HVSOCKET_ADDRESS_INFO, *PHVSOCKET_ADDRESS_INFO;

DEFINE_GUID(HV_GUID_ZERO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
#define HV_GUID_WILDCARD HV_GUID_ZERO
DEFINE_GUID(HV_GUID_BROADCAST, 0xffffffff, 0xffff, 0xffff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff);
DEFINE_GUID(HV_GUID_CHILDREN, 0x90db8b89, 0x0d35, 0x4f79, 0x8c, 0xe9, 0x49,
	    0xea, 0x0a, 0xc8, 0xb7, 0xcd);
DEFINE_GUID(HV_GUID_LOOPBACK, 0xe0e16197, 0xdd56, 0x4a10, 0x91, 0x95, 0x5e,
	    0xe7, 0xa1, 0x55, 0xa8, 0x38);
DEFINE_GUID(HV_GUID_PARENT, 0xa42e7cda, 0xd03f, 0x480c, 0x9c, 0xc2, 0xa4, 0xde,
	    0x20, 0xab, 0xb8, 0x78);
DEFINE_GUID(HV_GUID_SILOHOST, 0x36bd0c5c, 0x7276, 0x4223, 0x88, 0xba, 0x7d,
	    0x03, 0xb6, 0x54, 0xc5, 0x68);
DEFINE_GUID(HV_GUID_VSOCK_TEMPLATE, 0x00000000, 0xfacb, 0x11e6, 0xbd, 0x58,
	    0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3);
#endif

#else /* not Windows */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <hvsocket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types -------------------------------------------------------- */

#ifndef HVSOCKET_WINSOCK_NO_TYPES
typedef uint8_t BYTE;
typedef uint16_t WORD;
typedef uint32_t DWORD;
typedef int16_t SHORT;
typedef uint16_t USHORT;
typedef int32_t INT;
typedef uint32_t UINT;
typedef int32_t LONG;
typedef uint32_t ULONG;
typedef int BOOL;
typedef char CHAR;
typedef void *PVOID, *LPVOID;
typedef const char *LPCSTR;
typedef char *LPSTR;
typedef BYTE *PBYTE, *LPBYTE;
typedef DWORD *PDWORD, *LPDWORD;
typedef ULONG *PULONG;
typedef GUID *PGUID, *LPGUID;
#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif
#endif

typedef uint16_t ADDRESS_FAMILY;
typedef unsigned int GROUP;
typedef struct sockaddr SOCKADDR, *PSOCKADDR, *LPSOCKADDR;
typedef struct linger LINGER, *PLINGER, *LPLINGER;
typedef struct timeval TIMEVAL, *PTIMEVAL, *LPTIMEVAL;

typedef int SOCKET;
#define INVALID_SOCKET (-1)
#define SOCKET_ERROR (-1)

#define WSADESCRIPTION_LEN 256
#define WSASYS_STATUS_LEN 128

typedef struct WSAData {
	WORD wVersion;
	WORD wHighVersion;
	char szDescription[WSADESCRIPTION_LEN + 1];
	char szSystemStatus[WSASYS_STATUS_LEN + 1];
	unsigned short iMaxSockets;
	unsigned short iMaxUdpDg;
	char *lpVendorInfo;
} WSADATA, *LPWSADATA;

/* The same three members as Windows' WSAPOLLFD; the bits are Linux'. */
typedef struct pollfd WSAPOLLFD, *PWSAPOLLFD, *LPWSAPOLLFD;

/*
 * WinSock's set of sockets is an array, which can hold any handle and as many
 * as its size; define HVSOCKET_WINSOCK_SETSIZE before including for more.
 */
#ifndef HVSOCKET_WINSOCK_SETSIZE
#define HVSOCKET_WINSOCK_SETSIZE 64
#endif
typedef struct hvs_ws_fd_set {
	unsigned int fd_count;
	SOCKET fd_array[HVSOCKET_WINSOCK_SETSIZE];
} hvs_ws_fd_set;

#define SD_RECEIVE 0
#define SD_SEND 1
#define SD_BOTH 2

#define WSA_FLAG_OVERLAPPED 0x01
#define WSA_FLAG_NO_HANDLE_INHERIT 0x80

#ifndef MAKEWORD
#define MAKEWORD(low, high) \
	((WORD)(((low) & 0xff) | (((high) & 0xff) << 8)))
#endif
#ifndef LOBYTE
#define LOBYTE(w) ((BYTE)((w) & 0xff))
#define HIBYTE(w) ((BYTE)(((w) >> 8) & 0xff))
#endif

#ifndef DEFINE_GUID
#define DEFINE_GUID(name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8)      \
	static const GUID name __attribute__((unused)) = {                \
		l, w1, w2, { b1, b2, b3, b4, b5, b6, b7, b8 }             \
	}
#endif
#ifndef IsEqualGUID
#define IsEqualGUID(a, b) (!memcmp(&(a), &(b), sizeof(GUID)))
#endif

/* ---- Error numbers ------------------------------------------------ */

#define WSAEINTR 10004
#define WSAEBADF 10009
#define WSAEACCES 10013
#define WSAEFAULT 10014
#define WSAEINVAL 10022
#define WSAEMFILE 10024
#define WSAEWOULDBLOCK 10035
#define WSAEINPROGRESS 10036
#define WSAEALREADY 10037
#define WSAENOTSOCK 10038
#define WSAEDESTADDRREQ 10039
#define WSAEMSGSIZE 10040
#define WSAEPROTOTYPE 10041
#define WSAENOPROTOOPT 10042
#define WSAEPROTONOSUPPORT 10043
#define WSAESOCKTNOSUPPORT 10044
#define WSAEOPNOTSUPP 10045
#define WSAEPFNOSUPPORT 10046
#define WSAEAFNOSUPPORT 10047
#define WSAEADDRINUSE 10048
#define WSAEADDRNOTAVAIL 10049
#define WSAENETDOWN 10050
#define WSAENETUNREACH 10051
#define WSAENETRESET 10052
#define WSAECONNABORTED 10053
#define WSAECONNRESET 10054
#define WSAENOBUFS 10055
#define WSAEISCONN 10056
#define WSAENOTCONN 10057
#define WSAESHUTDOWN 10058
#define WSAETOOMANYREFS 10059
#define WSAETIMEDOUT 10060
#define WSAECONNREFUSED 10061
#define WSAELOOP 10062
#define WSAENAMETOOLONG 10063
#define WSAEHOSTDOWN 10064
#define WSAEHOSTUNREACH 10065
#define WSAENOTEMPTY 10066
#define WSAEPROCLIM 10067
#define WSAEUSERS 10068
#define WSAEDQUOT 10069
#define WSAESTALE 10070
#define WSAEREMOTE 10071
#define WSASYSNOTREADY 10091
#define WSAVERNOTSUPPORTED 10092
#define WSANOTINITIALISED 10093
#define WSAEDISCON 10101

/**
 * hvs_wsa_from_errno() - the WSAE number of an errno
 * hvs_wsa_to_errno() - the errno of a WSAE number
 * @error:	0 gives 0
 *
 * Return: what has no counterpart becomes WSASYSNOTREADY, and EIO. EAGAIN is
 * WSAEWOULDBLOCK, EBADF WSAENOTSOCK, EPIPE WSAECONNRESET: the calls below know
 * more than the number, and give WSAESHUTDOWN or WSAETIMEDOUT where it is.
 */
HVS_PUBLIC int hvs_wsa_from_errno(int error);
HVS_PUBLIC int hvs_wsa_to_errno(int error);

/**
 * hvs_wsa_strerror() - a WSAE number in words, in English, without a full stop
 *
 * Return: a constant string, also for unknown numbers.
 */
HVS_PUBLIC const char *hvs_wsa_strerror(int error);

/* ---- Functions ----------------------------------------------------
 *
 * Each does what the WinSock function of its name does, for sockets of any
 * family. All may be called from any thread, and borrow what they are given.
 */

/* hvs_ws_socket() gives WSANOTINITIALISED before the first, and after as many
 * cleanups as startups; versions from 1.0 to 2.2 are accepted. */
HVS_PUBLIC int hvs_ws_startup(WORD version, WSADATA *data);
HVS_PUBLIC int hvs_ws_cleanup(void);

/* Of this thread; a call that succeeds leaves it alone. */
HVS_PUBLIC int hvs_ws_get_last_error(void);
HVS_PUBLIC void hvs_ws_set_last_error(int error);

HVS_PUBLIC SOCKET hvs_ws_socket(int af, int type, int protocol);
/* @info is NULL; @flags: WSA_FLAG_OVERLAPPED, WSA_FLAG_NO_HANDLE_INHERIT. */
HVS_PUBLIC SOCKET hvs_ws_socket_ex(int af, int type, int protocol,
				   const void *info, GROUP group, DWORD flags);
HVS_PUBLIC int hvs_ws_bind(SOCKET s, const struct sockaddr *addr, int len);
HVS_PUBLIC int hvs_ws_listen(SOCKET s, int backlog);
HVS_PUBLIC SOCKET hvs_ws_accept(SOCKET s, struct sockaddr *addr, int *len);
HVS_PUBLIC int hvs_ws_connect(SOCKET s, const struct sockaddr *addr, int len);
HVS_PUBLIC int hvs_ws_getsockname(SOCKET s, struct sockaddr *addr, int *len);
HVS_PUBLIC int hvs_ws_getpeername(SOCKET s, struct sockaddr *addr, int *len);

/* Never raises SIGPIPE. WSAESHUTDOWN after shutdown(SD_SEND) of this process;
 * WSAECONNRESET where the peer is gone; WSAETIMEDOUT after SO_SNDTIMEO. */
HVS_PUBLIC int hvs_ws_send(SOCKET s, const void *buf, int len, int flags);
/* 0: the peer has shut down; WSAESHUTDOWN: this process has, and what was
 * there before has been read; WSAETIMEDOUT after SO_RCVTIMEO. */
HVS_PUBLIC int hvs_ws_recv(SOCKET s, void *buf, int len, int flags);
/* WSAENOTCONN where there is no connection; may be repeated. */
HVS_PUBLIC int hvs_ws_shutdown(SOCKET s, int how);
/* Threads of this process that wait in accept() or recv() on it are woken,
 * with WSAEINTR; for that the socket is shut down, in other processes too. */
HVS_PUBLIC int hvs_ws_closesocket(SOCKET s);

/* Level SOL_SOCKET with the SO_* below; HV_PROTOCOL_RAW and SOL_HVSOCKET with
 * HVSOCKET_*; every other level is the kernel's. */
HVS_PUBLIC int hvs_ws_setsockopt(SOCKET s, int level, int name,
				 const void *val, int len);
HVS_PUBLIC int hvs_ws_getsockopt(SOCKET s, int level, int name, void *val,
				 int *len);
/* FIONBIO, FIONREAD; @size is that of @arg, an u_long or ULONG: 4 or 8. */
HVS_PUBLIC int hvs_ws_ioctlsocket(SOCKET s, unsigned long cmd, void *arg,
				  size_t size);

HVS_PUBLIC int hvs_ws_poll(WSAPOLLFD *fds, ULONG count, int timeout_ms);

/* Each set is its count and its array; NULL for none. */
HVS_PUBLIC int hvs_ws_select_arrays(unsigned int *nr, SOCKET *r,
				    unsigned int *nw, SOCKET *w,
				    unsigned int *ne, SOCKET *e,
				    const struct timeval *timeout);

/* A failed connect is reported in @e, as on Windows. @nfds means nothing. */
static inline int hvs_ws_select(int nfds, hvs_ws_fd_set *r, hvs_ws_fd_set *w,
				hvs_ws_fd_set *e, const struct timeval *timeout)
{
	(void)nfds;
	return hvs_ws_select_arrays(r ? &r->fd_count : NULL,
				    r ? r->fd_array : NULL,
				    w ? &w->fd_count : NULL,
				    w ? w->fd_array : NULL,
				    e ? &e->fd_count : NULL,
				    e ? e->fd_array : NULL, timeout);
}

static inline void hvs_ws_fd_zero(hvs_ws_fd_set *set)
{
	set->fd_count = 0;
}

static inline int hvs_ws_fd_isset(SOCKET s, const hvs_ws_fd_set *set)
{
	unsigned int i;

	for (i = 0; i < set->fd_count; i++) {
		if (set->fd_array[i] == s)
			return 1;
	}
	return 0;
}

static inline void hvs_ws_fd_add(SOCKET s, hvs_ws_fd_set *set)
{
	if (set->fd_count < HVSOCKET_WINSOCK_SETSIZE &&
	    !hvs_ws_fd_isset(s, set))
		set->fd_array[set->fd_count++] = s;
}

static inline void hvs_ws_fd_clr(SOCKET s, hvs_ws_fd_set *set)
{
	unsigned int i, n = 0;

	for (i = 0; i < set->fd_count; i++) {
		if (set->fd_array[i] != s)
			set->fd_array[n++] = set->fd_array[i];
	}
	set->fd_count = n;
}

#ifdef __cplusplus
}
#endif

/* ---- WinSock's names ---------------------------------------------- */

#ifndef HVSOCKET_WINSOCK_NO_NAMES

#ifndef WSAAPI
#define WSAAPI
#endif

#define WSAStartup hvs_ws_startup
#define WSACleanup hvs_ws_cleanup
#define WSAGetLastError hvs_ws_get_last_error
#define WSASetLastError hvs_ws_set_last_error
#define WSASocket hvs_ws_socket_ex
#define WSASocketA hvs_ws_socket_ex
#define WSASocketW hvs_ws_socket_ex
#define WSAPoll hvs_ws_poll
#define socket hvs_ws_socket
#define bind hvs_ws_bind
#define listen hvs_ws_listen
#define connect hvs_ws_connect
#define getsockname hvs_ws_getsockname
#define getpeername hvs_ws_getpeername
#define shutdown hvs_ws_shutdown
#define closesocket hvs_ws_closesocket
#define select hvs_ws_select
#define accept hvs_ws_accept
#define send hvs_ws_send
#define recv hvs_ws_recv
#define setsockopt hvs_ws_setsockopt
#define getsockopt hvs_ws_getsockopt
#define ioctlsocket(s, cmd, arg) \
	hvs_ws_ioctlsocket(s, cmd, arg, sizeof(*(arg)))

#undef fd_set
#undef FD_SETSIZE
#undef FD_ZERO
#undef FD_SET
#undef FD_CLR
#undef FD_ISSET
#define fd_set hvs_ws_fd_set
#define FD_SETSIZE HVSOCKET_WINSOCK_SETSIZE
#define FD_ZERO(set) hvs_ws_fd_zero(set)
#define FD_SET(s, set) hvs_ws_fd_add(s, set)
#define FD_CLR(s, set) hvs_ws_fd_clr(s, set)
#define FD_ISSET(s, set) hvs_ws_fd_isset(s, set)

/*
 * WinSock's numbers, so that level SOL_SOCKET cannot be taken for
 * HV_PROTOCOL_RAW: on Linux both are 1.
 */
#undef SOL_SOCKET
#undef SO_DEBUG
#undef SO_ACCEPTCONN
#undef SO_REUSEADDR
#undef SO_KEEPALIVE
#undef SO_DONTROUTE
#undef SO_BROADCAST
#undef SO_LINGER
#undef SO_OOBINLINE
#undef SO_SNDBUF
#undef SO_RCVBUF
#undef SO_SNDLOWAT
#undef SO_RCVLOWAT
#undef SO_SNDTIMEO
#undef SO_RCVTIMEO
#undef SO_ERROR
#undef SO_TYPE
#undef SOMAXCONN
#define SOL_SOCKET 0xffff
#define SO_DEBUG 0x0001
#define SO_ACCEPTCONN 0x0002
#define SO_REUSEADDR 0x0004
#define SO_KEEPALIVE 0x0008
#define SO_DONTROUTE 0x0010
#define SO_BROADCAST 0x0020
#define SO_LINGER 0x0080
#define SO_OOBINLINE 0x0100
#define SO_DONTLINGER ((int)(~SO_LINGER))
#define SO_EXCLUSIVEADDRUSE ((int)(~SO_REUSEADDR))
#define SO_SNDBUF 0x1001
#define SO_RCVBUF 0x1002
#define SO_SNDLOWAT 0x1003
#define SO_RCVLOWAT 0x1004
#define SO_SNDTIMEO 0x1005
#define SO_RCVTIMEO 0x1006
#define SO_ERROR 0x1007
#define SO_TYPE 0x1008
#define SOMAXCONN 0x7fffffff

#endif /* HVSOCKET_WINSOCK_NO_NAMES */
#endif /* _WIN32 */
#endif /* HVSOCKET_WINSOCK_H */
