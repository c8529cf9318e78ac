/* SPDX-License-Identifier: MIT */
/*
 * integration.h - the integration services of a guest: their channels, and
 * what is asked of them
 */
#ifndef VMBUS_INTEGRATION_H
#define VMBUS_INTEGRATION_H

#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

struct integration;
struct vm;

/* Bits of enum ic_kind: file copy is to be asked for, as on Hyper-V. */
#define INTEGRATION_DEFAULT 0x1fu

/** integration_new() - offers @services. Return: 0 or -errno */
int integration_new(struct vm *vm, unsigned int services,
		    struct integration **ret);
struct integration *integration_free(struct integration *i);
/** integration_parse() - names with commas, "all", "none", "default". Return:
 * 0; -EINVAL */
int integration_parse(const char *text, unsigned int *ret_services);

/** integration_services(), integration_offer() - which are offered */
unsigned int integration_services(const struct integration *i);
void integration_offer(struct integration *i, unsigned int services);
/** integration_save(), integration_load() - 16 bytes, for the next process;
 * load before vmbh_load() */
void integration_save(const struct integration *i, uint8_t *p);
void integration_load(struct integration *i, const uint8_t *p);
/** integration_recovered() - the process before this one was killed, and may
 * have left the guest frozen */
void integration_recovered(struct integration *i);
/** integration_resumed() - the guest has not run for a while */
void integration_resumed(struct integration *i);

/** integration_time() - NULL is fine */
void integration_time(struct integration *i, uint64_t now);
uint64_t integration_deadline(const struct integration *i);

/* ---- control.c; @ctx is the vm. struct session_guest_ops */
void integration_control(void *ctx, uint32_t serial,
			 const struct msg_control *m);
void integration_leave(void *ctx, uint64_t session);

#endif /* VMBUS_INTEGRATION_H */
