/* SPDX-License-Identifier: MIT */
/* session.c - see session.h */
#include "hvctl/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "base/unix.h"
#include "hvctl/out.h"
#include "hvctl/uuid5.h"

void words_add(struct words *w, const char *fmt, ...)
{
	char **more = realloc(w->v, (w->n + 2) * sizeof(*more));
	va_list ap;
	int r;

	if (!more) {
		w->failed = true;
		return;
	}
	w->v = more;
	va_start(ap, fmt);
	r = vasprintf(&w->v[w->n], fmt, ap);
	va_end(ap);
	if (r < 0) {
		w->v[w->n] = NULL;
		w->failed = true;
		return;
	}
	w->v[++w->n] = NULL;
}

void words_free(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words){ 0 };
}

char *shell_quote(const char *word)
{
	size_t n = 3;
	char *out, *p;

	for (const char *s = word; *s; s++)
		n += *s == '\'' ? 4 : 1;
	out = p = malloc(n);
	if (!out)
		return NULL;
	*p++ = '\'';
	for (; *word; word++) {
		if (*word == '\'') {
			memcpy(p, "'\\''", 4);
			p += 4;
		} else {
			*p++ = *word;
		}
	}
	*p++ = '\'';
	*p = '\0';
	return out;
}

/* In a ProxyCommand: a shell's word in which ssh finds no %h. */
static char *proxy_quote(const char *word)
{
	cleanup_free_ char *quoted = shell_quote(word);
	char *out = quoted ? malloc(strlen(quoted) * 2 + 1) : NULL;
	char *p = out;

	if (!out)
		return NULL;
	for (const char *s = quoted; *s; s++) {
		if (*s == '%')
			*p++ = '%';
		*p++ = *s;
	}
	*p = '\0';
	return out;
}

int session_proxy(const char *vmid, const char *service, const char *timeout,
		  char *ret, size_t size)
{
	cleanup_free_ char *self = NULL;
	cleanup_free_ char *to = NULL;
	cleanup_free_ char *address = NULL;
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return -errno;
	exe[n] = '\0';
	if (asprintf(&address, "%s:%s", vmid, service) < 0) {
		address = NULL;
		return -ENOMEM;
	}
	self = proxy_quote(exe);
	to = proxy_quote(address);
	if (!self || !to)
		return -ENOMEM;
	n = snprintf(ret, size, "%s nc --fdpass --timeout %s %s", self,
		     timeout, to);
	return n < (ssize_t)size ? 0 : -ENAMETOOLONG;
}

/* A directory that is ours alone. */
static int private_directory(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

int session_directory(char *ret, size_t size)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	int n;

	if (!base || base[0] != '/')
		return -ENOENT;
	n = snprintf(ret, size, "%s/hvsocket", base);
	if (n >= (int)size)
		return -ENAMETOOLONG;
	return private_directory(ret);
}

/* Two that differ in anything that ssh is told must not share one. */
static void choose_control(struct session *s, const char *runtime)
{
	const GUID ns = guid_from_port(22);
	cleanup_free_ char *all = NULL;
	char dir[sizeof(s->control)];
	char id[GUID_TEXT_SIZE];
	size_t len = 0;
	FILE *f;
	GUID g;

	/* ssh makes it under a name that is 17 bytes longer at first */
	if (session_directory(dir, sizeof(dir)) < 0 ||
	    strlen(dir) + strlen("/ssh-") + GUID_TEXT_SIZE + 17 >
		    sizeof(s->control))
		return;
	f = open_memstream(&all, &len);
	if (!f)
		return;
	fprintf(f, "%s\n%s\n%s", s->proxy, runtime, s->user ? s->user : "");
	for (size_t i = 0; i < s->args->nopt; i++)
		if (!strcmp(s->args->opt[i]->name, "identity") ||
		    !strcmp(s->args->opt[i]->name, "ssh-option"))
			fprintf(f, "\n%s", s->args->value[i]);
	if (fclose(f))
		return;
	uuid5(&ns, (const uint8_t *)all, len, &g);
	snprintf(s->control, sizeof(s->control), "%s/ssh-%s", dir,
		 guid_format(&g, id));
}

/* Who it is: the broker knows names. */
static int find_vm(struct session *s, const char *service)
{
	cleanup_free_ char *address = NULL;
	SOCKADDR_HV sa;

	if (asprintf(&address, "%s:%s", s->vm, service) < 0) {
		address = NULL;
		complain("%s: %s", s->c->verb, strerror(ENOMEM));
		return SESSION_FAILED;
	}
	if (hvs_address_parse(address, &sa) < 0) {
		say_failed(s->c, s->vm, -1, errno);
		return SESSION_FAILED;
	}
	guid_format(&sa.VmId, s->vmid);
	return 0;
}

