/* SPDX-License-Identifier: MIT */
/* exec.c - see exec.h */
#include "hvvm/exec/exec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/exec/initramfs.h"

#define TICK_MS 100u
#define OFF_NS                                                        \
	10000000000ull /* for switching off, once the command is done \
			*/
#define LAST_OUT_MS 10000
#define TAIL_LINES 100u
#define SOCKET_PATH_MAX 80u /* leaves room for _PORT or a GUID */

/* ---- before the machine */

/* Without another place for them the guest's sockets are in a folder of ours,
 * which goes at the end. */
static int private_dir(struct exec *e)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!base || *base != '/' || strlen(base) > SOCKET_PATH_MAX ||
	    stat(base, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    access(base, W_OK) < 0)
		base = "/tmp";
	snprintf(e->dir, sizeof(e->dir), "%s/hvvm-XXXXXX", base);
	if (!mkdtemp(e->dir)) {
		int r = -errno;

		log_err("no folder for the guest's sockets in %s: %s", base,
			strerror(-r));
		e->dir[0] = '\0';
		return r;
	}
	snprintf(e->uds_path, sizeof(e->uds_path), "%s/vm", e->dir);
	e->o->uds_path = e->uds_path;
	return 0;
}

static void remove_dir(struct exec *e)
{
	cleanup_closedir_ DIR *d = NULL;
	struct dirent *entry;

	if (!e->dir[0])
		return;
	d = opendir(e->dir);
	while (d && (entry = readdir(d)))
		(void)unlinkat(dirfd(d), entry->d_name, 0);
	(void)rmdir(e->dir);
	e->dir[0] = '\0';
}

int exec_prepare(struct exec *e, struct options *o)
{
	size_t n;
	int r;

	memset(e, 0, sizeof(*e));
	pthread_mutex_init(&e->lock, NULL);
	e->o = o;
	e->status = -1;
	r = kernel_tree_find(o->kernel, &e->tree);
	if (r < 0)
		return r;
	o->kernel = e->tree.image;
	if (!o->exec)
		return 0;
	if (o->modules) {
		n = strlen(o->modules);
		if (n >= sizeof(e->tree.modules))
			return -ENAMETOOLONG;
		memcpy(e->tree.modules, o->modules, n + 1);
		e->tree.build_tree = false;
	}
	r = initramfs_make(o, &e->tree, &o->initrd_fd);
	if (r < 0)
		return r;
	if (!e->tree.modules[0])
		log_warn("-k: there is no folder of modules beside %s: the "
			 "guest has the drivers that are built in, and no other "
			 "(--modules DIR)",
			 e->tree.image);
	n = (size_t)snprintf(e->append, sizeof(e->append), "8250.nr_uarts=4 %s",
			     o->append ? o->append : "");
	if (n >= sizeof(e->append)) {
		log_err("--append: too long");
		return -E2BIG;
	}
	o->append = e->append;
	o->no_reboot = true; /* a panic must not begin all again */
	if (!o->no_vmbus && !o->name && !o->uds_path && !o->vmbus_socket)
		r = private_dir(e);
	return r;
}

void exec_free(struct exec *e)
{
	remove_dir(e);
	if (e->o && e->o->initrd_fd >= 0)
		close(e->o->initrd_fd);
}

/* ---- while it runs; locked */

/* @wait: a processor's thread does, for whoever reads; the loop never does */
static void flush_out(struct exec *e, bool wait)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
	size_t at = 0;

	while (at < e->out_len && !e->broken) {
		ssize_t n = write(STDOUT_FILENO, e->out + at, e->out_len - at);

		if (n < 0 && errno == EINTR && !atomic_load(&e->m->stopping))
			continue;
		if (n < 0 && errno == EINTR)
			break; /* nobody reads, and this is the end */
		/* somebody else who has it made it non-blocking */
		if (n < 0 && errno == EAGAIN) {
			if (!wait || atomic_load(&e->m->stopping))
				break;
			(void)poll(&p, 1, 100);
			continue;
		}
		if (n < 0) {
			log_err("standard output: %s", strerror(errno));
			e->broken = true;
			machine_end(e->m, END_KILLED);
			break;
		}
		at += (size_t)n;
	}
	if (e->broken)
		at = e->out_len;
	e->out_len -= at;
	memmove(e->out, e->out + at, e->out_len);
}

