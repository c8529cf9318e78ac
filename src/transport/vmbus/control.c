/* SPDX-License-Identifier: MIT */
/*
 * control.c - CONTROL: a table of verbs, their arguments, and their answers
 * (docs/protocol.md, 11)
 *
 * Who asked may have gone when the guest answers: then the broker drops the
 * answer. What the guest says is text of no value until it has been checked;
 * JSON carries it escaped.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "transport/vmbus/integration-internal.h"

#define TIMEOUT_MS 10000u
#define TIMEOUT_MAX_MS 300000u

/* ---- answers */

static void ask_free(struct ask *a)
{
	json_decref(a->args);
	json_decref(a->found);
	free(a);
}

static void reply(struct ask *a, uint32_t error, uint32_t reason,
		  const char *text)
{
	struct host *h = a->i->vm->host;

	if (h && h->ops->control_reply)
		h->ops->control_reply(h, a->serial, error, reason, text);
	ask_free(a);
}

void ask_done(struct ask *a, json_t *result)
{
	cleanup_free_ char *text = NULL;

	if (result)
		text = json_dumps(result, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(result);
	if (text && strlen(text) < MSG_MAX / 2)
		reply(a, 0, 0, text);
	else
		reply(a, text ? EMSGSIZE : ENOMEM, HVS_REASON_BROKER_FAILED,
		      text ? "the answer is too long" : "no memory");
}

void ask_failed(struct ask *a, uint32_t error, uint32_t reason,
		const char *format, ...)
{
	char text[MSG_TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	reply(a, error, reason, text);
}

bool ask_unpack(struct ask *a, const char *format, ...)
{
	json_error_t error;
	va_list ap;
	int r;

	va_start(ap, format);
	r = json_vunpack_ex(a->args, &error, JSON_STRICT, format, ap);
	va_end(ap);
	if (r == 0)
		return true;
	ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST, "arguments: %s",
		   error.text);
	return false;
}

/* Why it cannot be asked. */
static void unavailable(struct ask *a)
{
	const struct ic_class *class = &ic_classes[a->kind];
	const struct ic *ic = &a->i->set.ic[a->kind];
	char text[200];
	uint32_t reason = ic->state == IC_CLOSED	? HVS_REASON_NO_LISTENER
			  : ic->state == IC_NEGOTIATING ? HVS_REASON_NO_ANSWER
							: HVS_REASON_TYPE;

	if (!a->i->channels[a->kind])
		ask_failed(a, EINVAL, HVS_REASON_DISABLED,
			   "%s is disabled for this VM", class->name);
	else if (!vmbh_ready(a->i->vm->bus))
		ask_failed(a, EHOSTDOWN, HVS_REASON_PARTITION_OFF,
			   "%s: the guest has no VMBus driver, or does not run",
			   class->name);
	else
		ask_failed(a, (uint32_t)reason_errno(reason), reason, "%s: %s",
			   class->name, ic_state_text(ic, text, sizeof(text)));
}

bool ask_begun(struct ask *a, int r)
{
	if (r == 0)
		return true;
	if (r == -ENOTCONN)
		unavailable(a);
	else if (r == -ENOBUFS)
		ask_failed(a, ENOBUFS, HVS_REASON_QUOTA,
			   "too much is being asked of this guest's %s",
			   ic_classes[a->kind].name);
	else
		ask_failed(a, (uint32_t)-r, 0, "%s: %s",
			   ic_classes[a->kind].name, strerror(-r));
	return false;
}

static const char *status_text(uint32_t status)
{
	switch (status) {
	case IC_FAIL:
		return "it failed there";
	case IC_NOT_SUPPORTED:
		return "not supported there";
	case IC_NO_MORE:
	case IC_NOT_FOUND:
		return "there is no such thing there";
	case IC_INVALID:
		return "not valid there";
	case IC_EXISTS:
		return "it exists there already";
	case IC_DISK_FULL:
		return "no space is left there";
	default:
		return "no reason is known";
	}
}

bool ask_good(struct ask *a, const struct ic_answer *answer)
{
	const char *name = ic_classes[a->kind].name;

	switch (answer->error) {
	case 0:
		if (answer->status == IC_OK)
			return true;
		ask_failed(a, EREMOTEIO, 0,
			   "the guest refuses %s: %s (0x%08x)", name,
			   status_text(answer->status), answer->status);
		return false;
	case -ETIMEDOUT:
		ask_failed(a, ETIMEDOUT, HVS_REASON_NO_ANSWER,
			   "the guest's %s has not answered in time", name);
		return false;
	case -EPROTO:
		ask_failed(a, EPROTO, 0,
			   "the guest's answer to %s is malformed", name);
		return false;
	default:
		ask_failed(a, ECONNRESET, HVS_REASON_GUEST_RESET,
			   "the guest's %s has gone before it answered", name);
		return false;
	}
}

uint32_t ask_left(const struct ask *a)
{
	uint64_t now = a->i->set.now;

	return a->due > now ? (uint32_t)((a->due - now) / 1000000) + 1 : 1;
}

/* ---- verbs */

static const char *state_word(const struct integration *i, enum ic_kind k)
{
	static const char *const words[] = {
		[IC_CLOSED] = "no driver",
		[IC_NEGOTIATING] = "no answer",
		[IC_REFUSED] = "version refused",
		[IC_READY] = "ok",
	};

	if (!i->channels[k])
		return "disabled";
	if (!vmbh_ready(i->vm->bus))
		return "no VMBus";
	return words[i->set.ic[k].state];
}

static json_t *version_json(uint32_t v)
{
	char text[16];

	snprintf(text, sizeof(text), "%u.%u", v >> 16, v & 0xffff);
	return json_string(text);
}

static json_t *service_json(const struct integration *i, enum ic_kind k)
{
	const struct ic *ic = &i->set.ic[k];
	char text[200];
	json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "name",
			      ic_classes[k].name, "title", ic_classes[k].title,
			      "enabled", i->channels[k] != NULL, "state",
			      state_word(i, k));

	if (i->channels[k] && vmbh_ready(i->vm->bus) &&
	    ic_state_text(ic, text, sizeof(text)))
		json_object_set_new(o, "why", json_string(text));
	if (i->channels[k] && ic->state == IC_READY)
		json_object_set_new(o, "version", version_json(ic->version));
	if (k == IC_VSS)
		json_object_set_new(o, "file_systems",
				    json_string(vss_word(i)));
	json_object_set_new(o, "dropped",
			    json_integer((json_int_t)(ic->stale +
						      ic->malformed)));
	return o;
}

