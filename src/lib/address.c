/* SPDX-License-Identifier: MIT */
/* address.c - see address.h */
#include "lib/address.h"

#include <errno.h>
#include <string.h>

#include "lib/reason.h"

SOCKADDR_HV address_none(void)
{
	return (SOCKADDR_HV){ .Family = AF_HYPERV };
}

int address_check(int fd, const SOCKADDR_HV *addr, socklen_t len,
		  SOCKADDR_HV *ret)
{
	SOCKADDR_HV a;
	uint16_t family;

	if (!addr)
		return hvs__fail(fd, EFAULT, HVS_REASON_BAD_REQUEST, NULL,
				 "the address is NULL");
	if (len < sizeof(family))
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "an address of %u bytes: SOCKADDR_HV has 36",
				 (unsigned int)len);
	/* another family's address is shorter, and may not be ours to read */
	memcpy(&family, addr, sizeof(family));
	if (family != AF_HYPERV)
		return hvs__fail(fd, EAFNOSUPPORT, HVS_REASON_BAD_REQUEST, NULL,
				 "Family is %u, not AF_HYPERV (34)", family);
	if (len != sizeof(a))
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "an address of %u bytes: SOCKADDR_HV has 36",
				 (unsigned int)len);
	memcpy(&a, addr, sizeof(a));
	if (a.Reserved)
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "Reserved is 0x%04x, not 0", a.Reserved);
	*ret = a;
	return 0;
}

int address_give(const SOCKADDR_HV *a, SOCKADDR_HV *addr, socklen_t *len)
{
	if (!addr || !len) {
		errno = EFAULT;
		return hvs__fail_errno();
	}
	/* the kernel's socklen_t arguments are signed, too */
	if ((int)*len < 0) {
		errno = EINVAL;
		return hvs__fail_errno();
	}
	memcpy(addr, a, *len < sizeof(*a) ? *len : sizeof(*a));
	*len = sizeof(*a);
	return 0;
}
