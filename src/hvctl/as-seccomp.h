/* SPDX-License-Identifier: MIT */
/*
 * as-seccomp.h - a program whose calls are made for it
 *
 * hvsocket-as, a process of its own, starts the program and stays for as long
 * as there is anything that the program has started; src/as/main.c says what is
 * spoken between it and hvctl.
 */
#ifndef HVCTL_AS_SECCOMP_H
#define HVCTL_AS_SECCOMP_H

#include <signal.h>

/**
 * as_seccomp() - run a command so, and wait for it
 * @set:	blocked signals: SIGCHLD, and those that are passed on
 * @ret_status:	as waitpid() has it
 *
 * hvctl's standard input and output are closed: they are the command's.
 *
 * Return: 0, or 1 (told).
 */
int as_seccomp(char **command, const sigset_t *set, int *ret_status);

#endif /* HVCTL_AS_SECCOMP_H */
