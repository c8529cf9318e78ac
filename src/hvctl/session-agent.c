/* SPDX-License-Identifier: MIT */
/* session-agent.c - see session-agent.h */
#include "hvctl/session-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/agent.h"
#include "hvctl/cksum.h"
#include "hvctl/cp.h"
#include "hvctl/out.h"

#define cleanup_agent_ cleanup_(agent_closep)

/* $1 the part, $2 the final name, $3 its mode, $4 what cksum says of it */
static const char put_script[] =
	"if [ -d \"$2\" ]; then rm -f \"$1\"; exit 3; fi; "
	"if [ \"$(cksum <\"$1\")\" != \"$4\" ]; then rm -f \"$1\"; exit 4; fi; "
	"chmod \"$3\" \"$1\" && sync && mv -f \"$1\" \"$2\" && exit 0; "
	"rm -f \"$1\"; exit 5";

static int open_agent(struct ctl *c, const char *vm, struct agent_conn **ret)
{
	struct call_error err;

	return agent_open(vm, 0, ret, &err) ?
		       say_refused(c, CALL_SELF, vm, &err) : 0;
}

/* A shell's script in the guest. Return: its exit status, or -1 (told) */
static int run_script(struct ctl *c, const char *vm, struct agent_conn *a,
		      const char *const *argv, char *out, size_t size)
{
	struct agent_exit e = { 0 };
	struct call_error err;
	int status;

	if (agent_exec(a, argv, NULL, NULL, 0, 0, &e, &err)) {
		say_refused(c, CALL_SELF, vm, &err);
		return -1;
	}
	if (out)
		snprintf(out, size, "%s", e.out ? e.out : "");
	status = e.signal ? 128 + e.signal : e.status;
	agent_exit_fini(&e);
	return status;
}

/* ---- into a guest */

struct from {
	int fd;
	int error;
	struct cksum sum;
};

