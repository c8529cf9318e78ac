/* SPDX-License-Identifier: MIT */
/* decide-world.c - see decide-world.h */
#include "decide-world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guid.h"

static char dir[] = "/tmp/hvs-decide-XXXXXX";
struct registry *registry;
struct listener listeners[16];
size_t nlisteners;
enum attached how;
struct world w;
struct verdict v;

GUID id(const char *text)
{
	GUID g = guid_zero;

	if (text)
		ck_assert_int_eq(guid_parse(text, &g), 0);
	return g;
}

static const struct listener *find(const void *arg, const GUID *partition,
				   const GUID *vmid, const GUID *service,
				   uint8_t type)
{
	(void)arg;
	for (size_t i = 0; i < nlisteners; i++) {
		const struct listener_name *n = &listeners[i].name;

		if (guid_equal(&n->partition, partition) &&
		    guid_equal(&n->vmid, vmid) &&
		    guid_equal(&n->service, service) && n->type == type)
			return &listeners[i];
	}
	return NULL;
}

static enum attached attached(const void *arg, const GUID *partition)
{
	(void)arg;
	(void)partition;
	return how;
}

void put(const char *file, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.conf", dir, file);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

void look(void)
{
	const struct registry_problem *p;
	size_t n;

	registry_reload(registry);
	n = registry_problems(registry, &p);
	for (size_t i = 0; i < n; i++)
		printf("# %s:%u: %s\n", p[i].file, p[i].line, p[i].reason);
	ck_assert_uint_eq(n, 0);
}

static void world_set_up(void)
{
	struct registry_dir d = { dir, ORIGIN_CONFIG };
	char path[256];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/services.d", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/partitions.d", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	put("partitions.d/vm1", "[Partition]\nKind=vm\nVmId=" VM1 "\n");
	put("partitions.d/vm2", "[Partition]\nKind=vm\nVmId=" VM2 "\n");
	put("partitions.d/box", "[Partition]\nKind=container\nVmId=" BOX "\n");
	put("partitions.d/inner",
	    "[Partition]\nKind=container\nParent=vm1\nVmId=" INNER "\n");
	put("partitions.d/deep",
	    "[Partition]\nKind=container\nParent=inner\nVmId=" DEEP "\n");
	put("services.d/open", "[Service]\nPort=100\nBind=any\n");
	put("services.d/closed", "[Service]\nPort=101\n");
	snprintf(path, sizeof(path), "%s/volatile", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(registry_new(&d, 1, path, &registry), 0);
	nlisteners = 0;
	how = ATTACHED_LOCAL;
	w = (struct world){
		.registry = registry,
		.broker_uid = BROKER_UID,
		.find = find,
		.attached = attached,
	};
}

static void world_tear_down(void)
{
	char command[300];

	registry = registry_free(registry);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

int world_run(const char *name, void (*fill)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, world_set_up, world_tear_down);
	fill(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

struct listener *listens(const char *partition, GUID vmid, uint32_t port,
			 uint32_t uid)
{
	struct listener *l = &listeners[nlisteners];
	struct listener *first;

	*l = (struct listener){
		.name = { .type = SOCK_STREAM, .partition = id(partition),
			  .vmid = vmid, .service = guid_from_port(port),
			  .uid = uid, .gid = uid },
	};
	first = (struct listener *)(uintptr_t)find(
		NULL, &l->name.partition, &vmid, &l->name.service, SOCK_STREAM);
	if (first) {
		l->same = first->same;
		first->same = l;
	}
	nlisteners++;
	return l;
}

uint32_t binds(const char *partition, uint32_t uid, GUID vmid,
	       uint32_t port)
{
	struct caller c = { .partition = id(partition),
			    .uid = uid,
			    .gid = uid };
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = vmid,
			  .ServiceId = guid_from_port(port) };

	verdict_init(&v);
	v.explain = true;
	decide_bind(&w, &c, &a, SOCK_STREAM, &v);
	ck_assert(!v.reason == !v.error);
	ck_assert(!v.reason || v.text[0]);
	/* one whose own partition is gone asks for nothing any more */
	ck_assert(v.rule[0] || v.reason == HVS_REASON_PARTITION_UNKNOWN);
	return v.reason;
}

uint32_t connects_as(const struct caller *c, GUID vmid, uint32_t port,
		     bool passthru)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = vmid,
			  .ServiceId = guid_from_port(port) };

	verdict_init(&v);
	v.explain = true;
	decide_connect(&w, c, &a, SOCK_STREAM, passthru, &v);
	ck_assert(!v.reason == !v.error);
	ck_assert(!v.reason || v.text[0]);
	/* one whose own partition is gone asks for nothing any more */
	ck_assert(v.rule[0] || v.reason == HVS_REASON_PARTITION_UNKNOWN);
	return v.reason;
}

uint32_t connects(const char *partition, uint32_t uid, GUID vmid,
		  uint32_t port)
{
	struct caller c = { .partition = id(partition),
			    .uid = uid,
			    .gid = uid };

	return connects_as(&c, vmid, port, false);
}
