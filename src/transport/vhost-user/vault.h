/* SPDX-License-Identifier: MIT */
/*
 * vault.h - what the service manager keeps for the next process
 *
 * One socket of a pair goes to the service manager (FDSTORE), once; parcels are
 * put into its queue by the other, and the one before is taken out. So the
 * manager need not be asked again, whatever changes.
 */
#ifndef VHOST_USER_VAULT_H
#define VHOST_USER_VAULT_H

#include "transport/vhost-user/vm-internal.h"

/** vault_new() - where a service manager asks for it: from what was kept, if
 * anything was. Return: 0; -ENOENT: there is none; -errno */
int vault_new(struct vault **ret);
struct vault *vault_free(struct vault *v);
/** vault_take() - what the predecessor left. Return: as parcel_recv() */
int vault_take(struct vault *v, struct parcel *ret);
/** vault_ready() - tell the service manager that we serve */
void vault_ready(struct vault *v);

/** vault_update() - what is left if this process dies */
void vault_update(struct vm *vm);
/** vault_leave() - everything; the process is to end without touching any of
 * it. Return: 0; -errno: it is not there */
int vault_leave(struct vm *vm);

#endif /* VHOST_USER_VAULT_H */
