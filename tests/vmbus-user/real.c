/* SPDX-License-Identifier: MIT */
/* real.c - see real.h */
#include "real.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/guid.h"

static pid_t broker;

void real_broker_start(const struct vmm *v)
{
	const char *program = getenv("HVSOCKETD");
	char config[128], fd[16], byte;
	int ready[2];

	ck_assert_msg(program != NULL, "HVSOCKETD is not set");
	snprintf(config, sizeof(config), "%s/config", v->dir);
	must(pipe2(ready, O_CLOEXEC) == 0);
	broker = fork();
	must(broker >= 0);
	if (!broker) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)fcntl(ready[1], F_SETFD, 0);
		snprintf(fd, sizeof(fd), "%d", ready[1]);
		execl(program, program, "--runtime-dir", v->runtime,
		      "--config-dir", config, "--ready-fd", fd, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	must(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
}

void real_broker_kill(int sig)
{
	must(kill(broker, sig) == 0);
	must(waitpid(broker, NULL, 0) == broker);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	must(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool loaded(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->loaded && v->g->all_offers;
}

struct vmm *real_start(const char *const *args)
{
	static const char *const dirs[] = { "config", "config/services.d",
					    "config/partitions.d" };
	struct vmm *v = vmm_new();
	char path[160];

	v->no_broker = true;
	snprintf(v->runtime, sizeof(v->runtime), "%s/run", v->dir);
	must(mkdir(v->runtime, 0755) == 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", v->dir, dirs[i]);
		must(mkdir(path, 0755) == 0);
	}
	snprintf(path, sizeof(path), "%s/config/services.d/a.conf", v->dir);
	write_file(path, "[Service]\nElementName=a\nPort=1000\n");
	setenv("HVSOCKET_RUNTIME_DIR", v->runtime, 1);
	real_broker_start(v);
	vmm_launch(v, args);
	vmm_introduce(v);
	must(!guid_is_zero(&v->vmid));
	vg_load(v->g);
	vmm_wait(v, loaded, NULL, "the driver");
	return v;
}
