/* SPDX-License-Identifier: MIT */
/* options.c - see options.h */
#include "hvvm/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hvvm/machine.h"

static const char usage_text[] =
	"Usage: hvvm run -k KERNEL [option]...\n"
	"       hvvm run -k KERNEL --exec COMMAND [option]...\n"
	"A small virtual machine whose guest believes it runs on Hyper-V.\n"
	"\n"
	"  --name NAME          its partition (without: no broker)\n"
	"  -k, --kernel PATH    a bzImage, a kernel's build tree, a package's "
	"folder\n"
	"  --initrd FILE        its initial file system\n"
	"  --append TEXT        more words for the kernel's command line\n"
	"  --memory SIZE        such as 512M or 2G (default 256M)\n"
	"  --no-huge-pages      not in huge pages, but in a memfd\n"
	"  --cpus N             virtual processors (default 1)\n"
	"  --console HOW        stdio (default), pty, file:PATH, unix:PATH, "
	"none\n"
	"  --serial2 HOW        the same for the second port (default none)\n"
	"  --no-reboot          end where the guest would reboot (status 3)\n"
	"  --timeout S          end it after so many seconds (status 124)\n"
	"  --credential NAME=VALUE, --credential NAME:FILE\n"
	"                       for systemd in the guest\n"
	"  --notify             it is to say when it is ready (hvctl wait)\n"
	"  --vmcore FILE        write an ELF core when the guest panics\n"
	"  --vhost-user KIND:PATH[,tag=NAME]\n"
	"                       a device whose back end listens at PATH: blk,\n"
	"                       fs\n"
	"  --uds-path PATH      without a broker: Unix sockets at PATH\n"
	"  --vmbus-socket PATH  a VMBus back end that listens at PATH\n"
	"  --no-vmbus           none\n"
	"  --trace FILE, --inject RULE, --integration LIST, --sandbox MODE\n"
	"                       for hvsocket-vmbus\n"
	"  --verbose            say more\n"
	"  --help\n"
	"\n"
	"With --exec the guest runs COMMAND (sh -c) and ends; output and "
	"status "
	"are\n"
	"the command's; --initrd is not needed:\n"
	"  --module NAME[,later]\n"
	"                       a module more, loaded before or left to "
	"modprobe\n"
	"  --modules DIR        where modules are, for a bare bzImage\n"
	"  --add FILE[:PATH]    a file or folder more, with the libraries of "
	"programs\n"
	"  --ktap               status 1 where the output has \"not ok\"\n"
	"\n"
	"Ends with 0 when the guest powers off, 126 when it panics, 125 when\n"
	"the machine fails. See hvvm(1).\n";

static int __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;

	fputs("hvvm: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return STATUS_FAILED;
}

static bool number(const char *text, uint64_t low, uint64_t high, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || *text == '+' ||
	    v < low || v > high)
		return false;
	*ret = v;
	return true;
}

/* Bytes, with K, M, G or T; a bare number is MiB, as in QEMU. */
static bool memory_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	uint64_t v, unit = 1ull << 20;
	const char *u;
	char digits[24];
	size_t n = strlen(text);

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, text, n + 1);
	u = strchr(units, digits[n - 1]);
	if (u && *u) {
		unit = 1ull << (10 * (u - units + 1));
		digits[n - 1] = '\0';
	}
	if (!number(digits, 1, UINT64_MAX / unit, &v))
		return false;
	v *= unit;
	if (v % (2ull << 20) || v < 32ull << 20 || v > 1ull << 42)
		return false;
	*ret = v;
	return true;
}

static int port(const char *option, const char *text, struct options_port *p)
{
	if (strcmp(text, "stdio") == 0) {
		p->kind = CONSOLE_STDIO;
	} else if (strcmp(text, "pty") == 0) {
		p->kind = CONSOLE_PTY;
	} else if (strcmp(text, "none") == 0) {
		p->kind = CONSOLE_NONE;
	} else if (strncmp(text, "file:", 5) == 0 && text[5]) {
		p->kind = CONSOLE_FILE;
		p->path = text + 5;
	} else if (strncmp(text, "unix:", 5) == 0 && text[5]) {
		p->kind = CONSOLE_UNIX;
		p->path = text + 5;
	} else {
		return fail("%s %s: stdio, pty, file:PATH, unix:PATH or none",
			    option, text);
	}
	return -1;
}

