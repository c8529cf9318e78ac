/* SPDX-License-Identifier: MIT */
/* test-parse.c - texts of service and partition files: meaning and messages */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "registry/partition-file.h"
#include "registry/service-file.h"

static int user(const char *name, uint32_t *ret)
{
	*ret = 1000;
	return strcmp(name, "ada") ? -ENOENT : 0;
}

static int group(const char *name, uint32_t *ret)
{
	*ret = 2000;
	return strcmp(name, "kvm") ? -ENOENT : 0;
}

static const struct name_lookup names = { user, group };

static int read_service(const char *text, size_t len, bool is_volatile,
			struct service *s, struct parse_error *e)
{
	struct service_text t;
	int r;

	*e = (struct parse_error){ 0 };
	r = service_text_parse(text, len, is_volatile, &t, e);
	if (r == 0) {
		r = service_build(&t, "stem", &names, s, e);
		service_text_fini(&t);
	}
	return r;
}

#define S "[Service]\n"
#define ID "ServiceId=" GUID_A "\n"

static const struct {
	const char *text;
	size_t len; /* 0: strlen */
	const char *want; /* "line: reason" */
} bad_service[] = {
	{ "", 0, "0: neither ServiceId= nor Port=" },
	{ S, 0, "0: neither ServiceId= nor Port=" },
	{ "Port=1\n", 0, "1: \"Port\" stands before [Service]" },
	{ S "Port 1\n", 0, "2: neither [Section], KEY=VALUE nor a comment" },
	{ S "Port: 1\n", 0,
	  "2: key and value are separated by =, not by :" },
	{ S "Port: 1=2\n", 0,
	  "2: key and value are separated by =, not by :" },
	{ S "=1\n", 0, "2: no key in front of =" },
	{ S "Port=\n", 0, "2: Port= has no value" },
	{ S "Port= ; nothing\n", 0, "2: Port= has no value" },
	{ "[Service\n", 0, "1: the section header does not end in ]" },
	{ "[Service] x\n", 0, "1: the section header does not end in ]" },
	{ "[]\n", 0, "1: a section without a name" },
	{ "[a[b]\n", 0, "1: a bracket in a section name" },
	{ "[service]\n", 0, "1: unknown section \"service\"" },
	{ "[Partition]\n", 0, "1: unknown section \"Partition\"" },
	{ "[Lease]\n", 0, "1: [Lease] is for the broker's own files" },
	{ "[Owner]\n", 0, "1: [Owner] is for the broker's own files" },
	{ S ID "port=1\n", 0, "3: unknown key \"port\" in [Service]" },
	{ S ID "Colour=red\n", 0, "3: unknown key \"Colour\" in [Service]" },
	{ S "Port=1\n\nPort=1\n", 0, "4: Port= stands in line 2 already" },
	{ S "Port=1\n 2\n", 0, "3: Port= cannot go on in a second line" },
	{ S " Port=1\n", 0,
	  "2: begins with a blank, but there is no value before to go on "
	  "with" },
	{ S "ServiceId=1111\n", 0, "2: ServiceId=\"1111\" is not a GUID" },
	{ S "ServiceId=" GUID_A "0\n", 0,
	  "2: ServiceId=\"" GUID_A "0\" is not a GUID" },
	{ S "ServiceId=00000000-0000-0000-0000-000000000000\n", 0,
	  "2: ServiceId=\"00000000-0000-0000-0000-000000000000\" is reserved: "
	  "it means \"wildcard\"" },
	{ S "ServiceId=a42e7cda-d03f-480c-9cc2-a4de20abb878\n", 0,
	  "2: ServiceId=\"a42e7cda-d03f-480c-9cc2-a4de20abb878\" is reserved: "
	  "it means \"parent\"" },
	{ S "Port=-1\n", 0,
	  "2: Port=\"-1\" is not a number from 0 to 4294967294" },
	{ S "Port=4294967295\n", 0,
	  "2: Port=\"4294967295\" is not a number from 0 to 4294967294" },
	{ S "Port=99999999999999999999999\n", 0,
	  "2: Port=\"99999999999999999999999\" is not a number from 0 to "
	  "4294967294" },
	{ S "Port=0x\n", 0,
	  "2: Port=\"0x\" is not a number from 0 to 4294967294" },
	{ S "Port=1 2\n", 0,
	  "2: Port=\"1 2\" is not a number from 0 to 4294967294" },
	{ S "ServiceId=00000005-facb-11e6-bd58-64006a7986d3\nPort=6\n", 0,
	  "2: ServiceId= is that of port 5, but Port= is 6" },
	{ S "ServiceId=ffffffff-facb-11e6-bd58-64006a7986d3\n", 0,
	  "2: ServiceId= is that of port 4294967295, which means any" },
	{ S ID "Policy=on\n", 0,
	  "3: Policy=\"on\" is not enabled, disabled or default" },
	{ S ID "AllowWildcardBinds=true\n", 0,
	  "3: AllowWildcardBinds=\"true\" is not yes or no" },
	{ S ID "MaxConnections=many\n", 0,
	  "3: MaxConnections=\"many\" is not a number from 0 to 4294967295" },
	{ S ID "Bind=everyone\n", 0,
	  "3: Bind=: \"everyone\" is not any, none, user:, group: or "
	  "partition:" },
	{ S ID "Bind=any none\n", 0, "3: Bind=: none stands alone" },
	{ S ID "Bind=user:ada *\n", 0, "3: Bind=: any stands alone" },
	{ S ID "Connect=user:bob\n", 0,
	  "3: Connect=: \"user:bob\" does not exist" },
	{ S ID "Connect=group:ada\n", 0,
	  "3: Connect=: \"group:ada\" does not exist" },
	{ S ID "Connect=user:\n", 0,
	  "3: Connect=: nothing behind \"user:\"" },
	{ S ID "Connect=user:4294967295\n", 0,
	  "3: Connect=: \"user:4294967295\" is not a number below "
	  "4294967295" },
	{ S ID "Connect=partition:\"web 1\n", 0,
	  "3: Connect=: a quote is not closed" },
	{ S ID "Connect=partition:parent\n", 0,
	  "3: partition \"parent\" is a word with a meaning of its own" },
	{ S ID "Siblings=any\n", 0,
	  "3: Siblings=: partitions are named one by one, not \"any\"" },
	{ S ID "Siblings=a * b\n", 0,
	  "3: Siblings=: partitions are named one by one, not \"*\"" },
	{ S ID "Siblings=partition:any\n", 0,
	  "3: Siblings=: partitions are named one by one, not \"any\"" },
	{ S ID "Siblings=host\n", 0,
	  "3: Siblings=: the host is nobody's sibling" },
	{ S ID "Siblings=user:0\n", 0,
	  "3: partition \"user:0\" has a ':' in it" },
	{ S ID "Siblings=a none\n", 0, "3: Siblings=: none stands alone" },
	{ S ID "Siblings=parent\n", 0,
	  "3: partition \"parent\" is a word with a meaning of its own" },
	{ S ID "Siblings=\"a\n", 0, "3: Siblings=: a quote is not closed" },
	{ S ID "Siblings=7\n", 0, "3: partition \"7\" is a number" },
	{ S ID "Siblings=partition:\n", 0, "3: partition is empty" },
	{ S ID "Connect=\"\"\n", 0, "3: Connect= names nobody (say none)" },
	{ S ID "Target=/run/x\n", 0,
	  "3: Target=\"/run/x\" is not unix: and an absolute path" },
	{ S ID "Target=unix:run/x\n", 0,
	  "3: Target=\"unix:run/x\" is not unix: and an absolute path" },
	{ S ID "Target=unix:@x\n", 0,
	  "3: Target=\"unix:@x\" is not unix: and an absolute path" },
	/* names */
	{ S ID "ElementName=a:b\n", 0,
	  "3: ElementName \"a:b\" has a ':' in it" },
	{ S ID "ElementName=a/b\n", 0,
	  "3: ElementName \"a/b\" has a '/' in it" },
	{ S ID "ElementName=5000\n", 0, "3: ElementName \"5000\" is a number" },
	{ S ID "ElementName=0x1F\n", 0, "3: ElementName \"0x1F\" is a number" },
	{ S ID "ElementName={" GUID_B "}\n", 0,
	  "3: ElementName \"{" GUID_B "}\" is a GUID" },
	{ S ID "ElementName=Parent\n", 0,
	  "3: ElementName \"Parent\" is a word with a meaning of its own" },
	{ S ID "ElementName=HOST\n", 0,
	  "3: ElementName \"HOST\" is a word with a meaning of its own" },
	{ S ID "ElementName=wildcard\n", 0,
	  "3: ElementName \"wildcard\" is a word with a meaning of its own" },
	{ S ID "ElementName=broadcast\n", 0,
	  "3: ElementName \"broadcast\" is a word with a meaning of its own" },
	{ S ID "ElementName=loopback\n", 0,
	  "3: ElementName \"loopback\" is a word with a meaning of its own" },
	{ S ID "ElementName=silohost\n", 0,
	  "3: ElementName \"silohost\" is a word with a meaning of its own" },
	{ S ID "ElementName=children\n", 0,
	  "3: ElementName \"children\" is a word with a meaning of its own" },
	{ S ID "ElementName=a\x07z\n", 0, "3: control character 0x07" },
	{ S ID "ElementName=a\x7fz\n", 0, "3: control character 0x7f" },
	{ S ID "ElementName=a\xc2\x85z\n", 0, "3: control character 0x85" },
	{ S ID "ElementName=a\rz\n", 0, "3: control character 0x0d" },
	/* encodings */
	{ S ID "ElementName=\xe4\n", 0, "3: byte 0xe4 is not UTF-8" },
	{ S ID "# \xc0\x80\n", 0, "3: byte 0xc0 is not UTF-8" },
	{ "[\0S\0e\0r", 7,
	  "1: a zero byte (is the file UTF-16? save it as UTF-8)" },
	{ "\xff\xfe[\0", 4, "1: UTF-16; save it as UTF-8" },
	{ "\xfe\xff\0[", 4, "1: UTF-16; save it as UTF-8" },
};

