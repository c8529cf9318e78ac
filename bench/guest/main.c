/* SPDX-License-Identifier: MIT */
/*
 * hvbench-guest - a guest under hvvm beside a guest under QEMU
 *
 *	hvbench-guest HVSOCKETD HVVM QEMU HVSOCKET-VSOCK KERNEL INITRD-HV
 *		INITRD-VIRTIO JSON
 *
 * Runs where both have KVM (scripts/nested). Both guests run the same kernel
 * and the same program; QEMU's has the kernel's own vhost-vsock. Both are up
 * the whole time, and are measured by turns. In QEMU's the program runs three
 * times: with AF_VSOCK on the host, by hvsocket-vsock, and handed over by that.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib.h"
#include "side.h"

#define MIB (1l << 20)
#define STREAM_PAIRS 9
#define TRIP_PAIRS 9
#define CONNECT_PAIRS 9
#define START_PAIRS 5
#define IDLE 200

/* An idle processor that has missed its interrupt (tests/nested/inner.py) looks
 * again at the next tick. */
#define QUIET "quiet nohz=off"

static const char *kernel, *initrd_hv, *initrd_virtio;
static const char *hvvm_command[] = {
	NULL,	     "run",	 "--name",   "bench",	 "--kernel",
	NULL,	     "--initrd", NULL,	     "--memory", "256M",
	"--console", "none",	 "--append", QUIET,   NULL,
};
static const char *qemu_command[] = {
	NULL,
	"-M",
	"microvm,rtc=on",
	"-accel",
	"kvm",
	"-cpu",
	"host",
	"-m",
	"256",
	"-nodefaults",
	"-no-user-config",
	"-nographic",
	"-device",
	"vhost-vsock-device,guest-cid=42",
	"-kernel",
	NULL,
	"-initrd",
	NULL,
	"-append",
	"console=ttyS0 " QUIET,
	NULL,
};

static struct side hv = { .name = "hvvm",
			  .first = PORT_FIRST,
			  .command = hvvm_command,
			  .log = "/tmp/bench-hvvm.log" };
static struct side vhost = { .name = "vhost-vsock",
			     .vsock = true,
			     .first = PORT_FIRST,
			     .command = qemu_command,
			     .log = "/tmp/bench-qemu.log" };

/* (in the same guest, and so in the same log) */
static struct side relayed = { .name = "hvsocket-vsock",
			       .first = PORT_FIRST + 100,
			       .log = "/tmp/bench-qemu.log" };
static struct side native = { .name = "hvsocket-vsock, native",
			      .native = true,
			      .first = PORT_FIRST + 200,
			      .log = "/tmp/bench-qemu.log" };

static void both(long bytes, long size, long buffer, long count)
{
	hv.bytes = vhost.bytes = bytes;
	hv.size = vhost.size = size;
	hv.buffer = vhost.buffer = buffer;
	hv.count = vhost.count = count;
}

static void row(const char *name, const char *unit, int n, bench_fn fn,
		const char *bound)
{
	struct bench_result r;

	(void)fn(&hv);
	(void)fn(&vhost);
	r = bench_n_pairs(n, fn, &hv, fn, &vhost);
	bench_result_row(name, unit, "vhost-vsock", &r, bound);
}

static void moving(void)
{
	both(16 * MIB, 65536, 0, 0);
	row("guest to host, 64 KiB writes", "Gbit/s", STREAM_PAIRS, side_up,
	    ">= 0.5");
	row("host to guest, 64 KiB writes", "Gbit/s", STREAM_PAIRS, side_down,
	    ">= 0.5");
	both(16 * MIB, 65536, 262144, 0);
	row("guest to host, 256 KiB buffers", "Gbit/s", STREAM_PAIRS, side_up,
	    ">= 0.9");
	row("host to guest, 256 KiB buffers", "Gbit/s", STREAM_PAIRS, side_down,
	    ">= 0.9");
	both(0, 64, 0, 300);
	row("round trip of 64 bytes", "us", TRIP_PAIRS, side_trip, "<= 1.2");
	both(0, 0, 0, 50);
	row("connects of the guest", "1/s", CONNECT_PAIRS, side_connects,
	    ">= 0.4");
}

/* ---- the kernel's vsock: by itself, and by hvsocket-vsock */

static void vsock_row(const char *name, const char *unit, bench_fn fn,
		      struct side *s, const char *bound)
{
	struct bench_result r;

	s->bytes = vhost.bytes = 16 * MIB;
	s->size = vhost.size = fn == side_trip ? 64 : 65536;
	s->buffer = vhost.buffer = 0;
	s->count = vhost.count = fn == side_trip ? 300 : 50;
	(void)fn(s);
	(void)fn(&vhost);
	r = bench_n_pairs(STREAM_PAIRS, fn, s, fn, &vhost);
	bench_result_row(name, unit, "AF_VSOCK", &r, bound);
}

static void by_vsock(void)
{
	vsock_row("vsock relayed, guest to host, 64 KiB", "Gbit/s", side_up,
		  &relayed, ">= 0.8");
	vsock_row("vsock relayed, host to guest, 64 KiB", "Gbit/s", side_down,
		  &relayed, ">= 0.8");
	vsock_row("vsock relayed, round trip of 64 bytes", "us", side_trip,
		  &relayed, "<= 1.25");
	vsock_row("vsock relayed, connects of the guest", "1/s", side_connects,
		  &relayed, NULL);
	vsock_row("vsock native, guest to host, 64 KiB", "Gbit/s", side_up,
		  &native, NULL);
	vsock_row("vsock native, host to guest, 64 KiB", "Gbit/s", side_down,
		  &native, NULL);
	vsock_row("vsock native, round trip of 64 bytes", "us", side_trip,
		  &native, NULL);
}

