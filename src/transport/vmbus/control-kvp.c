/* SPDX-License-Identifier: MIT */
/*
 * control-kvp.c - the verbs of key-value exchange
 *
 * A pool is read one entry after the other, until the guest says that there
 * are no more, or the answer is large enough: "next" then says where the
 * asker goes on. One value is found in the same way: Linux's driver does not
 * tell its daemon how long a value may be that is asked for by its key, and
 * what comes is empty.
 */
#include <errno.h>
#include <string.h>

#include "transport/vmbus/integration-internal.h"

#define LIST_BYTES 3000u /* of text, each of which may be six of JSON */

static struct ic *kvp(const struct ask *a)
{
	return &a->i->set.ic[IC_KVP];
}

/* Return: false: it has failed */
static bool find_pool(struct ask *a, const char *name)
{
	a->pool = kvp_pool_of(name);
	if (a->pool < KVP_POOLS)
		return true;
	ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
		   "pool: external, guest, auto, auto-external or auto-internal");
	return false;
}

/* @r of kvp_put(), kvp_put_ip(). Return: false: it has failed */
static bool is_put(struct ask *a, int r)
{
	if (r >= 0)
		return true;
	ask_failed(a, (uint32_t)-r, HVS_REASON_BAD_REQUEST, "%s",
		   r == -ENAMETOOLONG
			   ? "the key is longer than 255 characters, or 511 bytes of UTF-8"
		   : r == -E2BIG
			   ? "a value is longer than the guest can take (1,023 characters and 2,047 bytes of a key's)"
		   : r == -EINVAL ? "the key is empty"
				  : "it is not UTF-8");
	return false;
}

static void not_there(struct ask *a)
{
	ask_failed(a, ENOENT, HVS_REASON_NOT_FOUND,
		   "no such key in the guest's pool \"%s\"",
		   kvp_pool_name(a->pool));
}

/* What is not there is no failure of the guest's. Return: false: it has failed
 */
static bool is_there(struct ask *a, const struct ic_answer *answer)
{
	if (!answer->error && (answer->status == IC_NO_MORE ||
			       answer->status == IC_NOT_FOUND)) {
		not_there(a);
		return false;
	}
	return ask_good(a, answer);
}

static void malformed(struct ask *a, int r)
{
	ask_failed(a, (uint32_t)-r, 0, "%s",
		   r == -EILSEQ ? "the guest's answer is not text"
				: "the guest's answer is malformed");
}

static void on_changed(void *arg, const struct ic_answer *answer)
{
	struct ask *a = arg;

	if (is_there(a, answer))
		ask_done(a, json_object());
}

static void pair_verb(struct ask *a, enum kvp_op op)
{
	const char *pool = "external", *key, *value = "";
	uint8_t body[KVP_BODY_MAX];
	int n;

	if (op == KVP_SET ? !ask_unpack(a, "{s?s, s:s, s:s}", "pool", &pool,
					"key", &key, "value", &value)
			  : !ask_unpack(a, "{s?s, s:s}", "pool", &pool, "key",
					&key))
		return;
	if (!find_pool(a, pool))
		return;
	n = kvp_put(body, op, a->pool, key, value);
	if (is_put(a, n))
		(void)ask_begun(a, ic_ask(kvp(a), body, (size_t)n,
					  a->timeout_ms, on_changed, a));
}

void kvp_verb_set(struct ask *a)
{
	pair_verb(a, KVP_SET);
}

void kvp_verb_delete(struct ask *a)
{
	pair_verb(a, KVP_DELETE);
}

/* ---- lists */

static void on_entry(void *arg, const struct ic_answer *answer);

static void next_entry(struct ask *a)
{
	uint8_t body[KVP_BODY_MAX];
	int n = kvp_put_index(body, a->pool, a->index);

	(void)ask_begun(a, ic_ask(kvp(a), body, (size_t)n, ask_left(a),
				  on_entry, a));
}

