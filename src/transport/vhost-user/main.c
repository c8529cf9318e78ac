/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-vhost-user - a vhost-user-vsock device for one VM
 *
 * Options, the socket for the front-end, the attachment to the broker, the
 * sandbox; then the loop. See hvsocket-vhost-user(8).
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/unix.h"
#include "config.h"
#include "transport/closer.h"
#include "transport/process.h"
#include "transport/sandbox.h"
#include "transport/vhost-user/vm.h"

static const char *arg_socket_path;
static int arg_fd = -1;
static const char *arg_partition;
static uint64_t arg_guest_cid = 3;
static bool arg_one_off;
static bool arg_replace;
static bool arg_sandbox = true;

static const char usage_text[] =
	"Usage: hvsocket-vhost-user --partition NAME --socket-path PATH | --fd "
	"N\n"
	"A vhost-user-vsock device that attaches a VM to hvsocketd.\n"
	"\n"
	"  --partition NAME     the VM's partition\n"
	"  --socket-path PATH   listen there for the VMM\n"
	"  --fd N               an inherited socket, listening or connected\n"
	"  --guest-cid N        the guest's CID, 3 or more (default 3)\n"
	"  --one-off            end when the first VMM goes\n"
	"  --replace            take over from the process that listens at "
	"PATH\n"
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            tell every message of the VMM\n"
	"  --print-capabilities print what kind of device this is, as JSON\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-vhost-user(8).\n";

/* Return: -1 to go on, else the exit code */
static int parse_options(int argc, char **argv)
{
	enum {
		SOCKET = 256,
		FD,
		CAPS,
		PARTITION,
		CID,
		ONE,
		REPLACE,
		BOX,
		VERBOSE,
		HELP,
		VERSION
	};
	static const struct option options[] = {
		{ "socket-path", required_argument, NULL, SOCKET },
		{ "fd", required_argument, NULL, FD },
		{ "print-capabilities", no_argument, NULL, CAPS },
		{ "partition", required_argument, NULL, PARTITION },
		{ "guest-cid", required_argument, NULL, CID },
		{ "one-off", no_argument, NULL, ONE },
		{ "replace", no_argument, NULL, REPLACE },
		{ "sandbox", required_argument, NULL, BOX },
		{ "verbose", no_argument, NULL, VERBOSE },
		{ "help", no_argument, NULL, HELP },
		{ "version", no_argument, NULL, VERSION },
		{ 0 },
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case SOCKET:
			arg_socket_path = optarg;
			break;
		case FD:
			if (!process_number(optarg, 0, 1 << 20, &n))
				return process_fail(
					"--fd %s is not a descriptor", optarg);
			arg_fd = (int)n;
			break;
		case CAPS:
			printf("{\"type\": \"vsock\"}\n");
			return 0;
		case PARTITION:
			arg_partition = optarg;
			break;
		case CID:
			if (!process_number(optarg, 3, UINT32_MAX - 1,
					    &arg_guest_cid))
				return process_fail(
					"--guest-cid %s is not a guest's "
					"CID (3 to 4294967294)",
					optarg);
			break;
		case ONE:
			arg_one_off = true;
			break;
		case REPLACE:
			arg_replace = true;
			break;
		case BOX:
			if (!process_sandbox(optarg, &arg_sandbox))
				return 1;
			break;
		case VERBOSE:
			log_set_level(LOG_DEBUG_);
			break;
		case HELP:
			fputs(usage_text, stdout);
			return 0;
		case VERSION:
			printf("hvsocket-vhost-user %s\n", HVSOCKET_VERSION);
			return 0;
		default:
			return 1;
		}
	}
	if (optind < argc)
		return process_fail("unexpected argument %s", argv[optind]);
	if (!arg_partition || !*arg_partition)
		return process_fail("--partition is missing");
	if (strlen(arg_partition) > 255)
		return process_fail(
			"--partition: the name is longer than 255 bytes");
	if (!arg_socket_path == (arg_fd < 0))
		return process_fail("one of --socket-path and --fd is needed");
	if (arg_replace && !arg_socket_path)
		return process_fail("--replace is for --socket-path");
	return -1;
}

/* What it does beyond moving bytes: for the process that comes after it. */
static const int more_calls[] = {
	SCMP_SYS(memfd_create),
	SCMP_SYS(socketpair),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(sched_yield),
	-1,
};

