/* SPDX-License-Identifier: MIT */
/*
 * synic.c - the message slot and the event flags of SINT 2
 *
 * The guest, on other processors, reads and clears both at any time. A slot is
 * the host's while its type is 0. When it is taken, the pending flag asks the
 * guest to write EOM after it has emptied it; since it may do that at the very
 * moment, the type is looked at once more behind the flag.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/internal.h"

#define SLOT (VMBH_SINT * 256u)
#define SLOT_SIZE 4u
#define SLOT_FLAGS 5u
#define SLOT_PAYLOAD 16u
#define FLAGS (VMBH_SINT * 256u)
#define TYPE_VMBUS 1u
#define PENDING 1u

int vmbh_slot_put(void *message_page, const void *payload, size_t len)
{
	uint8_t *slot = (uint8_t *)message_page + SLOT;
	uint32_t *type = (uint32_t *)(void *)slot;

	if (len > VMBH_MESSAGE_MAX)
		return -EMSGSIZE;
	if (__atomic_load_n(type, __ATOMIC_ACQUIRE)) {
		__atomic_fetch_or(slot + SLOT_FLAGS, PENDING, __ATOMIC_SEQ_CST);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(type, __ATOMIC_ACQUIRE))
			return -EAGAIN;
	}
	memset(slot + SLOT_SIZE, 0, SLOT_PAYLOAD - SLOT_SIZE);
	slot[SLOT_SIZE] = (uint8_t)len;
	memcpy(slot + SLOT_PAYLOAD, payload, len);
	__atomic_store_n(type, TYPE_VMBUS, __ATOMIC_RELEASE);
	return 0;
}

bool vmbh_slot_taken(const void *message_page)
{
	return __atomic_load_n(
		(const uint32_t *)(const void *)((const uint8_t *)message_page +
						 SLOT),
		__ATOMIC_ACQUIRE);
}

bool vmbh_event_set(void *event_page, uint32_t relid)
{
	uint8_t *byte = (uint8_t *)event_page + FLAGS + relid % 2048 / 8;
	uint8_t bit = (uint8_t)(1u << relid % 8);

	return !(__atomic_fetch_or(byte, bit, __ATOMIC_SEQ_CST) & bit);
}

unsigned int vmbh_events_set(const void *event_page)
{
	const uint64_t *words =
		(const void *)((const uint8_t *)event_page + FLAGS);
	unsigned int n = 0;

	for (unsigned int i = 0; i < 2048 / 64; i++)
		n += (unsigned int)__builtin_popcountll(
			__atomic_load_n(&words[i], __ATOMIC_RELAXED));
	return n;
}
