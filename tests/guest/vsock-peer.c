/* SPDX-License-Identifier: MIT */
/*
 * vsock-peer - one end of AF_VSOCK connections, told what to do with them
 *
 *	vsock-peer cid
 *	vsock-peer connect [OPTION...] PORT [ACTION...]
 *	vsock-peer listen [-n COUNT] [-b BYTES] [-m] PORT [ACTION...]
 *
 *	-c CID		connect there (2, the host)
 *	-t MS		the connect timeout
 *	-n COUNT	that many connections (1)
 *	-r TIMES	all of that so often; only what fails is said, and
 *			"repeated TIMES MS" at the end
 *	-b BYTES	socket buffers of that size
 *	-m		messages, SOCK_SEQPACKET
 *
 * connect opens all connections and then does each action on all of them before
 * the next. listen serves them side by side, one process each. Actions:
 *
 *	send:N		send N bytes of the pattern
 *	recv:N		receive exactly N bytes
 *	swap:N		send N bytes and receive N at the same time
 *	eof		receive until end of file
 *	echo		send back what comes until end of file
 *	chunk:N		from now on at most N bytes (65536 at first) in one call
 *	pace:US		from now on wait so long before each call
 *	tell:N		send N messages of different lengths
 *	hear:N		receive them, each by itself
 *	shut, shutrd	end writing, reading
 *	peer		say who is at the other end
 *	wait		read a line from standard input
 *	reset		receive until the connection fails
 *
 * Every action says one line with what happened, so that a test can compare:
 * byte counts, and the CRC-32 of what was received. A connect that fails says
 * "refused ERRNO MS". The status is 0 if everything went as asked.
 *
 * The pattern: byte i is (i * 131 + (i >> 8) * 17) mod 256.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#define COUNT_MAX 512
#define CHUNK_MAX (1u << 20)

struct tally {
	size_t n;
	uint32_t crc;
	bool as_sent; /* the pattern, so far */
};

static int count = 1, times = 1;
static bool quiet;
static int type = SOCK_STREAM;
static unsigned long long buffers; /* bytes; 0: as the kernel has them */
static size_t chunk = 65536;
static unsigned int pace_us;
static uint8_t received[CHUNK_MAX], outgoing[CHUNK_MAX];
static uint32_t crc_table[256];

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131 + (i >> 8) * 17);
}

static void make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
		crc_table[i] = c;
	}
}

