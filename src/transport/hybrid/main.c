/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-hybrid - the Unix-socket convention of Firecracker, cloud-hypervisor
 * and OpenVMM
 *
 * Options, the directory, the broker, the sandbox; then the loop. See
 * hvsocket-hybrid(8).
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "base/log.h"
#include "base/unix.h"
#include "config.h"
#include "transport/closer.h"
#include "transport/hybrid/directory.h"
#include "transport/hybrid/front.h"
#include "transport/hybrid/vm.h"
#include "transport/process.h"
#include "transport/sandbox.h"

#define BACKLOG 128
/* "_4294967295", the longest that a VMM puts behind its socket's path */
#define PORT_SUFFIX 11

static const char *arg_uds_path, *arg_partition;
static GUID arg_vm_id;
static bool arg_front, arg_sandbox = true;

static const char usage_text[] =
	"Usage: hvsocket-hybrid --partition NAME --uds-path PATH\n"
	"       hvsocket-hybrid --front --partition NAME --uds-path PATH\n"
	"A VM whose VMM has its vsock at Unix sockets: Firecracker,\n"
	"cloud-hypervisor, OpenVMM; or their convention in front of any "
	"partition.\n"
	"\n"
	"  --partition NAME     the VM's partition of hvsocketd\n"
	"  --vm-id GUID         its VmId, if it has no file (default: random)\n"
	"  --uds-path PATH      the VMM's socket, in a directory of the VM's "
	"own\n"
	"  --front              listen there: who says CONNECT reaches the\n"
	"                       partition, however it is attached\n"
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            say more\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-hybrid(8).\n";

enum { PARTITION = 256, VM_ID, UDS, FRONT, BOX, VERBOSE, HELP, VERSION };

static const struct option options[] = {
	{ "partition", required_argument, NULL, PARTITION },
	{ "vm-id", required_argument, NULL, VM_ID },
	{ "uds-path", required_argument, NULL, UDS },
	{ "front", no_argument, NULL, FRONT },
	{ "sandbox", required_argument, NULL, BOX },
	{ "verbose", no_argument, NULL, VERBOSE },
	{ "help", no_argument, NULL, HELP },
	{ "version", no_argument, NULL, VERSION },
	{ 0 },
};

/* Return: -1 to go on, else the exit status */
static int option(int c)
{
	switch (c) {
	case PARTITION:
		arg_partition = optarg;
		return -1;
	case VM_ID:
		if (guid_parse(optarg, &arg_vm_id) < 0)
			return process_fail("--vm-id %s is not a GUID", optarg);
		return -1;
	case UDS:
		arg_uds_path = optarg;
		return -1;
	case FRONT:
		arg_front = true;
		return -1;
	case BOX:
		return process_sandbox(optarg, &arg_sandbox) ? -1 : 1;
	case VERBOSE:
		log_set_level(LOG_DEBUG_);
		return -1;
	case HELP:
		fputs(usage_text, stdout);
		return 0;
	case VERSION:
		printf("hvsocket-hybrid %s\n", HVSOCKET_VERSION);
		return 0;
	default:
		return 1;
	}
}

static int parse_options(int argc, char **argv)
{
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = option(c);
		if (r >= 0)
			return r;
	}
	if (optind < argc)
		return process_fail("unexpected argument %s", argv[optind]);
	if (!arg_partition || !*arg_partition)
		return process_fail("--partition is missing");
	if (strlen(arg_partition) > 255)
		return process_fail(
			"--partition: the name is longer than 255 bytes");
	if (!arg_uds_path || !*arg_uds_path)
		return process_fail("--uds-path is missing");
	if (arg_front && !guid_is_zero(&arg_vm_id))
		return process_fail("--vm-id is not for --front, which makes "
				    "no partition");
	return -1;
}

/* ---- a VM */

/* looking at the line before it is taken */
static const int vm_calls[] = { SCMP_SYS(recvfrom), -1 };

