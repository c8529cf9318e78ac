/* SPDX-License-Identifier: MIT */
/*
 * vsock.c - see vsock.h
 *
 * PARENT is CID 2, LOOPBACK CID 1. AF_VSOCK cannot bind to a peer: a listener
 * for PARENT is bound to every CID, and hvs_accept() drops who is not the
 * parent.
 */
#include "lib/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/guid.h"
#include "lib/address.h"
#include "lib/reason.h"
#include "lib/sys.h"

#define MODE "HVSOCKET_TRANSPORT=vsock: "

int vsock_chosen(void)
{
	const char *v = secure_getenv("HVSOCKET_TRANSPORT");

	if (!v || !*v || strcmp(v, "broker") == 0)
		return 0;
	if (strcmp(v, "vsock") == 0)
		return 1;
	return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
			 "HVSOCKET_TRANSPORT: there are broker and vsock");
}

bool vsock_is(int fd)
{
	const char *v = secure_getenv("HVSOCKET_TRANSPORT");
	socklen_t len = sizeof(int);
	int domain, saved = errno;
	bool is;

	if (!v || strcmp(v, "vsock") != 0)
		return false;
	is = sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	     domain == AF_VSOCK;
	errno = saved;
	return is;
}

int vsock_socket(int type)
{
	int fd = sys_socket(AF_VSOCK, type, 0);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case EAFNOSUPPORT:
		return hvs__fail(-1, ENETDOWN, HVS_REASON_NO_BROKER, NULL,
				 MODE "this kernel has no AF_VSOCK (the module "
				      "vsock)");
	case ESOCKTNOSUPPORT:
	case EPROTONOSUPPORT:
		return hvs__fail(-1, EPROTONOSUPPORT, HVS_REASON_TYPE, NULL,
				 MODE "this kernel's AF_VSOCK does not carry "
				      "the type");
	default:
		return hvs__fail_errno();
	}
}

/* The port of a ServiceId; zero: any. Return: 0 or -1 */
static int port_of(int fd, const GUID *service, uint32_t *ret)
{
	char g[GUID_TEXT_SIZE];

	if (guid_is_zero(service)) {
		*ret = VMADDR_PORT_ANY;
		return 0;
	}
	if (guid_is_port(service, ret) && *ret != VMADDR_PORT_ANY)
		return 0;
	return hvs__fail(fd, EADDRNOTAVAIL, HVS_REASON_NOT_A_DESTINATION, NULL,
			 MODE "only ports of the VSOCK template can be reached "
			      "without a broker, and %s is none",
			 guid_format(service, g));
}

static int no_vmid(int fd, const GUID *vmid)
{
	const char *word = guid_special_name(vmid);
	char g[GUID_TEXT_SIZE];

	return hvs__fail(fd, word ? EADDRNOTAVAIL : EHOSTUNREACH,
			 word ? HVS_REASON_NOT_A_DESTINATION :
				HVS_REASON_PARTITION_UNKNOWN, NULL,
			 MODE "without a broker there are the parent and this "
			      "machine only, not %s",
			 word ? word : guid_format(vmid, g));
}

static struct sockaddr_vm address_of(uint32_t cid, uint32_t port)
{
	return (struct sockaddr_vm){ .svm_family = AF_VSOCK, .svm_cid = cid,
				     .svm_port = port };
}

static void set_parent_only(struct sock_state *s, void *arg)
{
	s->parent_only = *(bool *)arg;
}

int vsock_bind(int fd, const SOCKADDR_HV *addr)
{
	bool parent = guid_equal(&addr->VmId, &guid_parent);
	struct sockaddr_vm vm = address_of(VMADDR_CID_ANY, 0);
	int r;

	if (guid_equal(&addr->VmId, &guid_loopback))
		vm.svm_cid = VMADDR_CID_LOCAL;
	else if (!parent && !guid_is_zero(&addr->VmId))
		return no_vmid(fd, &addr->VmId);
	if (port_of(fd, &addr->ServiceId, &vm.svm_port) < 0)
		return -1;
	r = parent ? state_change(fd, set_parent_only, &parent) : 0;
	if (r < 0) {
		errno = -r;
		return hvs__fail_errno();
	}
	if (sys_bind(fd, &vm, sizeof(vm)) == 0)
		return 0;
	switch (errno) {
	case EACCES:
		return hvs__fail(fd, EACCES, HVS_REASON_BIND_DENIED, NULL,
				 MODE "ports below 1024 need "
				      "CAP_NET_BIND_SERVICE");
	case EADDRINUSE:
		return hvs__fail(fd, EADDRINUSE, HVS_REASON_ADDRESS_TAKEN, NULL,
				 MODE "port %u is taken", vm.svm_port);
	default:
		return hvs__fail_errno();
	}
}

