/* SPDX-License-Identifier: MIT */
/*
 * test-pool.c - connections to the broker: kept, and given up when they must be
 */
#include "harness.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>

START_TEST(one_connection)
{
	int l = listener(SOCK_STREAM, 1);

	for (int i = 0; i < 50; i++) {
		int fd = new_socket(SOCK_STREAM);

		ck_assert_int_eq(dial(fd, 1), 0);
		close(fd);
	}
	ck_assert_int_eq(broker.shared->accepted, 1);
	ck_assert_int_eq(broker.shared->hellos, 1);
	ck_assert_int_eq(broker.shared->connects, 50);
	close(l);
}
END_TEST

/* The control connection's number, found by what it is connected to. */
static int control_fd(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	int found = -1;

	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd = atoi(e->d_name), type = 0;

		if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
			continue;
		len = sizeof(type);
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
		if (sa.ss_family == AF_UNIX && type == SOCK_SEQPACKET)
			found = fd;
	}
	closedir(dir);
	return found;
}

START_TEST(high_and_close_on_exec)
{
	struct rlimit rl;
	int fd;

	assert_fails(dial(new_socket(SOCK_STREAM), 1), ECONNREFUSED);
	fd = control_fd();
	ck_assert_int_ge(fd, 100);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	close(fd);

	/* where the limit is low, a low one will do */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	rl.rlim_cur = 64;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	assert_fails(dial(new_socket(SOCK_STREAM), 1), ECONNREFUSED);
	fd = control_fd();
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}
END_TEST

START_TEST(no_descriptors_left)
{
	struct rlimit rl;
	int fd = new_socket(SOCK_STREAM);

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	rl.rlim_cur = (rlim_t)fd + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	assert_fails(dial(fd, 1), EMFILE);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	rl.rlim_cur = rl.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	assert_fails(dial(fd, 1), ECONNREFUSED);
}
END_TEST

