/* SPDX-License-Identifier: MIT */
/*
 * test-decide-sibling.c - between partitions of one parent: Siblings=, whose
 * rules count, and the CIDs that stand for them
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "broker/rules.h"
#include "broker/sibling.h"
#include "decide-world.h"
#include "proto/name.h"
#include "proto/uplink.h"

static void service(const char *more)
{
	char text[400];

	snprintf(text, sizeof(text), "[Service]\nPort=101\n%s\n", more);
	put("services.d/closed", text);
}

static void partition(const char *name, const char *kind, const char *vmid,
		      const char *more)
{
	char file[80], text[500];

	snprintf(file, sizeof(file), "partitions.d/%s", name);
	snprintf(text, sizeof(text), "[Partition]\nKind=%s\nVmId=%s\n%s\n",
		 kind, vmid, more);
	put(file, text);
}

static uint32_t guest_connects(const char *from, const char *to, uint32_t port)
{
	struct caller c = { .partition = id(from), .uid = NAME_UID_NONE,
			    .gid = NAME_UID_NONE };

	return connects_as(&c, id(to), port, false);
}

#define ODD "ab4cd1ea-c06c-4cb7-9a1f-000000000001"
#define UNKNOWN HVS_REASON_PARTITION_UNKNOWN
#define DENIED HVS_REASON_CONNECT_DENIED
#define DISABLED HVS_REASON_DISABLED

/* vm1 asks for vm2. What the service's file says, what vm2's section of the
 * service, what vm1's. */
START_TEST(rules)
{
	static const struct {
		const char *service, *there, *here;
		uint32_t reason;
	} rows[] = {
		/* nobody is named: off */
		{ "", "", "", UNKNOWN },
		{ "Bind=any\nConnect=any", "", "", UNKNOWN },
		{ "Connect=partition:vm1", "", "", UNKNOWN },
		{ "", "Policy=enabled", "Policy=enabled", UNKNOWN },
		/* named: in the file, or where it is reached */
		{ "Siblings=vm1", "", "", 0 },
		{ "Siblings=VM1", "", "", 0 },
		{ "Siblings=box vm1", "", "", 0 },
		{ "Siblings=partition:vm1", "", "", 0 },
		{ "Siblings=" VM1, "", "", 0 },
		{ "", "Siblings=vm1", "", 0 },
		{ "Siblings=none", "Siblings=vm1", "", 0 },
		/* one's own section opens nothing */
		{ "", "", "Siblings=vm1", UNKNOWN },
		{ "", "", "Siblings=vm2", UNKNOWN },
		/* somebody else is named */
		{ "Siblings=none", "", "", DENIED },
		{ "Siblings=vm2", "", "", DENIED },
		{ "Siblings=inner", "", "", DENIED },
		{ "Siblings=vm10", "", "", DENIED },
		{ "Siblings=vm1", "Siblings=none", "", DENIED },
		{ "Siblings=vm1", "Siblings=box", "", DENIED },
		/* everything else has to allow it, on both sides */
		{ "Siblings=vm1\nPolicy=disabled", "", "", DISABLED },
		{ "Siblings=vm1", "Policy=disabled", "", DISABLED },
		{ "Siblings=vm1", "", "Policy=disabled", DISABLED },
		{ "Siblings=vm1\nPolicy=disabled", "Policy=enabled", "",
		  DISABLED },
		{ "Siblings=vm1\nPolicy=disabled", "Policy=enabled",
		  "Policy=enabled", 0 },
		{ "Siblings=vm1\nConnect=none", "", "", DENIED },
		{ "Siblings=vm1\nConnect=user:61234", "", "", DENIED },
		{ "Siblings=vm1\nConnect=partition:vm2", "", "", DENIED },
		{ "Siblings=vm1\nConnect=partition:vm1", "", "", 0 },
		{ "Siblings=vm1", "Connect=none", "", DENIED },
		{ "Siblings=vm1", "", "Connect=none", DENIED },
		{ "Siblings=vm1", "Connect=partition:vm1", "", 0 },
		/* who may bind is for those who are above */
		{ "Siblings=vm1\nBind=none\nAllowWildcardBinds=no", "", "", 0 },
	};

	listens(VM2, guid_zero, 101, USER);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char there[200], here[200];

		service(rows[i].service);
		snprintf(there, sizeof(there), "[Service 101]\n%s",
			 rows[i].there);
		snprintf(here, sizeof(here), "[Service 101]\n%s", rows[i].here);
		partition("vm2", "vm", VM2, there);
		partition("vm1", "vm", VM1, here);
		look();
		ck_assert_msg(guest_connects(VM1, VM2, 101) == rows[i].reason,
			      "row %zu: reason %u, %s", i, v.reason, v.text);
		/* it is policy: what is relayed has to end with it */
		ck_assert(!v.reason || decide_is_policy(v.reason));
		/* never the other way */
		listens(VM1, guid_zero, 101, USER);
		ck_assert(rows[i].reason ||
			  guest_connects(VM2, VM1, 101) != 0);
		nlisteners = 1;
	}
}
END_TEST

