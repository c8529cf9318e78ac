/* SPDX-License-Identifier: MIT */
/*
 * wakeup.h - what is it to sleep and to be woken, here?
 *
 * A few microseconds on a machine by itself, and a hundred where each wake-up
 * makes a hypervisor send an interrupt to a processor. Whoever looks for more
 * work before sleeping should look for longer there.
 */
#ifndef BASE_WAKEUP_H
#define BASE_WAKEUP_H

#include <stdint.h>

/**
 * wakeup_ns() - measure it: two threads wake each other some times
 *
 * Takes some ten times what it returns, and starts a thread, which has ended
 * when it returns; blocks meanwhile.
 *
 * Return: nanoseconds, the median of there and back; 0 if it cannot be
 * measured.
 */
uint64_t wakeup_ns(void);

#endif /* BASE_WAKEUP_H */
