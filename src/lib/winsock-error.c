/* SPDX-License-Identifier: MIT */
/*
 * winsock-error.c - errno and WSAE numbers, both ways, and in words
 *
 * One table in the order in which an errno with several spellings prefers
 * them; several errno values may share a WSAE number, and then the first line
 * with it is the way back.
 */
#define HVSOCKET_WINSOCK_NO_NAMES
#include <hvsocket/winsock.h>

#include <errno.h>

#include "base/bytes.h"

static const struct {
	int wsa, error;
	const char *text;
} table[] = {
	{ WSAEINTR, EINTR, "a blocking call was interrupted" },
	{ WSAEACCES, EACCES, "access denied" },
	{ WSAEACCES, EPERM, "" },
	{ WSAEFAULT, EFAULT, "bad address, or too little room for one" },
	{ WSAEINVAL, EINVAL, "invalid argument" },
	{ WSAEMFILE, EMFILE, "too many open sockets" },
	{ WSAEMFILE, ENFILE, "" },
	{ WSAEWOULDBLOCK, EAGAIN, "the call would block" },
	{ WSAEINPROGRESS, EINPROGRESS, "a blocking call is in progress" },
	{ WSAEALREADY, EALREADY, "the operation is already in progress" },
	{ WSAENOTSOCK, ENOTSOCK, "not a socket" },
	{ WSAENOTSOCK, EBADF, "" },
	{ WSAEBADF, EBADF, "bad file handle" },
	{ WSAEDESTADDRREQ, EDESTADDRREQ, "destination address required" },
	{ WSAEMSGSIZE, EMSGSIZE, "message too long" },
	{ WSAEPROTOTYPE, EPROTOTYPE, "wrong type for the protocol" },
	{ WSAENOPROTOOPT, ENOPROTOOPT, "no such option" },
	{ WSAEPROTONOSUPPORT, EPROTONOSUPPORT, "protocol not supported" },
	{ WSAESOCKTNOSUPPORT, ESOCKTNOSUPPORT, "socket type not supported" },
	{ WSAEOPNOTSUPP, EOPNOTSUPP, "operation not supported" },
	{ WSAEPFNOSUPPORT, EPFNOSUPPORT, "protocol family not supported" },
	{ WSAEAFNOSUPPORT, EAFNOSUPPORT, "address family not supported" },
	{ WSAEADDRINUSE, EADDRINUSE, "address already in use" },
	{ WSAEADDRNOTAVAIL, EADDRNOTAVAIL, "address not available" },
	{ WSAENETDOWN, ENETDOWN, "network is down: no broker answers" },
	{ WSAENETUNREACH, ENETUNREACH, "network is unreachable" },
	{ WSAENETRESET, ENETRESET, "connection dropped by a reset" },
	{ WSAECONNABORTED, ECONNABORTED, "connection aborted" },
	{ WSAECONNRESET, ECONNRESET, "connection reset by the peer" },
	{ WSAECONNRESET, EPIPE, "" },
	{ WSAENOBUFS, ENOBUFS, "no buffer space, or over quota" },
	{ WSAENOBUFS, ENOMEM, "" },
	{ WSAEISCONN, EISCONN, "already connected" },
	{ WSAENOTCONN, ENOTCONN, "not connected" },
	{ WSAESHUTDOWN, ESHUTDOWN, "the socket has been shut down" },
	{ WSAETOOMANYREFS, ETOOMANYREFS, "too many references" },
	{ WSAETIMEDOUT, ETIMEDOUT, "timed out" },
	{ WSAECONNREFUSED, ECONNREFUSED, "connection refused" },
	{ WSAELOOP, ELOOP, "too many levels of symbolic links" },
	{ WSAENAMETOOLONG, ENAMETOOLONG, "name too long" },
	{ WSAEHOSTDOWN, EHOSTDOWN, "the partition is off" },
	{ WSAEHOSTUNREACH, EHOSTUNREACH, "no route to the partition" },
	{ WSAENOTEMPTY, ENOTEMPTY, "directory not empty" },
	{ WSAEUSERS, EUSERS, "too many users" },
	{ WSAEDQUOT, EDQUOT, "disk quota exceeded" },
	{ WSAESTALE, ESTALE, "stale handle" },
	{ WSAEREMOTE, EREMOTE, "the object is remote" },
	{ WSASYSNOTREADY, EIO, "the network subsystem failed" },
	{ WSAEPROCLIM, EAGAIN, "too many processes" },
	{ WSAVERNOTSUPPORTED, EPROTO, "WinSock version not supported" },
	{ WSANOTINITIALISED, ENODEV, "WSAStartup has not been called" },
	{ WSAEDISCON, ESHUTDOWN, "graceful shutdown in progress" },
};

int hvs_wsa_from_errno(int error)
{
	size_t i;

	if (!error)
		return 0;
	for (i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].error == error)
			return table[i].wsa;
	}
	return WSASYSNOTREADY;
}

int hvs_wsa_to_errno(int error)
{
	size_t i;

	if (!error)
		return 0;
	for (i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].wsa == error)
			return table[i].error;
	}
	return EIO;
}

const char *hvs_wsa_strerror(int error)
{
	size_t i;

	if (!error)
		return "no error";
	for (i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].wsa == error)
			return table[i].text;
	}
	return "unknown error";
}
