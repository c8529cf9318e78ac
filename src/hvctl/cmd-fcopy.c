/* SPDX-License-Identifier: MIT */
/*
 * cmd-fcopy.c - hvctl fcopy: a file into a guest that has neither network nor
 * sshd, by Hyper-V's own service for it
 *
 * One part at a time, each answered by the guest's daemon. The copy is held by
 * the connection to the broker: when hvctl ends before it is complete, the
 * guest removes the file. A guest that was reset meanwhile does not: its daemon
 * writes under the final name from the start, has no rename, and the next one
 * knows nothing. Nothing the host could send then would be safe, as others may
 * have put a file there since.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/b64.h"
#include "base/cleanup.h"
#include "hvctl/guests.h"

#define FRAGMENT_MAX 6144u

/* One request; @q is taken. Return: 0, or 1: that was said */
static int ask(struct ctl *c, const struct args *a, json_t *q, json_t **ret)
{
	if (q)
		json_object_set_new(q, "partition", json_string(a->pos[0]));
	return call_or_say(c, q, a->pos[0], ret);
}

static int begin(struct ctl *c, const struct args *a, uint64_t size)
{
	cleanup_free_ char *directory = strdup(a->pos[2]);
	cleanup_json_ json_t *reply = NULL;
	json_t *q = guests_request(a, "copy.start");
	char *slash = directory ? strrchr(directory, '/') : NULL;
	const char *name, *base;

	if (!q)
		return 2;
	if (!slash) {
		json_decref(q);
		return usage("fcopy: %s: a path from / on", show(a->pos[2]));
	}
	base = strrchr(a->pos[1], '/');
	base = base ? base + 1 : a->pos[1];
	name = slash[1] ? a->pos[2] + (slash + 1 - directory) : base;
	slash[slash == directory] = '\0';
	if (json_object_set_new(q, "name", json_string(name)) < 0 ||
	    json_object_set_new(q, "directory", json_string(directory)) < 0) {
		json_decref(q);
		return usage("fcopy: %s is not UTF-8", show(a->pos[2]));
	}
	json_object_set_new(q, "size", json_integer((json_int_t)size));
	json_object_set_new(q, "overwrite",
			    json_boolean(args_has(a, "overwrite")));
	json_object_set_new(q, "create", json_boolean(args_has(a, "mkdir")));
	json_object_set_new(q, "lease", json_true());
	return ask(c, a, q, &reply);
}

static int part(struct ctl *c, const struct args *a, const uint8_t *data,
		size_t len)
{
	cleanup_json_ json_t *reply = NULL;
	json_t *q = guests_request(a, "copy.write");
	char text[B64_SIZE(FRAGMENT_MAX)];

	(void)b64_encode(data, len, text);
	if (q)
		json_object_set_new(q, "data", json_string(text));
	return ask(c, a, q, &reply);
}

/* As many as there are up to @max. Return: bytes or -errno */
static ssize_t fill(int fd, uint8_t *data, size_t max)
{
	size_t n = 0;

	while (n < max) {
		ssize_t k = read(fd, data + n, max - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	return (ssize_t)n;
}

int cmd_fcopy(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *reply = NULL;
	cleanup_close_ int fd = open(a->pos[1], O_RDONLY | O_CLOEXEC);
	uint8_t data[FRAGMENT_MAX];
	uint64_t left;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return complain("fcopy: %s: %s", show(a->pos[1]),
				strerror(errno));
	if (!S_ISREG(st.st_mode))
		return complain("fcopy: %s is not a regular file",
				show(a->pos[1]));
	r = begin(c, a, (uint64_t)st.st_size);
	if (r)
		return r;
	for (left = (uint64_t)st.st_size; !r && left;) {
		size_t want = left < sizeof(data) ? (size_t)left : sizeof(data);
		ssize_t n = fill(fd, data, want);

		if (n != (ssize_t)want)
			return complain("fcopy: %s: %s", show(a->pos[1]),
					n < 0 ? strerror((int)-n) :
						"it has become shorter");
		r = part(c, a, data, want);
		left -= want;
	}
	if (!r)
		r = ask(c, a, guests_request(a, "copy.end"), &reply);
	if (r)
		(void)complain("fcopy: %s: the guest removes what it has of "
			       "it, unless it was reset: then a part is there",
			       show(a->pos[2]));
	return r;
}
