/* SPDX-License-Identifier: MIT */
/* winsock-internal.h - shared by the files of winsock.h's functions */
#ifndef LIB_WINSOCK_INTERNAL_H
#define LIB_WINSOCK_INTERNAL_H

/** ws_fail() - this thread's last error from an errno. Return: SOCKET_ERROR */
int ws_fail(int error);

/** ws_fail_wsa() - from a WSAE number. Return: SOCKET_ERROR */
int ws_fail_wsa(int wsa);

#endif /* LIB_WINSOCK_INTERNAL_H */