static int read_some(void *arg, char *data, size_t size, size_t *ret_len)
{
	struct from *f = arg;
	ssize_t n;

	do {
		n = read(f->fd, data, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		f->error = errno;
		return -errno;
	}
	cksum_add(&f->sum, (const uint8_t *)data, (size_t)n);
	*ret_len = (size_t)n;
	return 0;
}

static int put_failed(const char *vm, const char *to, int status)
{
	static const char *const why[] = {
		[3] = "Is a directory",
		[4] = "what has arrived is not what was sent: the checksums "
		      "differ",
		[5] = "it could not be given its name",
	};

	return complain("cp: %s:%s: %s", show(vm), show(to),
			status >= 3 && status <= 5 ? why[status] :
						     "the guest's sh failed");
}

int agent_put(struct ctl *c, const char *vm, const char *from, const char *to)
{
	struct from f = { .fd = open(from, O_RDONLY | O_CLOEXEC) };
	cleanup_close_ int fd = f.fd;
	cleanup_agent_ struct agent_conn *a = NULL;
	char part_name[CP_PART_SIZE], part[CP_PATH_MAX], mode[8], sum[48];
	const char *argv[] = { "sh", "-c", put_script, "sh", part,
			       to,   mode, sum,	       NULL };
	const char *slash = strrchr(to, '/');
	struct call_error err;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return complain("cp: %s: %s", show(from), strerror(errno));
	if (!S_ISREG(st.st_mode))
		return complain("cp: %s is not a regular file", show(from));
	if (to[0] != '/' || !slash[1])
		return usage("cp: %s: the agent takes a path from / on, to a "
			     "file", show(to));
	/* the agent is root and follows links: nobody may have put one there */
	cp_part_name(NULL, part_name);
	if (snprintf(part, sizeof(part), "%.*s%s", (int)(slash + 1 - to), to,
		     part_name) >= (int)sizeof(part))
		return complain("cp: %s: %s", show(to), strerror(ENAMETOOLONG));
	if (open_agent(c, vm, &a))
		return 1;
	r = agent_file_write(a, part, "wb", read_some, &f, &err);
	if (r) {
		const char *rm[] = { "rm", "-f", part, NULL };
		struct agent_exit e = { 0 };

		if (f.error)
			complain("cp: %s: %s", show(from), strerror(f.error));
		else
			say_refused(c, CALL_SELF, to, &err);
		if (!agent_exec(a, rm, NULL, NULL, 0, 0, &e, &err))
			agent_exit_fini(&e);
		return 1;
	}
	snprintf(mode, sizeof(mode), "%o", (unsigned int)st.st_mode & 0777);
	snprintf(sum, sizeof(sum), "%u %llu", cksum_end(&f.sum),
		 (unsigned long long)f.sum.bytes);
	r = run_script(c, vm, a, argv, NULL, 0);
	return r < 0 ? 1 : r ? put_failed(vm, to, r) : 0;
}

/* ---- out of a guest */

struct into {
	int fd;
	int error;
	struct cksum sum;
};

static int write_all(void *arg, const char *data, size_t len)
{
	struct into *to = arg;

	cksum_add(&to->sum, (const uint8_t *)data, len);
	while (len) {
		ssize_t n = write(to->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			to->error = errno;
			return -errno;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int get_all(struct ctl *c, const char *vm, const char *from,
		   const char *to, struct into *into)
{
	/* the mode, in octal, and what cksum says */
	const char *argv[] = { "sh", "-c", "stat -L -c %a \"$1\" && "
					   "cksum <\"$1\"",
			       "sh", from, NULL };
	cleanup_agent_ struct agent_conn *a = NULL;
	struct call_error err;
	char out[100];
	unsigned long mode, sum;
	char *end;

	if (open_agent(c, vm, &a))
		return 1;
	if (agent_file_read(a, from, write_all, into, &err))
		return into->error ? complain("cp: %s: %s", show(to),
					      strerror(into->error)) :
				     say_refused(c, CALL_SELF, from, &err);
	if (run_script(c, vm, a, argv, out, sizeof(out)))
		return complain("cp: %s:%s: it cannot be checked", show(vm),
				show(from));
	mode = strtoul(out, &end, 8);
	sum = strtoul(end, NULL, 10);
	if (sum != cksum_end(&into->sum))
		return complain("cp: %s:%s: what has arrived is not what is "
				"there: the checksums differ", show(vm),
				show(from));
	if (fchmod(into->fd, mode & 0777) < 0 || fsync(into->fd) < 0)
		return complain("cp: %s: %s", show(to), strerror(errno));
	return 0;
}

int agent_get(struct ctl *c, const char *vm, const char *from, const char *to)
{
	struct into into = { .fd = -1 };
	const char *slash = strrchr(to, '/');
	char part[CP_PATH_MAX];
	int r;

	if (from[0] != '/')
		return usage("cp: %s: the agent takes a path from / on",
			     show(from));
	if (snprintf(part, sizeof(part), "%.*s.hvctl-XXXXXX.part",
		     slash ? (int)(slash + 1 - to) : 0, to) >=
	    (int)sizeof(part))
		return complain("cp: %s: %s", show(to), strerror(ENAMETOOLONG));
	into.fd = mkostemps(part, 5, O_CLOEXEC);
	if (into.fd < 0)
		return complain("cp: %s: %s", show(to), strerror(errno));
	r = get_all(c, vm, from, to, &into);
	if (!r && rename(part, to) < 0)
		r = complain("cp: %s: %s", show(to), strerror(errno));
	if (r)
		unlink(part);
	close(into.fd);
	return r;
}

/* ---- commands */

/* All of our standard input. Return: 0 or -errno */
static int read_input(char **ret, size_t *ret_len)
{
	cleanup_free_ char *data = NULL;
	size_t n = 0, room = 0;

	if (isatty(STDIN_FILENO))
		return 0;
	for (;;) {
		ssize_t k;

		if (n == room) {
			char *more;

			room = room ? room * 2 : 65536;
			more = realloc(data, room);
			if (!more)
				return -ENOMEM;
			data = more;
		}
		k = read(STDIN_FILENO, data + n, room - n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno == EBADF ? 0 : -errno;
		if (!k)
			break;
		n += (size_t)k;
		if (n > AGENT_INPUT_MAX)
			return -EFBIG;
	}
	*ret = data;
	*ret_len = n;
	data = NULL;
	return 0;
}

int agent_command(struct ctl *c, const char *vm, char *const *words)
{
	cleanup_agent_ struct agent_conn *a = NULL;
	cleanup_free_ const char **argv = NULL;
	cleanup_free_ char *input = NULL;
	struct agent_exit e = { 0 };
	struct call_error err;
	size_t len = 0, n = 0;
	int r = read_input(&input, &len);

	if (r) {
		complain("exec: standard input: %s", strerror(-r));
		return 255;
	}
	while (words[n])
		n++;
	argv = calloc(n + 1, sizeof(*argv));
	if (!argv) {
		complain("exec: %s", strerror(ENOMEM));
		return 255;
	}
	for (size_t i = 0; i < n; i++)
		argv[i] = words[i];
	if (open_agent(c, vm, &a))
		return 255;
	if (agent_exec(a, argv, NULL, input, len, 0, &e, &err)) {
		say_refused(c, CALL_SELF, vm, &err);
		return 255;
	}
	fwrite(e.out, 1, e.out_len, stdout);
	fwrite(e.err, 1, e.err_len, stderr);
	if (e.out_cut || e.err_cut)
		complain("exec %s: there was more: the agent keeps 16 MiB",
			 show(vm));
	r = e.signal ? 128 + e.signal : e.status;
	agent_exit_fini(&e);
	return r;
}

int agent_key(struct ctl *c, const char *vm, const char *user,
	      const char *line)
{
	cleanup_agent_ struct agent_conn *a = NULL;
	cleanup_json_ json_t *reply = NULL;
	struct call_error err;

	if (open_agent(c, vm, &a))
		return 1;
	return agent_call(a, "guest-ssh-add-authorized-keys",
			  json_pack("{s:s, s:[s], s:b}", "username", user,
				    "keys", line, "reset", 0),
			  &reply, &err) ?
		       say_refused(c, CALL_SELF, vm, &err) : 0;
}
