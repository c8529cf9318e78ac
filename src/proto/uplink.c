/* SPDX-License-Identifier: MIT */
/* uplink.c - see uplink.h */
#include "proto/uplink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "base/utf8.h"

#define GREETING "HVSOCKET/1"
#define GUID_LEN 36

/* What is left of a line, without its newline. */
struct words {
	const char *p;
	size_t len;
};

/* The next word is @text, and, unless it ends the line, a blank follows. */
static bool word_is(struct words *w, const char *text)
{
	size_t n = strlen(text);

	if (w->len < n || memcmp(w->p, text, n) != 0 ||
	    (w->len > n && w->p[n] != ' '))
		return false;
	n += w->len > n;
	w->p += n;
	w->len -= n;
	return true;
}

/* Cuts the next word off; a blank has to follow unless it is the last. */
static struct words next_word(struct words *w)
{
	const char *blank = memchr(w->p, ' ', w->len);
	struct words one = { w->p, blank ? (size_t)(blank - w->p) : w->len };
	size_t n = one.len + (blank != NULL);

	w->p += n;
	w->len -= n;
	return one;
}

static bool take_guid(struct words *w, GUID *ret)
{
	struct words one = next_word(w);

	return one.len == GUID_LEN && guid_parse_n(one.p, one.len, ret) == 0;
}

static bool take_number(struct words *w, uint32_t low, uint32_t high,
			uint32_t *ret)
{
	struct words one = next_word(w);
	uint32_t n = 0;

	if (!one.len || one.len > 6 || (one.len > 1 && one.p[0] == '0'))
		return false;
	for (size_t i = 0; i < one.len; i++) {
		if (one.p[i] < '0' || one.p[i] > '9')
			return false;
		n = n * 10 + (uint32_t)(one.p[i] - '0');
	}
	*ret = n;
	return n >= low && n <= high;
}

/* The line without its newline, or false. */
static bool whole_line(const char *line, size_t len, size_t most,
		       struct words *ret)
{
	if (!len || len > most || line[len - 1] != '\n')
		return false;
	*ret = (struct words){ line, len - 1 };
	/* no blank before the newline: a word would be missing */
	return !memchr(line, '\0', len) && (len < 2 || line[len - 2] != ' ');
}

static bool take_connect(struct words *w, struct uplink_request *r)
{
	r->verb = UPLINK_CONNECT;
	if (word_is(w, "stream"))
		r->type = SOCK_STREAM;
	else if (word_is(w, "raw"))
		r->type = SOCK_SEQPACKET;
	else
		return false;
	r->here = word_is(w, "-");
	return (r->here || take_guid(w, &r->vmid)) &&
	       take_guid(w, &r->service) && take_guid(w, &r->source) &&
	       take_number(w, 1, HVSOCKET_CONNECT_TIMEOUT_MAX,
			   &r->timeout_ms) &&
	       !w->len;
}

int uplink_request_parse(const char *line, size_t len,
			 struct uplink_request *ret)
{
	struct uplink_request r = { .verb = UPLINK_HELLO };
	struct words w;
	bool good;

	if (!whole_line(line, len, UPLINK_REQUEST_MAX, &w) ||
	    !word_is(&w, GREETING))
		return -EINVAL;
	if (word_is(&w, "HELLO")) {
		good = !w.len;
	} else if (word_is(&w, "DGRAM")) {
		r.verb = UPLINK_DGRAM;
		good = !w.len;
	} else {
		good = word_is(&w, "CONNECT") && take_connect(&w, &r);
	}
	if (!good)
		return -EINVAL;
	*ret = r;
	return 0;
}

