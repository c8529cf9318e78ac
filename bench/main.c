/* SPDX-License-Identifier: MIT */
/* main.c - make bench: the table of figures, and bench.json */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect.h"
#include "lib.h"

#define DEMO_PORT 5000

int main(int argc, char **argv)
{
	struct bench_broker broker;
	struct server un = { .kind = KIND_UNIX, .rounds = 400 };
	struct server un2 = { .kind = KIND_UNIX, .rounds = 400 };
	struct server tcp = { .kind = KIND_TCP, .rounds = 400 };
	struct server hv = { .kind = KIND_HV, .rounds = 400 };
	struct bench_result r;

	if (argc != 3) {
		fprintf(stderr, "usage: hvbench HVSOCKETD BENCH.JSON\n");
		return 2;
	}
	broker_start(&broker, argv[1]);
	hv.bind = (SOCKADDR_HV){ .Family = AF_HYPERV };
	hvs_guid_from_port(DEMO_PORT, &hv.bind.ServiceId);
	hv.bind.VmId = HV_GUID_LOOPBACK;
	hv.hv = hv.bind;
	server_start(&un);
	server_start(&un2);
	server_start(&tcp);
	server_start(&hv);

	bench_open(argv[2]);
	r = bench_pairs(connect_rate, &un2, connect_rate, &un);
	bench_result_row("AF_UNIX connect+accept+close (noise)", "1/s",
			 "AF_UNIX", &r, NULL);
	r = bench_pairs(connect_rate, &hv, connect_rate, &un);
	bench_result_row("connect+accept+close", "1/s", "AF_UNIX", &r,
			 ">= 0.5");
	r = bench_pairs(connect_rate, &hv, connect_rate, &tcp);
	bench_result_row("connect+accept+close", "1/s", "TCP over loopback", &r,
			 ">= 1.1");
	server_stop(&un);
	server_stop(&un2);
	server_stop(&tcp);
	server_stop(&hv);
	broker_stop(&broker);
	return bench_close() ? 0 : 1;
}