static void compare(const struct parse_error *e, const char *want)
{
	char got[REGISTRY_WHY + 16];

	snprintf(got, sizeof(got), "%u: %s", e->line, e->reason);
	ck_assert_str_eq(got, want);
}

START_TEST(service_errors)
{
	const char *text = bad_service[_i].text;
	size_t len = bad_service[_i].len;
	struct parse_error e;
	struct service s;
	int r;

	r = read_service(text, len ? len : strlen(text), false, &s, &e);
	ck_assert_msg(r == -EINVAL, "%d for %s", r, text);
	compare(&e, bad_service[_i].want);
}
END_TEST

START_TEST(service_all_keys)
{
	static const char text[] =
		"\xef\xbb\xbf# a comment\r\n"
		"  ; and one\r\n"
		"[Service]\r\n"
		"ElementName = Vault \xc3\xa4 1 ; and more\r\n"
		"ServiceId={" GUID_A "}\r\n"
		"\r\n"
		"Port=0x1F\r\n"
		"Policy=disabled\r\n"
		"Bind=user:ada group:kvm\r\n"
		"  user:7\r\n"
		"\tpartition:\"web 1\" partition:{" GUID_B "}\r\n"
		"Connect=none\r\n"
		"Siblings=web1 \"web 2\"\r\n"
		" partition:db {" GUID_B "}\r\n"
		"AllowWildcardBinds=yes\r\n"
		"Target=unix:/run/x;y\r\n"
		"MaxConnections=12";
	struct parse_error e;
	struct service s;
	GUID id = guid(GUID_A), b = guid(GUID_B);

	ck_assert_msg(read_service(text, sizeof(text) - 1, false, &s, &e) == 0,
		      "%u: %s", e.line, e.reason);
	ck_assert_str_eq(s.name, "Vault \xc3\xa4 1");
	ck_assert_str_eq(s.stem, "stem");
	ck_assert(guid_equal(&s.id, &id));
	ck_assert(s.has_port);
	ck_assert_uint_eq(s.port, 31);
	ck_assert_int_eq(s.rules.policy, POLICY_DISABLED);
	ck_assert(s.rules.bind.set);
	ck_assert_uint_eq(s.rules.bind.n, 5);
	ck_assert_int_eq(s.rules.bind.entry[0].kind, ACL_USER);
	ck_assert_uint_eq(s.rules.bind.entry[0].id, 1000);
	ck_assert_int_eq(s.rules.bind.entry[1].kind, ACL_GROUP);
	ck_assert_uint_eq(s.rules.bind.entry[1].id, 2000);
	ck_assert_uint_eq(s.rules.bind.entry[2].id, 7);
	ck_assert_int_eq(s.rules.bind.entry[3].kind, ACL_PARTITION);
	ck_assert_str_eq(s.rules.bind.entry[3].partition, "web 1");
	ck_assert_ptr_null(s.rules.bind.entry[4].partition);
	ck_assert(guid_equal(&s.rules.bind.entry[4].vmid, &b));
	ck_assert_str_eq(s.rules.bind.text,
			 "user:ada group:kvm user:7 partition:\"web 1\" "
			 "partition:{" GUID_B "}");
	ck_assert(s.rules.connect.set);
	ck_assert_uint_eq(s.rules.connect.n, 0);
	ck_assert_uint_eq(s.rules.siblings.n, 4);
	ck_assert_int_eq(s.rules.siblings.entry[0].kind, ACL_PARTITION);
	ck_assert_str_eq(s.rules.siblings.entry[0].partition, "web1");
	ck_assert_str_eq(s.rules.siblings.entry[1].partition, "web 2");
	ck_assert_str_eq(s.rules.siblings.entry[2].partition, "db");
	ck_assert(guid_equal(&s.rules.siblings.entry[3].vmid, &b));
	ck_assert_int_eq(s.rules.wildcard, 1);
	ck_assert_str_eq(s.target, "/run/x;y");
	ck_assert_uint_eq(s.max_connections, 12);
	service_fini(&s);
}
END_TEST

