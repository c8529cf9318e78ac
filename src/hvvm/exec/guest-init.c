/* SPDX-License-Identifier: MIT */
/*
 * guest-init - the first process of a guest of hvvm run --exec
 *
 * Mounts what programs expect, loads modules, runs one command and switches
 * the machine off. The command's output goes to the second serial port, byte
 * by byte as it was said. The third one tells hvvm how it goes, in lines:
 *
 *	up			this program runs
 *	said TEXT		something is amiss, but not too much
 *	failed TEXT		the command was not run
 *	exit N			its status; 128+N: signal N ended it
 *
 * Static, and of no library of ours: it is a part of hvvm's program. What is
 * to be done stands in /.hvvm (initramfs.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MODULES_DIR "/lib/modules/hvvm"
#define RELAY 65536 /* bytes at once */

static int out = -1, control = -1;

/* ---- serial ports */

static void write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static void __attribute__((format(printf, 2, 3)))
tell(const char *word, const char *fmt, ...)
{
	char line[480];
	size_t n = (size_t)snprintf(line, sizeof(line), "%s ", word), m;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	m = n + strcspn(line + n, "\n"); /* one line */
	line[m++] = '\n';
	write_all(control, line, m);
}

static int open_port(const char *path, unsigned int minor_no)
{
	struct termios t;
	int fd;

	/* there already, but in a kernel without devtmpfs */
	(void)mknod(path, S_IFCHR | 0600, makedev(4, minor_no));
	fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || tcgetattr(fd, &t) < 0)
		return -1;
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL;
	cfsetspeed(&t, B115200);
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -1 : fd;
}

static void __attribute__((noreturn)) off(void)
{
	if (out >= 0)
		tcdrain(out);
	if (control >= 0)
		tcdrain(control);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* ---- the system */

static void make_system(void)
{
	static const struct {
		const char *kind, *at;
	} mounts[] = {
		{ "proc", "/proc" },
		{ "sysfs", "/sys" },
		{ "devtmpfs", "/dev" },
		{ "tmpfs", "/tmp" },
		{ "tmpfs", "/run" },
		{ "devpts", "/dev/pts" },
		{ "tmpfs", "/dev/shm" },
		{ "debugfs", "/sys/kernel/debug" },
		{ "tracefs", "/sys/kernel/tracing" },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	umask(022);
	/* a kernel may lack some; a command that needs it will tell */
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		(void)mkdir(mounts[i].at, 0755);
		(void)mount(mounts[i].kind, mounts[i].at, mounts[i].kind, 0,
			    NULL);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		(void)!symlink(links[i][0], links[i][1]);
	(void)chmod("/", 0755);
	(void)chmod("/run", 0755);
	(void)chmod("/tmp", 01777);
	(void)chmod("/dev/shm", 01777);
	(void)mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3));
}

/* The kernel's console was all there was at first. */
static void leave_console(void)
{
	int fd = open("/dev/null", O_RDWR);

	for (int i = 0; i < 3 && fd >= 0; i++)
		if (i != fd)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

static void loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	(void)ioctl(fd, SIOCSIFFLAGS, &r);
	close(fd);
}

