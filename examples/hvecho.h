/* SPDX-License-Identifier: MIT */
/*
 * hvecho.h - what the echo server and client share
 *
 * One source for Windows and Linux: <hvsocket/winsock.h> is <winsock2.h> and
 * <hvsocket.h> there, and libhvsocket here.
 */
#ifndef HVECHO_H
#define HVECHO_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hvsocket/winsock.h>

/* What went wrong, with WinSock's number, and the end. */
static void fail(const char *what)
{
	int error = WSAGetLastError();

#ifdef _WIN32
	char text[256] = "";

	FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM |
			       FORMAT_MESSAGE_IGNORE_INSERTS,
		       NULL, (DWORD)error, 0, text, sizeof(text), NULL);
#else
	const char *text = hvs_wsa_strerror(error);
#endif
	fprintf(stderr, "%s: error %d: %s\n", what, error, text);
	exit(1);
}

/* "999e53d4-3d5c-4c3e-8779-bed06ec056e1" */
static GUID parse_guid(const char *text)
{
	unsigned int d1, d2, d3, b[8];
	GUID g;
	int i, end = 0;

	if (sscanf(text, "%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x%n", &d1, &d2,
		   &d3, &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &b[6], &b[7],
		   &end) != 11 ||
	    text[end]) {
		fprintf(stderr, "%s: not a GUID\n", text);
		exit(2);
	}
	g.Data1 = d1;
	g.Data2 = (unsigned short)d2;
	g.Data3 = (unsigned short)d3;
	for (i = 0; i < 8; i++)
		g.Data4[i] = (unsigned char)b[i];
	return g;
}

/* A VM's GUID, or one of the words for the special ones. */
static GUID parse_vmid(const char *text)
{
	if (strcmp(text, "wildcard") == 0)
		return HV_GUID_WILDCARD;
	if (strcmp(text, "children") == 0)
		return HV_GUID_CHILDREN;
	if (strcmp(text, "loopback") == 0)
		return HV_GUID_LOOPBACK;
	if (strcmp(text, "parent") == 0)
		return HV_GUID_PARENT;
	return parse_guid(text);
}

static SOCKADDR_HV make_address(const char *vmid, const char *service)
{
	SOCKADDR_HV addr;

	memset(&addr, 0, sizeof(addr));
	addr.Family = AF_HYPERV;
	addr.VmId = parse_vmid(vmid);
	addr.ServiceId = parse_guid(service);
	return addr;
}

/* All of it, however often send() takes only a part. */
static void send_all(SOCKET s, const char *buf, int len)
{
	int n;

	while (len > 0) {
		n = send(s, buf, len, 0);
		if (n == SOCKET_ERROR)
			fail("send");
		buf += n;
		len -= n;
	}
}

static void startup(void)
{
	WSADATA data;
	int error = WSAStartup(MAKEWORD(2, 2), &data);

	if (error) {
		WSASetLastError(error);
		fail("WSAStartup");
	}
}

#endif /* HVECHO_H */