static void verb_list(struct ask *a)
{
	json_t *all;

	if (!ask_unpack(a, "{}"))
		return;
	all = json_array();
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		json_array_append_new(all, service_json(a->i, k));
	ask_done(a, json_pack("{s:o}", "services", all));
}

/* What was begun with a service could not be ended without it. */
static const char *in_use(const struct integration *i, enum ic_kind k)
{
	const struct vss *v = &i->set.vss;

	if (k == IC_VSS && i->channels[k] &&
	    (v->state == VSS_FROZEN || (v->state != VSS_THAWED &&
					i->set.ic[k].state == IC_READY)))
		return "the guest is frozen: thaw it first";
	if (k == IC_FCOPY && fcopy_busy(&i->set.fcopy))
		return "a file is being copied to the guest";
	return NULL;
}

static void set_enabled(struct ask *a, bool enabled)
{
	struct integration *i = a->i;
	unsigned int services = integration_services(i);
	const char *name;
	enum ic_kind k;

	if (!ask_unpack(a, "{s:s}", "service", &name))
		return;
	k = ic_kind_of(name);
	if (k == IC_KINDS) {
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "service: heartbeat, shutdown, timesync, kvp, vss or fcopy");
		return;
	}
	if (!enabled && in_use(i, k)) {
		ask_failed(a, EBUSY, HVS_REASON_EXISTS, "%s: %s",
			   ic_classes[k].name, in_use(i, k));
		return;
	}
	integration_offer(i, enabled ? services | 1u << k
				     : services & ~(1u << k));
	ask_done(a, service_json(i, k));
}

static void verb_enable(struct ask *a)
{
	set_enabled(a, true);
}

static void verb_disable(struct ask *a)
{
	set_enabled(a, false);
}

static void verb_heartbeat(struct ask *a)
{
	const struct heartbeat *h = &a->i->set.heartbeat;
	uint64_t age;
	json_t *o;

	if (!ask_unpack(a, "{}"))
		return;
	if (a->i->set.ic[IC_HEARTBEAT].state != IC_READY) {
		unavailable(a);
		return;
	}
	o = json_pack("{s:s, s:s, s:i, s:I}", "heartbeat", heartbeat_word(h),
		      "application", heartbeat_application_word(h), "missed",
		      (int)h->missed, "answers", (json_int_t)h->good);
	age = (a->i->set.now - h->answered) / 1000000;
	if (h->answered)
		json_object_set_new(o, "age_ms",
				    json_integer((json_int_t)age));
	ask_done(a, o);
}

void ask_empty(void *arg, const struct ic_answer *answer)
{
	struct ask *a = arg;

	if (ask_good(a, answer))
		ask_done(a, json_object());
}