START_TEST(service_defaults)
{
	static const char text[] = "[Service]\nPort=5000\n";
	struct parse_error e;
	struct service s;
	GUID id = guid("00001388-facb-11e6-bd58-64006a7986d3");

	ck_assert_int_eq(read_service(text, strlen(text), false, &s, &e), 0);
	ck_assert_str_eq(s.name, "stem");
	ck_assert(guid_equal(&s.id, &id));
	ck_assert_int_eq(s.rules.policy, POLICY_DEFAULT);
	ck_assert(!s.rules.bind.set && !s.rules.connect.set);
	ck_assert(!s.rules.siblings.set);
	ck_assert_int_eq(s.rules.wildcard, -1);
	ck_assert_ptr_null(s.target);
	ck_assert_int_eq(s.lease_pid, 0);
	service_fini(&s);
}
END_TEST

START_TEST(service_lengths)
{
	char text[REGISTRY_FILE_MAX + 2];
	struct parse_error e;
	struct service s;
	int n;

	/* The longest line, and one more byte. */
	n = snprintf(text, sizeof(text), S ID "#%.*s\n", INI_LINE - 1,
		     "----------------------------------------------------"
		     "----------------------------------------------------"
		     "----------------------------------------------------"
		     "----------------------------------------------------");
	ck_assert_int_eq(read_service(text, (size_t)n, false, &s, &e), 0);
	service_fini(&s);
	text[n - 1] = '-';
	text[n++] = '\n';
	ck_assert_int_eq(read_service(text, (size_t)n, false, &s, &e), -EINVAL);
	compare(&e, "3: the line has more than 197 bytes (a list may go on in "
		    "a line that begins with a blank)");
	memset(text, '\n', sizeof(text));
	ck_assert_int_eq(read_service(text, REGISTRY_FILE_MAX + 1, false, &s,
				      &e), -EINVAL);
	compare(&e, "0: larger than 64 KiB");
	n = snprintf(text, sizeof(text), S ID "ElementName=%0121d\n", 1);
	ck_assert_int_eq(read_service(text, (size_t)n, false, &s, &e), -EINVAL);
	compare(&e, "3: ElementName has more than 120 bytes");
	n = snprintf(text, sizeof(text), S ID "Target=unix:/%0107d\n", 1);
	ck_assert_int_eq(read_service(text, (size_t)n, false, &s, &e), -EINVAL);
	compare(&e, "3: Target=: the path has more than 107 bytes");
	n = snprintf(text, sizeof(text), S ID "Bind=user:1\n");
	for (int i = 0; i < ACL_MAX; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " user:1\n");
	ck_assert_int_eq(read_service(text, (size_t)n, false, &s, &e), -EINVAL);
	compare(&e, "3: Bind= has more than 256 entries");
}
END_TEST

