/* SPDX-License-Identifier: MIT */
/*
 * hvvm - a small VMM whose guest sees a Hyper-V machine
 *
 * Options, the serial ports, signals; then the machine. See hvvm(1).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "config.h"
#include "hvvm/console.h"
#include "hvvm/exec/exec.h"
#include "hvvm/machine.h"
#include "hvvm/vmbus.h"

static const char usage_text[] =
	"Usage: hvvm run -k KERNEL [option]...\n"
	"       hvvm --help | --version\n"
	"\n"
	"A small virtual machine whose guest believes it runs on Hyper-V.\n"
	"'hvvm run --help' tells the options. See hvvm(1).\n";

/* A serial port's place in the machine. */
static const struct {
	uint16_t port;
	uint8_t irq;
} places[MACHINE_SERIALS] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 } };

struct run {
	struct machine m;
	struct console consoles[2]; /* of the first two ports */
	struct ev_io signals;
	struct exec exec;
};

static struct run run;

static unsigned int index_of(const struct serial *s)
{
	return (unsigned int)(s - run.m.serials);
}

static void serial_out(void *ctx, const uint8_t *data, size_t len)
{
	unsigned int i = index_of(ctx);

	if (run.exec.m)
		exec_serial(&run.exec, i, data, len);
	if (i < 2)
		console_out(&run.consoles[i], data, len);
}

static void serial_irq(void *ctx, bool level)
{
	unsigned int i = index_of(ctx);

	machine_irq(&run.m, places[i].irq, i, level);
}

static void serial_room(void *ctx)
{
	(void)ctx;
}

static const struct serial_ops serial_ops = {
	.out = serial_out,
	.irq = serial_irq,
	.room = serial_room,
};

static int add_serials(void)
{
	int r = 0;

	for (unsigned int i = 0; i < MACHINE_SERIALS && r == 0; i++) {
		const struct bus_device d = {
			.base = places[i].port,
			.len = SERIAL_LEN,
			.read = serial_read,
			.write = serial_write,
			.ctx = &run.m.serials[i],
		};

		serial_init(&run.m.serials[i], &serial_ops, &run.m.serials[i]);
		r = bus_add(&run.m.pio, &d);
	}
	return r;
}

static void on_signal(struct ev_io *io, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP && run.m.vmbus)
		vmbus_replace(run.m.vmbus);
	else
		machine_end(&run.m, END_KILLED);
}

static int watch_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	return ev_io_start(run.m.ev, &run.signals, fd, EPOLLIN, on_signal);
}

static void on_quit(void *ctx)
{
	machine_end(ctx, END_KILLED);
}

static int open_consoles(const struct options *o)
{
	int r;

	r = console_open(&run.consoles[0], run.m.ev, "console", &o->console,
			 &run.m.serials[0], on_quit, &run.m);
	if (r == 0)
		r = console_open(&run.consoles[1], run.m.ev, "serial2",
				 &o->serial2, &run.m.serials[1], on_quit,
				 &run.m);
	return r;
}

static int run_verb(int argc, char **argv)
{
	struct options o;
	struct rlimit l;
	int r = options_parse(&o, argc, argv);

	if (r >= 0)
		return r;
	if (o.verbose)
		log_set_level(LOG_DEBUG_);
	/* a descriptor for each channel's doorbell */
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
	r = exec_prepare(&run.exec, &o);
	if (r < 0) {
		exec_free(&run.exec);
		return STATUS_FAILED;
	}
	r = machine_new(&o, &run.m);
	if (r == 0)
		r = watch_signals();
	if (r == 0)
		r = add_serials();
	if (r == 0)
		r = open_consoles(&o);
	if (r == 0 && o.exec)
		r = exec_start(&run.exec, &run.m);
	r = r < 0 ? STATUS_FAILED : machine_run(&run.m);
	if (o.exec)
		r = exec_end(&run.exec, r);
	console_close(&run.consoles[0]);
	console_close(&run.consoles[1]);
	ev_io_stop(&run.signals);
	machine_free(&run.m);
	exec_free(&run.exec);
	return r;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return run_verb(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("hvvm %s\n", HVSOCKET_VERSION);
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc > 1)
		fprintf(stderr, "hvvm: %s: no such verb\n", argv[1]);
	fputs(usage_text, stderr);
	return STATUS_FAILED;
}
