/* SPDX-License-Identifier: MIT */
/* main.c - hvsocketd: options, signals, readiness; the rest is broker.c */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/settings.h"
#include "broker/paths.h"
#include "config.h"

#if HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

static const char usage[] =
	"Usage: hvsocketd [OPTION]...\n"
	"The broker of Hyper-V sockets. Without options: the user's own, or, run\n"
	"as the user \"hvsocket\", the system's.\n"
	"\n"
	"  --system              the system's directories, whoever runs it\n"
	"  --runtime-dir DIR     control sockets go here\n"
	"  --config-dir DIR      services.d and partitions.d are here; may be\n"
	"                        repeated, lowest first; replaces the defaults\n"
	"  --profile NAME        default, or windows: allow what Windows allows\n"
	"  --ready-fd N          write a byte to this descriptor and close it\n"
	"                        when ready\n"
	"  --max-listeners N     per user, and per partition but the\n"
	"                        host (16384)\n"
	"  --max-pending N       connects being set up, likewise (1024)\n"
	"  --max-volatile N      volatile registrations per user (1024)\n"
	"  --max-clients N       control connections, likewise (16384)\n"
	"  --dgram PROGRAM       carries datagrams; started when it is needed\n"
	"                        (hvsocket-dgram); none: others start it\n"
	"  --uplink WHERE        in a guest, its host's broker: vsock,\n"
	"                        unix:PATH (for tests), none (default)\n"
	"  --uplink-relay PROGRAM  carries what goes over uplinks; started when\n"
	"                        it is needed (hvsocket-uplink); none: others\n"
	"                        start it\n"
	"  -v, --verbose         say more\n"
	"  -h, --help            this text\n"
	"  -V, --version         version\n";

enum {
	OPT_SYSTEM = 256,
	OPT_RUNTIME_DIR,
	OPT_CONFIG_DIR,
	OPT_PROFILE,
	OPT_READY_FD,
	OPT_MAX_LISTENERS,
	OPT_MAX_PENDING,
	OPT_MAX_VOLATILE,
	OPT_MAX_CLIENTS,
	OPT_DGRAM,
	OPT_UPLINK,
	OPT_UPLINK_RELAY,
	OPT_FOREGROUND,
};

static const struct option options[] = {
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR },
	{ "config-dir", required_argument, NULL, OPT_CONFIG_DIR },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "max-listeners", required_argument, NULL, OPT_MAX_LISTENERS },
	{ "max-pending", required_argument, NULL, OPT_MAX_PENDING },
	{ "max-volatile", required_argument, NULL, OPT_MAX_VOLATILE },
	{ "max-clients", required_argument, NULL, OPT_MAX_CLIENTS },
	{ "dgram", required_argument, NULL, OPT_DGRAM },
	{ "uplink", required_argument, NULL, OPT_UPLINK },
	{ "uplink-relay", required_argument, NULL, OPT_UPLINK_RELAY },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

#define DIRS_MAX 16

static struct {
	bool system;
	const char *runtime_dir;
	struct registry_dir dirs[DIRS_MAX];
	size_t ndirs;
	struct broker_file file; /* what it would say */
	int ready_fd;
	struct limits limits;
	const char *dgram, *uplink_relay;
} arg = { .ready_fd = -1 };

static uint32_t number(const char *option, const char *text, uint32_t most)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n > most) {
		fprintf(stderr, "hvsocketd: --%s: \"%s\" is not a number up to %u\n",
			option, text, most);
		exit(2);
	}
	return (uint32_t)n;
}

static void add_dir(const char *path)
{
	char *real;

	if (arg.ndirs == DIRS_MAX) {
		fprintf(stderr, "hvsocketd: --config-dir: at most %d\n",
			DIRS_MAX);
		exit(2);
	}
	/* relative to where we were started; it need not exist yet */
	real = path[0] == '/' ? strdup(path) : NULL;
	if (!real) {
		char cwd[4096];

		if (!getcwd(cwd, sizeof(cwd)) ||
		    asprintf(&real, "%s/%s", cwd, path) < 0) {
			fprintf(stderr, "hvsocketd: --config-dir %s: %s\n",
				path, strerror(errno));
			exit(1);
		}
	}
	arg.dirs[arg.ndirs++] = (struct registry_dir){ real, ORIGIN_CONFIG };
}