START_TEST(service_volatile)
{
	static const char text[] =
		S ID "[Lease]\nPid=12\nStart=345\nBoot=" GUID_C
		"\n[Owner]\nUid=77\n";
	struct parse_error e;
	struct service s;

	ck_assert_int_eq(read_service(text, strlen(text), true, &s, &e), 0);
	ck_assert_int_eq(s.lease_pid, 12);
	ck_assert_uint_eq(s.lease_start, 345);
	ck_assert_str_eq(s.lease_boot, GUID_C);
	ck_assert_uint_eq(s.owner_uid, 77);
	service_fini(&s);
	ck_assert_int_eq(read_service(S ID "[Lease]\nPid=1\n",
				      strlen(S ID "[Lease]\nPid=1\n"), true,
				      &s, &e), -EINVAL);
	compare(&e, "0: [Lease] needs Pid=, Start= and Boot=");
}
END_TEST

/* Everything that can be read can be written and is read as the same. */
START_TEST(service_round_trip)
{
	struct service_text t = { 0 }, again;
	struct parse_error e;
	char list[8000];
	char *text;
	int n = 0;

	for (int i = 0; i < 200; i++)
		n += snprintf(list + n, sizeof(list) - (size_t)n,
			      "%spartition:\"my web %d\"", i ? " " : "", i);
	ck_assert_int_eq(service_text_set(&t, SERVICE_NAME, "a b"), 0);
	ck_assert_int_eq(service_text_set(&t, SERVICE_ID, GUID_A), 0);
	ck_assert_int_eq(service_text_set(&t, SERVICE_BIND, list), 0);
	ck_assert_int_eq(service_text_set(&t, SERVICE_MAX_CONNECTIONS, "3"), 0);
	ck_assert_int_eq(service_text_set(&t, SERVICE_POLICY, "x\ny"), -EINVAL);
	ck_assert_int_eq(service_text_format(&t, &text), 0);
	ck_assert_msg(service_text_parse(text, strlen(text), false, &again,
					 &e) == 0, "%u: %s", e.line, e.reason);
	for (size_t k = 0; k < SERVICE_KEYS; k++) {
		if (t.value[k])
			ck_assert_str_eq(t.value[k], again.value[k]);
		else
			ck_assert_ptr_null(again.value[k]);
	}
	free(text);
	service_text_fini(&t);
	service_text_fini(&again);
}
END_TEST