/* All of a file; ended by a zero byte. */
static char *slurp(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t at = 0;
	char *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	data = malloc((size_t)st.st_size + 1);
	while (data && at < (size_t)st.st_size) {
		ssize_t n = read(fd, data + at, (size_t)st.st_size - at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (data)
		data[at] = '\0';
	close(fd);
	return data;
}

/* ---- modules */

static int load(const char *name)
{
	char path[200];
	int fd, r;

	snprintf(path, sizeof(path), MODULES_DIR "/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST ? -errno
									: 0;
	close(fd);
	return r;
}

/* Return: go on? */
static bool load_modules(void)
{
	char *list = slurp("/.hvvm/modules"), *line, *rest = NULL;
	struct utsname u;
	char path[200];

	uname(&u);
	snprintf(path, sizeof(path), "/lib/modules/%s", u.release);
	(void)!symlink("hvvm", path); /* for modprobe */
	for (line = list ? strtok_r(list, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		int r = load(line + 1);

		if (r == 0)
			continue;
		tell(*line == '+' ? "failed" : "said",
		     "module %s was refused: %s", line + 1, strerror(-r));
		if (*line == '+')
			return false;
	}
	free(list);
	return true;
}

/* ---- the command */

/* Links for all applets, where nothing of that name is. */
static void install_busybox(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/busybox", "busybox", "--install", "-s", "/bin",
		      (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			continue;
}

static void environment(void)
{
	char *path = slurp("/.hvvm/library-path");

	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin", 1);
	setenv("HOME", "/", 1);
	setenv("TERM", "dumb", 1);
	if (path && *path)
		setenv("LD_LIBRARY_PATH", path, 1);
	free(path);
}

static void __attribute__((noreturn)) child(const char *command, int to)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	dup2(to, STDOUT_FILENO);
	dup2(to, STDERR_FILENO);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	dprintf(STDERR_FILENO, "hvvm: /bin/sh: %s\n", strerror(errno));
	_exit(127);
}

/* What the pipe holds. Return: may there be more? */
static bool relay(int from)
{
	static char buf[RELAY];
	ssize_t n;

	errno = 0; /* at the end nobody sets it */
	n = read(from, buf, sizeof(buf));
	if (n > 0)
		write_all(out, buf, (size_t)n);
	return n > 0 || (n < 0 && errno == EINTR);
}

/* As process 1: everybody's orphans come here too. Return: has @pid ended? */
static bool reap(pid_t pid, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t p;

	while ((p = waitpid(-1, &status, WNOHANG)) > 0)
		if (p == pid) {
			*ret_status = status;
			ended = true;
		}
	return ended;
}

static void on_child(int sig)
{
	(void)sig; /* only ends a ppoll() */
}

static void follow(pid_t pid, int from, const sigset_t *waiting)
{
	struct pollfd p = { .fd = from, .events = POLLIN };
	int status = 0, left = 0;

	while (!reap(pid, &status)) {
		p.revents = 0;
		(void)ppoll(&p, 1, NULL, waiting);
		/* all its ends closed: only the process is waited for */
		if (p.revents && !relay(from) && errno != EAGAIN)
			p.fd = -1;
	}
	/* what is left; who still writes does not hold us up */
	(void)ioctl(from, FIONREAD, &left);
	for (; left > 0 && relay(from); left -= RELAY)
		continue;
	tcdrain(out);
	if (WIFSIGNALED(status))
		tell("exit", "%d", 128 + WTERMSIG(status));
	else
		tell("exit", "%d", WEXITSTATUS(status));
}

static void run(void)
{
	struct sigaction sa = { .sa_handler = on_child };
	char *command = slurp("/.hvvm/command");
	sigset_t set, before;
	int p[2];
	pid_t pid;

	/* not signalfd(): small kernels lack it */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &before);
	sigaction(SIGCHLD, &sa, NULL);
	if (!command || pipe2(p, O_CLOEXEC) < 0) {
		tell("failed", "the command: %s", strerror(errno));
		return;
	}
	pid = fork();
	if (pid == 0)
		child(command, p[1]);
	close(p[1]);
	if (pid < 0) {
		tell("failed", "no process: %s", strerror(errno));
		return;
	}
	(void)fcntl(p[0], F_SETFL, O_NONBLOCK);
	follow(pid, p[0], &before);
}

int main(void)
{
	make_system();
	leave_console();
	control = open_port("/dev/ttyS2", 66);
	out = open_port("/dev/ttyS1", 65);
	if (control < 0 || out < 0) {
		int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

		dprintf(fd,
			"hvvm: the serial ports ttyS1 and ttyS2 cannot be "
			"used: %s\n",
			strerror(errno));
		off();
	}
	tell("up", "1");
	loopback_up();
	environment();
	if (load_modules()) {
		install_busybox();
		run();
	}
	off();
}