START_TEST(forked_child_has_its_own)
{
	int l = listener(SOCK_STREAM, 1), fd, status;
	pid_t pid;

	ck_assert_int_eq(dial(new_socket(SOCK_STREAM), 1), 0);
	pid = fork();
	if (pid == 0) {
		bool kept = control_fd() >= 0;

		fd = new_socket(SOCK_STREAM);
		_exit(kept ? 2 : dial(fd, 1) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(broker.shared->accepted, 2);
	/* the parent's lives on: the child's end has not ended it */
	stand_in_wait(&broker.shared->ended, 1);
	ck_assert_int_eq(dial(new_socket(SOCK_STREAM), 1), 0);
	ck_assert_int_eq(broker.shared->accepted, 2);
	ck_assert_int_eq(broker.shared->ended, 1);
	close(l);
}
END_TEST

START_TEST(options_survive_fork)
{
	uint32_t ms = 777, v = 0;
	socklen_t len = sizeof(v);
	int fd = new_socket(SOCK_STREAM), status;
	pid_t pid;

	ck_assert_int_eq(hvs_setsockopt(fd, 1, HVSOCKET_CONNECT_TIMEOUT, &ms,
					4), 0);
	pid = fork();
	if (pid == 0) {
		hvs_getsockopt(fd, 1, HVSOCKET_CONNECT_TIMEOUT, &v, &len);
		_exit(v != 777);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(number_taken_by_somebody_else)
{
	int fd, control, p[2];
	char byte;

	assert_fails(dial(new_socket(SOCK_STREAM), 1), ECONNREFUSED);
	control = control_fd();
	ck_assert_int_eq(pipe(p), 0);
	/* as daemons do: everything is closed, and the number is used again */
	ck_assert_int_eq(dup2(p[1], control), control);
	fd = new_socket(SOCK_STREAM);
	assert_fails(dial(fd, 1), ECONNREFUSED);
	ck_assert_int_eq(broker.shared->accepted, 2);
	/* and it is still that somebody's */
	ck_assert_int_eq(write(control, "x", 1), 1);
	ck_assert_int_eq(read(p[0], &byte, 1), 1);
	/* only closed */
	close(control_fd());
	assert_fails(dial(fd, 1), ECONNREFUSED);
	ck_assert_int_eq(broker.shared->accepted, 3);
}
END_TEST

START_TEST(another_runtime_dir)
{
	struct stand_in first = broker, second;
	char deep[400], dir[520];
	size_t n;

	assert_fails(dial(new_socket(SOCK_STREAM), 1), ECONNREFUSED);
	stand_in_start(&second); /* sets the variable */
	assert_fails(dial(new_socket(SOCK_STREAM), 1), ECONNREFUSED);
	ck_assert_int_eq(first.shared->accepted, 1);
	ck_assert_int_eq(second.shared->accepted, 1);
	stand_in_wait(&first.shared->ended, 1);

	/* a path that is too long for a socket's address */
	n = (size_t)snprintf(deep, sizeof(deep), "%s/", second.dir);
	memset(deep + n, 'd', 200);
	deep[n + 200] = '\0';
	ck_assert_int_eq(symlink(".", deep), 0);
	snprintf(dir, sizeof(dir), "%s/.", deep);
	ck_assert_int_eq(setenv("HVSOCKET_RUNTIME_DIR", dir, 1), 0);
	assert_fails(dial(new_socket(SOCK_STREAM), 1), ECONNREFUSED);
	ck_assert_int_eq(second.shared->accepted, 2);
	strcat(dir, "/nowhere");
	ck_assert_int_eq(setenv("HVSOCKET_RUNTIME_DIR", dir, 1), 0);
	assert_fails(dial(new_socket(SOCK_STREAM), 1), ENETDOWN);
	stand_in_end(&second);
}
END_TEST

START_TEST(user_broker)
{
	char dir[64], link[96], run[64];
	char name[32];

	/* where the system has a broker, that one is asked, and no other */
	if (access("/run/hvsocket/control", F_OK) == 0) {
		fprintf(stderr, "the system has a broker: the user's is not "
				"asked here, and not tested\n");
		return;
	}
	strcpy(dir, "/tmp/hvs-user-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(unsetenv("HVSOCKET_RUNTIME_DIR"), 0);
	ck_assert_int_eq(unsetenv("XDG_RUNTIME_DIR"), 0);
	/* where a broker of this user puts itself then; is there one? */
	snprintf(run, sizeof(run), "/run/user/%u/hvsocket", geteuid());
	snprintf(link, sizeof(link), "%s/control", run);
	for (int i = 0; i < 2 && access(link, F_OK) < 0; i++) {
		assert_fails(hvs_partition(NULL, NULL, 0), ENETDOWN);
		assert_reason(-1, HVS_REASON_NO_BROKER, ENETDOWN,
			      "/run/hvsocket");
		assert_reason(-1, HVS_REASON_NO_BROKER, ENETDOWN, run);
		/* and a relative path is as none */
		setenv("XDG_RUNTIME_DIR", "not/absolute", 1);
	}
	ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	assert_fails(hvs_partition(NULL, NULL, 0), ENETDOWN);
	assert_reason(-1, HVS_REASON_NO_BROKER, ENETDOWN, "/run/hvsocket");
	assert_reason(-1, HVS_REASON_NO_BROKER, ENETDOWN, dir);
	snprintf(link, sizeof(link), "%s/hvsocket", dir);
	ck_assert_int_eq(symlink(broker.dir, link), 0);
	ck_assert_int_eq(hvs_partition(NULL, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "stand-in");
	/* an empty one is none */
	ck_assert_int_eq(setenv("HVSOCKET_RUNTIME_DIR", "", 1), 0);
	ck_assert_int_eq(hvs_partition(NULL, name, sizeof(name)), 0);
	unlink(link);
	rmdir(dir);
}
END_TEST

START_TEST(broker_started_again)
{
	int l = listener(SOCK_STREAM, 1), fd, s;

	ck_assert_int_eq(dial(new_socket(SOCK_STREAM), 1), 0);
	stand_in_kill(&broker);
	fd = new_socket(SOCK_STREAM);
	assert_fails(dial(fd, 1), ENETDOWN);
	assert_reason(fd, HVS_REASON_NO_BROKER, ENETDOWN, broker.dir);
	ck_assert_str_eq(reason_of(fd).broker, broker.dir);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	stand_in_again(&broker);
	/* the same socket, and the listener of the old broker's time */
	ck_assert_int_eq(dial(fd, 1), 0);
	for (int i = 0; i < 2; i++) {
		s = hvs_accept(l, NULL, NULL, 0);
		ck_assert_int_ge(s, 0);
	}
	/* killed while a connection lies idle: nobody notices */
	stand_in_kill(&broker);
	stand_in_again(&broker);
	ck_assert_int_eq(dial(new_socket(SOCK_STREAM), 1), 0);
	ck_assert_int_eq(hvs_listen(l, 5), 0);
}
END_TEST

START_TEST(broker_dies_during_a_request)
{
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, 2), b;
	socklen_t len = sizeof(b);
	int l = listener(SOCK_STREAM, 1), fd, l2, before;

	/* before it did anything: asked again */
	fd = new_socket(SOCK_STREAM);
	stand_in_mode(&broker, CLOSE_BEFORE, 1);
	ck_assert_int_eq(dial(fd, 1), 0);
	l2 = new_socket(SOCK_STREAM);
	stand_in_mode(&broker, CLOSE_BEFORE, 1);
	ck_assert_int_eq(hvs_bind(l2, &a, sizeof(a)), 0);

	/* twice: once is enough */
	fd = new_socket(SOCK_STREAM);
	before = broker.shared->connects;
	stand_in_mode(&broker, CLOSE_BEFORE, 9);
	assert_fails(dial(fd, 1), ENETDOWN);
	assert_reason(fd, HVS_REASON_NO_BROKER, ENETDOWN, broker.dir);
	ck_assert_int_eq(broker.shared->connects - before, 2);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	stand_in_mode(&broker, DO_IT, 0);
	ck_assert_int_eq(dial(fd, 1), 0);

	/* after it had done it: nothing is left to ask */
	fd = new_socket(SOCK_STREAM);
	before = broker.shared->connects;
	stand_in_mode(&broker, CLOSE_AFTER, 1);
	ck_assert_int_eq(dial(fd, 1), 0);
	ck_assert_int_eq(broker.shared->connects - before, 1);
	ck_assert_int_eq(hvs_getpeername(fd, &b, &len), 0);
	ck_assert_int_eq(b.ServiceId.Data1, 1);
	l2 = new_socket(SOCK_STREAM);
	a = address(&HV_GUID_WILDCARD, 3);
	stand_in_mode(&broker, CLOSE_AFTER, 1);
	before = broker.shared->listens;
	ck_assert_int_eq(hvs_bind(l2, &a, sizeof(a)), 0);
	/* nobody has said whether the service is disabled */
	ck_assert_int_eq(hvs_listen(l2, 1), 0);
	ck_assert_int_eq(broker.shared->listens - before, 1);
	/* the same with the broker's choice of a number */
	l2 = new_socket(SOCK_STREAM);
	a.ServiceId = HV_GUID_ZERO;
	a.VmId = HV_GUID_LOOPBACK;
	stand_in_mode(&broker, CLOSE_AFTER, 1);
	ck_assert_int_eq(hvs_bind(l2, &a, sizeof(a)), 0);
	close(l);
}
END_TEST

static void on_signal(int sig)
{
	(void)sig;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	ck_assert_int_eq(sigaction(sig, &sa, NULL), 0);
}

struct waiting {
	pthread_t thread;
	_Atomic int done;
	int fd, result, error;
};

static void *wait_in_connect(void *arg)
{
	struct waiting *w = arg;

	w->result = dial(w->fd, 1);
	w->error = errno;
	w->done = 1;
	return NULL;
}

static void start_waiting(struct waiting *w)
{
	int before = broker.shared->connects;

	*w = (struct waiting){ .fd = new_socket(SOCK_STREAM) };
	ck_assert_int_eq(pthread_create(&w->thread, NULL, wait_in_connect, w),
			 0);
	stand_in_wait(&broker.shared->connects, before + 1);
}

START_TEST(interrupted)
{
	struct waiting w;

	/* Check's own handlers restart or do not matter here: they are gone */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	handle(SIGUSR1, 0);
	stand_in_mode(&broker, SILENT, 1);
	start_waiting(&w);
	/* the request is there, so the thread is in its receive or goes there
	 * without another look at anything: repeat until it was hit */
	while (!w.done) {
		pthread_kill(w.thread, SIGUSR1);
		poll(NULL, 0, 1);
	}
	pthread_join(w.thread, NULL);
	ck_assert_int_eq(w.result, -1);
	ck_assert_int_eq(w.error, EINTR);
	ck_assert_int_eq(fcntl(w.fd, F_GETFL) & O_NONBLOCK, 0);
	/* the broker hears that it is cancelled */
	stand_in_wait(&broker.shared->ended, 1);
	assert_fails(dial(w.fd, 1), ECONNREFUSED);
}
END_TEST

START_TEST(interrupted_and_restarted)
{
	struct waiting w;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	handle(SIGUSR1, SA_RESTART);
	stand_in_mode(&broker, DELAY, 1);
	start_waiting(&w);
	for (int i = 0; i < 100; i++) {
		pthread_kill(w.thread, SIGUSR1);
		poll(NULL, 0, 1);
	}
	ck_assert_int_eq(w.done, 0);
	stand_in_go(&broker, 1);
	pthread_join(w.thread, NULL);
	ck_assert_int_eq(w.error, ECONNREFUSED);
	assert_reason(w.fd, HVS_REASON_NO_LISTENER, ECONNREFUSED, "a while");
}
END_TEST

START_TEST(cancelled)
{
	struct waiting w;
	void *ret;

	stand_in_mode(&broker, DELAY, 1);
	start_waiting(&w);
	pthread_cancel(w.thread);
	stand_in_go(&broker, 1);
	pthread_join(w.thread, &ret);
	/* the call went on to its end, and left the socket as it was */
	ck_assert_int_eq(w.done, 1);
	ck_assert_int_eq(fcntl(w.fd, F_GETFL) & O_NONBLOCK, 0);
	assert_fails(dial(w.fd, 1), ECONNREFUSED);
}
END_TEST

START_TEST(no_answer)
{
	uint32_t ms = 1;
	int fd = new_socket(SOCK_STREAM);

	ck_assert_int_eq(hvs_setsockopt(fd, 1, HVSOCKET_CONNECT_TIMEOUT, &ms,
					4), 0);
	stand_in_mode(&broker, SILENT, 1);
	/* the broker keeps the time; when it does not, 5 s later we do */
	assert_fails(dial(fd, 1), ETIMEDOUT);
	assert_reason(fd, HVS_REASON_NO_ANSWER, ETIMEDOUT, broker.dir);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	stand_in_wait(&broker.shared->ended, 1);
	assert_fails(dial(fd, 1), ECONNREFUSED);
}
END_TEST

#define THREADS 32

static pthread_barrier_t barrier;

static char failed_listen[] = "bind or listen", failed_connect[] = "connect";

static void *many_at_once(void *arg)
{
	uint32_t port = 100 + (uint32_t)(uintptr_t)arg;
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, port);
	uint32_t one = 1;
	int l, c, s, bad = 0;

	pthread_barrier_wait(&barrier);
	l = hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
	if (hvs_bind(l, &a, sizeof(a)) < 0 || hvs_listen(l, 8) < 0)
		return failed_listen;
	for (int i = 0; i < 20; i++) {
		c = hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
		hvs_setsockopt(c, SOL_HVSOCKET, HVSOCKET_WAIT_LISTENER, &one,
			       4);
		bad |= dial(c, port) < 0;
		s = hvs_accept(l, NULL, NULL, 0);
		bad |= s < 0;
		close(s);
		close(c);
		c = hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
		if (dial(c, 9) == 0 || errno != ECONNREFUSED ||
		    reason_of(c).code != HVS_REASON_NO_LISTENER)
			bad = 1;
		close(c);
	}
	close(l);
	return bad ? failed_connect : NULL;
}

START_TEST(threads)
{
	pthread_t t[THREADS];
	void *why;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, many_at_once,
						(void *)i), 0);
	for (size_t i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(t[i], &why), 0);
		ck_assert_msg(!why, "thread %zu: %s", i, (char *)why);
	}
	ck_assert_int_le(broker.shared->accepted, THREADS);
	pthread_barrier_destroy(&barrier);
}
END_TEST

static void *one_refused(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&barrier);
	dial(hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW), 9);
	return NULL;
}

