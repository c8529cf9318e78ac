/* SPDX-License-Identifier: MIT */
/*
 * names.c - hvs_getsockname(), hvs_getpeername(), hvs_partition()
 *
 * Addresses are read from the names that the broker gave the sockets
 * (docs/protocol.md, section 6); nobody is asked.
 */
#include <errno.h>
#include <string.h>

#include "lib/address.h"
#include "lib/call.h"
#include "lib/dgram.h"
#include "lib/parked.h"
#include "lib/pool.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"
#include "lib/vsock.h"
#include "proto/name.h"

static int own_name(int fd, struct name *ret)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);

	if (sys_getsockname(fd, &sa, &len) < 0)
		return -1;
	name_decode(&sa, len, ret);
	return 0;
}

static int peer_name(int fd, struct name *ret)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);

	if (sys_getpeername(fd, &sa, &len) < 0)
		return -1;
	name_decode(&sa, len, ret);
	return 0;
}

static int foreign(int fd)
{
	return hvs__fail(fd, ENOTSOCK, HVS_REASON_BAD_REQUEST, NULL,
			 "this is no Hyper-V socket");
}

int hvs_getsockname(int fd, SOCKADDR_HV *addr, socklen_t *len)
{
	SOCKADDR_HV a = address_none();
	struct name n;

	if (vsock_is(fd))
		return vsock_name(fd, false, addr, len);
	if (own_name(fd, &n) < 0)
		return hvs__fail_errno();
	switch (n.kind) {
	case NAME_NONE:
		break;
	case NAME_LISTENER:
		a.VmId = n.listener.vmid;
		a.ServiceId = n.listener.service;
		break;
	case NAME_DATAGRAM:
		a.VmId = n.connector.peer;
		a.ServiceId = n.connector.peer_service;
		break;
	case NAME_CONNECTOR:
		a.ServiceId = n.connector.peer_service;
		break;
	case NAME_FOREIGN:
	case NAME_RENDEZVOUS:
		return foreign(fd);
	}
	return address_give(&a, addr, len);
}

/* Is a connect in progress, or did it fail? Then there is no peer. */
static bool no_peer_yet(int fd)
{
	struct sock_state s;

	if (!state_get(fd, &s) || s.parked == PARKED_NO)
		return false;
	parked_resolve(fd);
	(void)state_get(fd, &s);
	return s.parked != PARKED_NO;
}

int hvs_getpeername(int fd, SOCKADDR_HV *addr, socklen_t *len)
{
	SOCKADDR_HV a = address_none();
	struct name n;

	if (vsock_is(fd))
		return vsock_name(fd, true, addr, len);
	if (peer_name(fd, &n) < 0)
		return hvs__fail_errno();
	if (n.kind == NAME_CONNECTOR) {
		a.VmId = n.connector.peer;
		a.ServiceId = n.connector.peer_service;
		return address_give(&a, addr, len);
	}
	/* not the accepted end: this end's own name says what it dialled */
	if (no_peer_yet(fd)) {
		errno = ENOTCONN;
		return hvs__fail_errno();
	}
	if (own_name(fd, &n) < 0)
		return hvs__fail_errno();
	if (n.kind == NAME_DATAGRAM)
		return dgram_peer(fd, &a) < 0 ? -1 :
						address_give(&a, addr, len);
	if (n.kind != NAME_CONNECTOR)
		return foreign(fd);
	a.VmId = n.connector.dest;
	a.ServiceId = n.connector.dest_service;
	return address_give(&a, addr, len);
}

int hvs_partition(GUID *vmid, char *name, size_t size)
{
	char full[CONN_NAME_SIZE];
	GUID partition;
	size_t n;

	if (call_hello(&partition, full) < 0)
		return -1;
	if (vmid)
		*vmid = partition;
	if (name && size) {
		n = strlen(full);
		if (n >= size)
			n = size - 1;
		/* not in the middle of a character */
		while (n && (full[n] & 0xc0) == 0x80)
			n--;
		memcpy(name, full, n);
		name[n] = '\0';
	}
	return 0;
}
