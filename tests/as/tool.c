/* SPDX-License-Identifier: MIT */
/*
 * tool.c - a statically linked program for scripts
 *
 *	tool exit N		ends so
 *	tool kill SIGNAL	ends so
 *	tool wait		says READY, ends with 42 at SIGTERM
 *	tool close		closes its output, waits for its input to end
 *	tool privileges		no_new_privs
 *	tool call PORT [UID]	connects (as UID) to the parent's PORT
 *	tool serve PORT		in the background: accepts one, sends "served"
 *	tool socket TYPE	makes one
 *	tool name PORT		binds one; when its input ends, says its family
 */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct hv {
	uint16_t family, reserved;
	uint8_t vm[16], service[16];
};

static struct hv address(const char *vm, const char *text)
{
	struct hv a = { .family = 34,
			.service = { [4] = 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58,
				     0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 } };
	uint32_t port = (uint32_t)strtoul(text, NULL, 10);

	memcpy(a.service, &port, sizeof(port));
	memcpy(a.vm, vm, 16);
	return a;
}

static int say(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

static int call(const char *port, const char *uid)
{
	struct hv a = address("\xda\x7c\x2e\xa4\x3f\xd0\x0c\x48"
			      "\x9c\xc2\xa4\xde\x20\xab\xb8\x78", port);
	int fd = socket(34, SOCK_STREAM, 1);
	char text[64];
	ssize_t n;

	if (fd < 0)
		return say("socket");
	if (uid && (setgroups(0, NULL) < 0 || setgid((gid_t)atoi(uid)) < 0 ||
		    setuid((uid_t)atoi(uid)) < 0))
		return say("setuid");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return say("connect");
	shutdown(fd, SHUT_WR);
	printf("connected\n");
	while ((n = read(fd, text, sizeof(text))) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	return 0;
}

/* The child that stays closes its output when it is done. */
static int serve(const char *port)
{
	struct hv a = address("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", port), from;
	int l = socket(34, SOCK_STREAM, 1), s;
	socklen_t len = sizeof(from);

	if (l < 0)
		return say("socket");
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) < 0)
		return say("bind");
	if (listen(l, 1) < 0)
		return say("listen");
	if (fork())
		return 0;
	/* and an orphan of its own, as daemons are */
	setsid();
	if (fork())
		_exit(0);
	s = accept(l, (struct sockaddr *)&from, &len);
	if (s >= 0 && from.family == 34 && write(s, "served\n", 7) == 7)
		printf("daemon done\n");
	else
		say("accept");
	return 0;
}

static int name(const char *port)
{
	struct hv a = address("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", port);
	int fd = socket(34, SOCK_STREAM, 1);
	socklen_t len = sizeof(a);
	char x;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return say("bind");
	printf("READY %d\n", getpid());
	fflush(stdout);
	while (read(0, &x, 1) > 0)
		;
	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return say("getsockname");
	printf("family %d\n", a.family);
	return 0;
}

static void terminated(int sig)
{
	(void)sig;
	_exit(42);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	const char *arg = argc > 2 ? argv[2] : "";
	char x;

	if (!strcmp(verb, "exit"))
		return atoi(arg);
	if (!strcmp(verb, "kill"))
		raise(atoi(arg));
	if (!strcmp(verb, "wait")) {
		signal(SIGTERM, terminated);
		printf("READY %d\n", getpid());
		fflush(stdout);
		while (read(0, &x, 1) != 0)
			;
		return 0;
	}
	if (!strcmp(verb, "close")) {
		fclose(stdout);
		while (read(0, &x, 1) > 0)
			;
		return 0;
	}
	if (!strcmp(verb, "privileges")) {
		printf("%d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
		return 0;
	}
	if (!strcmp(verb, "call"))
		return call(arg, argc > 3 ? argv[3] : NULL);
	if (!strcmp(verb, "serve"))
		return serve(arg);
	if (!strcmp(verb, "name"))
		return name(arg);
	if (!strcmp(verb, "socket"))
		return socket(34, atoi(arg), 1) < 0 ? say("socket") : 0;
	return 2;
}
