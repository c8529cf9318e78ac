/* SPDX-License-Identifier: MIT */
/*
 * hvecho-server - an integration service that sends back what it hears
 *
 *	hvecho-server SERVICE-GUID [VMID]
 *
 * VMID says whom to hear: a VM's GUID, "children", "loopback", or "wildcard"
 * (the default). The service has to be registered for others than this
 * partition: here with "hvctl service add", on Windows in the registry.
 *
 * It prints "listening" when clients may come, serves one after the other,
 * and prints who each was. Built for Linux it needs libhvsocket, for Windows
 * ws2_32, of the same source:
 *
 *	cc hvecho-server.c -lhvsocket
 *	x86_64-w64-mingw32-gcc hvecho-server.c -lws2_32
 */
#include "hvecho.h"

static void print_peer(const SOCKADDR_HV *peer)
{
	const GUID *g = &peer->VmId;

	printf("connection from %08x-%04x-%04x-%02x%02x-"
	       "%02x%02x%02x%02x%02x%02x\n",
	       (unsigned int)g->Data1, g->Data2, g->Data3, g->Data4[0],
	       g->Data4[1], g->Data4[2], g->Data4[3], g->Data4[4], g->Data4[5],
	       g->Data4[6], g->Data4[7]);
	fflush(stdout);
}

static void serve(SOCKET client)
{
	char buf[4096];
	int n;

	for (;;) {
		n = recv(client, buf, sizeof(buf), 0);
		if (n == 0) /* the client has sent everything */
			break;
		if (n == SOCKET_ERROR && WSAGetLastError() == WSAECONNRESET)
			break;
		if (n == SOCKET_ERROR)
			fail("recv");
		send_all(client, buf, n);
	}
	shutdown(client, SD_SEND);
	closesocket(client);
}

int main(int argc, char **argv)
{
	SOCKADDR_HV addr, peer;
	SOCKET listener, client;
	int len;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: hvecho-server SERVICE-GUID [VMID]\n");
		return 2;
	}
	addr = make_address(argc > 2 ? argv[2] : "wildcard", argv[1]);
	startup();

	listener = socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
	if (listener == INVALID_SOCKET)
		fail("socket");
	if (bind(listener, (SOCKADDR *)&addr, sizeof(addr)) == SOCKET_ERROR)
		fail("bind");
	if (listen(listener, 16) == SOCKET_ERROR)
		fail("listen");
	printf("listening\n");
	fflush(stdout);

	for (;;) {
		len = sizeof(peer);
		client = accept(listener, (SOCKADDR *)&peer, &len);
		if (client == INVALID_SOCKET)
			fail("accept");
		print_peer(&peer);
		serve(client);
	}
}