static int add(const char **list, const char *name, const char *value)
{
	unsigned int n = 0;

	while (list[n])
		n++;
	if (n == OPTIONS_MANY)
		return fail("%s: more than %u of them", name, OPTIONS_MANY);
	list[n] = value;
	return -1;
}

enum {
	KERNEL = 'k',
	NAME = 256,
	INITRD,
	APPEND,
	MEMORY,
	NO_HUGE_PAGES,
	CPUS,
	CONSOLE,
	SERIAL2,
	NO_REBOOT,
	TIMEOUT,
	CREDENTIAL,
	NOTIFY,
	VMCORE,
	VHOST_USER,
	UDS_PATH,
	VMBUS_SOCKET,
	NO_VMBUS,
	TRACE,
	INTEGRATION,
	INJECT,
	SANDBOX,
	VERBOSE,
	EXEC,
	MODULE,
	MODULES,
	ADD,
	KTAP,
	HELP,
};

static const struct option known[] = {
	{ "name", required_argument, NULL, NAME },
	{ "kernel", required_argument, NULL, KERNEL },
	{ "initrd", required_argument, NULL, INITRD },
	{ "append", required_argument, NULL, APPEND },
	{ "memory", required_argument, NULL, MEMORY },
	{ "no-huge-pages", no_argument, NULL, NO_HUGE_PAGES },
	{ "cpus", required_argument, NULL, CPUS },
	{ "console", required_argument, NULL, CONSOLE },
	{ "serial2", required_argument, NULL, SERIAL2 },
	{ "no-reboot", no_argument, NULL, NO_REBOOT },
	{ "timeout", required_argument, NULL, TIMEOUT },
	{ "credential", required_argument, NULL, CREDENTIAL },
	{ "notify", no_argument, NULL, NOTIFY },
	{ "vmcore", required_argument, NULL, VMCORE },
	{ "vhost-user", required_argument, NULL, VHOST_USER },
	{ "uds-path", required_argument, NULL, UDS_PATH },
	{ "vmbus-socket", required_argument, NULL, VMBUS_SOCKET },
	{ "no-vmbus", no_argument, NULL, NO_VMBUS },
	{ "trace", required_argument, NULL, TRACE },
	{ "inject", required_argument, NULL, INJECT },
	{ "integration", required_argument, NULL, INTEGRATION },
	{ "sandbox", required_argument, NULL, SANDBOX },
	{ "verbose", no_argument, NULL, VERBOSE },
	{ "exec", required_argument, NULL, EXEC },
	{ "module", required_argument, NULL, MODULE },
	{ "modules", required_argument, NULL, MODULES },
	{ "add", required_argument, NULL, ADD },
	{ "ktap", no_argument, NULL, KTAP },
	{ "help", no_argument, NULL, HELP },
	{ 0 },
};