size_t uplink_request_format(const struct uplink_request *r, char *ret)
{
	char to[GUID_TEXT_SIZE] = "-", service[GUID_TEXT_SIZE],
	     source[GUID_TEXT_SIZE];

	if (r->verb != UPLINK_CONNECT)
		return (size_t)snprintf(ret, UPLINK_REQUEST_MAX + 1,
					GREETING " %s\n",
					r->verb == UPLINK_HELLO ? "HELLO" :
								  "DGRAM");
	if (!r->here)
		guid_format(&r->vmid, to);
	return (size_t)snprintf(ret, UPLINK_REQUEST_MAX + 1,
				GREETING " CONNECT %s %s %s %s %u\n",
				r->type == SOCK_STREAM ? "stream" : "raw", to,
				guid_format(&r->service, service),
				guid_format(&r->source, source),
				r->timeout_ms);
}

/* The rest of the line, for people. */
static bool take_text(struct words *w, size_t most, char *ret)
{
	if (w->len > most || !utf8_printable(w->p, w->len))
		return false;
	memcpy(ret, w->p, w->len);
	ret[w->len] = '\0';
	return true;
}

int uplink_answer_parse(enum uplink_verb verb, const char *line, size_t len,
			struct uplink_answer *ret)
{
	struct uplink_answer a = { .reason = 0 };
	struct words w;
	bool good;

	if (!whole_line(line, len, UPLINK_ANSWER_MAX, &w))
		return -EINVAL;
	if (word_is(&w, "OK"))
		good = verb != UPLINK_HELLO ?
			       len == strlen("OK\n") :
			       take_guid(&w, &a.vmid) && w.len &&
				       take_text(&w, UPLINK_NAME_MAX, a.text);
	else
		good = word_is(&w, "NO") &&
		       take_number(&w, 1, HVS_REASON_BROKER_FAILED,
				   &a.reason) &&
		       take_text(&w, UPLINK_TEXT_MAX, a.text);
	if (!good)
		return -EINVAL;
	*ret = a;
	return 0;
}

size_t uplink_text_fitting(const char *text, size_t most)
{
	size_t n = strlen(text);

	if (!utf8_printable(text, n))
		return 0;
	if (n > most) {
		n = most;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	while (n && text[n - 1] == ' ')
		n--;
	return n;
}

size_t uplink_answer_format(enum uplink_verb verb,
			    const struct uplink_answer *a, char *ret)
{
	size_t most = UPLINK_ANSWER_MAX + 1;
	char g[GUID_TEXT_SIZE];
	int n;

	if (!a->reason && verb != UPLINK_HELLO)
		return (size_t)snprintf(ret, most, "OK\n");
	n = (int)uplink_text_fitting(a->text, a->reason ? UPLINK_TEXT_MAX :
							  UPLINK_NAME_MAX);
	if (!a->reason)
		return (size_t)snprintf(ret, most, "OK %s %.*s\n",
					guid_format(&a->vmid, g), n ? n : 1,
					n ? a->text : "?");
	return (size_t)snprintf(ret, most, "NO %u%s%.*s\n", a->reason,
				n ? " " : "", n, a->text);
}

/* ---- JOIN ----------------------------------------------------------------*/

int msg_join_decode(const uint8_t *p, size_t len, struct msg_join *ret)
{
	if (len != JOIN_SIZE)
		return -EINVAL;
	*ret = (struct msg_join){
		.token = le64_get(p + 8),
		.type = le16_get(p + 16),
		.flags = le16_get(p + 18),
		.uid = le32_get(p + 20),
		.from = guid_get(p + 24),
		.dest = guid_get(p + 40),
		.service = guid_get(p + 56),
		.source = guid_get(p + 72),
	};
	return 0;
}

void msg_put_join(struct msg_buf *b, const struct msg_join *m)
{
	msg_put_u64(b, m->token);
	msg_put_u16(b, m->type);
	msg_put_u16(b, m->flags);
	msg_put_u32(b, m->uid);
	msg_put_guid(b, &m->from);
	msg_put_guid(b, &m->dest);
	msg_put_guid(b, &m->service);
	msg_put_guid(b, &m->source);
}
