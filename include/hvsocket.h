/* SPDX-License-Identifier: MIT */
/*
 * hvsocket.h - Hyper-V sockets on Linux
 *
 * The names, numbers and layouts are those of the Windows SDK's <hvsocket.h>
 * (reference: Microsoft, "Make your own integration services"); the hvs_*
 * calls are the socket calls for this address family. What a call returns is
 * a real AF_UNIX descriptor: read(2), write(2), sendmsg(2), poll(2), epoll(7),
 * select(2), shutdown(2), splice(2), dup(2), fork(2) and io_uring are the
 * kernel's own and are not wrapped.
 *
 * Conventions of every hvs_* call, unless it says otherwise:
 *
 *   - like the call of libc that it is named after it returns -1 and sets
 *     errno on failure; hvs_reason() then tells why in more words;
 *   - it borrows every descriptor and every pointer that it is given;
 *   - it may be called from any thread, and from a forked child;
 *   - it never prints, never exits, starts no thread, installs no handler, and
 *     never raises SIGPIPE;
 *   - it is not a cancellation point, and only hvs_connect() and hvs_dial()
 *     are ended by a signal (one whose handler was installed without
 *     SA_RESTART);
 *   - it sleeps only for the broker's answer, which is immediate, except where
 *     "Blocks" is said.
 *
 * Errors which every call that asks the broker can give, besides its own:
 * ENETDOWN (no broker answers: reason "no broker"), ETIMEDOUT (it does not
 * answer in time), EPROTO (its answer makes no sense), ENOMEM, EMFILE, ENFILE,
 * ETOOMANYREFS (too many descriptors in flight: RLIMIT_NOFILE).
 */
#ifndef HVSOCKET_H
#define HVSOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "hvsocket addresses are little-endian: no big-endian hosts"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && __GNUC__ >= 4
#define HVS_PUBLIC __attribute__((visibility("default")))
#else
#define HVS_PUBLIC
#endif

/* ---- Constants of the Windows SDK ---------------------------------------*/

#define AF_HYPERV	34
#define PF_HYPERV	AF_HYPERV

/* The protocol of a Hyper-V socket, and the level of its options. */
#define HV_PROTOCOL_RAW	1

/* Options at level HV_PROTOCOL_RAW, or SOL_HVSOCKET: see hvs_setsockopt(). */
#define HVSOCKET_CONNECT_TIMEOUT	0x01
#define HVSOCKET_CONNECT_TIMEOUT_MAX	300000
#define HVSOCKET_CONTAINER_PASSTHRU	0x02
#define HVSOCKET_CONNECTED_SUSPEND	0x04
#define HVSOCKET_HIGH_VTL		0x08

#define HVSOCKET_ADDRESS_FLAG_PASSTHRU	0x00000001

/*
 * HV_PROTOCOL_RAW has the number of SOL_SOCKET on Linux. hvs_setsockopt() and
 * hvs_getsockopt() never mean SOL_SOCKET by it; this level says so to readers
 * and is the only one that the preload library takes for the options below.
 */
#define SOL_HVSOCKET	0x4856

/* Ours, at level SOL_HVSOCKET only. */
#define HVSOCKET_WAIT_LISTENER	0x100
#define HVSOCKET_ERROR		0x101

/* What HVSOCKET_CONNECT_TIMEOUT is until it is set, in milliseconds. */
#define HVSOCKET_CONNECT_TIMEOUT_DEFAULT 2000

/* ---- Types ---------------------------------------------------------------*/

/* A GUID in Windows byte order: Data1..3 little-endian, Data4 as written. */
#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
	uint32_t Data1;
	uint16_t Data2;
	uint16_t Data3;
	uint8_t Data4[8];
} GUID;
#endif

/*
 * The address: 36 bytes without padding. Family is AF_HYPERV, Reserved 0.
 * (Reference: hyperv-sockets-api, "Structures".)
 */
typedef struct SOCKADDR_HV {
	uint16_t Family;
	uint16_t Reserved;
	GUID VmId;
	GUID ServiceId;
} SOCKADDR_HV, *PSOCKADDR_HV;

/* Ties a compute system's GUID to a VM and a silo: 52 bytes. */
typedef struct HVSOCKET_ADDRESS_INFO {
	GUID SystemId;
	GUID VirtualMachineId;
	GUID SiloId;
	uint32_t Flags;
} HVSOCKET_ADDRESS_INFO, *PHVSOCKET_ADDRESS_INFO;