static int one(struct options *o, int c)
{
	uint64_t n;

	switch (c) {
	case NAME:
		o->name = optarg;
		if (!*optarg || strlen(optarg) > 255)
			return fail("--name: 1 to 255 bytes");
		return -1;
	case KERNEL:
		o->kernel = optarg;
		return -1;
	case INITRD:
		o->initrd = optarg;
		return -1;
	case APPEND:
		o->append = optarg;
		return -1;
	case MEMORY:
		if (!memory_size(optarg, &o->memory))
			return fail("--memory %s: at least 32M, in steps of 2M",
				    optarg);
		return -1;
	case NO_HUGE_PAGES:
		o->no_huge_pages = true;
		return -1;
	case CPUS:
		if (!number(optarg, 1, MACHINE_CPUS_MAX, &n))
			return fail("--cpus %s: 1 to %u", optarg,
				    MACHINE_CPUS_MAX);
		o->cpus = (unsigned int)n;
		return -1;
	case CONSOLE:
		return port("--console", optarg, &o->console);
	case SERIAL2:
		return port("--serial2", optarg, &o->serial2);
	case NO_REBOOT:
		o->no_reboot = true;
		return -1;
	case TIMEOUT:
		if (!number(optarg, 1, 1u << 30, &n))
			return fail("--timeout %s: not a number of seconds",
				    optarg);
		o->timeout = (unsigned int)n;
		return -1;
	case CREDENTIAL:
		return add(o->credential, "--credential", optarg);
	case NOTIFY:
		o->notify = true;
		return -1;
	case VMCORE:
		o->vmcore = optarg;
		return -1;
	case VHOST_USER:
		return add(o->vhost_user, "--vhost-user", optarg);
	case UDS_PATH:
		o->uds_path = optarg;
		return -1;
	case VMBUS_SOCKET:
		o->vmbus_socket = optarg;
		return -1;
	case NO_VMBUS:
		o->no_vmbus = true;
		return -1;
	case INTEGRATION:
		o->integration = optarg;
		return -1;
	case TRACE:
		o->trace = optarg;
		return -1;
	case INJECT:
		return add(o->inject, "--inject", optarg);
	case SANDBOX:
		o->sandbox = optarg;
		return -1;
	case VERBOSE:
		o->verbose = true;
		return -1;
	case EXEC:
		o->exec = optarg;
		return *optarg ? -1 : fail("--exec: a command is needed");
	case MODULE:
		return add(o->module, "--module", optarg);
	case MODULES:
		o->modules = optarg;
		return -1;
	case ADD:
		return add(o->add, "--add", optarg);
	case KTAP:
		o->ktap = true;
		return -1;
	case HELP:
		fputs(usage_text, stdout);
		return 0;
	default:
		return STATUS_FAILED; /* getopt has said why */
	}
}

/* What does not go with --exec, or only with it. */
static int check_exec(struct options *o, bool console_given)
{
	if (!o->exec && (o->module[0] || o->modules || o->add[0] || o->ktap))
		return fail("--module, --modules, --add and --ktap go with "
			    "--exec");
	if (!o->exec)
		return -1;
	if (o->initrd)
		return fail("--exec makes the initial file system: no --initrd "
			    "(--add adds to it)");
	if (o->serial2.kind != CONSOLE_NONE)
		return fail("--exec uses the second serial port: no --serial2");
	if (!console_given)
		o->console.kind = CONSOLE_NONE;
	else if (o->console.kind == CONSOLE_STDIO)
		return fail("--exec: standard output is the command's; for the "
			    "kernel's console pty, file:PATH or unix:PATH");
	return -1;
}

int options_parse(struct options *o, int argc, char **argv)
{
	bool console_given = false;
	int c, r;

	*o = (struct options) {
		.memory = 256ull << 20,
		.cpus = 1,
		.initrd_fd = -1,
		.serial2.kind = CONSOLE_NONE,
	};
	while ((c = getopt_long(argc, argv, "k:", known, NULL)) != -1) {
		r = one(o, c);
		if (r >= 0)
			return r;
		console_given = console_given || c == CONSOLE;
	}
	if (optind < argc)
		return fail("unexpected argument %s", argv[optind]);
	r = check_exec(o, console_given);
	if (r >= 0)
		return r;
	if (o->console.kind == CONSOLE_STDIO &&
	    o->serial2.kind == CONSOLE_STDIO)
		return fail("--serial2 stdio: the console has that; --console "
			    "says otherwise");
	if (!o->kernel)
		return fail("--kernel is missing");
	if (o->no_vmbus &&
	    (o->uds_path || o->vmbus_socket || o->trace || o->inject[0] ||
	     o->integration))
		return fail("--no-vmbus, and an option for it");
	if (!o->no_vmbus && !o->name && !o->uds_path && !o->vmbus_socket &&
	    !o->exec)
		return fail("one of --name, --uds-path, --vmbus-socket and "
			    "--no-vmbus is needed");
	return -1;
}
