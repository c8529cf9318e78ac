/* SPDX-License-Identifier: MIT */
/*
 * test-abi.c - every number, offset and size that programs compile in
 *
 * Written down here a second time, from the references, so that a change of
 * the header fails.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/guid.h"

#define SAME(a, b) _Static_assert((a) == (b), #a)
#define AT(t, m, off, size)                                            \
	_Static_assert(offsetof(t, m) == (off) &&                      \
		       sizeof(((t *)0)->m) == (size), #t "." #m)

AT(GUID, Data1, 0, 4);
AT(GUID, Data2, 4, 2);
AT(GUID, Data3, 6, 2);
AT(GUID, Data4, 8, 8);
SAME(sizeof(GUID), 16);
AT(SOCKADDR_HV, Family, 0, 2);
AT(SOCKADDR_HV, Reserved, 2, 2);
AT(SOCKADDR_HV, VmId, 4, 16);
AT(SOCKADDR_HV, ServiceId, 20, 16);
SAME(sizeof(SOCKADDR_HV), 36);
SAME(sizeof(struct SOCKADDR_HV), 36);
SAME(sizeof(*(PSOCKADDR_HV)0), 36);
AT(HVSOCKET_ADDRESS_INFO, SystemId, 0, 16);
AT(HVSOCKET_ADDRESS_INFO, VirtualMachineId, 16, 16);
AT(HVSOCKET_ADDRESS_INFO, SiloId, 32, 16);
AT(HVSOCKET_ADDRESS_INFO, Flags, 48, 4);
SAME(sizeof(struct HVSOCKET_ADDRESS_INFO), 52);
AT(struct hvs_reason, code, 0, 4);
AT(struct hvs_reason, error, 4, 4);
AT(struct hvs_reason, text, 8, 376);
AT(struct hvs_reason, broker, 384, 128);
SAME(sizeof(struct hvs_reason), 512);

SAME(AF_HYPERV, 34);
SAME(PF_HYPERV, 34);
SAME(HV_PROTOCOL_RAW, 1);
SAME(HVSOCKET_CONNECT_TIMEOUT, 1);
SAME(HVSOCKET_CONNECT_TIMEOUT_MAX, 300000);
SAME(HVSOCKET_CONTAINER_PASSTHRU, 2);
SAME(HVSOCKET_CONNECTED_SUSPEND, 4);
SAME(HVSOCKET_HIGH_VTL, 8);
SAME(HVSOCKET_ADDRESS_FLAG_PASSTHRU, 1);
SAME(SOL_HVSOCKET, 0x4856);
SAME(HVSOCKET_WAIT_LISTENER, 0x100);
SAME(HVSOCKET_ERROR, 0x101);
SAME(HVSOCKET_CONNECT_TIMEOUT_DEFAULT, 2000);
SAME(HVS_GUID_TEXT_SIZE, 37);
SAME(HVS_ADDRESS_TEXT_SIZE, 256);
SAME(HVS_FORMAT_NUMERIC, 1);
SAME(HVS_DIAL_RAW, 1);
SAME(HVS_DIAL_NONBLOCK, 2);
SAME(HVS_DIAL_WAIT, 4);
SAME(HVS_NATIVE, 8);
SAME(HVS_REASON_NONE, 0);
SAME(HVS_REASON_NOT_REGISTERED, 1);
SAME(HVS_REASON_BIND_DENIED, 2);
SAME(HVS_REASON_CONNECT_DENIED, 3);
SAME(HVS_REASON_SECURITY_MODULE, 4);
SAME(HVS_REASON_DISABLED, 5);
SAME(HVS_REASON_NO_LISTENER, 6);
SAME(HVS_REASON_WILDCARD, 7);
SAME(HVS_REASON_BACKLOG, 8);
SAME(HVS_REASON_PARTITION_UNKNOWN, 9);
SAME(HVS_REASON_PARTITION_OFF, 10);
SAME(HVS_REASON_NO_ANSWER, 11);
SAME(HVS_REASON_QUOTA, 12);
SAME(HVS_REASON_NO_BROKER, 13);
SAME(HVS_REASON_ADDRESS_TAKEN, 14);
SAME(HVS_REASON_NOT_A_DESTINATION, 15);
SAME(HVS_REASON_TYPE, 16);
SAME(HVS_REASON_BAD_REQUEST, 17);
SAME(HVS_REASON_NO_LONGER_ALLOWED, 18);
SAME(HVS_REASON_NOT_PERMITTED, 19);
SAME(HVS_REASON_NOT_FOUND, 20);
SAME(HVS_REASON_EXISTS, 21);
SAME(HVS_REASON_GUEST_RESET, 22);
SAME(HVS_REASON_BROKER_FAILED, 23);

static const struct {
	const GUID *exported, *internal;
	const char *text;
} guids[] = {
	{ &HV_GUID_ZERO, &guid_zero, "00000000-0000-0000-0000-000000000000" },
	{ &HV_GUID_WILDCARD, &guid_zero,
	  "00000000-0000-0000-0000-000000000000" },
	{ &HV_GUID_BROADCAST, &guid_broadcast,
	  "ffffffff-ffff-ffff-ffff-ffffffffffff" },
	{ &HV_GUID_CHILDREN, &guid_children,
	  "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd" },
	{ &HV_GUID_LOOPBACK, &guid_loopback,
	  "e0e16197-dd56-4a10-9195-5ee7a155a838" },
	{ &HV_GUID_PARENT, &guid_parent,
	  "a42e7cda-d03f-480c-9cc2-a4de20abb878" },
	{ &HV_GUID_SILOHOST, &guid_silohost,
	  "36bd0c5c-7276-4223-88ba-7d03b654c568" },
	{ &HV_GUID_VSOCK_TEMPLATE, &guid_vsock_template,
	  "00000000-facb-11e6-bd58-64006a7986d3" },
};

int main(void)
{
	char text[HVS_GUID_TEXT_SIZE];
	int bad = 0;

	for (size_t i = 0; i < sizeof(guids) / sizeof(guids[0]); i++) {
		hvs_guid_format(guids[i].exported, text);
		if (strcmp(text, guids[i].text) != 0 ||
		    !guid_equal(guids[i].exported, guids[i].internal)) {
			printf("GUID %zu is %s\n", i, text);
			bad = 1;
		}
	}
	return bad;
}
