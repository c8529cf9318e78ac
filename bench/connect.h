/* SPDX-License-Identifier: MIT */
/* connect.h - connect + accept + close, over three kinds of sockets */
#ifndef BENCH_CONNECT_H
#define BENCH_CONNECT_H

#include <netinet/in.h>
#include <sys/un.h>

#include <hvsocket.h>

/*
 * The round measured: socket(), connect(), wait for the end of the stream,
 * close(); on the other side, in a process of its own, accept() and close().
 * The wait makes the server's part count, and keeps the two in step.
 */
struct server {
	enum { KIND_UNIX, KIND_TCP, KIND_HV } kind;
	int pid;
	struct sockaddr_un un;
	socklen_t un_len;
	struct sockaddr_in in;
	SOCKADDR_HV hv; /* what to connect to */
	SOCKADDR_HV bind; /* what the server binds */
	int rounds; /* in one measurement */
};

void server_start(struct server *s);
void server_stop(struct server *s);
/** connect_rate() - a bench_fn: rounds per second */
double connect_rate(void *server);

#endif /* BENCH_CONNECT_H */
