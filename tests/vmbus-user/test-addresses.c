/* SPDX-License-Identifier: MIT */
/*
 * test-addresses.c - hvctl kvp set-ip, as a guest sees it
 *
 * Linux gives addresses to Hyper-V's own network adapters only: this guest is
 * hv_utils and hv_kvp_daemon as far as addresses go.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "real.h"
#include "vmbus/ic/services.h"

#define TYPED "00000000-0000-0000-0000-00000000000A"
#define ADAPTER "{00000000-0000-0000-0000-00000000000a}"

struct kvp_guest {
	const char *options; /* of hvctl */
	pid_t hvctl;
	int status;	  /* how it ended */
	uint32_t answer;  /* to what it asks */
	unsigned int set; /* so often */
	struct kvp_ip ip;
};

/* Linux sends the packet back, changed. */
static void kvp_packet(struct kvp_guest *k, struct vg_chan *c, uint8_t *p,
		       size_t len, uint64_t transaction)
{
	struct icmsg m;

	must(icmsg_get(p, len, &m) == 0);
	p[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	if (m.type == IC_NEGOTIATE) {
		uint8_t *body = p + IC_HEAD;
		uint32_t last = 2u + le16_get(body + 2) - 1;

		memcpy(body + 8, body + 12, 4);
		memcpy(body + 12, body + 8 + 4 * last, 4);
		le16_put(body, 1);
		le16_put(body + 2, 1);
		le16_put(p + 18, 16);
		len = IC_HEAD + 16;
		le32_put(p + 4, (uint32_t)len - 8);
	} else if (m.body[0] == KVP_SET_IP) {
		must(kvp_get_ip(m.body, m.len, &k->ip) == 0);
		k->set++;
		le32_put(p + 20, k->answer);
	}
	must(vg_chan_send(c, p, len, transaction) == 0);
}

static void kvp_hvctl(struct kvp_guest *k)
{
	const char *hvctl = getenv("HVCTL");
	char command[400];

	ck_assert_msg(hvctl != NULL, "HVCTL is not set");
	snprintf(command, sizeof(command), "exec %s kvp set-ip test %s %s",
		 hvctl, TYPED, k->options);
	k->hvctl = fork();
	must(k->hvctl >= 0);
	if (!k->hvctl) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
}

static bool kvp_asked(struct vmm *v, void *arg)
{
	struct kvp_guest *k = arg;
	struct vg_chan *c = vg_chan_by_type(v->g, &ic_classes[IC_KVP].type);
	static uint8_t packet[IC_PACKET_MAX];
	uint64_t transaction;
	ssize_t n;

	if (!c)
		return false;
	if (c->state == VG_OFFERED)
		vg_chan_open(c, 5, 5);
	if (c->state != VG_OPEN)
		return false;
	while ((n = vg_chan_recv(c, packet, sizeof(packet), &transaction)) > 0)
		kvp_packet(k, c, packet, (size_t)n, transaction);
	if (!k->hvctl)
		kvp_hvctl(k);
	if (waitpid(k->hvctl, &k->status, WNOHANG) != k->hvctl)
		return false;
	k->hvctl = 0; /* that was too early, if nothing came here: again */
	return k->set;
}

/* Addresses by hvctl, for the adapter in a guest. */
START_TEST(test_addresses)
{
	const char *const kvp[] = { "--integration", "kvp", NULL };
	static const struct {
		const char *options;
		uint32_t answer;
		int code;
		struct kvp_ip ip;
	} rows[] = {
		{ "--address '192.0.2.1;2001:db8::1' --mask '255.255.255.0;64' "
		  "--gateway 192.0.2.254 --dns '192.0.2.2;192.0.2.3'",
		  IC_OK, 0,
		  { false, 3, ADAPTER, "192.0.2.1;2001:db8::1",
		    "255.255.255.0;64", "192.0.2.254",
		    "192.0.2.2;192.0.2.3" } },
		{ "--dhcp", IC_OK, 0, { true, 0, ADAPTER, "", "", "", "" } },
		{ "--address 192.0.2.1 2>/dev/null", IC_NOT_FOUND, 1,
		  { false, 1, ADAPTER, "192.0.2.1", "", "", "" } },
		{ "--address 192.0.2.1 2>/dev/null", IC_FAIL, 1,
		  { false, 1, ADAPTER, "192.0.2.1", "", "", "" } },
	};
	struct vmm *v = real_start(kvp);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static struct kvp_guest k;

		k = (struct kvp_guest) { .options = rows[i].options,
					 .answer = rows[i].answer };
		vmm_wait(v, kvp_asked, &k, "the answer");
		ck_assert_uint_eq(k.set, 1);
		ck_assert(WIFEXITED(k.status));
		ck_assert_int_eq(WEXITSTATUS(k.status), rows[i].code);
		ck_assert(k.ip.dhcp == rows[i].ip.dhcp);
		ck_assert_uint_eq(k.ip.family, rows[i].ip.family);
		ck_assert_str_eq(k.ip.adapter, rows[i].ip.adapter);
		ck_assert_str_eq(k.ip.address, rows[i].ip.address);
		ck_assert_str_eq(k.ip.mask, rows[i].ip.mask);
		ck_assert_str_eq(k.ip.gateway, rows[i].ip.gateway);
		ck_assert_str_eq(k.ip.dns, rows[i].ip.dns);
	}
	vmm_end(v);
	real_broker_kill(SIGTERM);
}
END_TEST