int vsock_listen(int fd, int backlog)
{
	return sys_listen(fd, backlog) < 0 ? hvs__fail_errno() : 0;
}

/* The kernel's word for what happened, and ours. */
static int refused(int fd, int error, uint32_t port)
{
	switch (error) {
	case ECONNRESET:
	case ECONNREFUSED:
		return hvs__fail(fd, ECONNREFUSED, HVS_REASON_NO_LISTENER, NULL,
				 MODE "the other side refuses port %u: nobody "
				      "listens there, or this machine may not "
				      "connect (nothing tells which)", port);
	case ETIMEDOUT:
		return hvs__fail(fd, ETIMEDOUT, HVS_REASON_NO_ANSWER, NULL,
				 MODE "port %u did not answer in time", port);
	case ENODEV:
	case ENETUNREACH:
	case EHOSTUNREACH:
		return hvs__fail(fd, EHOSTDOWN, HVS_REASON_PARTITION_OFF, NULL,
				 MODE "this machine has no vsock device that "
				      "leads there");
	case ESOCKTNOSUPPORT:
	case EPROTONOSUPPORT:
		return hvs__fail(fd, EPROTONOSUPPORT, HVS_REASON_TYPE, NULL,
				 MODE "this machine's vsock device does not "
				      "carry the type");
	default:
		errno = error;
		return hvs__fail_errno();
	}
}

static int cannot(int fd, const char *what)
{
	return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
			 MODE "%s needs a broker", what);
}

int vsock_connect(int fd, const SOCKADDR_HV *dest, const struct options *opt)
{
	uint32_t ms = opt->timeout_ms ? opt->timeout_ms :
					HVSOCKET_CONNECT_TIMEOUT_DEFAULT;
	const struct timeval limit = { .tv_sec = ms / 1000,
				       .tv_usec = ms % 1000 * 1000 };
	struct sockaddr_vm vm = address_of(VMADDR_CID_HOST, 0);
	int r;

	if (opt->wait)
		return cannot(fd, "waiting for a listener");
	if (opt->native || opt->high_vtl)
		return cannot(fd, "NATIVE or HIGH_VTL");
	if (guid_equal(&dest->VmId, &guid_loopback))
		vm.svm_cid = VMADDR_CID_LOCAL;
	else if (!guid_equal(&dest->VmId, &guid_parent))
		return no_vmid(fd, &dest->VmId);
	if (port_of(fd, &dest->ServiceId, &vm.svm_port) < 0)
		return -1;
	(void)sys_setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT,
			     &limit, sizeof(limit));
	r = sys_connect(fd, &vm, sizeof(vm));
	if (r == 0 || errno == EINPROGRESS)
		return r;
	return refused(fd, errno, vm.svm_port);
}

/* What a peer, or this end, is in our words. */
static SOCKADDR_HV named(const struct sockaddr_vm *vm, bool peer)
{
	SOCKADDR_HV a = address_none();

	if (vm->svm_port != VMADDR_PORT_ANY)
		a.ServiceId = guid_from_port(vm->svm_port);
	if (peer && vm->svm_cid == VMADDR_CID_HOST)
		a.VmId = guid_parent;
	else if (vm->svm_cid == VMADDR_CID_LOCAL)
		a.VmId = guid_loopback;
	return a;
}

int vsock_accept(int fd, SOCKADDR_HV *addr, socklen_t *len, int flags)
{
	struct sockaddr_vm vm = address_of(VMADDR_CID_ANY, VMADDR_PORT_ANY);
	socklen_t size;
	struct sock_state s;
	SOCKADDR_HV a;
	int r;

	(void)state_get(fd, &s);
	for (;;) {
		size = sizeof(vm);
		r = sys_accept4(fd, &vm, &size, flags);
		if (r < 0)
			return hvs__fail_errno();
		if (!s.parent_only || vm.svm_cid == VMADDR_CID_HOST)
			break;
		close(r);
	}
	a = named(&vm, true);
	if (addr)
		(void)address_give(&a, addr, len);
	return r;
}

int vsock_name(int fd, bool peer, SOCKADDR_HV *addr, socklen_t *len)
{
	struct sockaddr_vm vm = address_of(VMADDR_CID_ANY, VMADDR_PORT_ANY);
	socklen_t size = sizeof(vm);
	struct sock_state s;
	SOCKADDR_HV a;
	int r = peer ? sys_getpeername(fd, &vm, &size) :
		       sys_getsockname(fd, &vm, &size);

	if (r < 0)
		return hvs__fail_errno();
	a = named(&vm, peer);
	if (!peer && state_get(fd, &s) && s.parent_only)
		a.VmId = guid_parent;
	return address_give(&a, addr, len);
}
