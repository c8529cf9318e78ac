/* SPDX-License-Identifier: MIT */
/*
 * plain-socket - Hyper-V sockets by numbers alone
 *
 * Knows no header and no library of ours: what a program looks like that was
 * written from a description of the address family. It works under the
 * preload library:
 *
 *	LD_PRELOAD=libhvsocket-preload.so ./plain-socket serve
 *	LD_PRELOAD=libhvsocket-preload.so ./plain-socket call "some text"
 *
 * "serve" waits for one client of the same partition and answers with what it
 * was sent; "call" is that client. hvctl as PARTITION -- COMMAND sets
 * LD_PRELOAD.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HYPERV_FAMILY 34
#define HYPERV_PROTOCOL 1

struct hyperv_address {
	unsigned short family, reserved;
	unsigned char vm[16], service[16];
};

static const struct hyperv_address address = {
	HYPERV_FAMILY,
	0,
	/* e0e16197-dd56-4a10-9195-5ee7a155a838: this partition itself */
	{ 0x97, 0x61, 0xe1, 0xe0, 0x56, 0xdd, 0x10, 0x4a, 0x91, 0x95, 0x5e,
	  0xe7, 0xa1, 0x55, 0xa8, 0x38 },
	/* 3049197c-9a4e-4fbf-9367-97f792f16994: an id somebody made up */
	{ 0x7c, 0x19, 0x49, 0x30, 0x4e, 0x9a, 0xbf, 0x4f, 0x93, 0x67, 0x97,
	  0xf7, 0x92, 0xf1, 0x69, 0x94 },
};

static void check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	char buf[256];
	ssize_t n;
	int s, c;

	if (argc < 2) {
		fprintf(stderr, "usage: plain-socket serve|call [TEXT]\n");
		return 2;
	}
	s = socket(HYPERV_FAMILY, SOCK_STREAM, HYPERV_PROTOCOL);
	check(s, "socket");

	if (strcmp(argv[1], "serve") == 0) {
		check(bind(s, (const struct sockaddr *)&address,
			   sizeof(address)), "bind");
		check(listen(s, 1), "listen");
		printf("listening\n");
		fflush(stdout);
		c = accept(s, NULL, NULL);
		check(c, "accept");
		while ((n = read(c, buf, sizeof(buf))) > 0)
			check((int)write(c, buf, (size_t)n), "write");
		close(c);
	} else {
		const char *text = argc > 2 ? argv[2] : "hello";

		check(connect(s, (const struct sockaddr *)&address,
			      sizeof(address)), "connect");
		check((int)write(s, text, strlen(text)), "write");
		check(shutdown(s, SHUT_WR), "shutdown");
		while ((n = read(s, buf, sizeof(buf))) > 0)
			fwrite(buf, 1, (size_t)n, stdout);
		printf("\n");
	}
	close(s);
	return 0;
}
