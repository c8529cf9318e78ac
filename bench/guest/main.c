/* SPDX-License-Identifier: MIT */
/*
 * hvbench-guest - a guest of ours beside one with the kernel's own vhost-vsock
 *
 *	hvbench-guest PART BUILD QEMU IMAGES JSON
 *
 * Runs where both have KVM (scripts/nested). Both guests run the same kernel
 * and the same program, are up the whole time, and are measured by turns.
 * IMAGES has the kernel, vmlinuz, and a file system for each kind of guest. A
 * PART is what a machine has to live through:
 *
 *	hv		under hvvm, over hv_sock
 *	vhost-user	under QEMU, over hvsocket-vhost-user
 *	vsock		one guest, in which the program runs three times: with
 *			AF_VSOCK on the host, relayed by hvsocket-vsock, and
 *			handed over by that
 *	start		until there is a first instruction, and a connection
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
#define PAIRS_OF_GUESTS 9
#define START_PAIRS 5
#define IDLE 200

/* An idle processor that has missed its interrupt (tests/nested/inner.py) looks
 * again at the next tick. */
#define QUIET "quiet nohz=off"

#define VHOST_USER_SOCKET "/tmp/bench-vhost-user"

#define QEMU_COMMAND                                                 \
	"-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", \
		"-no-user-config", "-nographic", "-append",          \
		"console=ttyS0 " QUIET, "-kernel"

static const char *build, *qemu, *images;

static const char *hvvm_command[] = {
	NULL,	    "run",	 "--name",   "bench",	 "--memory",
	"256M",	    "--console", "none",     "--append", QUIET,
	"--kernel", NULL,	 "--initrd", NULL,	 NULL,
};
static const char *qemu_command[] = {
	NULL,
	"-M",
	"microvm,rtc=on",
	"-device",
	"vhost-vsock-device,guest-cid=42",
	QEMU_COMMAND,
	NULL,
	"-initrd",
	NULL,
	NULL,
};
static const char *vhost_user_command[] = {
	NULL,
	"-object",
	"memory-backend-memfd,id=ram,size=256M,share=on",
	"-M",
	"microvm,rtc=on,memory-backend=ram",
	"-chardev",
	"socket,id=vsock,path=" VHOST_USER_SOCKET,
	"-device",
	"vhost-user-vsock-device,chardev=vsock",
	QEMU_COMMAND,
	NULL,
	"-initrd",
	NULL,
	NULL,
};

static struct side hv = { .control = -1,
			  .name = "hvvm",
			  .first = PORT_FIRST,
			  .command = hvvm_command,
			  .log = "/tmp/bench-hvvm.log" };
static struct side vhost = { .control = -1,
			     .name = "vhost-vsock",
			     .vsock = true,
			     .first = PORT_FIRST,
			     .command = qemu_command,
			     .log = "/tmp/bench-qemu.log" };

static struct side vhost_user = { .control = -1,
				  .name = "hvsocket-vhost-user",
				  .first = PORT_FIRST,
				  .command = vhost_user_command,
				  .log = "/tmp/bench-hvvm.log" };

/* (in the same guest, and so in the same log) */
static struct side relayed = { .control = -1,
			       .name = "hvsocket-vsock",
			       .first = PORT_FIRST + 100,
			       .log = "/tmp/bench-qemu.log" };
static struct side native = { .control = -1,
			      .name = "hvsocket-vsock, native",
			      .native = true,
			      .first = PORT_FIRST + 200,
			      .log = "/tmp/bench-qemu.log" };

/* ---- rows */

static void row(struct side *s, const char *name, const char *unit, bench_fn fn,
		long buffer, const char *bound)
{
	struct bench_result r;

	s->bytes = vhost.bytes = 16 * MIB;
	s->size = vhost.size = fn == side_trip ? 64 : 65536;
	s->buffer = vhost.buffer = buffer;
	s->count = vhost.count = fn == side_trip ? 300 : 50;
	(void)fn(s);
	(void)fn(&vhost);
	r = bench_n_pairs(PAIRS_OF_GUESTS, fn, s, fn, &vhost);
	bench_result_row(name, unit, "vhost-vsock", &r, bound);
}

static void rows_of_hv(void)
{
	row(&hv, "guest to host, 64 KiB writes", "Gbit/s", side_up, 0,
	    ">= 0.5");
	row(&hv, "host to guest, 64 KiB writes", "Gbit/s", side_down, 0,
	    ">= 0.5");
	row(&hv, "guest to host, 256 KiB buffers", "Gbit/s", side_up, 262144,
	    ">= 0.9");
	row(&hv, "host to guest, 256 KiB buffers", "Gbit/s", side_down, 262144,
	    ">= 0.9");
	row(&hv, "round trip of 64 bytes", "us", side_trip, 0, "<= 1.2");
	row(&hv, "connects of the guest", "1/s", side_connects, 0, ">= 0.4");
}

/* (0.9 times as fast) */
static void rows_of_vhost_user(void)
{
	row(&vhost_user, "vhost-user, guest to host, 64 KiB", "Gbit/s", side_up,
	    0, ">= 0.9");
	row(&vhost_user, "vhost-user, host to guest, 64 KiB", "Gbit/s",
	    side_down, 0, ">= 0.9");
	row(&vhost_user, "vhost-user, round trip of 64 bytes", "us", side_trip,
	    0, "<= 1.11");
	row(&vhost_user, "vhost-user, connects of the guest", "1/s",
	    side_connects, 0, NULL);
}

