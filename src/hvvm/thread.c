/* SPDX-License-Identifier: MIT */
/* thread.c - see thread.h */
#include "hvvm/thread.h"

#define STACK (512u * 1024)

int thread_start(pthread_t *ret, const char *name, void *(*run)(void *),
		 void *arg)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r == 0) {
		(void)pthread_attr_setstacksize(&attr, STACK);
		r = pthread_create(ret, &attr, run, arg);
		pthread_attr_destroy(&attr);
	}
	if (r == 0)
		pthread_setname_np(*ret, name);
	return -r;
}
