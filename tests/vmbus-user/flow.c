/* SPDX-License-Identifier: MIT */
/* flow.c - programs at both ends of connections, see vmm.h */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "vmm.h"

#define GUEST_PORT 5000u /* of the guest's listener for flow 0 */
#define HOST_PORT 1000u

static uint8_t byte_at(const struct flow *f, bool from_host, uint64_t pos)
{
	uint64_t v = pos * 0x9e3779b97f4a7c15ull + f->id * 2654435761u +
		     (from_host ? 77 : 0);

	return (uint8_t)(v >> 32);
}

static void make(const struct flow *f, bool from_host, uint64_t pos, uint8_t *p,
		 size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = byte_at(f, from_host, pos + i);
}

static void check_bytes(const struct flow *f, bool from_host, uint64_t pos,
			const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != byte_at(f, from_host, pos + i))
			ck_abort_msg("flow %u: byte %llu %s is wrong", f->id,
				     (unsigned long long)(pos + i),
				     from_host ? "to the guest"
					       : "to the host");
}

static size_t next_chunk(const struct flow *f, uint64_t left, size_t most)
{
	size_t n = f->chunk && f->chunk < most ? f->chunk : most;

	return left < n ? (size_t)left : n;
}

static bool guest_works(struct flow *f)
{
	static uint8_t buf[65536];
	bool any = false;
	ssize_t n;

	/* a program that sleeps goes on only when it is woken */
	if (!f->s || f->s->state == VG_CONNECTING ||
	    (!vg_woken(f->s) && !f->guest_try))
		return false;
	f->guest_try = false;
	while (f->guest_sent < f->guest_to_send) {
		size_t len = next_chunk(f, f->guest_to_send - f->guest_sent,
					sizeof(buf));

		make(f, false, f->guest_sent, buf, len);
		n = vg_send(f->s, buf, len);
		if (n <= 0)
			break;
		f->guest_sent += (uint64_t)n;
		any = true;
	}
	if (f->guest_sent == f->guest_to_send && f->guest_fin &&
	    !f->guest_fin_sent) {
		f->guest_fin_sent = any = true;
		vg_shutdown(f->s);
	}
	while (!f->guest_stalls && !f->guest_eof) {
		n = vg_recv(f->s, buf, sizeof(buf));
		if (n == -EAGAIN)
			break;
		must(n >= 0);
		any = true;
		f->guest_eof = n == 0;
		check_bytes(f, true, f->guest_got, buf, (size_t)n);
		f->guest_got += (uint64_t)n;
	}
	return any;
}

static bool host_works(struct flow *f)
{
	static uint8_t buf[65536];
	bool any = false;
	ssize_t n;

	if (f->fd < 0)
		return false;
	if (f->host_sent < f->host_to_send && !f->host_error) {
		size_t len = next_chunk(f, f->host_to_send - f->host_sent,
					sizeof(buf));

		make(f, true, f->host_sent, buf, len);
		n = send(f->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			f->host_sent += (uint64_t)n;
			any = true;
		} else if (errno != EAGAIN) {
			f->host_error = errno;
		}
	}
	if (f->host_sent == f->host_to_send && f->host_fin &&
	    !f->host_fin_sent) {
		f->host_fin_sent = any = true;
		must(shutdown(f->fd, SHUT_WR) == 0);
	}
	while (!f->host_stalls && !f->host_eof && !f->host_error) {
		n = recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			break;
		any = true;
		if (n < 0) {
			f->host_error = errno;
			break;
		}
		f->host_eof = n == 0;
		check_bytes(f, false, f->host_got, buf, (size_t)n);
		f->host_got += (uint64_t)n;
	}
	return any;
}

bool flow_work(struct flow *f)
{
	bool any;

	if (!f->used)
		return false;
	any = guest_works(f);
	return host_works(f) || any;
}

void flow_send(struct flow *f, uint64_t guest, uint64_t host, bool fin)
{
	f->guest_to_send += guest;
	f->host_to_send += host;
	f->guest_fin = f->host_fin = fin;
	f->guest_try = true;
}

struct flow *flow_new(struct vmm *v)
{
	struct flow *f = &v->flows[v->nflows];

	must(v->nflows < VMM_FLOWS);
	*f = (struct flow) { .v = v,
			     .id = v->nflows++,
			     .used = true,
			     .fd = -1,
			     .open = -1,
			     .guest_try = true };
	return f;
}

void flow_close_guest(struct flow *f)
{
	if (f->s)
		vg_close(f->s);
	f->s = NULL;
}

