/* SPDX-License-Identifier: MIT */
/* cmd-partition.c - hvctl partition add, list, id, show; vm and container */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "hvctl/out.h"
#include "hvctl/partition.h"
#include "hvctl/store.h"
#include "hvctl/uuid5.h"
#include "hvctl/verbs.h"
#include "registry/partition-file.h"
#include "registry/service-file.h"

const char *group_kind(const struct ctl *c)
{
	if (!strncmp(c->verb, "vm ", 3))
		return "vm";
	if (!strncmp(c->verb, "container ", 10))
		return "container";
	return NULL;
}

int find_partition(struct ctl *c, const char *ref, json_t **ret)
{
	cleanup_json_ json_t *o = NULL;
	const char *kind = group_kind(c);

	if (store_find(c, &store_partitions, ref, &o))
		return 1;
	if (kind && strcmp(json_text(o, "kind"), kind))
		return complain("%s %s: this is a %s, not a %s", c->verb, show(ref),
			    show(json_text(o, "kind")), kind);
	*ret = o;
	o = NULL;
	return 0;
}

/* Values as they would stand in the file; NULL: not asked for. */
struct wish {
	const char *value[PARTITION_KEYS];
	char id[GUID_TEXT_SIZE];
};

static int read_wish(const struct ctl *c, const struct args *a, struct wish *w)
{
	const char *kind = group_kind(c);
	const char *asked = args_value(a, "kind");
	const char *id = args_value(a, "id");
	const char *cid = args_value(a, "cid");
	const char *beside = args_value(a, "sibling-cid");
	GUID guid;
	int r;

	if (!*a->pos[0])
		return usage("%s: a name is not empty", c->verb);
	if (id && guid_parse(id, &guid))
		return usage("%s: --id %s: not a GUID", c->verb, show(id));
	if (asked && strcmp(asked, "vm") && strcmp(asked, "container"))
		return usage("%s: --kind %s: not vm or container", c->verb,
			     show(asked));
	if (asked && kind && strcmp(asked, kind))
		return usage("%s: --kind %s: %s is another kind", c->verb,
			     show(asked), kind);
	if (cid && !partition_cid_ok(cid))
		return usage("%s: --cid %s: no guest's CID: 3 to 4294967294, 1, "
			     "or none", c->verb, show(cid));
	if (beside && !partition_sibling_cid_ok(beside))
		return usage("%s: --sibling-cid %s: not 3 to 4294967294, or "
			     "none", c->verb, show(beside));
	if (!id) {
		r = guid_random(&guid);
		if (r)
			return complain("%s: %s", c->verb, strerror(-r));
	}
	*w = (struct wish){
		.value = {
			[PARTITION_NAME] = a->pos[0],
			[PARTITION_VMID] = w->id,
			[PARTITION_KIND] = asked ? asked : kind,
			[PARTITION_PARENT] = args_value(a, "parent"),
			[PARTITION_USER] = args_value(a, "user"),
			[PARTITION_CID] = args_value(a, "cid"),
			[PARTITION_SIBLING_CID] = beside,
		},
	};
	guid_format(&guid, w->id);
	return 0;
}

static json_t *add_request(const struct wish *w)
{
	static const char *const keys[PARTITION_KEYS] = {
		[PARTITION_NAME] = "name",     [PARTITION_VMID] = "id",
		[PARTITION_KIND] = "kind",     [PARTITION_PARENT] = "parent",
		[PARTITION_USER] = "user",     [PARTITION_CID] = "cid",
		[PARTITION_SIBLING_CID] = "sibling_cid",
	};
	json_t *q = json_pack("{s:s}", "method", "partition.add");

	for (size_t i = 0; q && i < PARTITION_KEYS; i++)
		if (keys[i] && w->value[i] &&
		    json_object_set_new(q, keys[i], json_string(w->value[i]))) {
			json_decref(q);
			return NULL;
		}
	return q;
}

/* Two files that claim the same would put both out of force. */
static int check_free(struct ctl *c, const struct wish *w)
{
	const char *refs[] = { w->value[PARTITION_NAME],
			       w->value[PARTITION_VMID] };

	for (size_t i = 0; i < 2; i++) {
		cleanup_json_ json_t *o = NULL;
		struct call_error err;

		if (!store_show(c, &store_partitions, refs[i], &o, &err))
			return complain("%s %s: %s is taken by %s (exists)",
				    c->verb, show(refs[0]), show(refs[i]),
				    show(json_text(o, "name")));
		if (err.reason != HVS_REASON_NOT_FOUND &&
		    err.reason != HVS_REASON_PARTITION_UNKNOWN)
			return say_refused(c, CALL_HOST, refs[0], &err);
	}
	return 0;
}

