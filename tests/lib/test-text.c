/* SPDX-License-Identifier: MIT */
/* test-text.c - GUIDs and addresses as text */
#include "harness.h"

START_TEST(guids)
{
	static const char *const good[] = {
		"90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
		"{90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd}",
		"90DB8B89-0D35-4F79-8CE9-49EA0AC8B7CD",
		"{90Db8b89-0d35-4f79-8cE9-49ea0ac8b7cD}",
	};
	static const char *const bad[] = {
		"", " ", "{}", "{", "0", "90db8b89",
		"90db8b89-0d35-4f79-8ce9-49ea0ac8b7c",
		"90db8b89-0d35-4f79-8ce9-49ea0ac8b7cdd",
		"{90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
		"90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd}",
		"(90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd)",
		"{{90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd}}",
		"90db8b890d354f798ce949ea0ac8b7cd",
		"90db8b89-0d35-4f79-8ce949ea-0ac8b7cd",
		"90db8b8-90d35-4f79-8ce9-49ea0ac8b7cd",
		"g0db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
		"+0db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
		" 0db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
		"0xdb8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
		"90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd\n",
		" 90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
		"90db8b89_0d35_4f79_8ce9_49ea0ac8b7cd",
	};
	char text[HVS_GUID_TEXT_SIZE];
	GUID g, before;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memset(&g, 0xaa, sizeof(g));
		ck_assert_int_eq(hvs_guid_parse(good[i], &g), 0);
		ck_assert(guid_equal(&g, &HV_GUID_CHILDREN));
		ck_assert_ptr_eq(hvs_guid_format(&g, text), text);
		ck_assert_str_eq(text, good[0]);
	}
	memset(&before, 0x55, sizeof(before));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		g = before;
		errno = 0;
		ck_assert_msg(hvs_guid_parse(bad[i], &g) == -1 &&
			      errno == EINVAL, "\"%s\" was read", bad[i]);
		ck_assert_mem_eq(&g, &before, sizeof(g)); /* untouched */
	}
	/* byte order as on Windows */
	ck_assert_int_eq(hvs_guid_parse("00010203-0405-0607-0809-0a0b0c0d0e0f",
					&g), 0);
	ck_assert_mem_eq(&g, "\x03\x02\x01\x00\x05\x04\x07\x06"
			     "\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 16);
}
END_TEST

START_TEST(ports_and_random)
{
	static const uint32_t ports[] = { 0, 1, 5000, 0x7fffffff, 0x80000000,
					  0xffffffff };
	char text[HVS_GUID_TEXT_SIZE];
	uint32_t port;
	GUID g, h;

	for (size_t i = 0; i < 6; i++) {
		hvs_guid_from_port(ports[i], &g);
		ck_assert_int_eq(hvs_guid_to_port(&g, &port), 0);
		ck_assert_uint_eq(port, ports[i]);
	}
	hvs_guid_from_port(5000, &g);
	ck_assert_str_eq(hvs_guid_format(&g, text),
			 "00001388-facb-11e6-bd58-64006a7986d3");
	port = 77;
	assert_fails(hvs_guid_to_port(&HV_GUID_PARENT, &port), EINVAL);
	ck_assert_uint_eq(port, 77);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(hvs_guid_make(&g), 0);
		ck_assert_int_eq(g.Data3 >> 12, 4);
		ck_assert_int_eq(g.Data4[0] >> 6, 2);
		ck_assert_int_eq(hvs_guid_make(&h), 0);
		ck_assert(!guid_equal(&g, &h));
	}
}
END_TEST

#define G "0f0e0d0c-1111-2222-3333-444455556666"