static void list_done(struct ask *a, bool more)
{
	json_t *o;

	if (a->key) {
		not_there(a);
		return;
	}
	o = json_pack("{s:s, s:O}", "pool", kvp_pool_name(a->pool),
			      "entries", a->found);

	if (more)
		json_object_set_new(o, "next", json_integer(a->index));
	ask_done(a, o);
}

static void on_entry(void *arg, const struct ic_answer *answer)
{
	static struct kvp_pair pair; /* one thread */
	struct ask *a = arg;
	json_t *o = NULL;
	int r;

	if (!answer->error && (answer->status == IC_NO_MORE ||
			       answer->status == IC_NOT_FOUND)) {
		list_done(a, false);
		return;
	}
	if (!ask_good(a, answer))
		return;
	r = kvp_get(answer->body, answer->len, KVP_ENUMERATE, &pair);
	if (r == -EPROTO) {
		malformed(a, r);
		return;
	}
	if (r == -EILSEQ)
		o = json_pack("{s:i, s:s}", "index", (int)a->index, "error",
			      "not text");
	else
		o = json_pack("{s:s, s:s}", "key", pair.key, "value",
			      pair.value);
	if (a->key) {
		json_decref(o);
		if (r == 0 && !strcmp(pair.key, a->key)) {
			ask_done(a, json_pack("{s:s}", "value", pair.value));
			return;
		}
		if (++a->index >= KVP_ENTRIES_MAX)
			list_done(a, false);
		else
			next_entry(a);
		return;
	}
	json_array_append_new(a->found, o);
	a->size += r == 0 ? strlen(pair.key) + strlen(pair.value) + 32 : 64;
	if (++a->index >= KVP_ENTRIES_MAX)
		list_done(a, false);
	else if (a->size >= LIST_BYTES)
		list_done(a, true);
	else
		next_entry(a);
}

void kvp_verb_list(struct ask *a)
{
	const char *pool = "auto";
	json_int_t index = 0;

	if (!ask_unpack(a, "{s?s, s?I}", "pool", &pool, "index", &index) ||
	    !find_pool(a, pool))
		return;
	if (index < 0 || index >= (int)KVP_ENTRIES_MAX) {
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "index: 0 to %u", KVP_ENTRIES_MAX - 1);
		return;
	}
	a->index = (uint32_t)index;
	a->found = json_array();
	next_entry(a);
}

void kvp_verb_get(struct ask *a)
{
	const char *pool = "guest", *key;

	if (!ask_unpack(a, "{s?s, s:s}", "pool", &pool, "key", &key) ||
	    !find_pool(a, pool))
		return;
	a->key = key; /* of a->args */
	next_entry(a);
}

/* ---- addresses */

static void on_ip(void *arg, const struct ic_answer *answer)
{
	static struct kvp_ip ip; /* one thread */
	struct ask *a = arg;
	int r;

	if (!answer->error && answer->status == IC_NOT_FOUND) {
		ask_failed(a, ENODEV, HVS_REASON_NOT_FOUND,
			   "the guest has no such adapter");
		return;
	}
	if (!ask_good(a, answer))
		return;
	r = kvp_get_ip(answer->body, answer->len, &ip);
	if (r < 0) {
		malformed(a, r);
		return;
	}
	ask_done(a, json_pack("{s:s, s:b, s:s, s:s, s:s, s:s}", "adapter",
			      ip.adapter, "dhcp", ip.dhcp, "address",
			      ip.address, "mask", ip.mask, "gateway",
			      ip.gateway, "dns", ip.dns));
}

/* What is typed may be anything. */
static void wrong(struct ask *a, const char *name, const char *text, size_t len,
		  const char *why)
{
	char shown[100];

	ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST, "%s: \"%s\" is %s", name,
		   log_escape(text, len, shown, sizeof(shown)), why);
}

