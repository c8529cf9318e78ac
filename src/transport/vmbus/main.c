/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-vmbus - the VMBus of one VM
 *
 * Options, the socket for the VMM, the host's side, the sandbox; then the
 * loop. See hvsocket-vmbus(8).
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/unix.h"
#include "base/wakeup.h"
#include "transport/closer.h"
#include "transport/options.h"
#include "transport/process.h"
#include "transport/sandbox.h"
#include <jansson.h>

#include "transport/vmbus/integration.h"
#include "transport/vmbus/vm.h"

static const char *arg_socket_path, *arg_trace;
static int arg_fd = -1;
static bool arg_one_off, arg_services_given;
static unsigned int arg_services;
static struct filter *filter;

static const char usage_text[] =
	"Usage: hvsocket-vmbus --partition NAME | --uds-path PATH\n"
	"                      --socket-path PATH | --fd N\n"
	"The VMBus of a VM, for a VMM that speaks vmbus-user.\n"
	"\n"
	"  --partition NAME     the VM's partition of hvsocketd\n"
	"  --vm-id GUID         its VmId, if it has no file (default: random)\n"
	"  --uds-path PATH      without a broker: Unix sockets at PATH\n"
	"  --socket-path PATH   listen there for the VMM\n"
	"  --fd N               an inherited socket, listening or connected\n"
	"  --one-off            end when the first VMM goes\n"
	"  --integration LIST   services that the guest is offered: heartbeat,\n"
	"                       shutdown, timesync, kvp, vss, fcopy; or all, none,\n"
	"                       default (all but fcopy; without a broker none)\n"
	"  --trace FILE         write every control message, as text, and as\n"
	"                       packets to FILE.pcap\n"
	"  --inject RULE        disturb messages: 'on=OPEN_CHANNEL "
	"do=rescind',\n"
	"                       'on=GPADL_HEADER delay=2s',\n"
	"                       'on=CLOSE_CHANNEL drop', 'msg=hex:...'\n"
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            say more, and counters at the end\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-vmbus(8).\n";

static int need_filter(void)
{
	return filter || filter_new(&filter) == 0 ? 0
						  : process_fail("no memory");
}

enum { SOCKET = OPTION_OWN, FD, ONE, TRACE, INJECT, INTEGRATION };

static const struct option table[] = {
	OPTIONS_OF_ALL,
	{ "socket-path", required_argument, NULL, SOCKET },
	{ "fd", required_argument, NULL, FD },
	{ "one-off", no_argument, NULL, ONE },
	{ "trace", required_argument, NULL, TRACE },
	{ "inject", required_argument, NULL, INJECT },
	{ "integration", required_argument, NULL, INTEGRATION },
	{ 0 },
};

static int own_option(int c)
{
	const char *why;
	uint64_t n;

	switch (c) {
	case SOCKET:
		arg_socket_path = optarg;
		return -1;
	case FD:
		if (!process_number(optarg, 0, 1 << 20, &n))
			return process_fail("--fd %s is not a descriptor",
					    optarg);
		arg_fd = (int)n;
		return -1;
	case ONE:
		arg_one_off = true;
		return -1;
	case INTEGRATION:
		if (integration_parse(optarg, &arg_services) < 0)
			return process_fail("--integration '%s': heartbeat, "
					    "shutdown, timesync, kvp, vss, "
					    "fcopy, all, default or none",
					    optarg);
		arg_services_given = true;
		return -1;
	case TRACE:
		arg_trace = optarg;
		return need_filter() ? 1 : -1;
	default: /* INJECT */
		if (need_filter())
			return 1;
		if (filter_rule(filter, optarg, &why) < 0)
			return process_fail("--inject '%s': %s", optarg, why);
		return -1;
	}
}

static struct options arg = { .usage = usage_text, .own = own_option };

static int parse_options(int argc, char **argv)
{
	int r = options_parse(argc, argv, table, &arg);

	if (r >= 0)
		return r;
	if (!arg.partition == !arg.uds_path)
		return process_fail("one of --partition and --uds-path is "
				    "needed");
	if (!arg_socket_path == (arg_fd < 0))
		return process_fail("one of --socket-path and --fd is needed");
	if (!arg_services_given && arg.partition)
		arg_services = INTEGRATION_DEFAULT;
	return -1;
}

/* ---- before the sandbox */

