/* SPDX-License-Identifier: MIT */
/*
 * cmd-import.c - hvctl partition import libvirt
 *
 * A partition for each domain that has a vsock: its name, its UUID as VmId, and
 * its CID for as long as it runs. A CID belongs to the domain only while it
 * runs: the next one that starts may get it. With --watch the domains are
 * looked at again whenever virsh says that something has happened, whatever it
 * was.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/ev.h"
#include "base/guid.h"
#include "hvctl/domain-xml.h"
#include "hvctl/out.h"
#include "hvctl/partition.h"
#include "hvctl/store.h"
#include "hvctl/verbs.h"
#include "hvctl/virsh.h"

#define BATCH 32 /* domains that one virsh is asked about */
#define SETTLE_MS 100u /* events come in lots */
#define AGAIN_MS 2000u
#define PAUSE_MAX_MS 30000u
#define REMOVE_TRIES 40

struct domains {
	struct domain *d;
	size_t n, room;
};

struct import {
	struct ctl *c;
	const char *uri;
	struct domains now;
	GUID *made; /* partitions that this process has added */
	size_t made_n;
	bool watch;

	struct ev *ev;
	struct ev_io said, signal;
	struct ev_timer look, restart;
	int said_fd; /* -1: virsh does not run */
	pid_t pid;
	uint64_t pause_ms;
};

/* ---- what libvirt says */

static int virsh_failed(const struct import *i, int r)
{
	if (r == -ENOENT)
		return complain("%s: there is no virsh in PATH (it is in "
				"Debian's libvirt-clients)", i->c->verb);
	return complain("%s: virsh: %s", i->c->verb,
			r == -EIO ? "it has failed" : strerror(-r));
}

static int keep(struct domains *all, const struct domain *d)
{
	if (all->n == all->room) {
		size_t room = all->room ? all->room * 2 : 64;
		struct domain *grown = realloc(all->d, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		all->d = grown;
		all->room = room;
	}
	all->d[all->n++] = *d;
	return 0;
}

/* The documents of a few domains, one after the other. */
static int read_documents(const struct import *i, const char *text, size_t len,
			  struct domains *all)
{
	char why[DOMAIN_WHY];
	struct domain d;
	size_t used;
	int r;

	for (;;) {
		used = strspn(text, " \t\r\n");
		text += used;
		len -= used;
		if (!len)
			return 0;
		r = domain_xml_parse(text, len, &d, &used, why);
		if (r == 0 && d.has_vsock)
			r = keep(all, &d);
		if (r < 0)
			return complain("%s: the XML of a domain: %s",
					i->c->verb,
					r == -EINVAL ? show(why) :
						       strerror(-r));
		text += used;
		len -= used;
	}
}

/* @uuids: as many lines as there are up to BATCH. Return: what is left */
static const char *batch(const char *uuids, char *ret, size_t size)
{
	char line[64], text[GUID_TEXT_SIZE];
	size_t at = 0;
	GUID guid;

	*ret = '\0';
	for (int k = 0; *uuids && k < BATCH; k++) {
		size_t n = strcspn(uuids, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)(n < 60 ? n : 60),
			 uuids);
		line[strcspn(line, " \r\t")] = '\0';
		if (guid_parse(line, &guid) == 0)
			at += (size_t)snprintf(ret + at, size - at,
					       "dumpxml %s;",
					       guid_format(&guid, text));
		uuids += n + (uuids[n] == '\n');
	}
	return uuids;
}

static int ask(const struct import *i, struct domains *all)
{
	const char *const list[] = { "list", "--all", "--uuid", NULL };
	cleanup_free_ char *uuids = NULL;
	char command[BATCH * 64];
	const char *const dump[] = { command, NULL };
	const char *rest;
	size_t len;
	int r = virsh_read(i->uri, list, &uuids, &len);

	if (r < 0)
		return virsh_failed(i, r);
	for (rest = uuids; *rest;) {
		cleanup_free_ char *text = NULL;

		rest = batch(rest, command, sizeof(command));
		if (!*command)
			continue;
		r = virsh_read(i->uri, dump, &text, &len);
		/* (one that has gone meanwhile makes it fail) */
		if (r == -EIO && i->watch)
			return 1;
		if (r < 0)
			return virsh_failed(i, r);
		if (read_documents(i, text, len, all))
			return 1;
	}
	return 0;
}