/* What is refused at once, and how; the guest is not asked. */
START_TEST(test_refused)
{
	const char *const kvp[] = { "--integration", "kvp", NULL };
	static const struct {
		const char *options, *says;
	} rows[] = {
		{ "eth0 --dhcp",
		  "adapter: \"eth0\" is neither a GUID nor a MAC address" },
		{ TYPED " --address '192.0.2.1;192.0.2.300'",
		  "address: \"192.0.2.300\" is not an IP address" },
		{ TYPED " --address 192.0.2.1 --mask 255.0.255.0",
		  "mask: \"255.0.255.0\" is neither a mask nor the length of a prefix" },
		{ TYPED " --address 192.0.2.1 --gateway router",
		  "gateway: \"router\" is not an IP address" },
		{ TYPED " --address 192.0.2.1 --dns '$(reboot)'",
		  "dns: \"$(reboot)\" is not an IP address" },
		{ TYPED " --address '192.0.2.1;192.0.2.2' --mask 255.255.255.0",
		  "mask: one for each address, or none" },
		{ TYPED " --dns 192.0.2.1", "an address, or dhcp" },
		{ TYPED " --dhcp --address 192.0.2.1", "an address, or dhcp" },
	};
	struct vmm *v = real_start(kvp);
	static struct kvp_guest k;
	char command[600], line[600];

	/* it answers by now */
	k = (struct kvp_guest) { .options = "--dhcp", .answer = IC_OK };
	vmm_wait(v, kvp_asked, &k, "the answer");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n;
		FILE *p;

		snprintf(command, sizeof(command),
			 "exec %s kvp set-ip test %s 2>&1", getenv("HVCTL"),
			 rows[i].options);
		p = popen(command, "r");
		must(p != NULL);
		n = fread(line, 1, sizeof(line) - 1, p);
		line[n] = '\0';
		ck_assert_int_eq(WEXITSTATUS(pclose(p)), 1);
		ck_assert_msg(strstr(line, rows[i].says) != NULL, "%s: %s",
			      rows[i].options, line);
	}
	ck_assert_uint_eq(k.set, 1);
	vmm_end(v);
	real_broker_kill(SIGTERM);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("addresses");

	tcase_add_test(t, test_addresses);
	tcase_add_test(t, test_refused);
	return vmm_main("vmbus-user addresses", t);
}