static void verb_shutdown(struct ask *a)
{
	const char *mode = "off", *text = "";
	json_int_t seconds = 0;
	int force = 0;
	uint8_t body[SHUTDOWN_BODY];
	uint32_t flags;
	int r;

	if (!ask_unpack(a, "{s?s, s?b, s?s, s?I}", "mode", &mode, "force",
			&force, "text", &text, "seconds", &seconds))
		return;
	flags = !strcmp(mode, "reboot")	     ? SHUTDOWN_REBOOT
		: !strcmp(mode, "hibernate") ? SHUTDOWN_HIBERNATE
					     : 0;
	if ((!flags && strcmp(mode, "off") != 0) || seconds < 0 ||
	    seconds > UINT32_MAX) {
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "mode: off, reboot or hibernate; seconds: 0 or more");
		return;
	}
	r = shutdown_put(body, flags | (force ? SHUTDOWN_FORCE : 0),
			 (uint32_t)seconds, text);
	if (r < 0) {
		ask_failed(a, (uint32_t)-r, HVS_REASON_BAD_REQUEST,
			   "text: at most 1,023 characters of UTF-8");
		return;
	}
	(void)ask_begun(a, ic_ask(&a->i->set.ic[IC_SHUTDOWN], body,
				  sizeof(body), a->timeout_ms, ask_empty,
				  a));
}

static void verb_time(struct ask *a)
{
	struct ic *ic = &a->i->set.ic[IC_TIMESYNC];
	uint8_t body[TIMESYNC_BODY];
	struct timesync_clock c;
	int len;

	if (!ask_unpack(a, "{}"))
		return;
	c = a->i->set.ops->clock(a->i->set.ctx);
	len = timesync_put(body, ic->version, &c, TIMESYNC_SYNC);
	if (len < 0) {
		ask_failed(a, EAGAIN, 0,
			   "the host has slept, and the VMM has not told yet what the guest's clock says since");
		return;
	}
	(void)ask_begun(a, ic_ask(ic, body, (size_t)len, a->timeout_ms,
				  ask_empty, a));
}

static const struct {
	const char *name;
	enum ic_kind kind; /* IC_KINDS: of none */
	void (*fn)(struct ask *a);
} verbs[] = {
	{ "list", IC_KINDS, verb_list },
	{ "enable", IC_KINDS, verb_enable },
	{ "disable", IC_KINDS, verb_disable },
	{ "heartbeat", IC_HEARTBEAT, verb_heartbeat },
	{ "shutdown", IC_SHUTDOWN, verb_shutdown },
	{ "time", IC_TIMESYNC, verb_time },
	{ "freeze", IC_VSS, vss_verb_freeze },
	{ "thaw", IC_VSS, vss_verb_thaw },
	{ "copy.start", IC_FCOPY, fcopy_verb_start },
	{ "copy.write", IC_FCOPY, fcopy_verb_write },
	{ "copy.end", IC_FCOPY, fcopy_verb_end },
	{ "copy.cancel", IC_FCOPY, fcopy_verb_cancel },
	{ "kvp.get", IC_KVP, kvp_verb_get },
	{ "kvp.set", IC_KVP, kvp_verb_set },
	{ "kvp.delete", IC_KVP, kvp_verb_delete },
	{ "kvp.list", IC_KVP, kvp_verb_list },
	{ "kvp.ip", IC_KVP, kvp_verb_ip },
	{ "kvp.set-ip", IC_KVP, kvp_verb_set_ip },
};

/* ---- */

static void run(struct ask *a)
{
	json_t *verb = json_object_get(a->args, "verb");
	json_t *ms = json_object_get(a->args, "timeout_ms");
	char name[32] = "";

	if (json_is_string(verb))
		snprintf(name, sizeof(name), "%s", json_string_value(verb));
	a->timeout_ms = TIMEOUT_MS;
	if (ms) {
		json_int_t n = json_integer_value(ms);

		if (n < 1 || n > TIMEOUT_MAX_MS) {
			ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
				   "timeout_ms: 1 to 300000");
			return;
		}
		a->timeout_ms = (uint32_t)n;
	}
	a->due = a->i->set.now + a->timeout_ms * 1000000ull;
	json_object_del(a->args, "verb");
	a->lease = json_is_true(json_object_get(a->args, "lease"));
	json_object_del(a->args, "lease");
	json_object_del(a->args, "timeout_ms");
	for (size_t k = 0; k < sizeof(verbs) / sizeof(verbs[0]); k++) {
		if (strcmp(verbs[k].name, name) != 0)
			continue;
		a->kind = verbs[k].kind;
		verbs[k].fn(a);
		return;
	}
	ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
		   "there is no verb of that name");
}

void integration_control(void *ctx, uint32_t serial,
			 const struct msg_control *m)
{
	struct vm *vm = ctx;
	struct ask *a = calloc(1, sizeof(*a));

	/* (the broker gives up by itself) */
	if (!a)
		return;
	*a = (struct ask) {
		.i = vm->integration,
		.serial = serial,
		.session = m->session,
		.kind = IC_KINDS,
	};
	vm_begin(vm);
	a->args = json_loadb(m->text, m->len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(a->args))
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "CONTROL is not a JSON object");
	else if (vm->stopped)
		ask_failed(a, EBUSY, 0, "the guest is being saved");
	else
		run(a);
	vm_end(vm);
}

void integration_leave(void *ctx, uint64_t session)
{
	struct vm *vm = ctx;

	vm_begin(vm);
	vss_leave(&vm->integration->set.vss, session);
	fcopy_leave(&vm->integration->set.fcopy, session);
	vm_end(vm);
}
