/* SPDX-License-Identifier: MIT */
/* filter.h - which calls the kernel stops and shows us */
#ifndef AS_FILTER_H
#define AS_FILTER_H

/**
 * filter_install() - for this thread, and all that it starts
 *
 * Sets no_new_privs. Not to be undone.
 *
 * Return: the listener, or -errno; -EOPNOTSUPP where this kernel has none.
 */
int filter_install(void);

#endif /* AS_FILTER_H */
