/* SPDX-License-Identifier: MIT */
/*
 * test-windows.c - the profile "windows": users, registrations, and that it
 * never allows what is refused without it
 *
 * The rows of the address rules are in test-windows-profile.py.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "decide-world.h"

static uint32_t connects_by(enum profile p, uint32_t uid, GUID vmid,
			    uint32_t port)
{
	struct caller c = { .uid = uid, .gid = uid, .profile = p };

	return connects_as(&c, vmid, port, false);
}

START_TEST(the_default_descriptor)
{
	listens(VM1, guid_zero, 101, 0);
	ck_assert_uint_eq(connects_by(PROFILE_DEFAULT, USER, id(VM1), 101), 0);
	ck_assert_uint_eq(connects_by(PROFILE_WINDOWS, USER, id(VM1), 101),
			  HVS_REASON_CONNECT_DENIED);
	ck_assert_int_eq(v.error, EACCES);
	ck_assert(strstr(v.rule, "the default descriptor"));
	ck_assert_uint_eq(connects_by(PROFILE_WINDOWS, 0, id(VM1), 101), 0);
	ck_assert_uint_eq(connects_by(PROFILE_WINDOWS, BROKER_UID, id(VM1),
				      101), 0);
	/* a descriptor */
	put("services.d/closed", "[Service]\nPort=101\nConnect=user:61234\n");
	look();
	ck_assert_uint_eq(connects_by(PROFILE_WINDOWS, USER, id(VM1), 101), 0);
	ck_assert_uint_eq(connects_by(PROFILE_WINDOWS, OTHER, id(VM1), 101),
			  HVS_REASON_CONNECT_DENIED);
	/* one's own partition has none */
	listens(NULL, guid_loopback, 101, USER);
	put("services.d/closed", "[Service]\nPort=101\nBind=any\n");
	look();
	ck_assert_uint_eq(connects_by(PROFILE_WINDOWS, USER, guid_loopback,
				      101), 0);
}
END_TEST

START_TEST(administrators_register)
{
	uint32_t port = 300;
	struct service_draft d = { .name = "theirs", .port = &port,
				   .owner_uid = USER };
	const struct service *s;
	char why[REGISTRY_WHY];

	ck_assert_int_eq(registry_add_service(registry, &d, &s, why,
					      sizeof(why)), 0);
	ck_assert_uint_eq(binds(NULL, USER, id(VM1), 300), 0);
	ck_assert_uint_eq(binds(NULL, USER, guid_children, 300), 0);
	w.profile = PROFILE_WINDOWS;
	ck_assert_uint_eq(binds(NULL, USER, id(VM1), 300),
			  HVS_REASON_NOT_REGISTERED);
	ck_assert_int_eq(v.error, EACCES);
	ck_assert(strstr(v.rule, "administrators register"));
	ck_assert_uint_eq(binds(NULL, USER, guid_children, 300),
			  HVS_REASON_NOT_REGISTERED);
	/* what needs no registration */
	ck_assert_uint_eq(binds(NULL, USER, guid_zero, 300), 0);
	listens(NULL, guid_zero, 300, USER);
	ck_assert_uint_eq(connects(NULL, USER, guid_loopback, 300), 0);
	ck_assert_uint_eq(connects(VM1, USER, guid_parent, 300),
			  HVS_REASON_NOT_REGISTERED);
	ck_assert_int_eq(v.error, ECONNREFUSED);
	/* an administrator's */
	ck_assert_int_eq(registry_remove_service(registry, &s->id, why,
						 sizeof(why)), 0);
	d.owner_uid = BROKER_UID;
	ck_assert_int_eq(registry_add_service(registry, &d, &s, why,
					      sizeof(why)), 0);
	ck_assert_uint_eq(binds(NULL, BROKER_UID, id(VM1), 300), 0);
	ck_assert_uint_eq(binds(NULL, 0, id(VM1), 300), 0);
}
END_TEST

static struct {
	unsigned int allowed, refused, only_windows;
} seen;