static pid_t start_vsock(const char *program)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execl(program, program, (char *)NULL);
	_exit(127);
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/config/%s", dir, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		die(path);
}

/* ---- memory: what is not the guest's */

static int child_of(int pid)
{
	char path[64];
	int child = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%d", &child) != 1)
		child = 0;
	if (f)
		fclose(f);
	return child;
}

static long own_kib(int pid)
{
	return process_kib(pid, "RssAnon:") + process_kib(pid, "RssFile:");
}

static void memory(void)
{
	int vmbus = child_of(hv.pid), fds[IDLE];
	long before = process_kib(vmbus, "RssAnon:"), after;

	bench_number("hvvm, beyond the guest's memory", "KiB",
		     (double)own_kib(hv.pid));
	bench_number("hvsocket-vmbus, the same", "KiB", (double)own_kib(vmbus));
	bench_number("QEMU microvm, the same", "KiB",
		     (double)own_kib(vhost.pid));
	side_tell(&hv, "hold %d\n", IDLE);
	for (int i = 0; i < IDLE; i++)
		fds[i] = side_accept(&hv, PORT_CONNECTS);
	(void)side_done(&hv);
	after = process_kib(vmbus, "RssAnon:");
	bench_number("hvsocket-vmbus, for an idle connection", "KiB",
		     (double)(after - before) / IDLE);
	for (int i = 0; i < IDLE; i++)
		close(fds[i]);
}

/* ---- the first instruction: KVM's own event */

#define TRACING "/sys/kernel/tracing/"

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(file);
	close(fd);
}

/* ms from before fork() to the first entry into the guest */
static double first_instruction(void *arg)
{
	struct side *s = arg;
	char line[512];
	double at = 0;
	FILE *f;

	put(TRACING "trace", "");
	put(TRACING "tracing_on", "1");
	side_start(s);
	f = fopen(TRACING "trace_pipe", "r");
	if (!f)
		die("trace_pipe");
	while (at == 0 && fgets(line, sizeof(line), f)) {
		const char *p = strstr(line, ": kvm_entry:");

		/* "  vcpu0-12  [001] d....  123.456789: kvm_entry: ..." */
		while (p && p > line && p[-1] != ' ')
			p--;
		if (p)
			at = strtod(p, NULL);
	}
	fclose(f);
	put(TRACING "tracing_on", "0");
	side_stop(s);
	return (at - s->started) * 1000;
}

static void starting(void)
{
	struct bench_result r;

	put(TRACING "trace_clock", "mono");
	put(TRACING "events/kvm/kvm_entry/enable", "1");
	(void)first_instruction(&hv);
	(void)first_instruction(&vhost);
	r = bench_n_pairs(STREAM_PAIRS, first_instruction, &hv,
			  first_instruction, &vhost);
	bench_result_row("start to first instruction", "ms", "QEMU microvm", &r,
			 "<= 0.5");
	put(TRACING "events/kvm/kvm_entry/enable", "0");
	r = bench_n_pairs(START_PAIRS, side_whole_start, &hv, side_whole_start,
			  &vhost);
	bench_result_row("start to first connection", "s", "QEMU microvm", &r,
			 "<= 1.0");
}

static void services(const struct bench_broker *b)
{
	const unsigned int firsts[] = { hv.first, relayed.first, native.first };
	char name[40], text[80];

	for (unsigned int i = 0; i < 3 * PORTS; i++) {
		unsigned int port = firsts[i / PORTS] + i % PORTS;

		snprintf(name, sizeof(name), "services.d/p%u.conf", port);
		snprintf(text, sizeof(text),
			 "[Service]\nElementName=p%u\nPort=%u\n", port, port);
		put_file(b->dir, name, text);
	}
	put_file(b->dir, "partitions.d/qemu.conf",
		 "[Partition]\nVmId=4b4f9a5e-34c4-4d3b-8a3f-2f6a0c1d7e90\n"
		 "Cid=42\n");
}

int main(int argc, char **argv)
{
	struct bench_broker broker;
	pid_t vsock;

	if (argc != 9) {
		fprintf(stderr, "usage: hvbench-guest HVSOCKETD HVVM QEMU "
				"HVSOCKET-VSOCK KERNEL INITRD-HV "
				"INITRD-VIRTIO JSON\n");
		return 2;
	}
	kernel = argv[5];
	initrd_hv = argv[6];
	initrd_virtio = argv[7];
	hvvm_command[0] = argv[2];
	hvvm_command[5] = kernel;
	hvvm_command[7] = initrd_hv;
	qemu_command[0] = argv[3];
	qemu_command[15] = kernel;
	qemu_command[17] = initrd_virtio;
	signal(SIGPIPE, SIG_IGN);
	bench_open(argv[8]);
	broker_start(&broker, argv[1]);
	services(&broker);
	side_listen(&hv);
	side_listen(&vhost);
	side_listen(&relayed);
	side_listen(&native);
	/* (the ports of the plain ones are taken by now, and left alone) */
	vsock = start_vsock(argv[4]);
	side_start(&hv);
	side_wait(&hv);
	side_start(&vhost);
	side_wait(&vhost);
	side_wait(&relayed);
	side_wait(&native);
	moving();
	by_vsock();
	bench_number("hvsocket-vsock, memory", "KiB",
		     (double)process_kib(vsock, "RssAnon:"));
	kill(vsock, SIGTERM);
	waitpid(vsock, NULL, 0);
	memory();
	side_stop(&hv);
	side_stop(&vhost);
	starting();
	broker_stop(&broker);
	return bench_close() ? 0 : 1;
}