/* Why not, and what to do. */
START_TEST(says_what_to_set)
{
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), UNKNOWN);
	ck_assert_int_eq(v.error, EHOSTUNREACH);
	ck_assert(strstr(v.text, "\"vm2\" is a sibling of \"vm1\""));
	ck_assert(strstr(v.text, "Siblings="));
	ck_assert(strstr(v.fix, "Siblings=vm1 in the file of service"));
	ck_assert_uint_eq(guest_connects(VM1, VM2, 999), UNKNOWN);
	ck_assert(strstr(v.fix, "register the service, with Siblings=vm1"));
	service("Siblings=box");
	look();
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), DENIED);
	ck_assert_int_eq(v.error, EACCES);
	ck_assert_str_eq(v.rule, "Siblings= in the service's file");
	ck_assert_str_eq(v.fix, "add vm1 to Siblings= of service \"closed\"");
	partition("vm1", "vm", VM1, "Name=the first");
	look();
	(void)guest_connects(VM1, VM2, 101);
	ck_assert_str_eq(v.fix,
			 "add \"the first\" to Siblings= of service \"closed\"");
	/* granted, and nobody there */
	service("Siblings=\"the first\"");
	look();
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101),
			  HVS_REASON_NO_LISTENER);
	ck_assert(strstr(v.steps, "has no SiblingCid="));
	how = ATTACHED_TRANSPORT;
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), 0);
	ck_assert(v.relayed);
	ck_assert(guid_equal(&v.peer, &(GUID[]){ id(VM1) }[0]));
	how = ATTACHED_NOBODY;
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101),
			  HVS_REASON_PARTITION_OFF);
	/* off, by the file: of either */
	listens(VM2, guid_zero, 101, USER);
	partition("vm2", "vm", VM2, "Enabled=no");
	look();
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101),
			  HVS_REASON_PARTITION_OFF);
	partition("vm2", "vm", VM2, "");
	partition("vm1", "vm", VM1, "Name=the first\nEnabled=no");
	look();
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101),
			  HVS_REASON_PARTITION_OFF);
}
END_TEST