/* The same question, by default and with the profile. */
static void ask(const struct caller *who, bool bind, GUID vmid, uint32_t port,
		uint8_t type, bool passthru)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = vmid,
			  .ServiceId = guid_from_port(port) };
	struct verdict by_default, windows;
	struct caller c = *who;

	verdict_init(&by_default);
	verdict_init(&windows);
	windows.explain = true;
	if (bind)
		decide_bind(&w, &c, &a, type, &by_default);
	else
		decide_connect(&w, &c, &a, type, passthru, &by_default);
	c.profile = PROFILE_WINDOWS;
	if (bind)
		decide_bind(&w, &c, &a, type, &windows);
	else
		decide_connect(&w, &c, &a, type, passthru, &windows);
	ck_assert(!windows.reason == !windows.error);
	if (by_default.reason) {
		/* by the same rule: the profile is asked after all others, but
		 * for what a table of its own means on Windows */
		seen.refused++;
		ck_assert(windows.reason == by_default.reason ||
			  windows.reason == HVS_REASON_WILDCARD);
		ck_assert(!strstr(windows.rule, "profile") &&
			  !strstr(windows.text, "Windows,"));
		return;
	}
	if (!windows.reason) {
		seen.allowed++;
		ck_assert(windows.listener == by_default.listener ||
			  by_default.listener->name.type == SOCK_STREAM);
		return;
	}
	seen.only_windows++;
	ck_assert(windows.rule[0] && windows.text[0]);
}

START_TEST(takes_away_only)
{
	static const char *const ids[] = { NULL, VM1, VM2, BOX, INNER, DEEP };
	const GUID words[] = { guid_zero, guid_children, guid_parent,
			       guid_loopback, guid_silohost, guid_broadcast };
	static const uint32_t ports[] = { 100, 101, 102, 103 };
	static const uint32_t uids[] = { 0, BROKER_UID, USER };
	size_t n = ARRAY_LEN(ids), all = n + ARRAY_LEN(words);

	put("services.d/rules", "[Service]\nPort=102\nBind=user:61234\n"
				"Connect=user:61234\nPolicy=disabled\n");
	put("partitions.d/vm2", "[Partition]\nKind=vm\nVmId=" VM2 "\n"
				"[Service open]\nPolicy=enabled\n");
	look();
	for (size_t i = 0; i < n; i++) {
		listens(ids[i], guid_zero, 100, USER);
		listens(ids[i], guid_loopback, 101, 0);
	}
	listens(NULL, guid_children, 101, 0);
	for (size_t i = 0; i < n * all * 4 * 3 * 8; i++) {
		size_t k = i;
		struct caller c = { .partition = id(ids[k % n]) };
		size_t dest = (k /= n) % all;
		uint32_t port = ports[(k /= all) % 4];

		c.uid = c.gid = uids[(k /= 4) % 3];
		k /= 3;
		ask(&c, k & 1, dest < n ? id(ids[dest]) : words[dest - n], port,
		    k & 2 ? SOCK_SEQPACKET : SOCK_STREAM, k & 4);
	}
	ck_assert_uint_gt(seen.allowed, 100);
	ck_assert_uint_gt(seen.refused, 100);
	ck_assert_uint_gt(seen.only_windows, 100);
}
END_TEST

START_TEST(names_of_profiles)
{
	static const char *const wrong[] = { "x", "Windows", "windows ",
					     "window", "defaul" };
	enum profile p = PROFILE_WINDOWS;

	ck_assert_int_eq(profile_parse("", 0, &p), 0);
	ck_assert_int_eq(p, PROFILE_DEFAULT);
	for (enum profile q = PROFILE_DEFAULT; q <= PROFILE_WINDOWS; q++) {
		const char *name = profile_name(q);

		ck_assert_uint_le(strlen(name), PROFILE_NAME_MAX);
		ck_assert_int_eq(profile_parse(name, strlen(name), &p), 0);
		ck_assert_int_eq(p, q);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		ck_assert_int_eq(profile_parse(wrong[i], strlen(wrong[i]), &p),
				 -EINVAL);
	ck_assert_int_eq(profile_parse("windows\0", 8, &p), -EINVAL);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, the_default_descriptor);
	tcase_add_test(t, administrators_register);
	tcase_add_test(t, takes_away_only);
	tcase_add_test(t, names_of_profiles);
}

int main(void)
{
	return world_run("windows", fill);
}
