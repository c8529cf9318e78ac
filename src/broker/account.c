/* SPDX-License-Identifier: MIT */
/* account.c - what a user, or a partition, holds of the broker */
#include <stdlib.h>

#include "broker/broker.h"

static const GUID no_partition;

static struct account *account_get(struct broker *b, enum account_kind kind,
				   uint32_t uid, const GUID *partition)
{
	struct account *a, key = { .key = { .kind = kind,
					    .uid = uid,
					    .partition = *partition } };

	HASH_FIND(hh, b->accounts, &key.key, sizeof(key.key), a);
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return NULL;
		a->key = key.key;
		a->b = b;
		HASH_ADD(hh, b->accounts, key, sizeof(a->key), a);
	}
	a->refs++;
	return a;
}

struct account *account_of_user(struct broker *b, uint32_t uid)
{
	return account_get(b, ACCOUNT_USER, uid, &no_partition);
}

struct account *account_of_partition(struct broker *b, const GUID *partition)
{
	return account_get(b, ACCOUNT_PARTITION, 0, partition);
}

struct account *account_of_pair(struct broker *b, uint32_t uid,
				const GUID *partition)
{
	return account_get(b, ACCOUNT_PAIR, uid, partition);
}

struct account *account_unref(struct broker *b, struct account *a)
{
	if (a && --a->refs == 0) {
		HASH_DELETE(hh, b->accounts, a);
		free(a);
	}
	return NULL;
}

void accounts_free(struct broker *b)
{
	struct account *a, *next;

	HASH_ITER(hh, b->accounts, a, next) {
		ev_timer_stop(&a->slow);
		HASH_DELETE(hh, b->accounts, a);
		free(a);
	}
}