/* ---- Well-known GUIDs ----------------------------------------------------*/

/* As bound: every partition. As a destination: EADDRNOTAVAIL. */
HVS_PUBLIC extern const GUID HV_GUID_ZERO;
HVS_PUBLIC extern const GUID HV_GUID_WILDCARD;
/* Datagrams to every child. */
HVS_PUBLIC extern const GUID HV_GUID_BROADCAST;
/* As bound: the partition's children. */
HVS_PUBLIC extern const GUID HV_GUID_CHILDREN;
/* The caller's own partition. */
HVS_PUBLIC extern const GUID HV_GUID_LOOPBACK;
/* The caller's parent: VM -> host, container -> its container host. */
HVS_PUBLIC extern const GUID HV_GUID_PARENT;
/* The host of a container. */
HVS_PUBLIC extern const GUID HV_GUID_SILOHOST;
/* A ServiceId whose Data1 is an AF_VSOCK port. */
HVS_PUBLIC extern const GUID HV_GUID_VSOCK_TEMPLATE;

/* ---- Sockets -------------------------------------------------------------*/

/**
 * hvs_socket() - make a Hyper-V socket
 * @af:		AF_HYPERV
 * @type:	SOCK_STREAM, a byte stream; or SOCK_RAW, also spelled
 *		SOCK_SEQPACKET, a connection that keeps the bounds of messages
 *		of 1 byte to 64 KiB; or SOCK_DGRAM, datagrams of up to 64 KiB
 *		(hvs_sendto()); or'ed with SOCK_NONBLOCK and SOCK_CLOEXEC
 * @protocol:	HV_PROTOCOL_RAW
 *
 * Return: a new descriptor, owned by the caller, closed with close(2); or -1.
 * Errors: EAFNOSUPPORT (@af), EPROTONOSUPPORT (@protocol), EINVAL (other types
 * and flags), and socket(2)'s.
 */
HVS_PUBLIC int hvs_socket(int af, int type, int protocol);

/**
 * hvs_bind() - give a socket its local address
 * @fd:		a socket of hvs_socket(), not bound and not connected
 * @addr:	VmId: whom to hear (hvsocket(7), "Addresses"); ServiceId: the
 *		service; both zero: decided by hvs_listen() or hvs_connect()
 * @len:	sizeof(SOCKADDR_HV), exactly
 *
 * Return: 0 or -1. Errors: EINVAL (@len, Reserved is not 0, already bound),
 * EFAULT, EAFNOSUPPORT (Family), EACCES (not registered, bind denied),
 * EADDRINUSE, EADDRNOTAVAIL (PARENT where there is none, and addresses that
 * cannot be bound), EHOSTUNREACH (VmId unknown), ENOBUFS (over quota),
 * ENOTSOCK, EBADF.
 */
HVS_PUBLIC int hvs_bind(int fd, const SOCKADDR_HV *addr, socklen_t len);

/**
 * hvs_listen() - take connections
 * @fd:		a bound socket
 * @backlog:	as in listen(2)
 *
 * Plain listen(2) works as well; this call also tells programs that wait for
 * the listener, gives an address to a socket bound to zero/zero, and refuses
 * where Hyper-V does.
 *
 * Return: 0 or -1. Errors: EINVAL (not bound; the service is disabled for the
 * exact VmId bound), listen(2)'s.
 */
HVS_PUBLIC int hvs_listen(int fd, int backlog);

/**
 * hvs_accept() - take one connection
 * @fd:		a listening socket
 * @addr:	the peer's address is written here; may be NULL
 * @len:	in: room at @addr; out: 36; NULL if @addr is
 * @flags:	SOCK_NONBLOCK, SOCK_CLOEXEC, or 0
 *
 * Plain accept4(2) works as well, unless @fd was made with HVS_NATIVE. Blocks
 * unless @fd is O_NONBLOCK; with HVS_NATIVE also, for 2 s at most, until the
 * guest's connection has been handed over, which is immediate.
 *
 * Return: a descriptor owned by the caller, or -1. Errors: accept4(2)'s;
 * ECONNABORTED (the guest's connection was not handed over).
 */
HVS_PUBLIC int hvs_accept(int fd, SOCKADDR_HV *addr, socklen_t *len, int flags);

