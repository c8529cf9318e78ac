/* SPDX-License-Identifier: MIT */
/*
 * vmbus-user-vmm.c - a VMM without processors, that drives vmbus-user
 *
 *	vmbus-user-vmm PROGRAM [ARGUMENT]...
 *
 * Starts a back-end (hvsocket-vmbus and its options), gives it a guest's
 * memory and one processor, and then does what a guest's kernel does first: it
 * asks for a version, for offers, and for a connection to port 1234 of the
 * host. It prints what the host says. Needs nothing but a C library; see
 * docs/vmbus-user.md for the frames, and docs/vmbus.md for what is in them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define MEMORY (64 * PAGE)
#define MESSAGE_PAGE (1 * PAGE) /* where the guest has them: its choice */
#define EVENT_PAGE (2 * PAGE)
#define SINT 2

enum { HELLO = 1, SET_MEMORY, VP, SYNIC, POST, SIGNAL, RESET };

static int front;	     /* to the back-end */
static int raise_fd, ack_fd; /* of our one processor */
static uint8_t *ram;	     /* the guest's memory */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- frames: integers are little-endian, as on the machines KVM is for */

static uint8_t frame[8192];
static size_t length;

static void put(const void *p, size_t n)
{
	memcpy(frame + length, p, n);
	length += n;
}

static void put32(uint32_t v)
{
	put(&v, 4);
}