static void tally(struct tally *t, const uint8_t *p, size_t len)
{
	uint32_t c = ~t->crc;

	for (size_t i = 0; i < len; i++) {
		if (p[i] != pattern(t->n + i))
			t->as_sent = false;
		c = crc_table[(c ^ p[i]) & 255] ^ c >> 8;
	}
	t->crc = ~c;
	t->n += len;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* One line, in one piece, numbered where there are several connections. */
static void say(int index, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(int index, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	int n = 0;

	if (quiet && !strstr(fmt, "failed") && !strstr(fmt, "refused"))
		return;
	if (count > 1)
		n = snprintf(text, sizeof(text), "%d ", index);
	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	puts(text);
	fflush(stdout);
}

/* Send and receive side by side: up to @out bytes of the pattern, and @in
 * bytes or (SIZE_MAX) until end of file; @back sends what comes instead. */
static int transfer(int index, int fd, const char *what, size_t out, size_t in,
		    bool back)
{
	struct tally t = { .as_sent = true };
	uint8_t *buf = received, *held = outgoing;
	size_t sent = 0, hold = 0, at = 0;
	bool end = false;
	int r = 0;

	while (sent < out || (!end && t.n < in) || at < hold) {
		struct pollfd p = { .fd = fd };
		ssize_t n;

		if (sent < out || at < hold)
			p.events |= POLLOUT;
		if (!end && t.n < in && at == hold)
			p.events |= POLLIN;
		if (pace_us)
			usleep(pace_us);
		if (poll(&p, 1, -1) < 0)
			goto failed;
		if (p.revents & (POLLIN | POLLHUP | POLLERR) &&
		    p.events & POLLIN) {
			size_t most = in - t.n;

			if (most > chunk)
				most = chunk;
			n = recv(fd, buf, most, MSG_DONTWAIT);
			if (n < 0 && errno != EAGAIN)
				goto failed;
			if (n == 0)
				end = true;
			if (n > 0)
				tally(&t, buf, (size_t)n);
			if (n > 0 && back) {
				memcpy(held, buf, (size_t)n);
				hold = (size_t)n;
				at = 0;
			}
		}
		if (!(p.revents & (POLLOUT | POLLERR | POLLHUP)) ||
		    (sent == out && at == hold))
			continue;
		if (back) {
			n = send(fd, held + at, hold - at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				at += (size_t)n;
		} else {
			size_t len = out - sent < chunk ? out - sent : chunk;

			for (size_t i = 0; i < len; i++)
				held[i] = pattern(sent + i);
			n = send(fd, held, len, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				sent += (size_t)n;
		}
		if (n < 0 && errno != EAGAIN)
			goto failed;
	}
	if (in != SIZE_MAX && t.n != in)
		r = 1;
	say(index, "%s sent=%zu received=%zu crc=%08x%s%s", what,
	    back ? t.n : sent, t.n, t.crc, t.as_sent ? " as-sent" : "",
	    end ? " eof" : "");
	return r;
failed:
	say(index, "%s failed %s sent=%zu received=%zu crc=%08x", what,
	    strerrorname_np(errno), sent, t.n, t.crc);
	return 1;
}

/* Of message @i. None is empty: that is the end of file in a guest. */
static size_t message_len(size_t i)
{
	return 1 + i * i * 37 % 60000;
}

static int act_tell(int index, int fd, size_t messages)
{
	size_t sum = 0;

	for (size_t m = 0; m < messages; m++) {
		size_t len = message_len(m);

		for (size_t i = 0; i < len; i++)
			outgoing[i] = pattern(m + i);
		if (send(fd, outgoing, len, MSG_NOSIGNAL) != (ssize_t)len) {
			say(index, "tell failed %s at %zu",
			    strerrorname_np(errno), m);
			return 1;
		}
		sum += len;
	}
	say(index, "told %zu bytes=%zu", messages, sum);
	return 0;
}

static int act_hear(int index, int fd, size_t messages)
{
	size_t sum = 0;

	for (size_t m = 0; m < messages; m++) {
		ssize_t n = recv(fd, received, sizeof(received), 0);
		size_t len = message_len(m);

		for (size_t i = 0; n == (ssize_t)len && i < len; i++)
			if (received[i] != pattern(m + i))
				n = -2;
		if (n != (ssize_t)len) {
			say(index, "hear failed %s at %zu: %zd, not %zu",
			    n == -1 ? strerrorname_np(errno) : "", m, n, len);
			return 1;
		}
		sum += len;
	}
	say(index, "heard %zu bytes=%zu", messages, sum);
	return 0;
}

static int act_reset(int index, int fd)
{
	uint8_t buf[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		total += (size_t)n;
	say(index, "reset %s received=%zu",
	    n < 0 ? strerrorname_np(errno) : "eof", total);
	return 0;
}

static int act_peer(int index, int fd)
{
	struct sockaddr_vm vm = { 0 };
	socklen_t len = sizeof(vm);

	if (getpeername(fd, (struct sockaddr *)&vm, &len) < 0) {
		say(index, "peer failed %s", strerrorname_np(errno));
		return 1;
	}
	say(index, "peer %u %u", vm.svm_cid, vm.svm_port);
	return 0;
}

static int act_wait(int index)
{
	char line[100];

	if (index > 0)
		return 0; /* one line for all */
	say(index, "waiting");
	if (!fgets(line, sizeof(line), stdin)) {
		say(index, "wait failed: no more input");
		return 1;
	}
	return 0;
}

static int act(int index, int fd, const char *action)
{
	const char *colon = strchr(action, ':');
	size_t n = colon ? strtoul(colon + 1, NULL, 10) : 0;

	if (strncmp(action, "send:", 5) == 0)
		return transfer(index, fd, "send", n, 0, false);
	if (strncmp(action, "recv:", 5) == 0)
		return transfer(index, fd, "recv", 0, n, false);
	if (strncmp(action, "swap:", 5) == 0)
		return transfer(index, fd, "swap", n, n, false);
	if (strncmp(action, "tell:", 5) == 0)
		return act_tell(index, fd, n);
	if (strncmp(action, "hear:", 5) == 0)
		return act_hear(index, fd, n);
	if (strncmp(action, "chunk:", 6) == 0) {
		chunk = n && n < CHUNK_MAX ? n : CHUNK_MAX;
		return 0;
	}
	if (strncmp(action, "pace:", 5) == 0) {
		pace_us = (unsigned int)n;
		return 0;
	}
	if (strcmp(action, "eof") == 0)
		return transfer(index, fd, "eof", 0, SIZE_MAX, false);
	if (strcmp(action, "echo") == 0)
		return transfer(index, fd, "echo", 0, SIZE_MAX, true);
	if (strcmp(action, "shut") == 0)
		return shutdown(fd, SHUT_WR) < 0;
	if (strcmp(action, "shutrd") == 0)
		return shutdown(fd, SHUT_RD) < 0;
	if (strcmp(action, "peer") == 0)
		return act_peer(index, fd);
	if (strcmp(action, "wait") == 0)
		return act_wait(index);
	if (strcmp(action, "reset") == 0)
		return act_reset(index, fd);
	say(index, "unknown action %s", action);
	return 2;
}

/* virtio's credit and hv_sock's rings go by different ones. */
static bool set_buffers(int fd)
{
	int half = (int)(buffers / 2); /* the kernel doubles it */

	return !buffers ||
	       (setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE,
			   &buffers, sizeof(buffers)) == 0 &&
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &buffers,
			   sizeof(buffers)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &half,
			   sizeof(half)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &half,
			   sizeof(half)) == 0);
}

static int do_connect(uint32_t cid, uint32_t port, uint32_t timeout_ms,
		      char **actions)
{
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK,
				  .svm_cid = cid,
				  .svm_port = port };
	struct timeval tv = { .tv_sec = timeout_ms / 1000,
			      .tv_usec = timeout_ms % 1000 * 1000 };
	int fds[COUNT_MAX], r = 0;

	for (int i = 0; i < count; i++) {
		uint64_t start = now_ms();

		fds[i] = socket(AF_VSOCK, type | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || !set_buffers(fds[i]) ||
		    (timeout_ms &&
		     setsockopt(fds[i], AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT,
				&tv, sizeof(tv)) < 0)) {
			say(i, "socket failed %s", strerrorname_np(errno));
			return 2;
		}
		if (connect(fds[i], (struct sockaddr *)&vm, sizeof(vm)) < 0) {
			say(i, "refused %s %llu", strerrorname_np(errno),
			    (unsigned long long)(now_ms() - start));
			return 1;
		}
		say(i, "connected %llu",
		    (unsigned long long)(now_ms() - start));
	}
	for (; *actions; actions++)
		for (int i = 0; i < count; i++)
			r |= act(i, fds[i], *actions);
	for (int i = 0; i < count; i++)
		close(fds[i]);
	return r;
}

static int do_connects(uint32_t cid, uint32_t port, uint32_t timeout_ms,
		       char **actions)
{
	uint64_t start = now_ms();
	int r = 0;

	quiet = times > 1;
	for (int i = 0; i < times && r == 0; i++)
		r = do_connect(cid, port, timeout_ms, actions);
	if (quiet && r == 0)
		printf("repeated %d %llu\n", times,
		       (unsigned long long)(now_ms() - start));
	return r;
}

static int do_listen(uint32_t port, char **actions)
{
	struct sockaddr_vm vm = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = port };
	int fd = socket(AF_VSOCK, type | SOCK_CLOEXEC, 0), r = 0;
	int status;

	if (fd < 0 || !set_buffers(fd) ||
	    bind(fd, (struct sockaddr *)&vm, sizeof(vm)) < 0 ||
	    listen(fd, 128) < 0) {
		say(0, "listen failed %s", strerrorname_np(errno));
		return 2;
	}
	puts("listening");
	fflush(stdout);
	for (int i = 0; i < count; i++) {
		int c = accept(fd, NULL, NULL);
		pid_t pid;

		if (c < 0) {
			say(i, "accept failed %s", strerrorname_np(errno));
			return 2;
		}
		pid = fork();
		if (pid < 0)
			return 2;
		if (pid == 0) {
			close(fd);
			say(i, "accepted");
			for (; *actions; actions++)
				r |= act(i, c, *actions);
			exit(r);
		}
		close(c);
	}
	close(fd);
	while (wait(&status) > 0)
		r |= WIFEXITED(status) ? WEXITSTATUS(status) : 3;
	return r;
}

static int do_cid(void)
{
	unsigned int cid = 0;
	int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0) {
		printf("cid failed %s\n", strerrorname_np(errno));
		return 1;
	}
	printf("cid %u\n", cid);
	close(fd);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: vsock-peer cid\n"
			"       vsock-peer connect [-c CID] [-t MS] [-n COUNT] "
			"[-r TIMES] "
			"[-b BYTES] PORT [ACTION...]\n"
			"       vsock-peer listen [-n COUNT] [-b BYTES] PORT "
			"[ACTION...]\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint32_t cid = VMADDR_CID_HOST, timeout_ms = 0, port;
	int c;

	signal(SIGPIPE, SIG_IGN);
	make_crc_table();
	if (argc < 2)
		return usage();
	if (strcmp(argv[1], "cid") == 0)
		return do_cid();
	optind = 2;
	while ((c = getopt(argc, argv, "+c:t:n:b:r:m")) != -1) {
		switch (c) {
		case 'c':
			cid = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 't':
			timeout_ms = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			times = atoi(optarg);
			break;
		case 'b':
			buffers = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			count = atoi(optarg);
			break;
		case 'm':
			type = SOCK_SEQPACKET;
			break;
		default:
			return usage();
		}
	}
	if (optind >= argc || count < 1 || count > COUNT_MAX)
		return usage();
	port = (uint32_t)strtoul(argv[optind], NULL, 0);
	if (strcmp(argv[1], "connect") == 0)
		return do_connects(cid, port, timeout_ms, argv + optind + 1);
	if (strcmp(argv[1], "listen") == 0)
		return do_listen(port, argv + optind + 1);
	return usage();
}