/**
 * hvs_connect() - connect to a service
 * @fd:		a socket of hvs_socket(); unbound, or bound to zero/zero
 * @addr:	VmId: the partition; ServiceId: the service
 * @len:	sizeof(SOCKADDR_HV)
 *
 * Blocks until connected, refused, or HVSOCKET_CONNECT_TIMEOUT has passed.
 * With O_NONBLOCK a connect within the host is decided at once; one to a
 * guest gives EINPROGRESS and completes by POLLOUT on this descriptor, after
 * which hvs_getsockopt(HVSOCKET_ERROR) says how. The socket stays usable for
 * another try after a failure, except after EINPROGRESS: from then on
 * ECONNABORTED, once the error itself has been read. While the call lasts a
 * blocking @fd has O_NONBLOCK, for everyone who shares it.
 *
 * A socket of type SOCK_DGRAM gets a destination for hvs_sendto() without an
 * address, in this process and children forked later, again and again; Family
 * AF_UNSPEC takes it away. That nobody is there yet is no error.
 *
 * Return: 0 or -1. Errors: EINPROGRESS; EALREADY (one is in progress);
 * EISCONN; EINVAL (@len, Reserved, the socket is bound to a service, or the
 * service is disabled); EAFNOSUPPORT; EACCES (not registered, connect denied,
 * bind denied, blocked by the security module); ECONNREFUSED (no listener,
 * wildcard bind not allowed to match, backlog full); EHOSTUNREACH (partition
 * unknown); EHOSTDOWN (partition off); ETIMEDOUT (no answer); ENOBUFS (over
 * quota); EADDRNOTAVAIL (WILDCARD, CHILDREN; PARENT on the host);
 * EPROTONOSUPPORT (type not carried by the partition's transport); EINTR (a
 * signal came; the connect is abandoned and may be tried again).
 */
HVS_PUBLIC int hvs_connect(int fd, const SOCKADDR_HV *addr, socklen_t len);

/* ---- Datagrams -----------------------------------------------------------*/

/**
 * hvs_sendto() - send one datagram
 * hvs_sendmsg() - the same, from several buffers
 * @fd:		a socket of type SOCK_DGRAM
 * @buf, @len:	0 to 65,536 bytes
 * @flags:	MSG_DONTWAIT, MSG_NOSIGNAL (always on), MSG_EOR, MSG_CONFIRM
 *		(no effect)
 * @addr:	VmId: a partition, or BROADCAST: every child with a socket on
 *		the service; ServiceId: the service. NULL: as hvs_connect() set
 * @addr_len:	sizeof(SOCKADDR_HV)
 * @msg:	as of sendmsg(2), msg_name a SOCKADDR_HV; no ancillary data
 *
 * A socket that is not bound is bound to zero/zero: it has a number, and hears
 * answers only. Whether the destination can be reached is asked of the broker,
 * at most once a second; what happens to a datagram after that nobody is told:
 * it may be dropped (a receiver that does not read), and `hvctl status` counts
 * it. Blocks while this sender's queue is full, unless O_NONBLOCK or
 * MSG_DONTWAIT.
 *
 * Such a socket is SOCK_SEQPACKET to getsockopt(SO_TYPE), and read(2), write(2)
 * and the kernel's send(2) and recv(2) see the header of each datagram: use
 * these calls. shutdown(2) of either direction ends the socket. poll(2), epoll
 * and SO_SNDTIMEO, SO_RCVTIMEO are the kernel's, once the socket is bound. A
 * program that got the descriptor by exec or SCM_RIGHTS can use it if it was
 * bound before. On sockets of the other types these calls are send(2),
 * sendmsg(2), recv(2) and recvmsg(2).
 *
 * Return: bytes sent, or -1. Errors: EDESTADDRREQ (no @addr, and none set),
 * EMSGSIZE, EAGAIN, EINTR, EOPNOTSUPP (@flags, ancillary data), EISCONN (@addr
 * for a socket of another type), hvs_connect()'s refusals, ENETDOWN (no broker,
 * or hvsocket-dgram has ended: the socket is of no more use), ENOTSOCK, EBADF.
 */
HVS_PUBLIC ssize_t hvs_sendto(int fd, const void *buf, size_t len, int flags,
			      const SOCKADDR_HV *addr, socklen_t addr_len);
HVS_PUBLIC ssize_t hvs_sendmsg(int fd, const struct msghdr *msg, int flags);

