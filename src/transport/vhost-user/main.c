/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-vhost-user - a vhost-user-vsock device for one VM
 *
 * Options, the socket for the front-end, the attachment to the broker, the
 * sandbox; then the loop. See hvsocket-vhost-user(8).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "config.h"
#include "transport/closer.h"
#include "transport/vhost-user/sandbox.h"
#include "transport/vhost-user/vm.h"

static const char *arg_socket_path;
static int arg_fd = -1;
static const char *arg_partition;
static uint64_t arg_guest_cid = 3;
static bool arg_one_off;
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
	"  --sandbox MODE       seccomp (default), or none\n"
	"  --verbose            tell every message of the VMM\n"
	"  --print-capabilities print what kind of device this is, as JSON\n"
	"  --help, --version\n"
	"\n"
	"See hvsocket-vhost-user(8).\n";

/* One line, in the form "what: why". Return: the exit code */
static int __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;

	fputs("hvsocket-vhost-user: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

static bool parse_number(const char *text, uint64_t low, uint64_t high,
			 uint64_t *ret)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v < low || v > high)
		return false;
	*ret = v;
	return true;
}

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
			if (!parse_number(optarg, 0, 1 << 20, &n))
				return fail("--fd %s is not a descriptor",
					    optarg);
			arg_fd = (int)n;
			break;
		case CAPS:
			printf("{\"type\": \"vsock\"}\n");
			return 0;
		case PARTITION:
			arg_partition = optarg;
			break;
		case CID:
			if (!parse_number(optarg, 3, UINT32_MAX - 1,
					  &arg_guest_cid))
				return fail("--guest-cid %s is not a guest's "
					    "CID (3 to 4294967294)",
					    optarg);
			break;
		case ONE:
			arg_one_off = true;
			break;
		case BOX:
			arg_sandbox = strcmp(optarg, "none") != 0;
			if (arg_sandbox && strcmp(optarg, "seccomp") != 0)
				return fail("--sandbox %s: seccomp or none",
					    optarg);
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
		return fail("unexpected argument %s", argv[optind]);
	if (!arg_partition || !*arg_partition)
		return fail("--partition is missing");
	if (strlen(arg_partition) > 255)
		return fail("--partition: the name is longer than 255 bytes");
	if (!arg_socket_path == (arg_fd < 0))
		return fail("one of --socket-path and --fd is needed");
	return -1;
}

/*
 * A socket file without a listener is what an earlier process left. A connect
 * of another type tells, and leaves nothing in the queue of a live one.
 */
static int remove_stale(const struct sockaddr_un *sa)
{
	cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
	    errno == EPROTOTYPE)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(sa->sun_path) < 0 ? -errno : 0;
}

static int listen_at(const char *path, int *ret)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* whoever may connect is the VMM: nobody but this user */
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	if (r == -EADDRINUSE) {
		r = remove_stale(&sa);
		if (r == 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			r = -errno;
	}
	umask(mask);
	if (r == 0 && listen(fd, 1) < 0)
		r = -errno;
	if (r == 0)
		*ret = fd_take(&fd);
	return r;
}

/* Is it a listening socket? -errno: it is not one for us */
static int inherited(int fd)
{
	int domain, type, listening;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return -errno;
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return -EPROTOTYPE;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	return listening;
}

static struct ev *signal_ev;

static void on_signal(struct ev_io *io, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) == sizeof(si))
		ev_quit(signal_ev);
}

static int watch_signals(struct ev *ev, struct ev_io *io)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	signal_ev = ev;
	return ev_io_start(ev, io, fd, EPOLLIN, on_signal);
}

static int serve(struct ev *ev, struct vm *vm)
{
	cleanup_free_ char *copy = NULL;
	const char *dir = NULL;
	int r, may_remove = 1, listening = 1, fd = arg_fd;

	if (arg_socket_path) {
		r = listen_at(arg_socket_path, &fd);
		if (r < 0)
			return fail("cannot listen at %s: %s", arg_socket_path,
				    strerror(-r));
		copy = strdup(arg_socket_path);
		dir = copy ? dirname(copy) : NULL;
	} else {
		listening = inherited(fd);
		if (listening < 0)
			return fail("--fd: not an AF_UNIX stream socket: %s",
				    strerror(-listening));
	}
	log_info("partition \"%s\" attached at %s", vm_name(vm), vm_place(vm));
	r = listening ? vm_listen(vm, fd) : vm_connected(vm, fd);
	if (r < 0)
		return fail("cannot wait for the VMM: %s", strerror(-r));
	if (arg_sandbox) {
		r = sandbox_enter(dir, &may_remove);
		if (r < 0)
			return fail("cannot enter the sandbox: %s",
				    strerror(-r));
	}
	r = ev_run(ev);
	if (arg_socket_path && may_remove)
		(void)unlink(arg_socket_path);
	if (r < 0)
		return fail("the event loop is broken: %s", strerror(-r));
	return 0;
}

/* One descriptor for each connection. */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char **argv)
{
	struct vm_config config;
	struct ev_io signal_io = { 0 };
	struct ev *ev = NULL;
	struct vm *vm = NULL;
	const char *why = "";
	int r;

	r = parse_options(argc, argv);
	if (r >= 0)
		return r;
	config = (struct vm_config) { .partition = arg_partition,
				      .guest_cid = arg_guest_cid,
				      .one_off = arg_one_off };
	raise_limit();
	r = ev_new(&ev);
	if (r == 0)
		r = watch_signals(ev, &signal_io);
	if (r == 0)
		r = closer_start();
	if (r < 0)
		return fail("cannot start: %s", strerror(-r));
	r = vm_new(ev, &config, &vm, &why);
	if (r < 0)
		return fail("%s: %s", why, strerror(-r));
	r = vm_attach(vm);
	if (r < 0)
		r = fail("%s: %s", vm_place(vm),
			 *vm_error(vm) ? vm_error(vm) : strerror(-r));
	else
		r = serve(ev, vm);
	vm_free(vm);
	ev_io_stop(&signal_io);
	ev_free(ev);
	return r;
}