static int open_trace(void)
{
	char path[4096];
	int fd, pcap, n;

	n = snprintf(path, sizeof(path), "%s.pcap", arg_trace);
	if (n < 0 || (size_t)n >= sizeof(path))
		return process_fail("--trace: the name is too long");
	fd = open(arg_trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return process_fail("--trace %s: %s", arg_trace,
				    strerror(errno));
	pcap = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (pcap < 0 || filter_trace(filter, fd, pcap) < 0)
		return process_fail("--trace: %s: %s", path, strerror(errno));
	return 0;
}

static int join_host(struct ev *ev, struct vm *vm)
{
	const char *why = "", *place = "";
	struct host *h = NULL;
	int fd, r;

	if (arg.uds_path) {
		fd = unix_listen(arg.uds_path, SOCK_STREAM, 64, true);
		r = fd < 0 ? fd
			   : host_uds(ev, arg.uds_path, fd, vm_guest_ops(), vm,
				      &h);
		if (r < 0)
			return process_fail("--uds-path %s: %s", arg.uds_path,
					    strerror(-r));
		vm_set_host(vm, h);
		return 0;
	}
	r = host_broker(ev, arg.partition, &arg.vm_id, vm_guest_ops(), vm, &h,
			&why);
	if (r < 0)
		return process_fail("%s: %s", why, strerror(-r));
	vm_set_host(vm, h);
	r = host_broker_attach(h, &why, &place);
	if (r == -EINTR)
		return 0;
	if (r < 0)
		return process_fail("%s: %s", place, *why ? why : strerror(-r));
	log_debug("partition \"%s\" attached at %s", arg.partition, place);
	return 0;
}

static int join_vmm(struct vm *vm)
{
	int r, listening = 1, fd = arg_fd;

	if (arg_socket_path) {
		fd = unix_listen(arg_socket_path, SOCK_SEQPACKET, 1, true);
		if (fd < 0)
			return process_fail("cannot listen at %s: %s",
					    arg_socket_path, strerror(-fd));
	} else {
		listening = process_inherited(fd, SOCK_SEQPACKET);
		if (listening < 0)
			return process_fail("--fd: not an AF_UNIX seqpacket "
					    "socket: %s",
					    strerror(-listening));
	}
	r = listening ? vm_listen(vm, fd) : vm_connected(vm, fd);
	return r < 0 ? process_fail("cannot wait for the VMM: %s", strerror(-r))
		     : 0;
}

/* Doorbells, saved states, traces; looking for events without sleeping. */
static const int more_calls[] = {
	SCMP_SYS(eventfd2),    SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate),   SCMP_SYS(pwrite64),
	SCMP_SYS(pread64),     SCMP_SYS(recvfrom),
	SCMP_SYS(fallocate),   SCMP_SYS(lseek),
	SCMP_SYS(sched_yield), -1,
};

static int serve(struct ev *ev, struct vm *vm)
{
	const char *path = arg.uds_path ? arg.uds_path : arg_socket_path;
	cleanup_free_ char *copy = path ? strdup(path) : NULL;
	int r, may_remove = 1;

	r = join_vmm(vm);
	if (r)
		return r;
	if (!arg.no_sandbox) {
		r = sandbox_enter(copy ? dirname(copy) : NULL, more_calls,
				  &may_remove);
		if (r < 0)
			return process_fail("cannot enter the sandbox: %s",
					    strerror(-r));
	}
	r = ev_run(ev);
	if (may_remove && arg_socket_path)
		(void)unlink(arg_socket_path);
	if (may_remove && arg.uds_path)
		(void)unlink(arg.uds_path);
	return r < 0 ? process_fail("the event loop is broken: %s",
				    strerror(-r))
		     : 0;
}

static void tell(void *ctx)
{
	vm_tell(*(struct vm **)ctx);
}

int main(int argc, char **argv)
{
	struct vm_config config;
	struct ev_io signal_io = { 0 };
	struct ev *ev = NULL;
	struct vm *vm = NULL;
	int r;

	process_name("hvsocket-vmbus");
	r = parse_options(argc, argv);
	if (r >= 0)
		return r;
	if (arg_trace && open_trace())
		return 1;
	process_limits();
	r = ev_new(&ev);
	process_on_usr1(tell, &vm);
	if (r == 0)
		r = process_signals(ev, &signal_io);
	if (r == 0)
		r = closer_start();
	config = (struct vm_config) { .one_off = arg_one_off,
				      .filter = filter,
				      .services = arg_services };
	/* or jansson would look for a file in the sandbox */
	json_object_seed((size_t)ev_now_ns() | 1);
	if (r == 0)
		r = vm_new(ev, &config, &vm);
	if (r < 0)
		return process_fail("cannot start: %s", strerror(-r));
	ev_eager(ev, wakeup_look_ns());
	r = join_host(ev, vm);
	if (r == 0 && !ev_quitting(ev))
		r = serve(ev, vm);
	vm_free(vm);
	ev_io_stop(&signal_io);
	ev_free(ev);
	return r;
}
