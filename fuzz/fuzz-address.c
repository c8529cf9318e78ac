/* SPDX-License-Identifier: MIT */
/*
 * fuzz-address.c - GUIDs and addresses as people type them
 *
 * The runtime directory does not exist, so names are never found; what is
 * read is written and read again, and must stay the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <hvsocket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void guid(const char *text)
{
	char again[HVS_GUID_TEXT_SIZE];
	GUID g, h;

	if (hvs_guid_parse(text, &g) < 0)
		return;
	check(hvs_guid_parse(hvs_guid_format(&g, again), &h) == 0);
	check(memcmp(&g, &h, sizeof(g)) == 0);
}

static void address(const char *text)
{
	char again[HVS_ADDRESS_TEXT_SIZE];
	SOCKADDR_HV a, b;

	memset(&a, 0x5a, sizeof(a));
	b = a;
	if (hvs_address_parse(text, &a) < 0) {
		check(memcmp(&a, &b, sizeof(a)) == 0);
		return;
	}
	check(a.Family == AF_HYPERV && a.Reserved == 0);
	for (unsigned int flags = 0; flags < 2; flags++) {
		check(hvs_address_format(&a, again, sizeof(again), flags) == 0);
		check(hvs_address_parse(again, &b) == 0);
		check(memcmp(&a, &b, sizeof(a)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	setenv("HVSOCKET_RUNTIME_DIR", "/nonexistent", 1);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	guid(text);
	address(text);
	free(text);
	return 0;
}