static void parse(int argc, char **argv)
{
	int c, i = 0;

	while ((c = getopt_long(argc, argv, "vhV", options, &i)) != -1) {
		const char *name = options[i].name;

		switch (c) {
		case OPT_SYSTEM:
			arg.system = true;
			break;
		case OPT_FOREGROUND:
			break; /* it never does anything else */
		case OPT_RUNTIME_DIR:
			arg.runtime_dir = optarg;
			break;
		case OPT_CONFIG_DIR:
			add_dir(optarg);
			break;
		case OPT_PROFILE:
			if (!optarg[0] || profile_parse(optarg, strlen(optarg),
							&arg.file.profile) <
					   0) {
				fprintf(stderr,
					"hvsocketd: --profile: \"%s\" is not known: default, windows\n",
					optarg);
				exit(2);
			}
			arg.file.has_profile = true;
			break;
		case OPT_READY_FD:
			arg.ready_fd = (int)number(name, optarg, 1 << 20);
			break;
		case OPT_MAX_LISTENERS:
			arg.limits.listeners = number(name, optarg, 1 << 20);
			break;
		case OPT_MAX_PENDING:
			arg.limits.pending = number(name, optarg, 1 << 20);
			break;
		case OPT_MAX_VOLATILE:
			arg.limits.volatiles = number(name, optarg, 1 << 20);
			break;
		case OPT_MAX_CLIENTS:
			arg.limits.clients = number(name, optarg, 1 << 20);
			break;
		case OPT_DGRAM:
			arg.dgram = optarg;
			break;
		case OPT_UPLINK:
			if (uplink_place_parse(optarg, &arg.file.uplink) < 0) {
				fprintf(stderr,
					"hvsocketd: --uplink: \"%s\" is none of: vsock, none, unix:/PATH of at most %d bytes\n",
					optarg, UPLINK_PATH_MAX);
				exit(2);
			}
			arg.file.has_uplink = true;
			break;
		case OPT_UPLINK_RELAY:
			arg.uplink_relay = optarg;
			break;
		case 'v':
			log_set_level(LOG_DEBUG_);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'V':
			puts("hvsocketd " HVSOCKET_VERSION);
			exit(0);
		default:
			exit(2);
		}
	}
	if (optind != argc) {
		fprintf(stderr, "hvsocketd: \"%s\": no arguments are taken\n",
			argv[optind]);
		exit(2);
	}
}

/* An absolute path for what was given relative to where we were started. */
static char *absolute(const char *path)
{
	char cwd[4096], *s;

	if (path[0] == '/')
		return strdup(path);
	if (!getcwd(cwd, sizeof(cwd)) || asprintf(&s, "%s/%s", cwd, path) < 0)
		return NULL;
	return s;
}

struct signals {
	struct ev_io io;
	struct ev *ev;
	struct broker *broker;
};

static void on_signal(struct ev_io *io, uint32_t events)
{
	struct signals *s = container_of(io, struct signals, io);
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP) {
		registry_reload(s->broker->registry);
		broker_changed(s->broker);
	} else {
		ev_quit(s->ev);
	}
}

static int watch_signals(struct signals *s)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write that fails says enough */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	return ev_io_start(s->ev, &s->io, fd, EPOLLIN, on_signal);
}

/* As many descriptors as we may have: each client is one, and those in flight
 * count too. */
static void raise_nofile(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* The system's broker runs as a user of its own, never as root. */
static bool is_system_user(void)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	return getpwnam_r("hvsocket", &pw, buf, sizeof(buf), &found) == 0 &&
	       found && pw.pw_uid == geteuid();
}

static int inherited_socket(void)
{
#if HAVE_LIBSYSTEMD
	int n = sd_listen_fds(1);

	if (n > 1)
		log_warn("%d sockets were handed over: only the first is used",
			 n);
	if (n > 0) {
		if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1,
				      NULL, 0) > 0) {
			/* whatever the unit says: accept() must not wait */
			(void)fcntl(SD_LISTEN_FDS_START, F_SETFL, O_NONBLOCK);
			return SD_LISTEN_FDS_START;
		}
		log_err("the socket handed over is not a listening SOCK_SEQPACKET AF_UNIX socket");
		exit(1);
	}