static const struct {
	const char *name, *stem, *clean;
} made[] = {
	{ "HV Socket Demo", "hv-socket-demo", "HV Socket Demo" },
	{ "a/../b", "a-..-b", "a-..-b" },
	{ "..", "service", ".." },
	{ "", "service", "" },
	{ "\xc3\xa4\xc3\xb6", "service", "\xc3\xa4\xc3\xb6" },
	{ ".hidden", "hidden", ".hidden" },
	{ "Docker: \"vpnkit\"", "docker-vpnkit", "Docker- vpnkit" },
	{ " 5000 ", "5000", "service 5000" },
	{ "parent", "parent", "service parent" },
	{ "a\nb\xff", "a-b", "a-b" },
};

START_TEST(service_names)
{
	char stem[SERVICE_STEM_SIZE], clean[SERVICE_NAME_SIZE];
	struct parse_error e;

	ck_assert_str_eq(service_stem(made[_i].name, stem), made[_i].stem);
	ck_assert_str_eq(service_name_clean(made[_i].name, clean),
			 made[_i].clean);
	if (*clean)
		ck_assert_int_eq(name_check("it", clean, 0, &e), 0);
}
END_TEST

/* ---- Partitions -------------------------------------------------------- */

#define P "[Partition]\n"
#define VM "VmId=" GUID_A "\n"

