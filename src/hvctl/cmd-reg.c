/* SPDX-License-Identifier: MIT */
/*
 * cmd-reg.c - hvctl service import, export: Windows .reg files
 *
 * An import is read to its end before anything is changed. Then each key is a
 * service of its own: what is registered already stays as it is, a key that
 * the file deletes is removed, and what fails is told while the others go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "hvctl/out.h"
#include "hvctl/service.h"
#include "hvctl/verbs.h"
#include "registry/reg-file.h"
#include "registry/service-file.h"
#include "registry/write-file.h"

struct entry {
	GUID id;
	char name[SERVICE_NAME_SIZE]; /* "": the file gives none */
	bool deleted;
};

struct list {
	struct entry *v;
	size_t n, room;
};

/* All of @fd, at most REG_FILE_MAX bytes. 0 or -errno */
static int read_all(int fd, char **ret, size_t *ret_len)
{
	cleanup_free_ char *p = NULL;
	size_t n = 0, room = 0;

	for (;;) {
		ssize_t k;

		if (n == room) {
			char *more;

			if (room > REG_FILE_MAX)
				return -EFBIG;
			room = room ? room * 2 : 65536;
			more = realloc(p, room);
			if (!more)
				return -ENOMEM;
			p = more;
		}
		k = read(fd, p + n, room - n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	*ret = p;
	*ret_len = n;
	p = NULL;
	return 0;
}

static int collect(const struct reg_service *s, void *arg)
{
	struct list *l = arg;

	if (s->braces)
		complain("service import: line %u: Windows passes over keys in "
			 "braces; taken nevertheless", s->line);
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 16;
		struct entry *v = reallocarray(l->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->room = room;
	}
	l->v[l->n] = (struct entry){ .id = s->id, .deleted = s->deleted };
	if (s->name)
		service_name_clean(s->name, l->v[l->n].name);
	l->n++;
	return 0;
}

/* Friendly names are unique here, on Windows they need not be. */
static void choose_name(struct ctl *c, struct entry *e)
{
	cleanup_json_ json_t *o = NULL;
	struct call_error err;
	char tail[16];
	size_t n = strlen(e->name);

	if (!n) /* a GUID is no name */
		n = (size_t)snprintf(e->name, sizeof(e->name), "service");
	else if (store_show(c, &store_services, e->name, &o, &err))
		return;
	snprintf(tail, sizeof(tail), "-%08x", e->id.Data1);
	if (n > sizeof(e->name) - sizeof(tail))
		n = sizeof(e->name) - sizeof(tail);
	/* never in the middle of a character */
	while (n && ((unsigned char)e->name[n] & 0xc0) == 0x80)
		n--;
	snprintf(e->name + n, sizeof(e->name) - n, "%s", tail);
}

static int import_one(struct store *s, struct entry *e, json_t *added,
		      bool quiet)
{
	cleanup_json_ json_t *o = NULL;
	cleanup_json_ json_t *made = NULL;
	struct service_draft d = { .name = e->name, .id = &e->id };
	struct call_error err;
	char id[GUID_TEXT_SIZE];
	int r;

	guid_format(&e->id, id);
	r = store_show(s->c, &store_services, id, &o, &err);
	if (r && err.reason != HVS_REASON_NOT_FOUND &&
	    err.reason != HVS_REASON_NOT_REGISTERED)
		return say_refused(s->c, CALL_HOST, id, &err);
	if (!r && !e->deleted) {
		if (!quiet)
			printf("kept     %s  %s\n", id,
			       show(json_text(o, "name")));
		return 0;
	}
	if (e->deleted) {
		if (r)
			return 0;
		if (service_remove_object(s, id, o))
			return 1;
		if (!quiet)
			printf("removed  %s  %s\n", id,
			       show(json_text(o, "name")));
		return 0;
	}
	choose_name(s->c, e);
	if (service_add_file(s, &d, &made))
		return 1;
	if (!quiet)
		printf("added    %s  %s\n", id, show(json_text(made, "name")));
	return json_array_append(added, made) ? complain("service import: %s",
							 strerror(ENOMEM))
					      : 0;
}

static int import_list(struct ctl *c, const struct list *l, bool as_json)
{
	cleanup_json_ json_t *added = json_array();
	cleanup_json_ json_t *out = NULL;
	struct store s;
	int r = 0;

	if (!added)
		return complain("service import: %s", strerror(ENOMEM));
	if (store_open(c, &store_services, &s)) {
		store_close(&s);
		return 1;
	}
	for (size_t i = 0; i < l->n; i++)
		if (import_one(&s, &l->v[i], added, as_json))
			r = 1;
	store_close(&s);
	out = json_pack("{s:O}", "services", added);
	if (as_json)
		print_json(out);
	return r;
}

int cmd_service_import(struct ctl *c, const struct args *a)
{
	const char *path = a->pos[0];
	cleanup_close_ int fd = -1;
	cleanup_free_ char *data = NULL;
	struct parse_error e = { 0 };
	struct list l = { 0 };
	size_t len = 0;
	int r;

	if (strcmp(path, "-")) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return complain("service import: %s: %s", show(path),
					strerror(errno));
	}
	r = read_all(fd < 0 ? STDIN_FILENO : fd, &data, &len);
	if (r)
		return complain("service import: %s: %s", show(path),
				strerror(-r));
	r = reg_file_parse(data, len, collect, &l, &e);
	if (r == -EINVAL)
		r = complain("service import: %s:%u: %s", show(path), e.line,
			     show(e.reason));
	else if (r)
		r = complain("service import: %s: %s", show(path),
			     strerror(-r));
	else
		r = import_list(c, &l, args_has(a, "json"));
	free(l.v);
	return r;
}

/* Is the service among those asked for (all, if none is)? */
static int choose(struct ctl *c, const struct args *a, json_t **ret)
{
	cleanup_json_ json_t *list = NULL;

	if (a->npos == 1) {
		cleanup_json_ json_t *reply = NULL;

		if (call_or_say(c, json_pack("{s:s}", "method",
					     "service.list"), NULL, &reply))
			return 1;
		*ret = json_incref(json_object_get(reply, "services"));
		return 0;
	}
	list = json_array();
	for (size_t i = 1; i < a->npos; i++) {
		json_t *o = NULL;

		if (store_find(c, &store_services, a->pos[i], &o))
			return 1;
		if (json_array_append_new(list, o))
			return complain("service export: %s", strerror(ENOMEM));
	}
	*ret = list;
	list = NULL;
	return 0;
}

static int write_out(const char *path, const char *data, size_t len)
{
	const char *slash = strrchr(path, '/');
	cleanup_free_ char *dir = NULL;
	int r;

	if (!strcmp(path, "-")) {
		fwrite(data, 1, len, stdout);
		return 0;
	}
	dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path))
		    : strdup(".");
	if (!dir)
		return complain("service export: %s", strerror(ENOMEM));
	r = write_file(dir, slash ? slash + 1 : path, data, len, 0644, true);
	return r ? complain("service export: %s: %s", show(path), strerror(-r))
		 : 0;
}

int cmd_service_export(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *list = NULL;
	cleanup_free_ struct reg_entry *v = NULL;
	cleanup_free_ char *data = NULL;
	size_t n = 0, i, len;
	const json_t *o;
	int r;

	if (choose(c, a, &list))
		return 1;
	v = calloc(json_array_size(list) + 1, sizeof(*v));
	if (!v)
		return complain("service export: %s", strerror(ENOMEM));
	json_array_foreach(list, i, o) {
		if (guid_parse(json_text(o, "id"), &v[n].id))
			continue;
		v[n++].name = json_text(o, "name");
	}
	r = reg_file_format(v, n, args_has(a, "utf8"), &data, &len);
	if (r)
		return complain("service export: %s", strerror(-r));
	return write_out(a->pos[0], data, len);
}
