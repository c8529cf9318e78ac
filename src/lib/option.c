/* SPDX-License-Identifier: MIT */
/*
 * option.c - hvs_setsockopt(), hvs_getsockopt()
 *
 * HV_PROTOCOL_RAW is SOL_SOCKET's number; here it is never SOL_SOCKET.
 */
#include <errno.h>
#include <string.h>

#include "lib/call.h"
#include "lib/parked.h"
#include "lib/profile.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"
#include "lib/vsock.h"
#include "proto/name.h"

struct set {
	int name;
	uint32_t value;
};

static bool known(int level, int name, bool set)
{
	if (level != HV_PROTOCOL_RAW && level != SOL_HVSOCKET)
		return false;
	switch (name) {
	case HVSOCKET_CONNECT_TIMEOUT:
	case HVSOCKET_CONTAINER_PASSTHRU:
	case HVSOCKET_CONNECTED_SUSPEND:
	case HVSOCKET_HIGH_VTL:
		return true;
	case HVSOCKET_WAIT_LISTENER:
		return level == SOL_HVSOCKET && !profile_is_windows();
	case HVSOCKET_ERROR:
		return level == SOL_HVSOCKET && !set;
	default:
		return false;
	}
}

/* Return: 0; or -1, errno and reason set */
static int check(int fd, int level, int name, bool set)
{
	int domain;
	socklen_t len = sizeof(domain);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return hvs__fail_errno();
	if (domain != AF_UNIX && !vsock_is(fd))
		return hvs__fail(fd, ENOTSOCK, HVS_REASON_BAD_REQUEST, NULL,
				 "this is no Hyper-V socket");
	if (!known(level, name, set))
		return hvs__fail(fd, ENOPROTOOPT, HVS_REASON_BAD_REQUEST, NULL,
				 "option 0x%x at level 0x%x is unknown%s",
				 (unsigned int)name, (unsigned int)level,
				 set && known(level, name, false) ?
					 ", or read only" : "");
	return 0;
}

static void apply(struct sock_state *s, void *arg)
{
	const struct set *set = arg;

	switch (set->name) {
	case HVSOCKET_CONNECT_TIMEOUT:
		s->opt.timeout_ms = set->value;
		break;
	case HVSOCKET_CONTAINER_PASSTHRU:
		s->opt.passthru = set->value;
		break;
	case HVSOCKET_CONNECTED_SUSPEND:
		s->opt.suspend = set->value;
		break;
	case HVSOCKET_HIGH_VTL:
		s->opt.high_vtl = set->value;
		break;
	case HVSOCKET_WAIT_LISTENER:
		s->opt.wait = set->value;
		break;
	}
}

/* Of a connection that there is already, the broker does not know. */
static void tell_suspend(int fd, uint32_t value)
{
	uint8_t raw[CALL_FRAME_SIZE];
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	int saved = errno;
	struct call c;
	struct name n;

	if (vsock_is(fd))
		return; /* nobody would do anything with it */
	if (sys_getpeername(fd, &sa, &len) < 0) {
		errno = saved; /* CONNECT will say it */
		return;
	}
	name_decode(&sa, len, &n);
	len = sizeof(sa);
	if (n.kind != NAME_CONNECTOR && sys_getsockname(fd, &sa, &len) == 0)
		name_decode(&sa, len, &n);
	errno = saved;
	if (n.kind != NAME_CONNECTOR)
		return;
	call_begin(&c, MSG_KEEP, raw, sizeof(raw));
	msg_put_u64(&c.frame, n.connector.token);
	msg_put_u32(&c.frame, value);
	call_notice(&c);
}

int hvs_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	struct set set = { .name = name };
	uint32_t max;
	int r;

	if (check(fd, level, name, true) < 0)
		return -1;
	if (!val) {
		errno = EFAULT;
		return hvs__fail_errno();
	}
	if (len != sizeof(set.value))
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "an option value of %u bytes: it has 4",
				 (unsigned int)len);
	memcpy(&set.value, val, sizeof(set.value));
	max = name == HVSOCKET_CONNECT_TIMEOUT ? HVSOCKET_CONNECT_TIMEOUT_MAX :
						 1;
	if (set.value > max)
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "option value %u is above %u", set.value, max);
	r = state_change(fd, apply, &set);
	if (r < 0) {
		errno = -r;
		return hvs__fail_errno();
	}
	if (name == HVSOCKET_CONNECTED_SUSPEND)
		tell_suspend(fd, set.value);
	return 0;
}

int hvs_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	struct sock_state s;
	uint32_t value = 0;
	int error;

	if (check(fd, level, name, false) < 0)
		return -1;
	if (!val || !len) {
		errno = EFAULT;
		return hvs__fail_errno();
	}
	if (*len < sizeof(value) || (int)*len < 0)
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "room for %u bytes: an option value has 4",
				 (unsigned int)*len);
	(void)state_get(fd, &s);
	switch (name) {
	case HVSOCKET_CONNECT_TIMEOUT:
		value = s.opt.timeout_ms ? s.opt.timeout_ms :
					   HVSOCKET_CONNECT_TIMEOUT_DEFAULT;
		break;
	case HVSOCKET_CONTAINER_PASSTHRU:
		value = s.opt.passthru;
		break;
	case HVSOCKET_CONNECTED_SUSPEND:
		value = s.opt.suspend;
		break;
	case HVSOCKET_HIGH_VTL:
		value = s.opt.high_vtl;
		break;
	case HVSOCKET_WAIT_LISTENER:
		value = s.opt.wait;
		break;
	case HVSOCKET_ERROR:
		if (parked_error(fd, &error) < 0)
			return hvs__fail_errno();
		value = (uint32_t)error;
		break;
	}
	memcpy(val, &value, sizeof(value));
	*len = sizeof(value);
	return 0;
}