/* The socket at which VMMs connect. 0 or 1, the exit status */
static int listen_for_vmm(struct vm *vm)
{
	int r, listening = 1, fd = arg_fd;

	if (arg_socket_path) {
		fd = unix_listen(arg_socket_path, SOCK_STREAM, 1, true);
		if (fd < 0)
			return process_fail("cannot listen at %s: %s",
					    arg_socket_path, strerror(-fd));
	} else {
		listening = process_inherited(fd, SOCK_STREAM);
		if (listening < 0)
			return process_fail(
				"--fd: not an AF_UNIX stream socket: %s",
				strerror(-listening));
	}
	log_info("partition \"%s\" attached at %s", vm_name(vm), vm_place(vm));
	r = listening ? vm_listen(vm, fd) : vm_connected(vm, fd);
	if (r < 0)
		return process_fail("cannot wait for the VMM: %s",
				    strerror(-r));
	return 0;
}

/* In the sandbox, until it is told to end. Return: the exit status */
static int serve(struct ev *ev, struct vm *vm, bool *ret_left)
{
	cleanup_free_ char *copy = NULL;
	const char *dir = NULL;
	int r, may_remove = 1;

	if (arg_socket_path) {
		copy = strdup(arg_socket_path);
		dir = copy ? dirname(copy) : NULL;
	}
	if (arg_sandbox) {
		r = sandbox_enter(dir, more_calls, &may_remove);
		if (r < 0)
			return process_fail("cannot enter the sandbox: %s",
					    strerror(-r));
	}
	vm_ready(vm);
	r = ev_run(ev);
	*ret_left = r == 0 && vm_leave(vm);
	if (*ret_left)
		return 0;
	if (arg_socket_path && may_remove)
		(void)unlink(arg_socket_path);
	if (r < 0)
		return process_fail("the event loop is broken: %s",
				    strerror(-r));
	return 0;
}

static int new_vm(struct ev *ev, struct vm **ret)
{
	const struct vm_config config = { .partition = arg_partition,
					  .guest_cid = arg_guest_cid,
					  .one_off = arg_one_off };
	const char *why = "";
	int r = vm_new(ev, &config, ret, &why);

	return r < 0 ? process_fail("%s: %s", why, strerror(-r)) : 0;
}

/* From a process before this one, if there was any; else from the start.
 * @ret_over: it is told to end. Return: the exit status */
static int begin(struct ev *ev, struct vm **vm, bool *ret_over)
{
	const char *why = "";
	int r = vm_keep(*vm, &why);

	if (r < 0) {
		log_warn("%s: %s: beginning anew", why, strerror(-r));
		*vm = vm_free(*vm);
		if (new_vm(ev, vm) != 0)
			return 1;
		/* (it was taken: there is nothing now) */
		r = vm_keep(*vm, &why);
		if (r < 0)
			log_warn("%s: %s", why, strerror(-r));
		r = 0;
	}
	if (r == 0 && arg_replace)
		r = vm_replace(*vm, arg_socket_path, &why);
	if (r < 0)
		return process_fail("--replace %s: %s: %s", arg_socket_path,
				    why, strerror(-r));
	if (r == 1) {
		vm_resume(*vm);
		return vm_listens(*vm) ? 0 : listen_for_vmm(*vm);
	}
	r = vm_attach(*vm);
	*ret_over = r == -EINTR; /* a signal */
	if (*ret_over)
		return 0;
	if (r < 0)
		return process_fail("%s: %s", vm_place(*vm),
				    *vm_error(*vm) ? vm_error(*vm)
						   : strerror(-r));
	return listen_for_vmm(*vm);
}

static void tell(void *ctx)
{
	const struct vm *vm = *(struct vm **)ctx;

	if (vm)
		vm_tell(vm);
}

int main(int argc, char **argv)
{
	struct ev_io signal_io = { 0 };
	struct ev *ev = NULL;
	struct vm *vm = NULL;
	bool left = false, over = false;
	int r;

	process_name("hvsocket-vhost-user");
	r = parse_options(argc, argv);
	if (r >= 0)
		return r;
	process_limits();
	process_on_usr1(tell, &vm);
	r = ev_new(&ev);
	if (r == 0)
		r = process_signals(ev, &signal_io);
	if (r == 0)
		r = closer_start();
	if (r < 0)
		return process_fail("cannot start: %s", strerror(-r));
	r = new_vm(ev, &vm);
	if (r == 0)
		r = begin(ev, &vm, &over);
	if (r == 0 && !over)
		r = serve(ev, vm, &left);
	if (left)
		return 0; /* nothing of it is ours any more */
	vm_free(vm);
	ev_io_stop(&signal_io);
	ev_free(ev);
	return r;
}
