/* SPDX-License-Identifier: MIT */
/* hvsocketd.c - see hvsocketd.h */
#include "hvsocketd.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "must.h"

void hvsocketd_put(const char *dir, const char *name, const char *text)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	must(f);
	must(fputs(text, f) >= 0);
	must(fclose(f) == 0);
}

pid_t hvsocketd_start(const char *dir)
{
	char fd[16], conf[80], byte;
	int wait[2];
	pid_t broker;

	must(pipe(wait) == 0);
	broker = fork();
	must(broker >= 0);
	if (!broker) {
		snprintf(fd, sizeof(fd), "%d", wait[1]);
		snprintf(conf, sizeof(conf), "%s/conf", dir);
		execl(getenv("HVSOCKETD"), "hvsocketd", "--runtime-dir", dir,
		      "--config-dir", conf, "--dgram", "none", "--ready-fd",
		      fd, (char *)NULL);
		_exit(127);
	}
	close(wait[1]);
	must(read(wait[0], &byte, 1) == 1);
	close(wait[0]);
	return broker;
}