/**
 * hvs_recvfrom() - take one datagram
 * hvs_recvmsg() - the same, into several buffers
 * @fd:		a socket of type SOCK_DGRAM that is bound, or has sent
 * @buf, @len:	what does not fit is lost
 * @flags:	MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC (the result is the datagram's
 *		length, whatever @len); MSG_WAITALL, MSG_NOSIGNAL,
 *		MSG_CMSG_CLOEXEC (no effect)
 * @addr:	the sender as this partition sees it: an answer goes there; or
 *		NULL
 * @addr_len:	in: room at @addr; out: 36
 * @msg:	as of recvmsg(2); msg_flags has MSG_TRUNC where it was cut
 *
 * Blocks until there is one, unless O_NONBLOCK or MSG_DONTWAIT. A socket with a
 * destination of hvs_connect() hears everybody still.
 *
 * Return: bytes, 0 for an empty datagram, or -1. Errors: EAGAIN, EINTR,
 * ENOTCONN (neither bound nor sent), EOPNOTSUPP (@flags), EFAULT, EINVAL,
 * EPROTO, ENETDOWN (hvsocket-dgram has ended), ENOTSOCK, EBADF.
 */
HVS_PUBLIC ssize_t hvs_recvfrom(int fd, void *buf, size_t len, int flags,
				SOCKADDR_HV *addr, socklen_t *addr_len);
HVS_PUBLIC ssize_t hvs_recvmsg(int fd, struct msghdr *msg, int flags);

/* ---- Of all types --------------------------------------------------------*/

/**
 * hvs_getsockname() - the local address
 * hvs_getpeername() - the peer's address
 * @fd:		a Hyper-V socket
 * @addr:	written up to the room given
 * @len:	in: room at @addr in bytes; out: 36
 *
 * hvs_getsockname() of a socket that is not bound gives zero/zero; of a
 * connecting one VmId zero and the number that stands for its end.
 * hvs_getpeername() of an accepted socket gives who connected as this
 * partition sees it: a child's VmId, PARENT, LOOPBACK or SILOHOST; of a
 * connecting one the address that was dialled. One system call for accepted
 * sockets, no broker asked.
 *
 * Return: 0 or -1. Errors: ENOTCONN (not connected, or still connecting),
 * ENOTSOCK (@fd is no Hyper-V socket), EFAULT, EINVAL, EBADF.
 */
HVS_PUBLIC int hvs_getsockname(int fd, SOCKADDR_HV *addr, socklen_t *len);
HVS_PUBLIC int hvs_getpeername(int fd, SOCKADDR_HV *addr, socklen_t *len);

/**
 * hvs_setsockopt() - set an option of Hyper-V sockets
 * hvs_getsockopt() - read one
 * @fd:		a Hyper-V socket
 * @level:	HV_PROTOCOL_RAW or SOL_HVSOCKET
 * @name:	one of
 *	HVSOCKET_CONNECT_TIMEOUT	uint32_t, ms, 1..300000; 0: default
 *	HVSOCKET_CONTAINER_PASSTHRU	uint32_t 0 or 1: a container's PARENT
 *					is its VM's host
 *	HVSOCKET_CONNECTED_SUSPEND	uint32_t 0 or 1: keep the connection
 *					while the VM is paused; kept with the
 *					socket (hvsocket(7) says what it does)
 *	HVSOCKET_HIGH_VTL		uint32_t 0 or 1; connecting with 1 is
 *					refused: no guest here has VTL 2
 *	HVSOCKET_WAIT_LISTENER		(SOL_HVSOCKET only) uint32_t 0 or 1:
 *					a blocking connect waits until there
 *					is a listener or the timeout passes;
 *					no effect on O_NONBLOCK sockets
 *	HVSOCKET_ERROR			(SOL_HVSOCKET only, read only) int:
 *					SO_ERROR, with the true errno after a
 *					non-blocking connect failed
 * @val:	the value
 * @len:	its size: 4
 *
 * Options of other levels are the kernel's: use setsockopt(2). Options are
 * kept per socket, in this process and in children forked later.
 *
 * Return: 0 or -1. Errors: ENOPROTOOPT (unknown @level or @name), EINVAL
 * (@len, value out of range), ENOTSOCK, EBADF.
 */
HVS_PUBLIC int hvs_setsockopt(int fd, int level, int name, const void *val,
			      socklen_t len);
