/* SPDX-License-Identifier: MIT */
/*
 * dial - standard input to a service, its answer to standard output
 *
 *	dial PARTITION:SERVICE
 *
 * The whole of a client in one call: partition and service by name, GUID or
 * port number, as in "web1:echo", "parent:5000". When it is refused,
 * hvs_reason() says why in a sentence.
 *
 *	cc dial.c -lhvsocket
 */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hvsocket.h>

static int copy(int from, int to)
{
	char buf[16384];
	ssize_t n, done, m;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		for (done = 0; done < n; done += m) {
			m = write(to, buf + done, (size_t)(n - done));
			if (m < 0)
				return -1;
		}
	}
	return (int)n;
}

int main(int argc, char **argv)
{
	struct hvs_reason why;
	int s;

	if (argc != 2) {
		fprintf(stderr, "usage: dial PARTITION:SERVICE\n");
		return 2;
	}
	s = hvs_dial(argv[1], 0, 0);
	if (s < 0) {
		hvs_reason(-1, &why);
		fprintf(stderr, "%s: %s (asked the broker in %s)\n", argv[1],
			why.text, why.broker);
		return 1;
	}
	if (copy(STDIN_FILENO, s) < 0 || shutdown(s, SHUT_WR) < 0 ||
	    copy(s, STDOUT_FILENO) < 0) {
		perror("dial");
		return 1;
	}
	close(s);
	return 0;
}
