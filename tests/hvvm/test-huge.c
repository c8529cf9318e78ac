/* SPDX-License-Identifier: MIT */
/* The guest's memory: a file with huge pages where it may be had, else a
 * memfd; as an ordinary user too. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/suite.h"
#include "hvvm/huge.h"
#include "hvvm/memory.h"

#define BLOCKS 8u
#define SIZE (BLOCKS * MEMORY_STEP)

/* what is taken of it, in bytes */
static long long taken(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, SIZE);
	return st.st_blocks * 512ll;
}

static void check_memory(bool huge)
{
	struct memory m;

	ck_assert_int_eq(memory_new(&m, SIZE, huge), 0);
	ck_assert_uint_eq((uintptr_t)m.map % MEMORY_STEP, 0);
	ck_assert_int_eq(taken(m.fd), 0);
	m.map[MEMORY_STEP * 3 + 12288] = 1;
	m.map[SIZE - 1] = 2;
	ck_assert_int_ge(taken(m.fd), 2 * 4096);
	ck_assert_int_eq(m.map[MEMORY_STEP * 3], 0);
	ck_assert_int_eq(memory_clear(&m), 0);
	ck_assert_int_eq(taken(m.fd), 0);
	ck_assert_int_eq(m.map[MEMORY_STEP * 3 + 12288], 0);
	ck_assert_int_eq(m.map[SIZE - 1], 0);
	memory_free(&m);
}

/* Nothing, or as it should be. */
static void check_file(void)
{
	int fd = huge_file(SIZE);
	uint8_t *map;

	if (fd < 0) {
		printf("# no huge pages here: %s\n", strerror(-fd));
		ck_assert(fd == -EPERM || fd == -EOPNOTSUPP || fd == -ENOSYS ||
			  fd == -EINVAL || fd == -EACCES);
		return;
	}
	ck_assert_int_eq(taken(fd), 0);
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	map[MEMORY_STEP + 4096] = 1;
	/* (one page where there is none of 2 MiB left) */
	ck_assert(taken(fd) == 2 << 20 || taken(fd) == 4096);
	printf("# one byte took %lld\n", taken(fd));
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	munmap(map, SIZE);
	close(fd);
}

START_TEST(file)
{
	check_file();
}
END_TEST

START_TEST(file_of_ordinary_user)
{
	pid_t pid;
	int status;

	if (geteuid() != 0)
		return; /* the test before was this one */
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(65534) < 0 ||
		    setuid(65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
			_exit(9); /* (who changes loses its own /proc/self) */
		check_file();
		check_memory(true);
		fflush(NULL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(memory)
{
	check_memory(_i == 1);
}
END_TEST

START_TEST(memfd_cannot_be_cut)
{
	struct memory m;

	ck_assert_int_eq(memory_new(&m, SIZE, false), 0);
	ck_assert_int_eq(ftruncate(m.fd, 4096), -1);
	ck_assert_int_eq(errno, EPERM);
	memory_free(&m);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, file);
	tcase_add_test(t, file_of_ordinary_user);
	tcase_add_loop_test(t, memory, 0, 2);
	tcase_add_test(t, memfd_cannot_be_cut);
}

int main(void)
{
	return run_suite("hvvm-huge", fill);
}