static int serve_vm(struct ev *ev, struct vm *vm)
{
	int r = vm_attach(vm);

	if (r == -EINTR)
		return 0;
	if (r < 0)
		return process_fail("%s: %s", vm_place(vm),
				    *vm_error(vm) ? vm_error(vm)
						  : strerror(-r));
	log_info("partition \"%s\" attached at %s", arg_partition,
		 vm_place(vm));
	if (arg_sandbox) {
		r = sandbox_enter_making(".", vm_calls);
		if (r < 0)
			return process_fail("cannot enter the sandbox: %s",
					    strerror(-r));
	}
	r = ev_run(ev);
	if (r < 0)
		return process_fail("the event loop is broken: %s",
				    strerror(-r));
	return vm_orphaned(vm);
}

static int run_vm(struct ev *ev)
{
	struct vm_config config = { .partition = arg_partition,
				    .vmid = arg_vm_id };
	char name[DIRECTORY_NAME_SIZE], why[DIRECTORY_WHY];
	const char *what = "";
	struct vm *vm;
	int r;

	r = directory_enter(arg_uds_path, name, why);
	if (r < 0)
		return process_fail("%s: %s", arg_uds_path, why);
	if (strlen(arg_uds_path) + PORT_SUFFIX >=
	    sizeof(((struct sockaddr_un *)0)->sun_path))
		log_warn("%s: a VMM that is given this path cannot reach the "
			 "sockets of all ports: it is too long",
			 arg_uds_path);
	config.name = name;
	/* sockets are for this user, whenever they are made */
	umask(0177);
	r = vm_new(ev, &config, &vm, &what);
	if (r < 0) {
		r = process_fail("%s: %s", what, strerror(-r));
	} else {
		r = serve_vm(ev, vm);
		vm_free(vm);
	}
	directory_leave();
	return r;
}

/* ---- a front */

/* libhvsocket's, and a relay's */
static const int front_calls[] = {
	SCMP_SYS(recvfrom), SCMP_SYS(splice),
	SCMP_SYS(pipe2),    SCMP_SYS(poll),
	SCMP_SYS(ppoll),    SCMP_SYS(getsockname),
	SCMP_SYS(geteuid),  -1,
};

static int serve_front(struct ev *ev, int fd)
{
	cleanup_free_ char *copy = strdup(arg_uds_path);
	struct front *f;
	int r, may_remove = 1;

	r = copy ? front_new(ev, fd, arg_partition, &f) : -ENOMEM;
	if (r < 0)
		return process_fail("cannot listen at %s: %s", arg_uds_path,
				    strerror(-r));
	log_info("listening at %s for \"%s\"", arg_uds_path, arg_partition);
	if (arg_sandbox)
		r = sandbox_enter(dirname(copy), front_calls, &may_remove);
	if (r < 0)
		r = process_fail("cannot enter the sandbox: %s", strerror(-r));
	else
		r = ev_run(ev) < 0;
	front_free(f);
	if (may_remove)
		(void)unlink(arg_uds_path);
	return r;
}

static int run_front(struct ev *ev)
{
	int fd, r;

	/* there has to be a broker; the partition may come later */
	if (hvs_partition(NULL, NULL, 0) < 0) {
		struct hvs_reason why = { 0 };

		(void)hvs_reason(-1, &why);
		return process_fail("%s", why.text);
	}
	fd = unix_listen(arg_uds_path, SOCK_STREAM, BACKLOG, true);
	if (fd < 0)
		return process_fail("cannot listen at %s: %s", arg_uds_path,
				    strerror(-fd));
	r = serve_front(ev, fd);
	close(fd);
	return r;
}

int main(int argc, char **argv)
{
	struct ev_io signal_io = { 0 };
	struct ev *ev = NULL;
	int r;

	process_name("hvsocket-hybrid");
	r = parse_options(argc, argv);
	if (r >= 0)
		return r;
	process_limits();
	r = ev_new(&ev);
	if (r == 0)
		r = process_signals(ev, &signal_io);
	if (r == 0)
		r = closer_start();
	if (r < 0)
		return process_fail("cannot start: %s", strerror(-r));
	r = arg_front ? run_front(ev) : run_vm(ev);
	ev_io_stop(&signal_io);
	ev_free(ev);
	return r;
}
