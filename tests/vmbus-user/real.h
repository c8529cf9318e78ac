/* SPDX-License-Identifier: MIT */
/* real.h - vmm.h with the real broker ($HVSOCKETD) in place of the stand-in */
#ifndef TEST_VMBUS_USER_REAL_H
#define TEST_VMBUS_USER_REAL_H

#include "vmm.h"

/** real_start() - a broker that has the service a, 1000; the program with @args
 * more, as partition test; the guest's driver is loaded */
struct vmm *real_start(const char *const *args);
void real_broker_start(const struct vmm *v);
/** real_broker_kill() - and wait */
void real_broker_kill(int sig);

#endif /* TEST_VMBUS_USER_REAL_H */
