/* SPDX-License-Identifier: MIT */
/*
 * fcopy.c - a file is copied into the guest, part by part
 *
 *	u32 operation, 32 bytes unused, then
 *	start	520 bytes of name, 520 of directory, u32 flags, u64 size
 *	write	u32 0, u64 offset, u32 bytes, 6144 bytes
 *	complete, cancel: nothing
 *
 * The guest's daemon writes under the final name from the start, and removes
 * the file when it is told to cancel. So whatever ends a copy before its time,
 * the caller's end and silence included, is followed by a cancel.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define HEAD 36u
#define NAME_UNITS 260u
#define NAME_BYTES 258u /* of UTF-8: Linux's buffers */
#define START_BODY (HEAD + 4 * NAME_UNITS + 12)
#define WRITE_BODY (HEAD + 16 + FCOPY_FRAGMENT)
#define MS 1000000ull

enum { START, WRITE, COMPLETE, CANCEL };

static bool harmless(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static bool is_name(const char *s)
{
	return *s && strlen(s) <= NAME_BYTES && harmless(s) &&
	       !strpbrk(s, "/\\") && strcmp(s, ".") != 0 &&
	       strcmp(s, "..") != 0;
}

static bool is_directory(const char *s)
{
	size_t n;

	if (*s != '/' || strlen(s) > NAME_BYTES || !harmless(s))
		return false;
	for (; *s; s += n + (s[n] == '/')) {
		n = strcspn(s, "/");
		if (n == 2 && s[0] == '.' && s[1] == '.')
			return false;
	}
	return true;
}

static void on_cancelled(void *arg, const struct ic_answer *a)
{
	struct fcopy *f = arg;
	bool good = !a->error && a->status == IC_OK;

	/* A ring without room, or a daemon that stands still, for which Linux's
	 * driver refuses, after 5 s or at once: again, but not at once. One too
	 * many does no harm, as nothing is begun before it was answered, and
	 * daemons since Linux 5.6 forget the name with the file. */
	if (good || (a->error && a->error != -ETIMEDOUT))
		f->cancels = 0;
	else if (f->cancels && --f->cancels) {
		f->again = true;
		f->idle_at = f->ic->now + (a->error ? 0 : FCOPY_IDLE_MS * MS);
	}
}

static void try_cancel(struct fcopy *f)
{
	uint8_t body[HEAD] = { CANCEL };

	if (ic_ask(f->ic, body, sizeof(body), FCOPY_IDLE_MS, on_cancelled, f) <
	    0)
		f->cancels = 0;
}

static void cancel(struct fcopy *f)
{
	f->open = false;
	f->cancels = FCOPY_CANCELS;
	try_cancel(f);
}

static void on_answer(void *arg, const struct ic_answer *a)
{
	struct fcopy *f = arg;
	ic_done_fn done = f->done;
	bool good = !a->error && a->status == IC_OK;

	f->done = NULL;
	f->idle_at = f->ic->now + FCOPY_IDLE_MS * MS;
	if (f->op == COMPLETE && good)
		f->open = false;
	/* (one that was not begun has left nothing; but for one whose answer
	 * is late nobody knows. The driver's refusal of a start that it has
	 * waited for cannot be told from the daemon's, and to cancel that could
	 * remove what was there before, with daemons before Linux 5.6) */
	if (f->open && (a->error || (good ? f->ended : f->op != START)))
		cancel(f);
	else if (!good)
		f->open = false;
	if (good)
		f->offset += f->len;
	if (done)
		done(f->arg, a);
}

static int ask(struct fcopy *f, unsigned int op, const uint8_t *body,
	       size_t len, uint32_t ms, ic_done_fn done, void *arg)
{
	int r = ic_ask(f->ic, body, len, ms, on_answer, f);

	if (r < 0)
		return r;
	f->op = op;
	f->done = done;
	f->arg = arg;
	return 0;
}

int fcopy_start(struct fcopy *f, const struct fcopy_file *file,
		uint64_t session, uint32_t timeout_ms, ic_done_fn done,
		void *arg)
{
	uint8_t body[START_BODY] = { START }, *p = body + HEAD;
	char directory[NAME_BYTES + 1];
	size_t n = strlen(file->directory);
	int r;

	if (fcopy_busy(f))
		return -EBUSY;
	if (!is_name(file->name) || !is_directory(file->directory))
		return -EINVAL;
	/* the daemon makes what has a slash behind it */
	if (file->directory[n - 1] == '/')
		n--;
	if (n + 1 > NAME_BYTES)
		return -EINVAL;
	memcpy(directory, file->directory, n);
	memcpy(directory + n, "/", 2);
	r = utf16_put(p, NAME_UNITS, file->name);
	if (r == 0)
		r = utf16_put(p + 2 * NAME_UNITS, NAME_UNITS, directory);
	if (r < 0)
		return -EINVAL;
	p += 4 * NAME_UNITS;
	le32_put(p, (file->overwrite ? 1u : 0u) | (file->create ? 2u : 0u));
	le64_put(p + 4, file->size);
	r = ask(f, START, body, sizeof(body), timeout_ms, done, arg);
	if (r < 0)
		return r;
	f->open = true;
	f->ended = false;
	f->session = session;
	f->size = file->size;
	f->offset = f->len = 0;
	return 0;
}

/* Return: 0; -ENOENT (no copy is open, of this session), -EALREADY (one part
 * is out) */
static int check(const struct fcopy *f, uint64_t session)
{
	if (!f->open || f->ended || f->session != session)
		return -ENOENT;
	return f->done ? -EALREADY : 0;
}

int fcopy_write(struct fcopy *f, uint64_t session, const void *data, size_t len,
		uint32_t timeout_ms, ic_done_fn done, void *arg)
{
	uint8_t body[WRITE_BODY] = { WRITE }, *p = body + HEAD + 4;
	int r = check(f, session);

	if (r < 0)
		return r;
	if (!len || len > FCOPY_FRAGMENT || len > f->size - f->offset)
		return -EMSGSIZE;
	le64_put(p, f->offset);
	le32_put(p + 8, (uint32_t)len);
	memcpy(p + 12, data, len);
	r = ask(f, WRITE, body, sizeof(body), timeout_ms, done, arg);
	if (r == 0)
		f->len = len;
	return r;
}

int fcopy_end(struct fcopy *f, uint64_t session, uint32_t timeout_ms,
	      ic_done_fn done, void *arg)
{
	uint8_t body[HEAD] = { COMPLETE };
	int r = check(f, session);

	if (r < 0)
		return r;
	if (f->offset != f->size)
		return -EMSGSIZE;
	f->len = 0;
	return ask(f, COMPLETE, body, sizeof(body), timeout_ms, done, arg);
}

int fcopy_cancel(struct fcopy *f, uint64_t session)
{
	int r = check(f, session);

	if (r == 0)
		cancel(f);
	return r;
}

void fcopy_leave(struct fcopy *f, uint64_t session)
{
	if (!f->open || (session && f->session != session))
		return;
	f->ended = true; /* a part that is out is waited for */
	if (!f->done)
		cancel(f);
}

bool fcopy_busy(const struct fcopy *f)
{
	return f->open || f->cancels;
}

void fcopy_closed(struct fcopy *f)
{
	f->open = f->again = false;
	f->cancels = 0;
	f->done = NULL;
}

void fcopy_time(struct fcopy *f, uint64_t now)
{
	if (f->again && now >= f->idle_at) {
		f->again = false;
		try_cancel(f);
	}
	if (f->open && !f->done && now >= f->idle_at)
		cancel(f);
}

uint64_t fcopy_deadline(const struct fcopy *f)
{
	return f->again || (f->open && !f->done) ? f->idle_at : 0;
}
