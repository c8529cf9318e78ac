/* SPDX-License-Identifier: MIT */
/*
 * work.c - programs and files in a guest by its agent, for test-agent.py
 *
 *	work VM exec [-e NAME=VALUE]... [-i] [-t MS] PROGRAM...
 *	work VM read PATH
 *	work VM write PATH
 *
 * With -i standard input is the program's. What the library says goes to
 * standard error, after the error's number.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/agent.h"

#define INPUT_SIZE ((size_t)AGENT_INPUT_MAX + 1)

static int fail(const struct call_error *err)
{
	fprintf(stderr, "%d: %s\n", err->error, err->text);
	return 1;
}

static int sink(void *arg, const char *data, size_t len)
{
	return fwrite(data, 1, len, arg) == len ? 0 : -EIO;
}

static int source(void *arg, char *data, size_t size, size_t *ret_len)
{
	*ret_len = fread(data, 1, size, arg);
	return 0;
}

static int exec(struct agent_conn *a, int argc, char **argv)
{
	const char *env[16] = { NULL }, *words[64] = { NULL };
	cleanup_free_ char *input = NULL;
	struct call_error err;
	struct agent_exit e;
	size_t nenv = 0, len = 0;
	uint32_t ms = 0;
	int o;

	while ((o = getopt(argc, argv, "+e:it:")) != -1) {
		if (o == 'e' && nenv < 15)
			env[nenv++] = optarg;
		if (o == 'i') {
			input = malloc(INPUT_SIZE);
			len = input ? fread(input, 1, INPUT_SIZE, stdin) : 0;
		}
		if (o == 't')
			ms = (uint32_t)atoi(optarg);
	}
	for (int i = optind; i < argc && i - optind < 63; i++)
		words[i - optind] = argv[i];
	if (agent_exec(a, words, nenv ? env : NULL, input, len, ms, &e, &err))
		return fail(&err);
	fwrite(e.out, 1, e.out_len, stdout);
	fwrite(e.err, 1, e.err_len, stderr);
	o = e.signal ? 128 + e.signal : e.status;
	agent_exit_fini(&e);
	return o;
}

int main(int argc, char **argv)
{
	cleanup_(agent_closep) struct agent_conn *a = NULL;
	struct call_error err;
	int r = -EINVAL;

	if (argc < 4)
		return 2;
	if (agent_open(argv[1], 0, &a, &err))
		return fail(&err);
	if (!strcmp(argv[2], "exec"))
		return exec(a, argc - 2, argv + 2);
	if (!strcmp(argv[2], "read"))
		r = agent_file_read(a, argv[3], sink, stdout, &err);
	else if (!strcmp(argv[2], "write"))
		r = agent_file_write(a, argv[3], "wb", source, stdin, &err);
	return r ? fail(&err) : 0;
}