/* Return: false: it has failed */
static bool put_adapter(struct ask *a, struct kvp_ip *ip, const char *text)
{
	if (kvp_adapter(text, ip->adapter, sizeof(ip->adapter)) == 0)
		return true;
	wrong(a, "adapter", text, strlen(text),
	      "neither a GUID nor a MAC address");
	return false;
}

/* Return: false: it has failed */
static bool put_list(struct ask *a, char *out, size_t size, const char *name,
		     const char *text, struct kvp_list *ret)
{
	bool mask = !strcmp(name, "mask");
	size_t len = strlen(text);

	if (kvp_addresses(text, mask, ret) < 0) {
		wrong(a, name, ret->bad, ret->bad_len,
		      mask ? "neither a mask nor the length of a prefix"
			   : "not an IP address");
		return false;
	}
	if (len && text[len - 1] == ';')
		len--;
	if (len >= size) {
		(void)is_put(a, -E2BIG);
		return false;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

void kvp_verb_ip(struct ask *a)
{
	static struct kvp_ip ip; /* one thread */
	uint8_t body[KVP_BODY_MAX];
	const char *adapter;
	int n;

	if (!ask_unpack(a, "{s:s}", "adapter", &adapter))
		return;
	ip = (struct kvp_ip) { .family = KVP_IPV4 | KVP_IPV6 };
	if (!put_adapter(a, &ip, adapter))
		return;
	n = kvp_put_ip(body, KVP_GET_IP, &ip);
	if (is_put(a, n))
		(void)ask_begun(a, ic_ask(kvp(a), body, (size_t)n,
					  a->timeout_ms, on_ip, a));
}

static void on_ip_set(void *arg, const struct ic_answer *answer)
{
	struct ask *a = arg;

	if (!answer->error && answer->status == IC_NOT_FOUND)
		ask_failed(a, ENODEV, HVS_REASON_NOT_FOUND,
			   "the guest has no such adapter");
	else if (ask_good(a, answer))
		ask_done(a, json_object());
}

/* What a guest would have to guess. Return: false: it has failed */
static bool fit(struct ask *a, bool dhcp, unsigned int addresses,
		unsigned int masks)
{
	const char *why = NULL;

	if (dhcp == !!addresses)
		why = "an address, or dhcp: one of the two";
	else if (masks && masks != addresses)
		why = "mask: one for each address, or none";
	if (why)
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST, "%s", why);
	return !why;
}

void kvp_verb_set_ip(struct ask *a)
{
	const char *adapter, *address = "", *mask = "", *gateway = "",
				*dns = "";
	struct kvp_list addresses, masks, others;
	static struct kvp_ip ip; /* one thread */
	uint8_t body[KVP_BODY_MAX];
	int dhcp = 0, n;

	if (!ask_unpack(a, "{s:s, s?b, s?s, s?s, s?s, s?s}", "adapter",
			&adapter, "dhcp", &dhcp, "address", &address, "mask",
			&mask, "gateway", &gateway, "dns", &dns))
		return;
	ip = (struct kvp_ip) { .dhcp = dhcp };
	if (!put_adapter(a, &ip, adapter) ||
	    !put_list(a, ip.address, sizeof(ip.address), "address", address,
		      &addresses) ||
	    !put_list(a, ip.mask, sizeof(ip.mask), "mask", mask, &masks) ||
	    !put_list(a, ip.gateway, sizeof(ip.gateway), "gateway", gateway,
		      &others) ||
	    !put_list(a, ip.dns, sizeof(ip.dns), "dns", dns, &others) ||
	    !fit(a, dhcp, addresses.count, masks.count))
		return;
	ip.family = addresses.families;
	n = kvp_put_ip(body, KVP_SET_IP, &ip);
	if (is_put(a, n))
		(void)ask_begun(a, ic_ask(kvp(a), body, (size_t)n,
					  a->timeout_ms, on_ip_set, a));
}
