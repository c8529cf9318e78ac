/* SPDX-License-Identifier: MIT */
/* hostile.c - see hostile.h */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hvsocket.h>

#include "lib.h"

static atomic_int target = -1;

static void *clear(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = atomic_load(&target);

		if (fd >= 0)
			(void)fcntl(fd, F_SETFL, O_RDWR);
	}
	return NULL;
}

static void run(void)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV };
	uint32_t timeout = 200;
	pthread_t t;
	int l;

	hvs_guid_from_port(9999, &a.ServiceId);
	a.VmId = HV_GUID_LOOPBACK;
	l = hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
	if (l < 0 || hvs_bind(l, &a, sizeof(a)) < 0 || hvs_listen(l, 0) < 0)
		die("hostile listener");
	if (pthread_create(&t, NULL, clear, NULL) != 0)
		die("hostile thread");
	for (;;) {
		/* the first one fills the backlog and stays */
		int fd = hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);

		hvs_setsockopt(fd, SOL_HVSOCKET, HVSOCKET_CONNECT_TIMEOUT,
			       &timeout, sizeof(timeout));
		atomic_store(&target, fd);
		if (hvs_connect(fd, &a, sizeof(a)) == 0)
			continue;
		atomic_store(&target, -1);
		close(fd);
	}
}

int hostile_start(const char *partition_dir)
{
	int pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("HVSOCKET_RUNTIME_DIR", partition_dir, 1);
		run();
		_exit(1);
	}
	return pid;
}

void hostile_stop(int pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
