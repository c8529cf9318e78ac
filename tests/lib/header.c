/* SPDX-License-Identifier: MIT */
/* header.c - the header alone, used once (compiled as C99, C11 and C17) */
#include <hvsocket.h>

int main(void)
{
	struct SOCKADDR_HV a;
	PSOCKADDR_HV p = &a;

	p->Family = AF_HYPERV;
	p->Reserved = 0;
	p->VmId = HV_GUID_PARENT;
	hvs_guid_from_port(5000, &p->ServiceId);
	return hvs_reason_name(HVS_REASON_NONE) ? 0 : 1;
}