static const struct {
	const char *text, *want;
} bad_partition[] = {
	{ P, "0: VmId= is missing" },
	{ "VmId=1\n", "1: \"VmId\" stands before [Partition]" },
	{ P "VmId=x\n", "2: VmId=\"x\" is not a GUID" },
	{ P "VmId=00000000-0000-0000-0000-000000000000\n",
	  "2: VmId=\"00000000-0000-0000-0000-000000000000\" is reserved: it "
	  "means \"wildcard\"" },
	{ P VM "Kind=host\n", "3: Kind=\"host\" is not vm or container" },
	{ P VM "Parent=a:b\n", "3: Parent \"a:b\" has a ':' in it" },
	{ P VM "Parent=" GUID_B "0\nName=x\n", NULL },
	{ P VM "Parent=00000000-0000-0000-0000-000000000000\n",
	  "3: Parent=\"00000000-0000-0000-0000-000000000000\" is reserved: it "
	  "means \"wildcard\"" },
	{ P VM "User=bob\n", "3: User=\"bob\": no such user" },
	{ P VM "User=4294967295\n",
	  "3: User=\"4294967295\" is not a user id" },
	{ P VM "Enabled=1\n", "3: Enabled=\"1\" is not yes or no" },
	{ P VM "Cid=2\n", "3: Cid=2 is no guest's: 3 to 4294967294, or 1" },
	{ P VM "Cid=0\n", "3: Cid=0 is no guest's: 3 to 4294967294, or 1" },
	{ P VM "Cid=4294967295\n",
	  "3: Cid=\"4294967295\" is not a number from 0 to 4294967294" },
	{ P VM "Cid=-3\n",
	  "3: Cid=\"-3\" is not a number from 0 to 4294967294" },
	{ P VM "Cid=x\n", "3: Cid=\"x\" is not a number from 0 to 4294967294" },
	{ P VM "Kind=container\nCid=3\n",
	  "4: Cid= is for a partition of kind vm" },
	{ P VM "SiblingCid=2\n", "3: SiblingCid=2: 3 to 4294967294" },
	{ P VM "SiblingCid=4294967295\n",
	  "3: SiblingCid=\"4294967295\" is not a number from 0 to 4294967294" },
	{ P VM "Kind=container\nSiblingCid=3\n", NULL },
	{ P VM "SiblingCid=none\n", NULL },
	{ P VM "Cid=1\n", NULL },
	{ P VM "Cid=4294967294\n", NULL },
	{ P VM "Kind=container\nCid=none\n", NULL },
	{ P VM "Name=host\n",
	  "3: Name \"host\" is a word with a meaning of its own" },
	{ P VM "Policy=enabled\n", "3: unknown key \"Policy\" in [Partition]" },
	{ P VM "VmId=" GUID_B "\n", "3: VmId= stands in line 2 already" },
	{ P VM "Name=a\n b\n", "4: Name= cannot go on in a second line" },
	{ P VM "[Default]\n", "3: unknown section \"Default\"" },
	{ P VM "[Defaults]\n[Defaults]\n", "4: [Defaults] stands there twice" },
	{ P VM "[Defaults]\nName=x\n",
	  "4: unknown key \"Name\" in [Defaults]" },
	{ P VM "[Defaults]\nPolicy=no\n[Service 1]\n",
	  "4: Policy=\"no\" is not enabled, disabled or default" },
	{ P VM "[Service]\n", "3: unknown section \"Service\"" },
	{ P VM "[Service a:b]\n", "3: the service \"a:b\" has a ':' in it" },
	{ P VM "[Service 99999999999]\n",
	  "3: the service \"99999999999\" is a number" },
	{ P VM "[Service 1]\n[Service 0x1]\n",
	  "4: this service's section stands in line 3 already" },
	{ P VM "[Service a]\n[Service A]\n",
	  "4: this service's section stands in line 3 already" },
	{ P VM "[Service a]\nBind=any\nBind=any\n",
	  "5: Bind= stands in line 4 already" },
	{ P VM "[Service a]\nConnect=bob\n",
	  "4: Connect=: \"bob\" is not any, none, user:, group: or "
	  "partition:" },
	{ P VM "[Defaults]\nSiblings=a\n",
	  "4: Siblings= grants one service: it stands in [Service ...], not "
	  "in [Defaults]" },
	{ P VM "[Service a]\nSiblings=any\n",
	  "4: Siblings=: partitions are named one by one, not \"any\"" },
	{ P VM "[Service a]\nSiblings=a\n b\n", NULL },
	{ P VM "[Service a]\nTarget=unix:/x\n",
	  "4: unknown key \"Target\" in [Service a]" },
};