/* As many connections as calls at once; afterwards at most four. */
START_TEST(few_idle)
{
	pthread_t t[THREADS];
	int accepted;

	stand_in_mode(&broker, SILENT, THREADS);
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, one_refused, NULL);
	stand_in_wait(&broker.shared->connects, THREADS);
	ck_assert_int_eq(broker.shared->accepted, THREADS);
	stand_in_kill(&broker); /* every one is asked again */
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	stand_in_again(&broker);
	stand_in_mode(&broker, DO_IT, 0);
	broker.shared->accepted = broker.shared->ended = 0;
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, one_refused, NULL);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	accepted = broker.shared->accepted;
	if (accepted > 4)
		stand_in_wait(&broker.shared->ended, accepted - 4);
	pthread_barrier_destroy(&barrier);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, one_connection);
	tcase_add_test(t, high_and_close_on_exec);
	tcase_add_test(t, no_descriptors_left);
	tcase_add_test(t, forked_child_has_its_own);
	tcase_add_test(t, options_survive_fork);
	tcase_add_test(t, number_taken_by_somebody_else);
	tcase_add_test(t, another_runtime_dir);
	tcase_add_test(t, user_broker);
	tcase_add_test(t, broker_started_again);
	tcase_add_test(t, broker_dies_during_a_request);
	tcase_add_test(t, interrupted);
	tcase_add_test(t, interrupted_and_restarted);
	tcase_add_test(t, cancelled);
	tcase_add_test(t, no_answer);
	tcase_add_test(t, threads);
	tcase_add_test(t, few_idle);
}

int main(void)
{
	return run_suite("lib-pool", fill);
}