HVS_PUBLIC int hvs_getsockopt(int fd, int level, int name, void *val,
			      socklen_t *len);

/* ---- Why ---------------------------------------------------------------- */

/* Reason codes; the errno each goes with is in hvsocket(7). */
enum hvs_reason_code {
	HVS_REASON_NONE = 0,
	HVS_REASON_NOT_REGISTERED = 1,
	HVS_REASON_BIND_DENIED = 2,
	HVS_REASON_CONNECT_DENIED = 3,
	HVS_REASON_SECURITY_MODULE = 4,
	HVS_REASON_DISABLED = 5,
	HVS_REASON_NO_LISTENER = 6,
	HVS_REASON_WILDCARD = 7,
	HVS_REASON_BACKLOG = 8,
	HVS_REASON_PARTITION_UNKNOWN = 9,
	HVS_REASON_PARTITION_OFF = 10,
	HVS_REASON_NO_ANSWER = 11,
	HVS_REASON_QUOTA = 12,
	HVS_REASON_NO_BROKER = 13,
	HVS_REASON_ADDRESS_TAKEN = 14,
	HVS_REASON_NOT_A_DESTINATION = 15,
	HVS_REASON_TYPE = 16,
	HVS_REASON_BAD_REQUEST = 17,
	HVS_REASON_NO_LONGER_ALLOWED = 18,
	HVS_REASON_NOT_PERMITTED = 19,
	HVS_REASON_NOT_FOUND = 20,
	HVS_REASON_EXISTS = 21,
	HVS_REASON_GUEST_RESET = 22,
	HVS_REASON_BROKER_FAILED = 23
};

struct hvs_reason {
	uint32_t code;		/* enum hvs_reason_code; more may be added */
	int32_t error;		/* the errno that goes with it */
	char text[376];		/* one sentence, ended by a zero byte */
	char broker[128];	/* runtime directory of the broker asked */
};

/**
 * hvs_reason() - why the last call on this socket failed
 * @fd:		the socket; or -1: the last failed hvs_* call of this thread
 * @reason:	filled in; code HVS_REASON_NONE if nothing failed, or where
 *		errno says all there is (@fd -1: text is then errno's)
 *
 * After a non-blocking connect has failed this asks the broker for its reason.
 * Return: 0 or -1. Errors: EBADF, ENOTSOCK.
 */
#if defined(__cplusplus) && defined(__GNUC__)
/* In C++ the function hides the constructor of the structure it is named as. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
HVS_PUBLIC int hvs_reason(int fd, struct hvs_reason *reason);
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/**
 * hvs_reason_name() - a reason's short name ("no listener")
 * @code:	enum hvs_reason_code
 *
 * Return: a constant string; "unknown" for other numbers.
 */
HVS_PUBLIC const char *hvs_reason_name(uint32_t code);

/* ---- Names, GUIDs and addresses as text ---------------------------------- */

#define HVS_GUID_TEXT_SIZE	37

/**
 * hvs_guid_parse() - read a GUID: any case, with or without braces
 * @text:	the whole string must be the GUID
 * @guid:	untouched on failure
 *
 * Return: 0 or -1 (EINVAL). Asks nobody.
 */
HVS_PUBLIC int hvs_guid_parse(const char *text, GUID *guid);

/**
 * hvs_guid_format() - write a GUID: lower case, no braces, zero-ended
 * @guid:	the GUID
 * @text:	room for HVS_GUID_TEXT_SIZE bytes
 *
 * Return: @text.
 */
HVS_PUBLIC char *hvs_guid_format(const GUID *guid, char *text);

/**
 * hvs_guid_make() - a new random GUID (version 4)
 * @guid:	written
 *
 * Return: 0 or -1 (getrandom(2)'s errors).
 */
HVS_PUBLIC int hvs_guid_make(GUID *guid);

/**
 * hvs_guid_from_port() - the ServiceId of an AF_VSOCK port
 * hvs_guid_to_port() - and back
 * @port:	AF_VSOCK port
 * @guid:	ServiceId
 *
 * hvs_guid_to_port() returns 0, or -1 with EINVAL and @port untouched where
 * @guid is not in the VSOCK template. Reference: "VSOCK template".
 */
HVS_PUBLIC void hvs_guid_from_port(uint32_t port, GUID *guid);
HVS_PUBLIC int hvs_guid_to_port(const GUID *guid, uint32_t *port);