/* ---- what the broker is told */

static void tell(const struct domain *d, const char *id)
{
	if (d->active && d->cid)
		printf("%s %s %u\n", show(d->name), id, d->cid);
	else
		printf("%s %s " DASH "\n", show(d->name), id);
	fflush(stdout);
}

static int add(struct import *i, const struct domain *d, const char *id,
	       const char *cid)
{
	cleanup_json_ json_t *reply = NULL;
	GUID *grown = realloc(i->made, (i->made_n + 1) * sizeof(*grown));

	if (!grown)
		return complain("%s: %s", i->c->verb, strerror(ENOMEM));
	i->made = grown;
	if (call_or_say(i->c,
			json_pack("{s:s, s:s, s:s, s:s, s:s}", "method",
				  "partition.add", "name", d->name, "id", id,
				  "kind", "vm", "cid", cid),
			d->name, &reply))
		return 1;
	i->made[i->made_n++] = d->uuid;
	tell(d, id);
	return 0;
}

static int put(struct import *i, const struct domain *d)
{
	cleanup_json_ json_t *o = NULL;
	cleanup_json_ json_t *reply = NULL;
	struct partition_wish w = { .name = NULL };
	uint32_t cid = d->active ? d->cid : 0;
	char id[GUID_TEXT_SIZE], text[16];
	struct call_error err;
	bool same;

	guid_format(&d->uuid, id);
	snprintf(text, sizeof(text), "%u", cid);
	w.cid = cid ? text : "none";
	if (store_show(i->c, &store_partitions, id, &o, &err)) {
		if (err.reason == HVS_REASON_NOT_FOUND ||
		    err.reason == HVS_REASON_PARTITION_UNKNOWN)
			return add(i, d, id, w.cid);
		return say_refused(i->c, CALL_HOST, d->name, &err);
	}
	same = json_number(o, "cid") == cid;
	/* a file's name is its author's choice */
	if (store_is_volatile(o) && strcmp(json_text(o, "name"), d->name) != 0) {
		w.name = d->name;
		same = false;
	}
	if (!same && partition_change(i->c, &w, o, &reply))
		return 1;
	if (!same || !i->watch)
		tell(d, id);
	return 0;
}

static bool is_there(const struct import *i, const GUID *uuid)
{
	for (size_t k = 0; k < i->now.n; k++)
		if (guid_equal(&i->now.d[k].uuid, uuid))
			return true;
	return false;
}

/* Of a domain that is no more. Its transport lets go of it when it has no CID,
 * which may take a moment. */
static void retire(struct import *i, const GUID *uuid)
{
	const struct timespec moment = { .tv_nsec = 50000000 };
	const struct partition_wish w = { .cid = "none" };
	cleanup_json_ json_t *o = NULL;
	cleanup_json_ json_t *reply = NULL;
	char id[GUID_TEXT_SIZE];
	struct call_error err;

	guid_format(uuid, id);
	if (store_show(i->c, &store_partitions, id, &o, &err) ||
	    !store_is_volatile(o) || partition_change(i->c, &w, o, &reply))
		return;
	for (int k = 0; k < REMOVE_TRIES; k++) {
		cleanup_json_ json_t *done = NULL;
		int r = call(i->c, CALL_HOST,
			     json_pack("{s:s, s:s}", "method",
				       "partition.remove", "partition", id),
			     &done, &err);

		if (r != -EBUSY)
			break;
		nanosleep(&moment, NULL);
	}
}

