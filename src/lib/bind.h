/* SPDX-License-Identifier: MIT */
/* bind.h - between bind.c and dial.c */
#ifndef LIB_BIND_H
#define LIB_BIND_H

#include <stdint.h>

#include <hvsocket.h>

/** bind_run() - BIND, with its flags. Return: 0, or -1 with errno and a
 * reason */
int bind_run(int fd, const SOCKADDR_HV *addr, uint32_t flags);

#endif /* LIB_BIND_H */