#endif
	return -1;
}

static void ready(void)
{
	char byte = 1;

	if (arg.ready_fd >= 0) {
		(void)!write(arg.ready_fd, &byte, 1);
		close(arg.ready_fd);
	}
#if HAVE_LIBSYSTEMD
	(void)sd_notify(0, "READY=1\nSTATUS=Serving");
#endif
}

/* What a file says, where no option says it. */
static bool read_settings(const struct broker_options *o)
{
	struct broker_file said = arg.file;

	if (said.has_profile && said.has_uplink)
		return true;
	if (settings_read(o->dirs, o->ndirs, &arg.file))
		return false;
	if (said.has_profile)
		arg.file.profile = said.profile;
	if (said.has_uplink)
		arg.file.uplink = said.uplink;
	return true;
}

int main(int argc, char **argv)
{
	struct signals signals = { .ev = NULL };
	struct broker_options o = { .control_fd = -1 };
	struct paths paths = { .ndirs = 0 };
	char *runtime_dir = NULL, *dgram = NULL, *uplink_relay = NULL;
	struct broker *b = NULL;
	int r;

	parse(argc, argv);
	if (!arg.system)
		arg.system = is_system_user();
	umask(0077);
	raise_nofile();
	/* whoever waits for it to be closed waits for nobody that we start */
	if (arg.ready_fd >= 0)
		(void)fcntl(arg.ready_fd, F_SETFD, FD_CLOEXEC);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	if (!arg.runtime_dir || !arg.ndirs) {
		r = paths_find(arg.system, &paths);
		if (r < 0 && !(arg.runtime_dir && arg.ndirs)) {
			log_err("no runtime directory: set XDG_RUNTIME_DIR or HVSOCKET_RUNTIME_DIR, or use --runtime-dir");
			return 1;
		}
	}
	runtime_dir = absolute(arg.runtime_dir ? arg.runtime_dir :
						 paths.runtime_dir);
	if (!runtime_dir) {
		log_err("%s", strerror(errno));
		return 1;
	}
	o.runtime_dir = runtime_dir;
	o.dirs = arg.ndirs ? arg.dirs : paths.dirs;
	o.ndirs = arg.ndirs ? arg.ndirs : paths.ndirs;
	/* options win */
	if (!read_settings(&o))
		return 1;
	o.profile = arg.file.profile;
	o.uplink = &arg.file.uplink;
	o.limits = arg.limits;
	if (arg.dgram && strcmp(arg.dgram, "none") != 0)
		arg.dgram = dgram = absolute(arg.dgram);
	o.dgram = arg.dgram;
	if (arg.uplink_relay && strcmp(arg.uplink_relay, "none") != 0)
		arg.uplink_relay = uplink_relay = absolute(arg.uplink_relay);
	o.uplink_relay = arg.uplink_relay;
	/* A user's broker is for that user; run by root it is for all. */
	o.everybody = arg.system || geteuid() == 0;
	o.control_fd = inherited_socket();

	r = ev_new(&signals.ev);
	if (r == 0)
		r = watch_signals(&signals);
	if (r == 0)
		r = broker_new(signals.ev, &o, &b);
	if (r == 0) {
		signals.broker = b;
		ev_eager(signals.ev, YIELDER_NS);
		ready();
		r = ev_run(signals.ev);
	}
	if (r < 0)
		log_err("%s", strerror(-r));
	broker_free(b);
	if (signals.io.ev) {
		int fd = signals.io.fd;

		ev_io_stop(&signals.io);
		close(fd);
	}
	ev_free(signals.ev);
	for (size_t i = 0; i < arg.ndirs; i++)
		free(arg.dirs[i].path);
	paths_free(&paths);
	free(dgram);
	free(uplink_relay);
	free(runtime_dir);
	return r < 0 ? 1 : 0;
}
