/* SPDX-License-Identifier: MIT */
/* header.cc - the header alone, used once (compiled as C++) */
#include <hvsocket.h>

int main()
{
	struct SOCKADDR_HV a = SOCKADDR_HV();
	PSOCKADDR_HV p = &a;

	p->Family = AF_HYPERV;
	p->VmId = HV_GUID_PARENT;
	hvs_guid_from_port(5000, &p->ServiceId);
	return hvs_reason_name(HVS_REASON_NONE) ? 0 : 1;
}