START_TEST(partition_errors)
{
	const char *text = bad_partition[_i].text;
	struct partition_file f;
	struct parse_error e;
	int r;

	r = partition_file_parse(text, strlen(text), "stem", &names, &f, &e);
	if (!bad_partition[_i].want) {
		ck_assert_int_eq(r, 0);
		partition_file_fini(&f);
		return;
	}
	ck_assert_msg(r == -EINVAL, "%d for %s", r, text);
	compare(&e, bad_partition[_i].want);
}
END_TEST

START_TEST(partition_all_keys)
{
	static const char text[] =
		P "Name=Web 1\n" VM
		"Kind=container\nParent=host\nUser=ada\nEnabled=no\n"
		"SiblingCid=0x10\n"
		"[Defaults]\nPolicy=disabled\nBind=any\nConnect=user:5\n"
		"AllowWildcardBinds=no\n"
		"[Service 5000]\nPolicy=enabled\nSiblings=b\n"
		"[Service {" GUID_B "}]\nBind=none\n"
		"[Service A very long name of a service that passes what the "
		"library itself would have kept of it]\n"
		"Connect=any\nAllowWildcardBinds=yes\n";
	struct partition_file f;
	struct parse_error e;
	GUID a = guid(GUID_A), b = guid(GUID_B), port = guid_from_port(5000);

	ck_assert_msg(partition_file_parse(text, strlen(text), "stem", &names,
					   &f, &e) == 0, "%u: %s", e.line,
		      e.reason);
	ck_assert_str_eq(f.p.name, "Web 1");
	ck_assert(guid_equal(&f.p.vmid, &a));
	ck_assert_int_eq(f.p.kind, PARTITION_CONTAINER);
	ck_assert(f.p.has_user);
	ck_assert_uint_eq(f.p.user, 1000);
	ck_assert(!f.p.enabled);
	ck_assert_uint_eq(f.p.sibling_cid, 16);
	ck_assert_int_eq(f.p.defaults.policy, POLICY_DISABLED);
	ck_assert_int_eq(f.p.defaults.bind.entry[0].kind, ACL_ANY);
	ck_assert_uint_eq(f.p.defaults.connect.entry[0].id, 5);
	ck_assert_int_eq(f.p.defaults.wildcard, 0);
	ck_assert_uint_eq(f.p.table->n, 3);
	ck_assert(guid_equal(&f.p.table->entry[0].id, &port));
	ck_assert_int_eq(f.p.table->entry[0].rules.policy, POLICY_ENABLED);
	ck_assert_int_eq(f.p.table->entry[0].rules.wildcard, -1);
	ck_assert_str_eq(f.p.table->entry[0].rules.siblings.entry[0].partition,
			 "b");
	ck_assert(guid_equal(&f.p.table->entry[1].id, &b));
	ck_assert(f.p.table->entry[1].rules.bind.set);
	ck_assert_str_eq(f.p.table->entry[2].name,
			 "A very long name of a service that passes what the "
			 "library itself would have kept of it");
	ck_assert_int_eq(f.p.table->entry[2].rules.wildcard, 1);
	partition_file_fini(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry-parse");
	TCase *t = tcase_create("parse");

	tcase_add_loop_test(t, service_errors, 0, ARRAY_LEN(bad_service));
	tcase_add_test(t, service_all_keys);
	tcase_add_test(t, service_defaults);
	tcase_add_test(t, service_lengths);
	tcase_add_test(t, service_volatile);
	tcase_add_test(t, service_round_trip);
	tcase_add_loop_test(t, service_names, 0, ARRAY_LEN(made));
	tcase_add_loop_test(t, partition_errors, 0, ARRAY_LEN(bad_partition));
	tcase_add_test(t, partition_all_keys);
	suite_add_tcase(s, t);
	return run_suite(s);
}
