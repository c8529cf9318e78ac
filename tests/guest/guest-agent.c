/* SPDX-License-Identifier: MIT */
/*
 * guest-agent - runs commands in a test guest for the test outside
 *
 * One line is one request or one answer, over a serial port. Requests:
 *
 *	ID COMMAND	start COMMAND with the shell; ID is a number
 *	ID <TEXT	a line for its standard input
 *	ID ^		end of file on its standard input
 *	ID !		kill it
 *	0 exit N	end with status N
 *
 * Answers: "ready" at the start, "ID >TEXT" for each line that the command
 * writes, "ID =N" when it has ended and all of its output has been told (N is
 * the status, or 128 + the signal). Commands run side by side.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define JOB_MAX 64
#define LINE_MAX_ 4000

struct job {
	long id; /* 0: free */
	pid_t pid;
	int in, out;
	size_t len;
	char line[LINE_MAX_];
};

static struct job jobs[JOB_MAX];
static int port;

static void fail(const char *what)
{
	fprintf(stderr, "guest-agent: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Whole lines only, so that answers never mix. */
static void answer(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(port, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail("write");
		text += n;
		len -= (size_t)n;
	}
}

static void answer_line(long id, char kind, const char *text, size_t len)
{
	char buf[LINE_MAX_ + 32];
	int n;

	n = snprintf(buf, sizeof(buf), "%ld %c%.*s\n", id, kind, (int)len,
		     text);
	answer(buf, (size_t)n);
}

static struct job *find(long id)
{
	for (size_t i = 0; i < JOB_MAX; i++)
		if (jobs[i].id == id)
			return &jobs[i];
	return NULL;
}

static void start(long id, const char *command)
{
	struct job *j = find(0);
	int in[2], out[2];

	if (!j || find(id)) {
		answer_line(id, '=', "125", 3);
		return;
	}
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		fail("pipe");
	j->pid = fork();
	if (j->pid < 0)
		fail("fork");
	if (j->pid == 0) {
		setpgid(0, 0);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	setpgid(j->pid, j->pid); /* here too: a kill may come at once */
	close(in[0]);
	close(out[1]);
	j->id = id;
	j->in = in[1];
	j->out = out[0];
	j->len = 0;
}

static void to_stdin(struct job *j, const char *text)
{
	char buf[LINE_MAX_ + 2];
	int n = snprintf(buf, sizeof(buf), "%s\n", text);

	/* The command may be over already: no error. */
	if (j->in >= 0 && write(j->in, buf, (size_t)n) < 0 && errno != EPIPE)
		fail("write to a command");
}

static void request(char *line)
{
	char *rest;
	long id = strtol(line, &rest, 10);
	struct job *j;

	if (rest == line || *rest != ' ')
		return;
	rest++;
	if (id == 0) {
		if (strncmp(rest, "exit ", 5) == 0)
			exit(atoi(rest + 5));
		return;
	}
	j = find(id);
	if (*rest == '<') {
		if (j)
			to_stdin(j, rest + 1);
	} else if (strcmp(rest, "^") == 0) {
		if (j && j->in >= 0) {
			close(j->in);
			j->in = -1;
		}
	} else if (strcmp(rest, "!") == 0) {
		if (j)
			kill(-j->pid, SIGKILL);
	} else {
		start(id, rest);
	}
}

static void on_port(void)
{
	static char line[LINE_MAX_];
	static size_t len;
	char buf[512];
	ssize_t n = read(port, buf, sizeof(buf));

	if (n < 0 && errno != EINTR && errno != EAGAIN)
		fail("read");
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n') {
			if (len < sizeof(line) - 1)
				line[len++] = buf[i];
			continue;
		}
		line[len] = '\0';
		len = 0;
		request(line);
	}
}

static void on_output(struct job *j)
{
	char buf[2048], text[16];
	ssize_t n = read(j->out, buf, sizeof(buf));
	int status;

	if (n < 0)
		return;
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n')
			j->line[j->len++] = buf[i];
		if (buf[i] == '\n' || j->len == sizeof(j->line) - 1) {
			answer_line(j->id, '>', j->line, j->len);
			j->len = 0;
		}
	}
	if (n > 0)
		return;
	if (j->len)
		answer_line(j->id, '>', j->line, j->len);
	close(j->out);
	if (j->in >= 0)
		close(j->in);
	while (waitpid(j->pid, &status, 0) < 0)
		if (errno != EINTR)
			fail("waitpid");
	n = snprintf(text, sizeof(text), "%d",
		     WIFEXITED(status) ? WEXITSTATUS(status) :
					 128 + WTERMSIG(status));
	answer_line(j->id, '=', text, (size_t)n);
	j->id = 0;
}

int main(int argc, char **argv)
{
	struct termios t;

	if (argc != 2) {
		fprintf(stderr, "usage: guest-agent TTY\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	port = open(argv[1], O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (port < 0)
		fail(argv[1]);
	if (tcgetattr(port, &t) == 0) {
		cfmakeraw(&t);
		cfsetspeed(&t, B115200);
		tcsetattr(port, TCSANOW, &t);
	}
	answer("ready\n", 6);
	for (;;) {
		struct pollfd p[JOB_MAX + 1];
		struct job *of[JOB_MAX + 1];
		nfds_t n = 1;

		p[0] = (struct pollfd){ .fd = port, .events = POLLIN };
		for (size_t i = 0; i < JOB_MAX; i++) {
			if (!jobs[i].id)
				continue;
			of[n] = &jobs[i];
			p[n++] = (struct pollfd){ .fd = jobs[i].out,
						  .events = POLLIN };
		}
		if (poll(p, n, -1) < 0) {
			if (errno == EINTR)
				continue;
			fail("poll");
		}
		for (nfds_t i = 1; i < n; i++)
			if (p[i].revents)
				on_output(of[i]);
		if (p[0].revents)
			on_port();
	}
}
