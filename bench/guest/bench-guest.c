/* SPDX-License-Identifier: MIT */
/*
 * bench-guest - the guest's part of the measurements with real guests
 *
 *	bench-guest [FIRST]
 *
 * Connects to the host (CID 2) at port FIRST, 7000 if not given, and obeys
 * what comes, one line each, over AF_VSOCK, whatever carries that:
 *
 *	up BYTES SIZE BUFFER	send BYTES to port FIRST + 1, SIZE in each write
 *	down BYTES SIZE BUFFER	receive until end of file from port FIRST + 2
 *	trips COUNT SIZE	as many round trips with port FIRST + 3
 *	connects COUNT		as many connections to port FIRST + 4, singly
 *	hold COUNT		as many at a time, until the next command
 *
 * Each is answered "done NANOSECONDS" (the guest's clock). BUFFER, if not 0, is
 * the size of both socket buffers; hv_sock makes its rings from it. SO_SNDBUF
 * doubles what it is given, so half is asked for. hv_sock sets both to 24 KiB
 * when a socket becomes one of its own, at the first connect(); so that one
 *goes to a port where nobody is, and the sizes are set after it. Static, and
 *may be the guest's script's only program.
 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 7999u
#define HELD_MAX 1024

static char buf[1 << 20];
static unsigned int first = 7000;

static _Noreturn void die(const char *what)
{
	printf("bench-guest: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	exit(1);
}

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static int try_connect(int fd, unsigned int port)
{
	struct sockaddr_vm sa = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = port,
	};

	return connect(fd, (struct sockaddr *)&sa, sizeof(sa));
}

static void time_limit(int fd, long seconds, long microseconds)
{
	struct timeval tv = { .tv_sec = seconds, .tv_usec = microseconds };

	if (setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv,
		       sizeof(tv)) < 0)
		die("time limit");
}

static void set_buffers(int fd, int buffer)
{
	int half = buffer / 2;
	/* virtio-vsock does not look at the socket's buffers but at this */
	unsigned long long credit = (unsigned long long)buffer;

	if (access("/sys/bus/vmbus/drivers/hv_sock", F_OK) == 0) {
		time_limit(fd, 0, 1000);
		if (try_connect(fd, NOBODY) == 0)
			die("somebody is there");
		time_limit(fd, 30, 0);
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof(half)) < 0 ||
	    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &credit,
		       sizeof(credit)) < 0)
		die("buffer sizes");
}

static int dial(unsigned int port, int buffer)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (buffer)
		set_buffers(fd, buffer);
	if (try_connect(fd, port) < 0)
		die("connect");
	return fd;
}

static void put(int fd, size_t total, size_t size)
{
	while (total) {
		ssize_t n = write(fd, buf, total < size ? total : size);

		if (n <= 0)
			die("write");
		total -= (size_t)n;
	}
}

/* all of @size, or to the end of file if it is 0 */
static void get(int fd, size_t size, size_t each)
{
	size_t got = 0;
	ssize_t n;

	while (!size || got < size) {
		n = read(fd, buf, size ? size - got : each);
		if (n < 0)
			die("read");
		if (n == 0 && size)
			die("end of file");
		if (n == 0)
			return;
		got += (size_t)n;
	}
}

static void up(long bytes, long size, int buffer)
{
	int fd = dial(first + 1, buffer);

	put(fd, (size_t)bytes, (size_t)size);
	shutdown(fd, SHUT_WR);
	get(fd, 0, sizeof(buf));
	close(fd);
}

static void down(long size, int buffer)
{
	int fd = dial(first + 2, buffer);

	get(fd, 0, (size_t)size);
	close(fd);
}

static void trips(long count, long size)
{
	int fd = dial(first + 3, 0);

	for (long i = 0; i < count; i++) {
		put(fd, (size_t)size, (size_t)size);
		get(fd, (size_t)size, 0);
	}
	close(fd);
}

static void obey(const char *line)
{
	static int held[HELD_MAX], holding;
	long a = 0, b = 0, c = 0;

	while (holding)
		close(held[--holding]);
	if (sscanf(line, "up %ld %ld %ld", &a, &b, &c) == 3)
		up(a, b, (int)c);
	else if (sscanf(line, "down %ld %ld %ld", &a, &b, &c) == 3)
		down(b, (int)c);
	else if (sscanf(line, "trips %ld %ld", &a, &b) == 2)
		trips(a, b);
	else if (sscanf(line, "connects %ld", &a) == 1)
		while (a--)
			close(dial(first + 4, 0));
	else if (sscanf(line, "hold %ld", &a) == 1 && a <= HELD_MAX)
		while (holding < a)
			held[holding++] = dial(first + 4, 0);
}

int main(int argc, char **argv)
{
	FILE *control;
	char line[128];
	int fd;

	if (argc > 1)
		first = (unsigned int)atoi(argv[1]);
	fd = dial(first, 0);
	control = fdopen(fd, "r");
	if (!control)
		die("fdopen");
	while (fgets(line, sizeof(line), control)) {
		long long t0 = now_ns();

		obey(line);
		dprintf(fd, "done %lld\n", now_ns() - t0);
	}
	return 0;
}
