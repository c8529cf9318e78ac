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
 * On two processors, where the caller may use two. Takes some ten times what it
 * returns, and starts a thread, which has ended when it returns; blocks
 * meanwhile.
 *
 * Return: nanoseconds, the median of there and back; 0 if it cannot be
 * measured.
 */
uint64_t wakeup_ns(void);

/**
 * wakeup_look_ns() - for how long to look for more before sleeping, at most
 *
 * For whoever moves bytes for a virtual machine: 200 us, in which the other
 * side fills or empties the largest of rings, and as long as KVM looks for work
 * of a halted processor; more, up to 400 us, where a wake-up takes long, as an
 * exit of the guest's processor does so too, and with it all that comes of one.
 * As wakeup_ns(), which it calls.
 */
uint64_t wakeup_look_ns(void);

#endif /* BASE_WAKEUP_H */
