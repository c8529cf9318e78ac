/* SPDX-License-Identifier: MIT */
/* control-fcopy.c - the verbs of file copy: start, write, end, cancel */
#include <errno.h>
#include <string.h>

#include "base/b64.h"
#include "transport/vmbus/integration-internal.h"

static struct fcopy *fcopy(const struct ask *a)
{
	return &a->i->set.fcopy;
}

/* @r of fcopy_start() and so on */
static void begun(struct ask *a, int r)
{
	switch (r) {
	case -EBUSY:
		ask_failed(a, EBUSY, HVS_REASON_EXISTS,
			   "another file is being copied to this guest");
		break;
	case -EALREADY:
		ask_failed(a, EALREADY, HVS_REASON_EXISTS,
			   "the guest has not taken the last part yet");
		break;
	case -ENOENT:
		ask_failed(a, ENOENT, HVS_REASON_NOT_FOUND,
			   "no file is being copied by this caller (any more)");
		break;
	case -EINVAL:
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "a name without / and control characters, and a directory from / on without .., are needed, of at most 258 bytes");
		break;
	case -EMSGSIZE:
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "that is not the size that was told at the start");
		break;
	default:
		(void)ask_begun(a, r);
	}
}

static void on_begun(void *arg, const struct ic_answer *answer)
{
	struct ask *a = arg;

	/* Linux has no other word for it */
	if (!answer->error && answer->status == IC_FAIL)
		ask_failed(a, EREMOTEIO, 0,
			   "the guest refuses: hv_fcopy_daemon does not run there, or cannot make the file");
	else if (ask_good(a, answer))
		ask_done(a, json_pack("{s:i}", "fragment", FCOPY_FRAGMENT));
}

void fcopy_verb_start(struct ask *a)
{
	struct fcopy_file file = { 0 };
	int overwrite = 0, create = 0;
	json_int_t size;

	if (!ask_unpack(a, "{s:s, s:s, s:I, s?b, s?b}", "name", &file.name,
			"directory", &file.directory, "size", &size,
			"overwrite", &overwrite, "create", &create))
		return;
	if (size < 0) {
		begun(a, -EMSGSIZE);
		return;
	}
	file.size = (uint64_t)size;
	file.overwrite = overwrite;
	file.create = create;
	begun(a, fcopy_start(fcopy(a), &file, a->session, a->timeout_ms,
			     on_begun, a));
}

static void on_written(void *arg, const struct ic_answer *answer)
{
	struct ask *a = arg;

	if (ask_good(a, answer))
		ask_done(a, json_pack("{s:I}", "offset",
				      (json_int_t)fcopy(a)->offset));
}

void fcopy_verb_write(struct ask *a)
{
	uint8_t data[FCOPY_FRAGMENT];
	const char *text;
	size_t n, len;

	if (!ask_unpack(a, "{s:s%}", "data", &text, &n))
		return;
	len = n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
	if (n % 4 == 1 || len > sizeof(data) ||
	    b64_decode(text, n, data, len) < 0) {
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "data: base64url of at most %u bytes",
			   FCOPY_FRAGMENT);
		return;
	}
	begun(a, fcopy_write(fcopy(a), a->session, data, len, a->timeout_ms,
			     on_written, a));
}

void fcopy_verb_end(struct ask *a)
{
	if (ask_unpack(a, "{}"))
		begun(a, fcopy_end(fcopy(a), a->session, a->timeout_ms,
				   ask_empty, a));
}

void fcopy_verb_cancel(struct ask *a)
{
	int r;

	if (!ask_unpack(a, "{}"))
		return;
	r = fcopy_cancel(fcopy(a), a->session);
	if (r < 0)
		begun(a, r);
	else
		ask_done(a, json_object());
}