/* The same where waiting for the reader must not hold up all. */
static void flush_out_within(struct exec *e, int ms)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
	size_t before;

	do {
		before = e->out_len;
		if (before && poll(&p, 1, ms) > 0)
			flush_out(e, false);
	} while (e->out_len && e->out_len < before);
}

static void take_out(struct exec *e, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (e->out_len == sizeof(e->out))
			break; /* flush_out() has given up: it is the end */
		e->out[e->out_len++] = (char)data[i];
		if (e->out_len == sizeof(e->out) || data[i] == '\n')
			flush_out(e, true);
	}
	if (e->o->ktap)
		ktap_data(&e->ktap, (const char *)data, len);
}

/* The kernel's words, without what a terminal would obey. */
static void say_console(const char *data, size_t len)
{
	char buf[1024];
	size_t n = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i == len || n == sizeof(buf)) {
			(void)!write(STDERR_FILENO, buf, n);
			n = 0;
		}
		if (i < len && data[i] != '\r')
			buf[n++] = data[i] == '\n' || data[i] == '\t' ||
						   (data[i] >= ' ' &&
						    data[i] != 0x7f)
					   ? data[i]
					   : '?';
	}
}

static void take_console(struct exec *e, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		e->console[e->console_at] = (char)data[i];
		e->console_at = (e->console_at + 1) % EXEC_CONSOLE_KEPT;
		if (e->console_len < EXEC_CONSOLE_KEPT)
			e->console_len++;
	}
	if (e->o->verbose)
		say_console((const char *)data, len);
}

static void one_line(struct exec *e)
{
	char text[400];
	const char *rest;
	unsigned int n;
	char end;

	e->line[e->line_len] = '\0';
	rest = strchr(e->line, ' ');
	rest = rest ? rest + 1 : "";
	log_escape(rest, strlen(rest), text, sizeof(text));
	if (strncmp(e->line, "up ", 3) == 0) {
		e->up = true;
	} else if (strncmp(e->line, "said ", 5) == 0) {
		log_warn("in the guest: %s", text);
	} else if (strncmp(e->line, "failed ", 7) == 0) {
		log_err("in the guest: %s", text);
		e->failed = true;
	} else if (sscanf(e->line, "exit %3u%c", &n, &end) == 1 && n < 256 &&
		   e->status < 0) {
		e->status = (int)n;
	} else {
		return;
	}
	if (e->failed || e->status >= 0)
		e->ended_ns = ev_now_ns();
}

static void take_control(struct exec *e, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			if (!e->line_too_long)
				one_line(e);
			e->line_len = 0;
			e->line_too_long = false;
		} else if (e->line_len < sizeof(e->line) - 1) {
			e->line[e->line_len++] = (char)data[i];
		} else {
			e->line_too_long = true;
		}
	}
}

void exec_serial(struct exec *e, unsigned int port, const uint8_t *data,
		 size_t len)
{
	static void (*const take[])(struct exec * e, const uint8_t *data,
				    size_t len) = { take_console, take_out,
						    take_control };

	if (port >= ARRAY_LEN(take))
		return;
	pthread_mutex_lock(&e->lock);
	take[port](e, data, len);
	pthread_mutex_unlock(&e->lock);
}