/* Who is whose sibling. */
START_TEST(relatives)
{
	static const struct {
		const char *from, *to;
		uint32_t reason;
	} rows[] = {
		{ VM1, VM2, 0 },     { VM1, BOX, 0 },	  { BOX, VM1, 0 },
		{ BOX, VM2, 0 },
		/* cousins, uncles, nephews: not at all */
		{ INNER, VM2, UNKNOWN }, { INNER, BOX, UNKNOWN },
		{ BOX, INNER, UNKNOWN }, { VM2, INNER, UNKNOWN },
		{ DEEP, BOX, UNKNOWN },	 { DEEP, VM1, UNKNOWN },
		{ INNER, VM1, UNKNOWN },
		/* as ever */
		{ NULL, BOX, 0 },	 { VM1, INNER, 0 },
	};

	service("Bind=any\nSiblings=vm1 vm2 box inner deep");
	look();
	listens(VM1, guid_zero, 101, USER);
	listens(VM2, guid_zero, 101, USER);
	listens(BOX, guid_zero, 101, USER);
	listens(INNER, guid_zero, 101, USER);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(guest_connects(rows[i].from, rows[i].to, 101) ==
				      rows[i].reason,
			      "row %zu: %s", i, v.text);
	/* nobody has such a VmId */
	ck_assert_uint_eq(guest_connects(VM1,
					 "00000009-1111-4111-8111-111111111111",
					 101),
			  UNKNOWN);
	/* siblings in a machine: its container beside another of its own */
	put("partitions.d/other",
	    "[Partition]\nKind=container\nParent=vm1\nVmId="
	    "00000008-1111-4111-8111-111111111111\n");
	look();
	ck_assert_uint_eq(guest_connects("00000008-1111-4111-8111-111111111111",
					 INNER, 101),
			  DENIED);
	service("Siblings=other");
	look();
	ck_assert_uint_eq(guest_connects("00000008-1111-4111-8111-111111111111",
					 INNER, 101),
			  0);
}
END_TEST

/* Which listener hears a sibling: one bound to its VmId before WILDCARD, and
 * none that is for children, parents, or the partition itself. */
START_TEST(which_listener)
{
	service("Siblings=vm1");
	look();
	listens(BOX, guid_children, 101, USER);
	listens(BOX, guid_parent, 101, USER);
	listens(BOX, guid_loopback, 101, USER);
	listens(BOX, guid_silohost, 101, USER);
	listens(BOX, id(VM2), 101, USER);
	ck_assert_uint_eq(guest_connects(VM1, BOX, 101),
			  HVS_REASON_NO_LISTENER);
	listens(BOX, guid_zero, 101, USER);
	ck_assert_uint_eq(guest_connects(VM1, BOX, 101), 0);
	ck_assert(guid_is_zero(&v.listener->name.vmid));
	listens(BOX, id(VM1), 101, USER);
	ck_assert_uint_eq(guest_connects(VM1, BOX, 101), 0);
	ck_assert(guid_equal(&v.listener->name.vmid, &(GUID[]){ id(VM1) }[0]));
	/* the host is not VM1 */
	ck_assert_uint_eq(connects(NULL, USER, id(BOX), 101), 0);
	ck_assert(guid_equal(&v.listener->name.vmid, &guid_parent));
	nlisteners = 0;
	/* binding one's sibling is for those who may be reached by it */
	ck_assert_uint_eq(binds(BOX, USER, id(VM1), 101), 0);
	ck_assert_uint_eq(binds(BOX, USER, id(VM2), 101), DENIED);
	ck_assert_uint_eq(binds(BOX, USER, id(VM1), 100), UNKNOWN);
	ck_assert_uint_eq(binds(BOX, USER, id(INNER), 101), UNKNOWN);
}
END_TEST

/* A guest's broker takes its host's word there. */
START_TEST(never_the_uplink)
{
	char text[100];

	snprintf(text, sizeof(text), "[Service]\nPort=%u\nSiblings=vm1\n",
		 UPLINK_PORT);
	put("services.d/uplink", text);
	look();
	how = ATTACHED_TRANSPORT;
	ck_assert_uint_eq(guest_connects(VM1, VM2, UPLINK_PORT), DENIED);
	ck_assert(strstr(v.text, "not for siblings"));
	ck_assert_uint_eq(connects(NULL, 0, id(VM2), UPLINK_PORT), 0);
	/* nor by a service of another id that has it for its port */
	snprintf(text, sizeof(text),
		 "[Service]\nServiceId=" ODD "\nPort=%u\nSiblings=vm1\n",
		 UPLINK_PORT);
	put("services.d/uplink", text);
	look();
	ck_assert_uint_eq(guest_connects(VM1, VM2, UPLINK_PORT), DENIED);
	ck_assert(strstr(v.text, "not for siblings"));
}
END_TEST