static int open_session(struct session *s, const char *target)
{
	const char *service = args_value(s->args, "service");
	const char *timeout = args_value(s->args, "timeout");
	const char *login = args_value(s->args, "login");
	const char *at = strrchr(target, '@');
	char runtime[CALL_DIR_SIZE] = "";
	uint32_t ms;
	int r;

	if (timeout && (text_seconds(timeout, &ms) ||
			ms > HVSOCKET_CONNECT_TIMEOUT_MAX)) {
		usage("%s: --timeout %s: not a number of seconds up to 300",
		      s->c->verb, show(timeout));
		return 2;
	}
	s->vm = strdup(at ? at + 1 : target);
	if (login || at)
		s->user = login ? strdup(login) :
				  strndup(target, (size_t)(at - target));
	if (!s->vm || ((login || at) && !s->user)) {
		complain("%s: %s", s->c->verb, strerror(ENOMEM));
		return SESSION_FAILED;
	}
	if (!*s->vm || (s->user && (!*s->user || *s->user == '-'))) {
		usage("%s: %s: not [USER@]VM", s->c->verb, show(target));
		return 2;
	}
	if (!service)
		service = SESSION_SERVICE;
	r = find_vm(s, service);
	if (r)
		return r;
	r = session_proxy(s->vmid, service, timeout ? timeout : "10", s->proxy,
			  sizeof(s->proxy));
	if (r) {
		complain("%s: %s", s->c->verb, strerror(-r));
		return SESSION_FAILED;
	}
	(void)runtime_dir(CALL_SELF, runtime, sizeof(runtime));
	choose_control(s, runtime);
	return 0;
}

int session_open(struct ctl *c, const struct args *a, const char *target,
		 struct session *ret)
{
	int r;

	*ret = (struct session){ .c = c, .args = a };
	r = open_session(ret, target);
	if (r)
		session_fini(ret);
	return r;
}

void session_fini(struct session *s)
{
	free(s->user);
	free(s->vm);
	*s = (struct session){ 0 };
}

void session_words(const struct session *s, struct words *w, bool kept)
{
	words_add(w, "ssh");
	words_add(w, "-oProxyCommand=%s", s->proxy);
	words_add(w, "-oProxyUseFdpass=yes");
	words_add(w, "-oHostKeyAlias=hv-%s", s->vmid);
	words_add(w, "-oCheckHostIP=no");
	if (kept && *s->control)
		words_add(w, "-S%s", s->control);
	for (size_t i = 0; i < s->args->nopt; i++) {
		const char *name = s->args->opt[i]->name;

		if (!strcmp(name, "identity"))
			words_add(w, "-i%s", s->args->value[i]);
		else if (!strcmp(name, "ssh-option"))
			words_add(w, "-o%s", s->args->value[i]);
	}
	if (s->user)
		words_add(w, "-l%s", s->user);
}

/* What ssh calls it in its messages, and a Host line may match. */
void session_host(const struct session *s, struct words *w)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	words_add(w, "--");
	words_add(w, "hv/%s", s->vm[strspn(s->vm, plain)] ? s->vmid : s->vm);
}

static void child_signals(const sigset_t *blocked)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, blocked ? blocked : &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
}

static int run_words(const struct words *w)
{
	execvp(w->v[0], w->v);
	complain("%s: %s%s", w->v[0], strerror(errno),
		 errno == ENOENT ? " (Debian: openssh-client)" : "");
	return SESSION_FAILED;
}

int session_become(const struct session *s, struct words *w)
{
	if (w->failed) {
		complain("%s: %s", s->c->verb, strerror(ENOMEM));
		return SESSION_FAILED;
	}
	child_signals(NULL);
	return run_words(w);
}

pid_t session_spawn(const struct words *w, int in, int out,
		    const sigset_t *blocked)
{
	pid_t self = getpid();
	pid_t pid;

	if (w->failed)
		return -ENOMEM;
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, blocked ? SIGKILL : SIGTERM);
	if (getppid() != self)
		_exit(SESSION_FAILED);
	if ((in >= 0 && dup2(in, STDIN_FILENO) < 0) ||
	    (out >= 0 && dup2(out, STDOUT_FILENO) < 0))
		_exit(SESSION_FAILED);
	child_signals(blocked);
	_exit(run_words(w));
}

int session_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return SESSION_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

/* All that comes; what there is no room for is read and forgotten. */
static void read_out(int fd, char *out, size_t size)
{
	char more[512];
	size_t n = 0;

	for (;;) {
		bool room = n < size - 1;
		ssize_t k = read(fd, room ? out + n : more,
				 room ? size - 1 - n : sizeof(more));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		if (room)
			n += (size_t)k;
	}
	out[n] = '\0';
}

int session_run(const struct session *s, struct words *w, char *ret_out,
		size_t size)
{
	cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup_close_ int from = -1;
	cleanup_close_ int to = -1;
	int p[2];
	pid_t pid;

	if (ret_out && pipe2(p, O_CLOEXEC) == 0) {
		from = p[0];
		to = p[1];
	}
	if (null < 0 || (ret_out && to < 0))
		pid = -errno;
	else
		pid = session_spawn(w, null, to, NULL);
	if (pid < 0) {
		complain("%s: %s", s->c->verb, strerror(-pid));
		return SESSION_FAILED;
	}
	if (ret_out) {
		close(fd_take(&to));
		read_out(from, ret_out, size);
	}
	return session_wait(pid);
}

static int start_kept(struct session *s)
{
	cleanup_words_ struct words w = { 0 };

	if (unix_alive(s->control) == 1)
		return 0;
	session_words(s, &w, true);
	/* Authenticates here, at our terminal, then goes on behind it. */
	words_add(&w, "-fNM");
	words_add(&w, "-oControlPersist=%d", SESSION_PERSIST_S);
	session_host(s, &w);
	return session_run(s, &w, NULL, 0);
}

int session_keep(struct session *s)
{
	const char *name;
	int lock, r;

	if (!*s->control || unix_alive(s->control) == 1)
		return 0;
	/* of two that begin, one would be left behind, and not by that name */
	name = strrchr(s->control, '/') + 1;
	lock = session_lock(name, true);
	r = start_kept(s);
	session_unlock(lock, name);
	return r;
}
