/* SPDX-License-Identifier: MIT */
/*
 * test-decide.c - decisions, over a registry read from files and listeners
 * made up by the test
 *
 * The real broker under the same rules is what the Python tests beside this
 * one are for; here are users, groups and corners that need no process.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "broker/rules.h"
#include "decide-world.h"
#include "proto/name.h"

START_TEST(who_may_bind)
{
	/* without Bind=: root, the broker's user, the file's owner */
	ck_assert_uint_eq(binds(NULL, 0, id(VM1), 101), 0);
	ck_assert_uint_eq(binds(NULL, BROKER_UID, id(VM1), 101), 0);
	ck_assert_uint_eq(binds(NULL, getuid(), id(VM1), 101), 0);
	ck_assert_uint_eq(binds(NULL, USER, id(VM1), 101),
			  HVS_REASON_BIND_DENIED);
	ck_assert_int_eq(v.error, EACCES);
	ck_assert(strstr(v.fix, "user:61234"));
	/* anybody binds a wildcard; it is not matched */
	ck_assert_uint_eq(binds(NULL, USER, guid_zero, 101), 0);
	listens(NULL, guid_zero, 101, USER);
	ck_assert_uint_eq(connects(VM1, USER, guid_parent, 101),
			  HVS_REASON_WILDCARD);
	/* Bind= */
	ck_assert_uint_eq(binds(NULL, USER, id(VM1), 100), 0);
	put("services.d/closed", "[Service]\nPort=101\nBind=user:61234\n");
	look();
	ck_assert_uint_eq(binds(NULL, USER, id(VM1), 101), 0);
	ck_assert_uint_eq(binds(NULL, 0, id(VM1), 101), HVS_REASON_BIND_DENIED);
	ck_assert_uint_eq(connects(VM1, USER, guid_parent, 101), 0);
	put("services.d/closed", "[Service]\nPort=101\nBind=none\n");
	look();
	ck_assert_uint_eq(binds(NULL, 0, id(VM1), 101), HVS_REASON_BIND_DENIED);
	/* a child listens as it likes, whatever Bind= says */
	ck_assert_uint_eq(binds(VM1, USER, guid_parent, 101), 0);
	listens(VM1, guid_parent, 101, USER);
	ck_assert_uint_eq(connects(NULL, USER, id(VM1), 101), 0);
}
END_TEST

START_TEST(groups)
{
	uint32_t more[] = { 7, 2000 };
	struct caller c = { .partition = guid_zero, .uid = USER, .gid = 5 };
	char text[100];

	listens(VM1, guid_zero, 101, 0);
	put("services.d/closed", "[Service]\nPort=101\nConnect=group:2000\n");
	look();
	ck_assert_uint_eq(connects_as(&c, id(VM1), 101, false),
			  HVS_REASON_CONNECT_DENIED);
	c.groups = more;
	c.ngroups = 1;
	ck_assert_uint_eq(connects_as(&c, id(VM1), 101, false),
			  HVS_REASON_CONNECT_DENIED);
	c.ngroups = 2;
	ck_assert_uint_eq(connects_as(&c, id(VM1), 101, false), 0);
	c.ngroups = 0;
	c.gid = 2000;
	ck_assert_uint_eq(connects_as(&c, id(VM1), 101, false), 0);
	/* a guest is in no group, whatever its numbers */
	snprintf(text, sizeof(text), "[Service]\nPort=101\nConnect=user:%u\n",
		 NAME_UID_NONE - 1);
	put("services.d/closed", text);
	look();
	c = (struct caller){ .partition = id(VM1), .uid = NAME_UID_NONE,
			     .gid = NAME_UID_NONE };
	listens(NULL, guid_zero, 101, 0);
	ck_assert_uint_eq(connects_as(&c, guid_parent, 101, false),
			  HVS_REASON_CONNECT_DENIED);
	put("services.d/closed", "[Service]\nPort=101\nConnect=partition:VM1\n");
	look();
	ck_assert_uint_eq(connects_as(&c, guid_parent, 101, false), 0);
	c.partition = id(VM2);
	ck_assert_uint_eq(connects_as(&c, guid_parent, 101, false),
			  HVS_REASON_CONNECT_DENIED);
}
END_TEST