START_TEST(addresses_without_a_broker)
{
	static const struct {
		const char *text, *numeric;
	} table[] = {
		{ "parent:5000", "a42e7cda-d03f-480c-9cc2-a4de20abb878:"
				 "00001388-facb-11e6-bd58-64006a7986d3" },
		{ "wildcard:0", "00000000-0000-0000-0000-000000000000:"
				"00000000-facb-11e6-bd58-64006a7986d3" },
		{ "CHILDREN:" G, "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd:" G },
		{ "loopback:{" G "}",
		  "e0e16197-dd56-4a10-9195-5ee7a155a838:" G },
		{ "SiloHost:4294967295",
		  "36bd0c5c-7276-4223-88ba-7d03b654c568:"
		  "ffffffff-facb-11e6-bd58-64006a7986d3" },
		{ "broadcast:007", "ffffffff-ffff-ffff-ffff-ffffffffffff:"
				   "00000007-facb-11e6-bd58-64006a7986d3" },
		{ "{" G "}:" G, G ":" G },
	};
	static const char *const bad[] = {
		"", ":", "parent", "parent:", ":5000", "parent:5000:",
		"parent::5000", "a:b:c", "parent:4294967296",
		"parent:99999999999999999999999999", "par\nent:5", "x:\x01",
		"x:\xff", "x:\xc2\x85",
	};
	char text[HVS_ADDRESS_TEXT_SIZE], huge[2000];
	SOCKADDR_HV a, before;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ck_assert_int_eq(hvs_address_parse(table[i].text, &a), 0);
		ck_assert_int_eq(a.Family, AF_HYPERV);
		ck_assert_int_eq(a.Reserved, 0);
		ck_assert_int_eq(hvs_address_format(&a, text, sizeof(text),
						    HVS_FORMAT_NUMERIC), 0);
		ck_assert_str_eq(text, table[i].numeric);
	}
	memset(&before, 0x55, sizeof(before));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a = before;
		errno = 0;
		ck_assert_msg(hvs_address_parse(bad[i], &a) == -1 &&
			      errno == EINVAL, "\"%s\": errno %d", bad[i],
			      errno);
		ck_assert_mem_eq(&a, &before, sizeof(a));
		ck_assert_uint_eq(reason_of(-1).code, HVS_REASON_BAD_REQUEST);
	}
	assert_fails(hvs_address_parse(NULL, &a), EINVAL);
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	huge[100] = ':';
	assert_fails(hvs_address_parse(huge, &a), EINVAL);
	ck_assert_int_eq(broker.shared->accepted, 0);
}
END_TEST

START_TEST(addresses_with_a_broker)
{
	static const struct {
		uint32_t partition, port;
		const char *text;
	} table[] = {
		{ 1, 7, "web1:echo" },
		{ 1, 5000, "web1:5000" },
		{ 0, 7, "wildcard:echo" },
		/* names that would be read as something else are not used */
		{ 9, 8, "00000009-0000-0000-0000-000000000000:8" },
	};
	char text[HVS_ADDRESS_TEXT_SIZE];
	SOCKADDR_HV a = { .Family = AF_HYPERV }, b;

	for (size_t i = 0; i < 4; i++) {
		a.VmId.Data1 = table[i].partition;
		hvs_guid_from_port(table[i].port, &a.ServiceId);
		ck_assert_int_eq(hvs_address_format(&a, text, sizeof(text), 0),
				 0);
		ck_assert_str_eq(text, table[i].text);
	}
	for (size_t n = 0; n <= strlen(text); n++)
		assert_fails(hvs_address_format(&a, text, n, 0), ENOSPC);
	assert_fails(hvs_address_format(&a, text, sizeof(text), 2), EINVAL);

	ck_assert_int_eq(hvs_address_parse("web1:echo", &b), 0);
	ck_assert_uint_eq(b.ServiceId.Data1, 7);
	ck_assert_int_eq(hvs_address_parse("host:5", &b), 0);
	ck_assert(guid_equal(&b.VmId, &HV_GUID_LOOPBACK));
	assert_fails(hvs_address_parse("web9:echo", &b), EHOSTUNREACH);
	assert_reason(-1, HVS_REASON_PARTITION_UNKNOWN, EHOSTUNREACH, "no such");

	/* without one: GUIDs, and nothing that looks like a failure */
	stand_in_kill(&broker);
	assert_fails(hvs_address_parse("web1:echo", &b), ENETDOWN);
	assert_fails(hvs_socket(1, 1, 1), EAFNOSUPPORT);
	a.VmId = HV_GUID_PARENT;
	a.ServiceId = HV_GUID_CHILDREN;
	errno = 42;
	ck_assert_int_eq(hvs_address_format(&a, text, sizeof(text), 0), 0);
	ck_assert_int_eq(errno, 42);
	ck_assert_str_eq(text, "parent:90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd");
	assert_reason(-1, HVS_REASON_BAD_REQUEST, EAFNOSUPPORT, "AF_HYPERV");
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, guids);
	tcase_add_test(t, ports_and_random);
	tcase_add_test(t, addresses_without_a_broker);
	tcase_add_test(t, addresses_with_a_broker);
}

int main(void)
{
	return run_suite("lib-text", fill);
}