/* Return: 0, or 1: not all could be done (told) */
static int look(struct import *i)
{
	struct domains all = { .n = 0 };
	size_t kept = 0;
	int r = ask(i, &all);

	if (r) {
		free(all.d);
		return r;
	}
	free(i->now.d);
	i->now = all;
	for (size_t k = 0; k < i->made_n; k++) {
		if (is_there(i, &i->made[k]))
			i->made[kept++] = i->made[k];
		else
			retire(i, &i->made[k]);
	}
	i->made_n = kept;
	/* those that have stopped first: another one may have their CID now */
	for (size_t k = 0; k < all.n; k++)
		if (!all.d[k].active)
			r |= put(i, &all.d[k]);
	for (size_t k = 0; k < all.n; k++)
		if (all.d[k].active)
			r |= put(i, &all.d[k]);
	return r ? 1 : 0;
}

/* ---- following it */

static void on_look(struct ev_timer *t)
{
	struct import *i = container_of(t, struct import, look);

	if (look(i))
		(void)ev_timer_start(i->ev, t, AGAIN_MS, on_look);
}

static void stop_virsh(struct import *i)
{
	ev_io_stop(&i->said);
	if (i->said_fd >= 0) {
		close(i->said_fd);
		virsh_end(i->pid);
	}
	i->said_fd = -1;
}

static void on_restart(struct ev_timer *t);

static void on_said(struct ev_io *io, uint32_t events)
{
	struct import *i = container_of(io, struct import, said);
	char text[4096];
	ssize_t n;

	(void)events;
	do
		n = read(io->fd, text, sizeof(text));
	while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0 && errno == EAGAIN) {
		i->pause_ms = AGAIN_MS;
		if (!i->look.ev || i->look.at_ns > ev_now_ns() + 1000000000)
			(void)ev_timer_start(i->ev, &i->look, SETTLE_MS,
					     on_look);
		return;
	}
	stop_virsh(i);
	(void)ev_timer_start(i->ev, &i->restart, i->pause_ms, on_restart);
	i->pause_ms *= 2;
	if (i->pause_ms > PAUSE_MAX_MS)
		i->pause_ms = PAUSE_MAX_MS;
}

/* Looked at now, and again when it has surely begun to tell. */
static int follow(struct import *i)
{
	int r = virsh_follow(i->uri, &i->pid);

	if (r < 0)
		return r;
	i->said_fd = r;
	r = ev_io_start(i->ev, &i->said, i->said_fd, EPOLLIN, on_said);
	(void)look(i);
	if (r == 0)
		r = ev_timer_start(i->ev, &i->look, AGAIN_MS, on_look);
	return r;
}

static void on_restart(struct ev_timer *t)
{
	struct import *i = container_of(t, struct import, restart);

	if (follow(i) < 0)
		(void)ev_timer_start(i->ev, t, PAUSE_MAX_MS, on_restart);
}

static void on_signal(struct ev_io *io, uint32_t events)
{
	(void)events;
	ev_quit(container_of(io, struct import, signal)->ev);
}

static int watch(struct import *i)
{
	cleanup_close_ int signals = -1;
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return complain("%s: signalfd: %s", i->c->verb,
				strerror(errno));
	r = ev_new(&i->ev);
	if (r == 0)
		r = ev_io_start(i->ev, &i->signal, signals, EPOLLIN,
				on_signal);
	if (r == 0)
		r = follow(i);
	if (r == 0)
		r = ev_run(i->ev);
	stop_virsh(i);
	ev_timer_stop(&i->look);
	ev_timer_stop(&i->restart);
	ev_io_stop(&i->signal);
	ev_free(i->ev);
	return r < 0 ? complain("%s: %s", i->c->verb, strerror(-r)) : 0;
}

int cmd_partition_import(struct ctl *c, const struct args *a)
{
	struct import i = {
		.c = c,
		.uri = args_value(a, "connect"),
		.watch = args_has(a, "watch"),
		.said_fd = -1,
		.pause_ms = AGAIN_MS,
	};
	int r;

	if (strcmp(a->pos[0], "libvirt") != 0)
		return usage("%s: %s: not known: libvirt", c->verb,
			     show(a->pos[0]));
	r = i.watch ? watch(&i) : look(&i);
	free(i.now.d);
	free(i.made);
	return r;
}
