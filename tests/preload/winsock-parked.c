/* SPDX-License-Identifier: MIT */
/*
 * winsock-parked.c - a non-blocking connect to a guest, the way of WinSock
 *
 *	winsock-parked VMID(32 hexadecimal digits, as in memory)
 *
 * Prints "waiting" when the connect is in progress, then how it ended.
 */
#include <stdio.h>
#include <stdlib.h>

#include <hvsocket/winsock.h>

static int fail(const char *what)
{
	fprintf(stderr, "%s: error %d\n", what, WSAGetLastError());
	return 1;
}

int main(int argc, char **argv)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV }, peer;
	int len = sizeof(peer), error = 0, i;
	u_long on = 1;
	fd_set w, e;
	WSADATA data;
	SOCKET s;

	if (argc != 2 || strlen(argv[1]) != 32)
		return 2;
	for (i = 0; i < 16; i++) {
		char two[3] = { argv[1][2 * i], argv[1][2 * i + 1], '\0' };

		((unsigned char *)&a.VmId)[i] =
			(unsigned char)strtoul(two, NULL, 16);
	}
	a.ServiceId = HV_GUID_VSOCK_TEMPLATE;
	a.ServiceId.Data1 = 7;
	if (WSAStartup(MAKEWORD(2, 2), &data))
		return 1;
	s = socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
	if (s == INVALID_SOCKET || ioctlsocket(s, FIONBIO, &on))
		return fail("socket");
	if (connect(s, (SOCKADDR *)&a, sizeof(a)) != SOCKET_ERROR ||
	    WSAGetLastError() != WSAEWOULDBLOCK)
		return fail("connect");
	if (connect(s, (SOCKADDR *)&a, sizeof(a)) != SOCKET_ERROR ||
	    WSAGetLastError() != WSAEALREADY)
		return fail("a second connect");
	if (getpeername(s, (SOCKADDR *)&peer, &len) != SOCKET_ERROR ||
	    WSAGetLastError() != WSAENOTCONN)
		return fail("getpeername");
	printf("waiting\n");
	fflush(stdout);

	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(s, &w);
	FD_SET(s, &e);
	if (select(0, NULL, &w, &e, NULL) != 1)
		return fail("select");
	len = sizeof(error);
	if (getsockopt(s, SOL_SOCKET, SO_ERROR, (char *)&error, &len))
		return fail("getsockopt");
	if (FD_ISSET(s, &e)) {
		printf("failed %d\n", error);
		return 0;
	}
	len = sizeof(peer);
	if (error || getpeername(s, (SOCKADDR *)&peer, &len) ||
	    !IsEqualGUID(peer.VmId, a.VmId) || send(s, "hello", 5, 0) != 5)
		return fail("after select");
	printf("connected\n");
	return 0;
}
