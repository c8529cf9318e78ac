/* SPDX-License-Identifier: MIT */
/*
 * hvecho-client - send a line to hvecho-server, print what comes back
 *
 *	hvecho-client SERVICE-GUID VMID TEXT
 *
 * VMID is the partition to call: a VM's GUID, "parent" from inside a VM or
 * container, "loopback" for this partition.
 *
 *	cc hvecho-client.c -lhvsocket
 *	x86_64-w64-mingw32-gcc hvecho-client.c -lws2_32
 */
#include "hvecho.h"

int main(int argc, char **argv)
{
	DWORD timeout_ms = 5000;
	SOCKADDR_HV addr;
	char buf[4096];
	SOCKET s;
	int n;

	if (argc != 4) {
		fprintf(stderr,
			"usage: hvecho-client SERVICE-GUID VMID TEXT\n");
		return 2;
	}
	addr = make_address(argv[2], argv[1]);
	startup();

	s = socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
	if (s == INVALID_SOCKET)
		fail("socket");
	/* How long to try, and how long to wait for the echo. */
	if (setsockopt(s, HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT,
		       (char *)&timeout_ms, sizeof(timeout_ms)) == SOCKET_ERROR)
		fail("setsockopt");
	if (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout_ms,
		       sizeof(timeout_ms)) == SOCKET_ERROR)
		fail("setsockopt");
	if (connect(s, (SOCKADDR *)&addr, sizeof(addr)) == SOCKET_ERROR)
		fail("connect");

	send_all(s, argv[3], (int)strlen(argv[3]));
	if (shutdown(s, SD_SEND) == SOCKET_ERROR)
		fail("shutdown");
	while ((n = recv(s, buf, sizeof(buf), 0)) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	if (n == SOCKET_ERROR)
		fail("recv");
	printf("\n");

	closesocket(s);
	WSACleanup();
	return 0;
}