int check_partition_text(const struct ctl *c, const char *about,
			 const char *stem, const char *text)
{
	struct parse_error e = { 0 };
	struct partition_file f;
	int r;

	r = partition_file_parse(text, strlen(text), stem, &name_lookup_system,
				 &f, &e);
	if (r)
		return complain("%s %s: %s", c->verb, show(about),
			    e.reason[0] ? show(e.reason) : strerror(-r));
	partition_file_fini(&f);
	return 0;
}

static int add_file(struct ctl *c, const struct wish *w, json_t **ret)
{
	const char *name = w->value[PARTITION_NAME];
	cleanup_free_ char *text = NULL;
	char stem[SERVICE_STEM_SIZE];
	struct store s;
	int r;

	if (check_free(c, w))
		return 1;
	if (partition_text_format(w->value, &text))
		return complain("%s %s: control characters cannot stand in a file",
			    c->verb, show(name));
	service_stem(name, stem);
	if (check_partition_text(c, name, stem, text))
		return 1;
	r = store_open(c, &store_partitions, &s);
	if (!r)
		r = store_write(&s, name, stem, text, false);
	if (!r) {
		r = store_settle(&s, name, w->id, stem, NULL, NULL, ret);
		if (r) /* nothing is left of what did not work */
			store_delete(&s, name, stem);
	}
	store_close(&s);
	return r;
}

int cmd_partition_add(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *reply = NULL;
	struct wish w;
	int r;

	r = read_wish(c, a, &w);
	if (r)
		return r;
	if (args_has(a, "ephemeral"))
		r = call_or_say(c, add_request(&w), a->pos[0], &reply);
	else
		r = add_file(c, &w, &reply);
	if (r)
		return r;
	if (args_has(a, "json"))
		print_json(reply);
	else
		printf("%s\n", show(json_text(reply, "id")));
	return 0;
}

/* Only one kind, in place: what --json prints is what the table shows. */
static void filter(json_t *list, const char *kind)
{
	for (size_t i = json_array_size(list); kind && i-- > 0;)
		if (strcmp(json_text(json_array_get(list, i), "kind"), kind))
			json_array_remove(list, i);
}

int cmd_partition_list(struct ctl *c, const struct args *a)
{
	static const char *const heads[] = { "NAME", "ID", "KIND", "PARENT",
					     "STATE", "TRANSPORT", "LISTENERS",
					     "CONNECTIONS", NULL };
	cleanup_table_ struct table *t = table_new(heads);
	cleanup_json_ json_t *reply = NULL;
	json_t *list;
	const json_t *p;
	size_t i;

	if (call_or_say(c, json_pack("{s:s}", "method", "partition.list"),
			NULL, &reply))
		return 1;
	list = json_object_get(reply, "partitions");
	filter(list, group_kind(c));
	if (args_has(a, "json")) {
		print_json(reply);
		return 0;
	}
	json_array_foreach(list, i, p) {
		const json_t *enabled = json_object_get(p, "enabled");

		if (!t)
			break;
		table_cell(t, json_text(p, "name"));
		table_cell(t, json_text(p, "id"));
		table_cell(t, json_text(p, "kind"));
		table_cell(t, json_text(p, "parent"));
		table_cell(t, json_is_false(enabled) ? "disabled"
						     : json_text(p, "state"));
		table_cell(t, json_text(p, "transport"));
		table_cell_uint(t, json_number(p, "listeners"));
		table_cell_uint(t, json_number(p, "connections"));
	}
	if (!t || table_print(t, stdout))
		return complain("%s: %s", c->verb, strerror(ENOMEM));
	return 0;
}

int cmd_partition_id(struct ctl *c, const struct args *a)
{
	const char *container = args_value(a, "from-container");
	cleanup_json_ json_t *o = NULL;
	char id[GUID_TEXT_SIZE];
	GUID guid;

	if (!container == !a->npos)
		return usage("%s: either a name or --from-container TEXT",
			     c->verb);
	if (container) {
		if (uuid5_container(container, &guid))
			return usage("%s: --from-container %s: not a "
				     "container's id", c->verb,
				     show(container));
		printf("%s\n", guid_format(&guid, id));
		return 0;
	}
	if (find_partition(c, a->pos[0], &o))
		return 1;
	printf("%s\n", show(json_text(o, "id")));
	return 0;
}

int cmd_partition_show(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *o = NULL;

	if (find_partition(c, a->pos[0], &o))
		return 1;
	if (args_has(a, "json"))
		print_json(o);
	else
		print_object(o);
	return 0;
}