START_TEST(three_values)
{
	static const struct {
		const char *defaults, *service, *table;
		uint32_t reason;
	} rows[] = {
		{ "", "", "", 0 },
		{ "Policy=disabled", "", "", HVS_REASON_DISABLED },
		{ "Policy=disabled", "Policy=default", "", HVS_REASON_DISABLED },
		{ "Policy=disabled", "Policy=enabled", "", 0 },
		{ "Policy=enabled", "Policy=disabled", "", HVS_REASON_DISABLED },
		{ "Policy=disabled", "Policy=disabled", "Policy=enabled", 0 },
		{ "Policy=enabled", "Policy=enabled", "Policy=disabled",
		  HVS_REASON_DISABLED },
		{ "Policy=disabled", "Policy=enabled", "Policy=default", 0 },
		/* member by member: one does not reset the others */
		{ "Connect=none", "Policy=enabled", "Policy=enabled",
		  HVS_REASON_CONNECT_DENIED },
		{ "Connect=none", "Connect=any", "", 0 },
		{ "Connect=any", "Connect=none", "Connect=user:61234", 0 },
		{ "Connect=any", "Connect=any", "Connect=none",
		  HVS_REASON_CONNECT_DENIED },
		{ "AllowWildcardBinds=no", "", "", HVS_REASON_WILDCARD },
		{ "AllowWildcardBinds=no", "AllowWildcardBinds=yes", "", 0 },
		{ "", "AllowWildcardBinds=yes", "AllowWildcardBinds=no",
		  HVS_REASON_WILDCARD },
		{ "Bind=none", "", "", HVS_REASON_WILDCARD },
		{ "Bind=none", "Bind=user:0", "", 0 },
	};

	listens(NULL, guid_zero, 101, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[400];

		snprintf(text, sizeof(text), "[Service]\nPort=101\n%s\n",
			 rows[i].service);
		put("services.d/closed", text);
		snprintf(text, sizeof(text),
			 "[Partition]\nKind=vm\nVmId=" VM1
			 "\n[Defaults]\n%s\n[Service 101]\n%s\n",
			 rows[i].defaults, rows[i].table);
		put("partitions.d/vm1", text);
		look();
		ck_assert_msg(connects(VM1, USER, guid_parent, 101) ==
				      rows[i].reason,
			      "row %zu: reason %u, %s", i, v.reason, v.text);
		/* another partition has nothing to do with that table */
		if (!rows[i].service[0])
			ck_assert_uint_eq(connects(VM2, USER, guid_parent, 101),
					  0);
	}
}
END_TEST

START_TEST(a_table_registers)
{
	ck_assert_uint_eq(binds(NULL, 0, id(VM1), 500),
			  HVS_REASON_NOT_REGISTERED);
	put("partitions.d/vm1", "[Partition]\nKind=vm\nVmId=" VM1
				"\n[Service 500]\nPolicy=enabled\n");
	look();
	ck_assert_uint_eq(binds(NULL, 0, id(VM1), 500), 0);
	ck_assert_uint_eq(binds(NULL, 0, id(VM2), 500),
			  HVS_REASON_NOT_REGISTERED);
	/* CHILDREN is for all of them: one table does not register it */
	ck_assert_uint_eq(binds(NULL, 0, guid_children, 500),
			  HVS_REASON_NOT_REGISTERED);
	listens(NULL, guid_zero, 500, 0);
	ck_assert_uint_eq(connects(VM1, USER, guid_parent, 500), 0);
	ck_assert_uint_eq(connects(VM2, USER, guid_parent, 500),
			  HVS_REASON_NOT_REGISTERED);
}
END_TEST

START_TEST(squatting)
{
	/* one who may not bind was there first: the address is still free */
	listens(NULL, guid_zero, 101, USER);
	ck_assert_uint_eq(binds(NULL, 0, guid_zero, 101), 0);
	listens(NULL, guid_zero, 101, 0);
	/* and the one who may is who is reached */
	ck_assert_uint_eq(connects(VM1, OTHER, guid_parent, 101), 0);
	ck_assert_uint_eq(v.listener->name.uid, 0);
	ck_assert_uint_eq(connects(NULL, OTHER, guid_loopback, 101), 0);
	ck_assert_uint_eq(v.listener->name.uid, 0);
	/* a second of those who may is one too many */
	ck_assert_uint_eq(binds(NULL, BROKER_UID, guid_zero, 101),
			  HVS_REASON_ADDRESS_TAKEN);
	ck_assert_uint_eq(v.listener->name.uid, 0);
	/* and so is a second of the squatter's own */
	ck_assert_uint_eq(binds(NULL, USER, guid_zero, 101),
			  HVS_REASON_ADDRESS_TAKEN);
	/* unregistered: first come, first served */
	listens(NULL, guid_zero, 999, USER);
	ck_assert_uint_eq(binds(NULL, 0, guid_zero, 999),
			  HVS_REASON_ADDRESS_TAKEN);
}
END_TEST

START_TEST(a_less_specific_one_that_may)
{
	/* the exact one belongs to somebody who may not: the wildcard wins */
	listens(NULL, id(VM1), 101, USER);
	ck_assert_uint_eq(connects(VM1, OTHER, guid_parent, 101),
			  HVS_REASON_BIND_DENIED);
	listens(NULL, guid_children, 101, 0);
	ck_assert_uint_eq(connects(VM1, OTHER, guid_parent, 101), 0);
	ck_assert(guid_equal(&v.listener->name.vmid, &guid_children));
}
END_TEST

