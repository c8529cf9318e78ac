/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-hybrid - the Unix-socket convention of Firecracker, cloud-hypervisor
 * and OpenVMM
 *
 * Options, the directory, the broker, the sandbox; then the loop. See
 * hvsocket-hybrid(8).
 */
#include <errno.h>
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
#include "transport/closer.h"
#include "transport/hybrid/directory.h"
#include "transport/hybrid/front.h"
#include "transport/hybrid/vm.h"
#include "transport/options.h"
#include "transport/process.h"
#include "transport/sandbox.h"

#define BACKLOG 128
/* "_4294967295", the longest that a VMM puts behind its socket's path */
#define PORT_SUFFIX 11

static bool arg_front;

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

enum { FRONT = OPTION_OWN };

static const struct option table[] = {
	OPTIONS_OF_ALL,
	{ "front", no_argument, NULL, FRONT },
	{ 0 },
};

static int own_option(int c)
{
	(void)c; /* there is one only */
	arg_front = true;
	return -1;
}

static struct options arg = { .usage = usage_text, .own = own_option };

static int parse_options(int argc, char **argv)
{
	int r = options_parse(argc, argv, table, &arg);

	if (r >= 0)
		return r;
	if (!arg.partition)
		return process_fail("--partition is missing");
	if (!arg.uds_path)
		return process_fail("--uds-path is missing");
	if (arg_front && !guid_is_zero(&arg.vm_id))
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
	log_info("partition \"%s\" attached at %s", arg.partition,
		 vm_place(vm));
	if (!arg.no_sandbox) {
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
	struct vm_config config = { .partition = arg.partition,
				    .vmid = arg.vm_id };
	char name[DIRECTORY_NAME_SIZE], why[DIRECTORY_WHY];
	const char *what = "";
	struct vm *vm;
	int r;

	r = directory_enter(arg.uds_path, name, why);
	if (r < 0)
		return process_fail("%s: %s", arg.uds_path, why);
	if (strlen(arg.uds_path) + PORT_SUFFIX >=
	    sizeof(((struct sockaddr_un *)0)->sun_path))
		log_warn("%s: a VMM that is given this path cannot reach the "
			 "sockets of all ports: it is too long",
			 arg.uds_path);
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

/* Its diallers, which do what a broker tells them, are threads: Landlock first,
 * so that they are under it, and seccomp when they have started. */
static int serve_front(struct ev *ev, int fd)
{
	cleanup_free_ char *copy = strdup(arg.uds_path);
	struct front *f = NULL;
	int r, may_remove = 1;

	if (!copy)
		return process_fail("no memory");
	if (!arg.no_sandbox) {
		r = sandbox_lock(dirname(copy), &may_remove);
		if (r < 0)
			return process_fail("cannot enter the sandbox: %s",
					    strerror(-r));
	}
	r = front_new(ev, fd, arg.partition, &f);
	if (r < 0)
		return process_fail("cannot listen at %s: %s", arg.uds_path,
				    strerror(-r));
	log_info("listening at %s for \"%s\"", arg.uds_path, arg.partition);
	if (!arg.no_sandbox)
		r = sandbox_filter(front_calls, may_remove);
	if (r < 0)
		r = process_fail("cannot enter the sandbox: %s", strerror(-r));
	else
		r = ev_run(ev) < 0;
	front_free(f);
	if (may_remove)
		(void)unlink(arg.uds_path);
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
	fd = unix_listen(arg.uds_path, SOCK_STREAM, BACKLOG, true);
	if (fd < 0)
		return process_fail("cannot listen at %s: %s", arg.uds_path,
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