/**
 * hvs_address_parse() - read "PARTITION:SERVICE"
 * @text:	each part a name, a GUID in any spelling, or a word (wildcard,
 *		children, parent, loopback, silohost, host); a service also a
 *		port number. Names are looked up by the broker.
 * @addr:	untouched on failure
 *
 * Return: 0 or -1. Errors: EINVAL (form), EHOSTUNREACH (no such partition),
 * ENOENT (no such service).
 */
HVS_PUBLIC int hvs_address_parse(const char *text, SOCKADDR_HV *addr);

#define HVS_ADDRESS_TEXT_SIZE	256
#define HVS_FORMAT_NUMERIC	1u	/* GUIDs only; asks nobody */

/**
 * hvs_address_format() - write an address for people
 * @addr:	the address
 * @text:	where to; zero-ended
 * @size:	room there; HVS_ADDRESS_TEXT_SIZE is always enough
 * @flags:	0: names where the broker knows them; HVS_FORMAT_NUMERIC
 *
 * Return: 0 or -1. Errors: ENOSPC, EINVAL (@flags). Without a broker it
 * writes GUIDs.
 */
HVS_PUBLIC int hvs_address_format(const SOCKADDR_HV *addr, char *text,
				  size_t size, unsigned int flags);

/* ---- In one call ---------------------------------------------------------*/

#define HVS_DIAL_RAW		1u	/* type RAW instead of STREAM */
#define HVS_DIAL_NONBLOCK	2u	/* O_NONBLOCK afterwards */
#define HVS_DIAL_WAIT		4u	/* wait for a listener */
#define HVS_NATIVE		8u	/* the guest's own socket, if any */

/**
 * hvs_dial() - a connected socket from an address as text
 * @address:	as for hvs_address_parse(): "web1:echo"
 * @timeout_ms:	1..300000; 0: the default
 * @flags:	HVS_DIAL_*, HVS_NATIVE
 *
 * Blocks as hvs_connect() does. With HVS_NATIVE the descriptor may be that of
 * the guest's connection itself, with no process of ours in between: it has no
 * Hyper-V address then. The descriptor is close-on-exec and the caller's.
 * Return: a descriptor or -1; errors of hvs_address_parse(), hvs_socket(),
 * hvs_connect(); EINVAL (@flags). hvs_reason(-1) tells more.
 */
HVS_PUBLIC int hvs_dial(const char *address, uint32_t timeout_ms,
			unsigned int flags);

/**
 * hvs_serve() - a listening socket from an address as text
 * @address:	"wildcard:echo", "children:5000", "web1:echo"
 * @backlog:	as in listen(2)
 * @flags:	HVS_DIAL_RAW, HVS_DIAL_NONBLOCK, HVS_NATIVE
 *
 * With HVS_NATIVE what hvs_accept() returns may be the guest's connection
 * itself, with no process of ours in between; only hvs_accept() can take such
 * connections, and only streams are handed over.
 *
 * Return: a descriptor (close-on-exec, the caller's) or -1; errors of
 * hvs_address_parse(), hvs_socket(), hvs_bind(), hvs_listen().
 */
HVS_PUBLIC int hvs_serve(const char *address, int backlog, unsigned int flags);

/**
 * hvs_partition() - which partition is this process in?
 * @vmid:	its VmId, zero on the host; may be NULL
 * @name:	its name, cut to @size; may be NULL
 * @size:	room at @name
 *
 * Return: 0 or -1 (ENETDOWN: no broker).
 */
HVS_PUBLIC int hvs_partition(GUID *vmid, char *name, size_t size);

/* ABI: sizes are fixed. */
#if defined(__cplusplus) && __cplusplus >= 201103L
static_assert(sizeof(SOCKADDR_HV) == 36, "SOCKADDR_HV is 36 bytes");
static_assert(sizeof(HVSOCKET_ADDRESS_INFO) == 52, "52 bytes");
static_assert(sizeof(struct hvs_reason) == 512, "512 bytes");
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(SOCKADDR_HV) == 36, "SOCKADDR_HV is 36 bytes");
_Static_assert(sizeof(HVSOCKET_ADDRESS_INFO) == 52, "52 bytes");
_Static_assert(sizeof(struct hvs_reason) == 512, "512 bytes");
#endif

#ifdef __cplusplus
}
#endif

#endif /* HVSOCKET_H */
