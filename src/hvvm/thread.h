/* SPDX-License-Identifier: MIT */
/* thread.h - a thread whose stack is too small to become a huge page */
#ifndef HVVM_THREAD_H
#define HVVM_THREAD_H

#include <pthread.h>

/** thread_start() - @name: up to 15 bytes, as ps shows it. Return: 0, -errno */
int thread_start(pthread_t *ret, const char *name, void *(*run)(void *),
		 void *arg);

#endif /* HVVM_THREAD_H */