START_TEST(nested)
{
	struct caller c = { .partition = id(DEEP), .uid = USER, .gid = USER };

	listens(NULL, guid_zero, 100, 0);
	listens(VM1, guid_zero, 100, 0);
	listens(INNER, guid_zero, 100, 0);
	/* the parent is the next one up */
	ck_assert_uint_eq(connects_as(&c, guid_parent, 100, false), 0);
	ck_assert(guid_equal(&v.target->vmid, &listeners[2].name.partition));
	ck_assert_uint_eq(connects_as(&c, guid_silohost, 100, false), 0);
	ck_assert(guid_equal(&v.target->vmid, &listeners[2].name.partition));
	/* with passthru, one further */
	ck_assert_uint_eq(connects_as(&c, guid_parent, 100, true), 0);
	ck_assert(guid_equal(&v.target->vmid, &listeners[1].name.partition));
	ck_assert(guid_equal(&v.peer, &c.partition));
	/* passthru where there is nothing to pass */
	c.partition = id(BOX);
	ck_assert_uint_eq(connects_as(&c, guid_parent, 100, true), 0);
	ck_assert(guid_is_zero(&v.target->vmid));
	/* up only by PARENT, never by id; not sideways */
	ck_assert_uint_eq(connects(DEEP, USER, id(VM1), 100),
			  HVS_REASON_PARTITION_UNKNOWN);
	ck_assert_uint_eq(connects(BOX, USER, id(VM1), 100),
			  HVS_REASON_PARTITION_UNKNOWN);
	/* down by id, however deep; the far end sees PARENT */
	listens(DEEP, guid_zero, 100, USER);
	ck_assert_uint_eq(connects(NULL, USER, id(DEEP), 100), 0);
	ck_assert(guid_equal(&v.peer, &guid_parent));
	ck_assert_uint_eq(connects(VM1, USER, id(DEEP), 100), 0);
	/* binding is for those below */
	ck_assert_uint_eq(binds(VM1, 0, id(INNER), 100), 0);
	ck_assert_uint_eq(binds(VM1, 0, id(DEEP), 100), 0);
	ck_assert_uint_eq(binds(INNER, 0, id(VM1), 100),
			  HVS_REASON_PARTITION_UNKNOWN);
	ck_assert_uint_eq(binds(VM1, 0, id(VM1), 100),
			  HVS_REASON_PARTITION_UNKNOWN);
}
END_TEST

START_TEST(off_and_gone)
{
	how = ATTACHED_NOBODY;
	ck_assert_uint_eq(connects(NULL, USER, id(VM1), 100),
			  HVS_REASON_PARTITION_OFF);
	how = ATTACHED_TRANSPORT_OFF;
	ck_assert_uint_eq(connects(NULL, USER, id(VM1), 100),
			  HVS_REASON_PARTITION_OFF);
	how = ATTACHED_TRANSPORT_SAVED;
	ck_assert_uint_eq(connects(NULL, USER, id(VM1), 100),
			  HVS_REASON_PARTITION_OFF);
	how = ATTACHED_TRANSPORT;
	ck_assert_uint_eq(connects(NULL, USER, id(VM1), 100), 0);
	ck_assert(v.relayed);
	/* a process in it that listens comes first */
	listens(VM1, guid_parent, 100, USER);
	ck_assert_uint_eq(connects(NULL, USER, id(VM1), 100), 0);
	ck_assert(!v.relayed && v.listener);
	/* the caller's own partition has been removed */
	ck_assert_uint_eq(connects("00000009-1111-4111-8111-111111111111",
				   USER, guid_parent, 100),
			  HVS_REASON_PARTITION_UNKNOWN);
	ck_assert_uint_eq(binds("00000009-1111-4111-8111-111111111111", USER,
				guid_parent, 100),
			  HVS_REASON_PARTITION_UNKNOWN);
}
END_TEST

START_TEST(disabled)
{
	put("services.d/closed", "[Service]\nPort=101\nPolicy=disabled\n");
	look();
	ck_assert_uint_eq(binds(NULL, 0, id(VM1), 101), 0);
	ck_assert(v.disabled);
	ck_assert_uint_eq(binds(NULL, 0, guid_zero, 101), 0);
	ck_assert(!v.disabled);
	listens(NULL, guid_zero, 101, 0);
	ck_assert_uint_eq(connects(VM1, USER, guid_parent, 101),
			  HVS_REASON_DISABLED);
	ck_assert_int_eq(v.error, EINVAL);
}
END_TEST

START_TEST(which_reasons_are_policy)
{
	static const uint32_t policy[] = {
		HVS_REASON_NOT_REGISTERED,	HVS_REASON_BIND_DENIED,
		HVS_REASON_CONNECT_DENIED,	HVS_REASON_DISABLED,
		HVS_REASON_WILDCARD,		HVS_REASON_PARTITION_UNKNOWN,
	};

	for (uint32_t r = 0; r < 30; r++) {
		bool want = false;

		for (size_t i = 0; i < ARRAY_LEN(policy); i++)
			want = want || policy[i] == r;
		ck_assert_msg(decide_is_policy(r) == want, "reason %u", r);
	}
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, who_may_bind);
	tcase_add_test(t, groups);
	tcase_add_test(t, three_values);
	tcase_add_test(t, a_table_registers);
	tcase_add_test(t, squatting);
	tcase_add_test(t, a_less_specific_one_that_may);
	tcase_add_test(t, nested);
	tcase_add_test(t, off_and_gone);
	tcase_add_test(t, disabled);
	tcase_add_test(t, which_reasons_are_policy);
}

int main(void)
{
	return world_run("decide", fill);
}