static void put64(uint64_t v)
{
	put(&v, 8);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static void begin(uint16_t type)
{
	static uint32_t serial;

	length = 0;
	put32(type);
	put32(++serial);
}

/* Send the frame with @n descriptors; wait for the answer. It is left in
 * frame[] and its payload begins at 16. */
static void ask(const int *fds, unsigned int n)
{
	char control[CMSG_SPACE(sizeof(int) * 2)];
	struct iovec iov = { frame, length };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t got;

	if (n) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	if (sendmsg(front, &m, MSG_NOSIGNAL) < 0)
		die("the back-end has gone");
	got = recv(front, frame, sizeof(frame) - 1, 0);
	if (got < 16) {
		fprintf(stderr, "the back-end has gone\n");
		exit(1);
	}
	if (get32(frame + 8)) {
		frame[got] = '\0';
		fprintf(stderr, "refused: %s\n", (char *)frame + 16);
		exit(1);
	}
}

/* ---- what each back-end is told first */

static void introduce(int memory)
{
	int fds[2] = { raise_fd, ack_fd };

	begin(HELLO);
	put32(1); /* versions, from and to */
	put32(1);
	put64(0);	    /* no features */
	put64(0), put64(0); /* VmId: none that we insist on */
	ask(NULL, 0);
	printf("back-end: version %u, %u processors at most\n",
	       get32(frame + 16), get32(frame + 32));

	begin(SET_MEMORY);
	put32(1); /* region */
	put32(0);
	put64(0); /* guest address */
	put64(MEMORY);
	put64(0); /* offset in the file */
	put64(0);
	ask(&memory, 1);

	begin(VP);
	put32(0);
	put32(0);
	ask(fds, 2);

	/* the guest has written SCONTROL, SIMP and SIEFP */
	begin(SYNIC);
	put32(0);
	put32(0);
	put64(1);
	put64(MESSAGE_PAGE | 1);
	put64(EVENT_PAGE | 1);
	ask(NULL, 0);
}

/* ---- the guest's side */

/* Hypercall HvPostMessage. */
static void post(const void *message, uint32_t size)
{
	begin(POST);
	put32(0); /* processor */
	put32(4); /* connection id: 4, or 1 before version 5.0 */
	put32(1); /* VMBus */
	put32(size);
	put(message, size);
	ask(NULL, 0);
	if (get32(frame + 16)) {
		fprintf(stderr, "HvPostMessage: status %u\n",
			get32(frame + 16));
		exit(1);
	}
}

/* The next message in the slot, copied out. Return: its type. */
static uint32_t message(uint8_t *ret, size_t size)
{
	uint8_t *slot = ram + MESSAGE_PAGE + SINT * 256;
	uint32_t *type = (uint32_t *)(void *)slot;
	struct pollfd p = { .fd = raise_fd, .events = POLLIN };
	uint64_t n = 1;

	while (!__atomic_load_n(type, __ATOMIC_ACQUIRE)) {
		/* the processor sleeps until SINT 2 */
		if (poll(&p, 1, 5000) != 1) {
			fprintf(stderr, "no message in 5 s\n");
			exit(1);
		}
		(void)!read(raise_fd, &n, sizeof(n));
	}
	memset(ret, 0, size);
	memcpy(ret, slot + 16, slot[4] < size ? slot[4] : size);
	__atomic_store_n(type, 0, __ATOMIC_SEQ_CST);
	/* "message pending": the host waits for the slot; the guest writes
	 * EOM, and KVM this descriptor */
	n = 1;
	if (slot[5] & 1)
		(void)!write(ack_fd, &n, sizeof(n));
	return get32(ret);
}

static void guest(void)
{
	/* the VSOCK template, with a port in the first four bytes */
	static const uint8_t tail[12] = { 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58,
					  0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 };
	uint32_t contact[10] = { 14, 0, 0x50003, 0, SINT };
	uint32_t request[2] = { 3, 0 }, unload[2] = { 16, 0 };
	uint32_t port = 1234, own = 5678;
	uint8_t connect[40] = { 21 }, m[240];
	unsigned int offers = 0;

	post(contact, sizeof(contact)); /* INITIATE_CONTACT */
	if (message(m, sizeof(m)) != 15 || !m[8]) {
		fprintf(stderr, "version 5.3 is not supported\n");
		exit(1);
	}
	printf("VERSION_RESPONSE: 5.3, post to connection %u\n", get32(m + 12));

	post(request, sizeof(request)); /* REQUEST_OFFERS */
	while (message(m, sizeof(m)) == 1)
		offers++;
	printf("ALL_OFFERS_DELIVERED after %u\n", offers);

	memcpy(connect + 8, &own, 4);
	memcpy(connect + 12, tail, 12);
	memcpy(connect + 24, &port, 4);
	memcpy(connect + 28, tail, 12);
	post(connect, sizeof(connect)); /* TL_CONNECT_REQUEST */
	if (message(m, sizeof(m)) == 1)
		printf("OFFER_CHANNEL: relid %u, service of port %u\n",
		       get32(m + 184), get32(m + 8));
	/* a guest would make a ring now: GPADL_HEADER, OPEN_CHANNEL */

	post(unload, sizeof(unload)); /* UNLOAD */
	while (message(m, sizeof(m)) != 17)
		;
	printf("UNLOAD_COMPLETE\n");
}

int main(int argc, char **argv)
{
	int pair[2], memory, status;
	char fd[16];
	char **args = calloc((size_t)argc + 3, sizeof(*args));
	pid_t pid;

	if (argc < 2 || !args) {
		fprintf(stderr, "usage: %s PROGRAM [ARGUMENT]...\n", argv[0]);
		return 2;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		memcpy(args, argv + 1, (size_t)(argc - 1) * sizeof(*args));
		snprintf(fd, sizeof(fd), "%d", pair[1]);
		args[argc - 1] = (char *)(uintptr_t) "--fd";
		args[argc] = fd;
		(void)fcntl(pair[1], F_SETFD, 0);
		execvp(args[0], args);
		die(args[0]);
	}
	close(pair[1]);
	free(args);
	front = pair[0];
	memory = memfd_create("guest", MFD_CLOEXEC);
	raise_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ack_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (memory < 0 || raise_fd < 0 || ack_fd < 0 ||
	    ftruncate(memory, MEMORY) < 0)
		die("memory");
	ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (ram == MAP_FAILED)
		die("mmap");
	introduce(memory);
	guest();
	close(front); /* the end of the machine, and of the back-end */
	if (waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "the back-end did not end well\n");
		return 1;
	}
	return 0;
}
