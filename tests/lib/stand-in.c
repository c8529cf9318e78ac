/* SPDX-License-Identifier: MIT */
/* stand-in.c - starting, steering and ending the stand-in; see stand-in.h */
#include "stand-in.h"

#include <check.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void stand_in_again(struct stand_in *s)
{
	int ready[2];
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	s->pid = fork();
	ck_assert_int_ge(s->pid, 0);
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		stand_in_run(s, ready[1]);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

void stand_in_start(struct stand_in *s)
{
	static const char *const sub[] = { "", "/listeners", "/rendezvous" };
	char path[96];

	*s = (struct stand_in){ .dir = "/tmp/hvs-test-XXXXXX" };
	ck_assert_ptr_nonnull(mkdtemp(s->dir));
	ck_assert_int_eq(chmod(s->dir, 0755), 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/broker%s", s->dir, sub[i]);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(s->shared, MAP_FAILED);
	s->go = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(s->go, 0);
	ck_assert_int_eq(setenv("HVSOCKET_RUNTIME_DIR", s->dir, 1), 0);
	stand_in_again(s);
}

void stand_in_kill(struct stand_in *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void stand_in_end(struct stand_in *s)
{
	stand_in_kill(s);
	nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	munmap(s->shared, sizeof(*s->shared));
	close(s->go);
}

void stand_in_mode(struct stand_in *s, enum stand_in_mode mode, int times)
{
	s->shared->mode = (int)mode;
	s->shared->times = times;
}

void stand_in_go(struct stand_in *s, int what)
{
	uint64_t v = (uint64_t)what;

	ck_assert_int_eq(write(s->go, &v, sizeof(v)), sizeof(v));
}

void stand_in_wait(_Atomic int *counter, int n)
{
	struct timespec start, now;

	/* another process counts: there is nothing to sleep on */
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (*counter < n) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		ck_assert_msg(now.tv_sec - start.tv_sec < 10,
			      "the counter stays at %d", *counter);
		poll(NULL, 0, 1);
	}
}