void flow_close_host(struct flow *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* ---- the guest connects */

struct flow *flow_guest_begin(struct vmm *v, uint32_t buf)
{
	struct flow *f = flow_new(v);

	f->s = vg_connect(v->g, 0, HOST_PORT + f->id, buf, buf);
	must(f->s);
	return f;
}

/* The broker accepts what has been asked, for whichever flow it is. */
static void accept_dials(struct vmm *v)
{
	while (v->b.ndials) {
		uint32_t port = 0;
		bool known = guid_is_port(&v->b.dials[0].m.service, &port) &&
			     port - HOST_PORT < v->nflows;
		struct flow *f;

		if (!known) {
			must(v->faulty); /* the guest has made it up */
			fb_dial_refuse(&v->b, 0, HVS_REASON_NOT_REGISTERED);
			continue;
		}
		f = &v->flows[port - HOST_PORT];
		must(f->fd < 0);
		f->fd = fb_dial_accept(&v->b, 0, &f->token);
	}
}

static bool established(struct vmm *v, void *arg)
{
	struct flow *f = arg;

	accept_dials(v);
	must(f->s->state != VG_CLOSED);
	return f->s->state == VG_ESTABLISHED && f->fd >= 0;
}

struct flow *flow_guest(struct vmm *v, uint32_t buf)
{
	struct flow *f = flow_guest_begin(v, buf);

	vmm_wait(v, established, f, "the guest to be connected");
	return f;
}

/* ---- a program of the host connects */

static bool guest_accepts(struct vmm *v, void *arg)
{
	struct flow *f = arg;

	if (!f->s)
		f->s = vg_accept(v->g, GUEST_PORT + f->id);
	return f->s && (f->s->state == VG_ESTABLISHED);
}

static bool open_answered(struct vmm *v, void *arg)
{
	struct flow *f = arg;

	(void)guest_accepts(v, f);
	return v->b.opens[f->open].answered;
}

struct flow *flow_host(struct vmm *v, uint32_t buf, bool parked)
{
	struct flow *f = flow_new(v);
	struct fb_open *o;

	f->from_host = true;
	vg_listen(v->g, GUEST_PORT + f->id, 4);
	v->g->listeners->sndbuf = v->g->listeners->rcvbuf = buf;
	f->open = fb_open(&v->b, GUEST_PORT + f->id, 77, parked, 10000);
	o = &v->b.opens[f->open];
	f->token = o->token;
	if (parked) {
		int fd = fb_meet(&v->b, o->token);

		fb_parked(&v->b, o->token, fb_fill(fd));
		vmm_wait(v, open_answered, f, "the answer to OPEN");
		f->fd = fd;
	} else {
		vmm_wait(v, open_answered, f, "the answer to OPEN");
		f->fd = fb_meet(&v->b, o->token);
	}
	ck_assert_msg(!o->error, "OPEN was refused: %s", o->text);
	vmm_wait(v, guest_accepts, f, "the guest to accept");
	return f;
}

/* ---- for vmm_wait() */

bool flow_arrived(struct vmm *v, void *arg)
{
	const struct flow *f = arg;

	(void)v;
	must(!f->host_error);
	return f->host_got == f->guest_to_send &&
	       f->guest_got == f->host_to_send;
}

bool flow_finished(struct vmm *v, void *arg)
{
	const struct flow *f = arg;

	return flow_arrived(v, arg) && f->guest_eof && f->host_eof;
}

bool flow_guest_over(struct vmm *v, void *arg)
{
	(void)v;
	return ((struct flow *)arg)->guest_eof;
}

bool flow_host_over(struct vmm *v, void *arg)
{
	const struct flow *f = arg;

	(void)v;
	return f->host_eof || f->host_error;
}

static bool all(struct vmm *v, vmm_fn fn)
{
	for (unsigned int i = 0; i < v->nflows; i++)
		if (v->flows[i].used && !fn(v, &v->flows[i]))
			return false;
	return true;
}

bool flows_arrived(struct vmm *v, void *arg)
{
	(void)arg;
	return all(v, flow_arrived);
}

bool flows_finished(struct vmm *v, void *arg)
{
	(void)arg;
	return all(v, flow_finished);
}

bool flows_established(struct vmm *v, void *arg)
{
	(void)arg;
	accept_dials(v);
	for (unsigned int i = 0; i < v->nflows; i++)
		if (v->flows[i].s && v->flows[i].s->state != VG_ESTABLISHED)
			return false;
	return true;
}

bool vmm_clean(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->nchans == 0;
}

void vmm_check_clean(struct vmm *v)
{
	uint32_t lingering;

	for (unsigned int i = 0; i < v->nflows; i++) {
		flow_close_guest(&v->flows[i]);
		flow_close_host(&v->flows[i]);
		v->flows[i].used = false;
	}
	vmm_wait(v, vmm_clean, NULL, "channels to go");
	must(vg_socks(v->g, &lingering) == 0);
}