static void rows_of_vsock(void)
{
	row(&relayed, "vsock relayed, guest to host, 64 KiB", "Gbit/s", side_up,
	    0, ">= 0.8");
	row(&relayed, "vsock relayed, host to guest, 64 KiB", "Gbit/s",
	    side_down, 0, ">= 0.8");
	row(&relayed, "vsock relayed, round trip of 64 bytes", "us", side_trip,
	    0, "<= 1.25");
	row(&relayed, "vsock relayed, connects of the guest", "1/s",
	    side_connects, 0, NULL);
	row(&native, "vsock native, guest to host, 64 KiB", "Gbit/s", side_up,
	    0, NULL);
	row(&native, "vsock native, host to guest, 64 KiB", "Gbit/s", side_down,
	    0, NULL);
	row(&native, "vsock native, round trip of 64 bytes", "us", side_trip, 0,
	    NULL);
}

/* ---- what stands beside the guests */

static const char *in(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		die("memory");
	return path; /* for as long as we run */
}

static pid_t start(const char *const *command)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execv(command[0], (char *const *)(uintptr_t)command);
	_exit(127);
}

static void stop(pid_t pid)
{
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
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
	r = bench_n_pairs(PAIRS_OF_GUESTS, first_instruction, &hv,
			  first_instruction, &vhost);
	bench_result_row("start to first instruction", "ms", "QEMU microvm", &r,
			 "<= 0.5");
	put(TRACING "events/kvm/kvm_entry/enable", "0");
	r = bench_n_pairs(START_PAIRS, side_whole_start, &hv, side_whole_start,
			  &vhost);
	bench_result_row("start to first connection", "s", "QEMU microvm", &r,
			 "<= 1.0");
}

/* ---- parts */

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
	put_file(b->dir, "partitions.d/vhost-user.conf",
		 "[Partition]\nVmId=5b4f9a5e-34c4-4d3b-8a3f-2f6a0c1d7e91\n"
		 "Kind=vm\n");
}

static void start_two(struct side *s)
{
	side_listen(s);
	side_listen(&vhost);
	side_start(s);
	side_wait(s);
	side_start(&vhost);
	side_wait(&vhost);
}

static void part_hv(void)
{
	start_two(&hv);
	rows_of_hv();
	memory();
}

static void part_vhost_user(void)
{
	const char *const back_end[] = {
		in(build, "src/transport/hvsocket-vhost-user"),
		"--partition",
		"vhost-user",
		"--socket-path",
		VHOST_USER_SOCKET,
		NULL
	};
	pid_t pid = start(back_end);
	double since = now_s();

	while (access(VHOST_USER_SOCKET, F_OK) < 0) {
		if (now_s() - since > 30)
			die(VHOST_USER_SOCKET);
		usleep(10000);
	}
	start_two(&vhost_user);
	rows_of_vhost_user();
	side_stop(&vhost_user);
	stop(pid);
}

static void part_vsock(void)
{
	const char *const program[] = {
		in(build, "src/transport/hvsocket-vsock"), NULL
	};
	pid_t pid;

	side_listen(&vhost);
	side_listen(&relayed);
	side_listen(&native);
	/* (the ports of the plain ones are taken by now, and left alone) */
	pid = start(program);
	side_start(&vhost);
	side_wait(&vhost);
	side_wait(&relayed);
	side_wait(&native);
	rows_of_vsock();
	bench_number("hvsocket-vsock, memory", "KiB",
		     (double)process_kib(pid, "RssAnon:"));
	stop(pid);
}

static void part_start(void)
{
	side_listen(&hv);
	side_listen(&vhost);
	starting();
}

static const struct part {
	const char *name;
	void (*fn)(void);
	const char *hv, *virtio; /* images */
} parts[] = {
	{ "hv", part_hv, "hv", "virtio" },
	{ "vhost-user", part_vhost_user, NULL, "virtio" },
	{ "vsock", part_vsock, NULL, "virtio-three" },
	{ "start", part_start, "hv", "virtio" },
};

static const struct part *find_part(const char *name)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcmp(parts[i].name, name) == 0)
			return &parts[i];
	return NULL;
}

/* "-kernel", NULL, "-initrd", NULL: what is not known before */
static void complete(const char **command, const char *program,
		     const char *image)
{
	bool first = true;

	command[0] = program;
	for (unsigned int i = 1; image; i++) {
		if (command[i])
			continue;
		command[i] = first ? in(images, "vmlinuz") : in(images, image);
		if (!first)
			break;
		first = false;
	}
}

int main(int argc, char **argv)
{
	const struct part *part = argc == 6 ? find_part(argv[1]) : NULL;
	struct bench_broker broker;

	if (!part) {
		fprintf(stderr,
			"usage: hvbench-guest hv|vhost-user|vsock|start BUILD "
			"QEMU IMAGES JSON\n");
		return 2;
	}
	build = argv[2];
	qemu = argv[3];
	images = argv[4];
	complete(hvvm_command, in(build, "src/hvvm/hvvm"), part->hv);
	complete(qemu_command, qemu, part->virtio);
	complete(vhost_user_command, qemu, part->virtio);
	signal(SIGPIPE, SIG_IGN);
	bench_open(argv[5]);
	broker_start(&broker, in(build, "src/broker/hvsocketd"));
	services(&broker);
	part->fn();
	side_stop(&hv);
	side_stop(&vhost);
	broker_stop(&broker);
	return bench_close() ? 0 : 1;
}
