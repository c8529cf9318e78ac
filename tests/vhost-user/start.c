/* SPDX-License-Identifier: MIT */
/* start.c - see rig.h: processes that begin and end */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

unsigned int rig_descriptors;

static int listening(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	must(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(fd, 4) == 0);
	return fd;
}

void rig_spawn(struct rig *r)
{
	const char *program = getenv("VHOST_USER_PROGRAM");
	const char *sandbox = getenv("VHOST_USER_SANDBOX");
	char fd[16], path[108];
	int in = r->child_in;

	ck_assert_msg(program != NULL, "VHOST_USER_PROGRAM is not set");
	r->child = fork();
	must(r->child >= 0);
	if (r->child)
		return;
	if (rig_descriptors) {
		const struct rlimit few = { rig_descriptors, rig_descriptors };

		if (setrlimit(RLIMIT_NOFILE, &few) < 0)
			_exit(126);
	}
	if (r->service)
		in = svc_in_child(r->service, in);
	snprintf(fd, sizeof(fd), "%d", in);
	setenv("HVSOCKET_RUNTIME_DIR", r->dir, 1);
	if (r->replace) {
		snprintf(path, sizeof(path), "%s/vm.sock", r->dir);
		execl(program, program, "--partition", "test", "--socket-path",
		      path, "--replace", "--sandbox",
		      sandbox ? sandbox : "seccomp", (char *)NULL);
	}
	execl(program, program, "--partition", "test", "--fd", fd, "--sandbox",
	      sandbox ? sandbox : "seccomp", (char *)NULL);
	_exit(127);
}

static bool ended(struct rig *r, void *arg)
{
	int status;

	(void)r;
	if (waitpid(*(pid_t *)arg, &status, WNOHANG) != *(pid_t *)arg)
		return false;
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the predecessor ended with status %x", status);
	return true;
}

void rig_replace(struct rig *r)
{
	pid_t old = r->child;

	r->replace = true;
	rig_spawn(r);
	rig_wait(r, ended, &old, "the predecessor's end");
}

static bool attached(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.attached;
}

static struct rig *launch(struct svc *service)
{
	struct rig *r = calloc(1, sizeof(*r));
	const char *tmp = getenv("TMPDIR");
	char path[108];

	snprintf(r->dir, sizeof(r->dir), "%s/hvs-vu-XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	must(mkdtemp(r->dir));
	for (int i = 0; i < RIG_ENDS; i++)
		r->prog[i].fd = -1;
	r->service = service;
	if (service)
		svc_start(service, r->dir);
	snprintf(path, sizeof(path), "%s/vm.sock", r->dir);
	r->child_in = listening(path);
	r->b.conn = -1;
	fb_start(&r->b, r->dir);
	drv_init(&r->d);
	r->d.packet = rig_on_packet;
	r->d.ctx = r;
	rig_spawn(r);
	rig_wait(r, attached, NULL, "ATTACH");
	return r;
}

struct rig *rig_launch(void)
{
	return launch(NULL);
}

int rig_front_end(struct rig *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/vm.sock", r->dir);
	must(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

static struct rig *start(struct rig *r, void (*setup)(struct drv *d))
{
	uint32_t on = 1;

	if (setup)
		setup(&r->d);
	drv_handshake(&r->d, rig_front_end(r));
	must(drv_memory(&r->d) == 0);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	return r;
}

struct rig *rig_start_with(void (*setup)(struct drv *d))
{
	return start(rig_launch(), setup);
}

struct rig *rig_start_service(struct svc *service, void (*setup)(struct drv *d))
{
	return start(launch(service), setup);
}

struct rig *rig_start(void)
{
	return rig_start_with(NULL);
}

void rig_end(struct rig *r)
{
	char command[128];
	int status = -1;

	must(kill(r->child, SIGTERM) == 0);
	must(waitpid(r->child, &status, 0) == r->child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the program ended with status %x", status);
	if (r->service)
		svc_fini(r->service);
	drv_fini(&r->d);
	fb_kill(&r->b);
	close(r->child_in);
	for (int i = 0; i < RIG_ENDS; i++)
		if (r->prog[i].fd >= 0)
			close(r->prog[i].fd);
	snprintf(command, sizeof(command), "rm -r '%s'", r->dir);
	must(system(command) == 0);
	free(r);
}