START_TEST(windows_has_none)
{
	struct caller c = { .partition = id(VM1), .uid = NAME_UID_NONE,
			    .gid = NAME_UID_NONE,
			    .profile = PROFILE_WINDOWS };

	service("Siblings=vm1");
	look();
	listens(VM2, guid_zero, 101, USER);
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), 0);
	ck_assert_uint_eq(connects_as(&c, id(VM2), 101, false), UNKNOWN);
	ck_assert_int_eq(v.error, ENETUNREACH);
	ck_assert(strstr(v.rule, "no way between siblings"));
	ck_assert(!v.listener);
	w.profile = PROFILE_WINDOWS;
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), UNKNOWN);
	ck_assert_uint_eq(binds(VM2, USER, id(VM1), 101), UNKNOWN);
	ck_assert(strstr(v.rule, "no way between siblings"));
}
END_TEST

static const struct partition *of_cid(const char *me, uint32_t cid)
{
	verdict_init(&v);
	v.explain = true;
	return sibling_of_cid(&w, registry_partition(registry,
						     &(GUID[]){ id(me) }[0]),
			      cid, &v);
}

START_TEST(cids)
{
	partition("vm1", "vm", VM1, "SiblingCid=11");
	partition("vm2", "vm", VM2, "Cid=22");
	partition("box", "container", BOX, "SiblingCid=33");
	put("partitions.d/inner", "[Partition]\nKind=container\nParent=vm1\n"
				  "SiblingCid=44\nVmId=" INNER "\n");
	look();
	ck_assert_str_eq(of_cid(VM1, 22)->name, "vm2");
	ck_assert_str_eq(of_cid(VM1, 33)->name, "box");
	ck_assert_str_eq(of_cid(BOX, 11)->name, "vm1");
	ck_assert_ptr_null(of_cid(VM1, 11));
	ck_assert(strstr(v.text, "that of \"vm1\" itself"));
	ck_assert_ptr_null(of_cid(VM1, 44)); /* beside nobody there */
	ck_assert_ptr_null(of_cid(VM1, 55));
	ck_assert_uint_eq(v.reason, UNKNOWN);
	ck_assert_ptr_null(of_cid(VM1, 0)); /* those that have none */
	/* two */
	partition("box", "container", BOX, "SiblingCid=22");
	look();
	ck_assert_ptr_null(of_cid(VM1, 22));
	ck_assert(strstr(v.text, "nobody's"));
	/* and the one of the two does not find the other */
	ck_assert_ptr_null(of_cid(BOX, 22));
	partition("vm2", "vm", VM2, "Cid=22\nSiblingCid=23");
	look();
	ck_assert_str_eq(of_cid(VM1, 22)->name, "box");
	ck_assert_str_eq(of_cid(VM1, 23)->name, "vm2");
	/* what the other guest is told of who comes */
	service("Siblings=vm1");
	look();
	how = ATTACHED_TRANSPORT;
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), 0);
	ck_assert(strstr(v.steps, "come from CID 11"));
	/* a CID of two is told to no guest: it would take one for the other */
	partition("box", "container", BOX, "SiblingCid=11");
	look();
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), UNKNOWN);
	ck_assert(strstr(v.text, "have CID 11"));
	partition("box", "container", BOX, "");
	/* and one that is the host's own is a guest's own, too */
	partition("vm1", "vm", VM1, "Cid=1");
	look();
	ck_assert_uint_eq(guest_connects(VM1, VM2, 101), 0);
	ck_assert(strstr(v.steps, "has no SiblingCid="));
	ck_assert_ptr_null(of_cid(VM2, 1));
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, rules);
	tcase_add_test(t, says_what_to_set);
	tcase_add_test(t, relatives);
	tcase_add_test(t, which_listener);
	tcase_add_test(t, never_the_uplink);
	tcase_add_test(t, windows_has_none);
	tcase_add_test(t, cids);
}

int main(void)
{
	return world_run("decide-sibling", fill);
}