static void on_tick(struct ev_timer *t)
{
	struct exec *e = container_of(t, struct exec, tick);
	bool over = false;

	/* else a processor is at it */
	if (pthread_mutex_trylock(&e->lock) == 0) {
		flush_out_within(e, 0); /* what is no whole line yet */
		over = e->ended_ns && ev_now_ns() - e->ended_ns > OFF_NS;
		pthread_mutex_unlock(&e->lock);
	}
	/* a kernel that cannot switch off (without ACPI) only halts */
	if (over)
		machine_end(e->m, END_OFF);
	else
		(void)ev_timer_start(e->m->ev, &e->tick, TICK_MS, on_tick);
}

int exec_start(struct exec *e, struct machine *m)
{
	e->m = m;
	return ev_timer_start(m->ev, &e->tick, TICK_MS, on_tick);
}

/* ---- afterwards */

/* The console's end in one piece, at @ret (EXEC_CONSOLE_KEPT + 1 bytes). */
static void straight(const struct exec *e, char *ret)
{
	size_t at = (e->console_at + EXEC_CONSOLE_KEPT - e->console_len) %
		    EXEC_CONSOLE_KEPT;

	for (size_t i = 0; i < e->console_len; i++) {
		char c = e->console[(at + i) % EXEC_CONSOLE_KEPT];

		ret[i] = c ? c : '?';
	}
	ret[e->console_len] = '\0';
}

static void say_tail(const struct exec *e, const char *text)
{
	size_t at = strlen(text), len = at;
	unsigned int lines = 0;

	if (!len || e->o->verbose)
		return; /* it has been said */
	for (; at > 0; at--)
		if (text[at - 1] == '\n' && at < len && ++lines == TAIL_LINES)
			break;
	log_info("the last lines of the guest's console:");
	say_console(text + at, len - at);
	if (text[len - 1] != '\n')
		say_console("\n", 1);
}

static int panicked(const struct exec *e, const char *text)
{
	const char *why = strstr(text, "Kernel panic - ");
	char reason[300];
	size_t n;

	if (!why)
		why = strstr(e->m->panic, "Kernel panic - ");
	if (why) {
		n = strcspn(why, "\r\n");
		log_err("the guest panicked: %s",
			log_escape(why, n, reason, sizeof(reason)));
	} else {
		log_err("the guest panicked");
	}
	if (strstr(text, "Kernel panic - ") || !e->m->panic[0]) {
		say_tail(e, text);
	} else {
		log_info("the end of the guest's log:");
		say_console(e->m->panic, strlen(e->m->panic));
	}
	return STATUS_PANIC;
}

static int ended(const struct exec *e, const char *text)
{
	static const char *const without[] = { "the guest switched itself off",
					       "the guest reset itself" };
	bool reset = atomic_load(&e->m->end) == END_RESET;

	if (reset && strstr(text, "Kernel panic - "))
		return panicked(e, text);
	if (!e->failed && e->status < 0)
		log_err("%s before the command had ended%s", without[reset],
			e->up ? "" : " (its init had not begun)");
	if (e->status < 0)
		say_tail(e, text);
	return e->status < 0 ? STATUS_FAILED : e->status;
}

static int ktap_status(struct exec *e, int status)
{
	char text[100];
	const char *why = ktap_end(&e->ktap, text, sizeof(text));

	if (status != 0 || !why)
		return status;
	log_err("--ktap: %s", why);
	return 1;
}

int exec_end(struct exec *e, int status)
{
	cleanup_free_ char *text = malloc(EXEC_CONSOLE_KEPT + 1);

	ev_timer_stop(&e->tick);
	if (!text || !e->m)
		return STATUS_FAILED;
	pthread_mutex_lock(&e->lock);
	flush_out_within(e,
			 atomic_load(&e->m->end) == END_OFF ? LAST_OUT_MS : 0);
	straight(e, text);
	switch (atomic_load(&e->m->end)) {
	case END_OFF:
	case END_RESET:
		status = ended(e, text);
		if (e->o->ktap)
			status = ktap_status(e, status);
		break;
	case END_PANIC:
		status = panicked(e, text);
		break;
	case END_TIMEOUT:
	case END_FAILED:
		say_tail(e, text);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&e->lock);
	return status;
}
