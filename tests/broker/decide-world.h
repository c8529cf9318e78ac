/* SPDX-License-Identifier: MIT */
/*
 * decide-world.h - what decisions are tested over: a registry read from files
 * and listeners made up by the test
 *
 * Partitions VM1, VM2 and BOX of the host, INNER in VM1, DEEP in INNER;
 * services "open" (100, Bind=any) and "closed" (101).
 */
#ifndef TESTS_BROKER_DECIDE_WORLD_H
#define TESTS_BROKER_DECIDE_WORLD_H

#include <check.h>

#include "broker/decide.h"
#include "broker/listeners.h"

#define BROKER_UID 990
#define USER 61234 /* nobody who runs this */
#define OTHER 61235
#define VM1 "00000001-1111-4111-8111-111111111111"
#define VM2 "00000002-1111-4111-8111-111111111111"
#define BOX "00000003-1111-4111-8111-111111111111"
#define INNER "00000004-1111-4111-8111-111111111111"
#define DEEP "00000005-1111-4111-8111-111111111111"

extern struct registry *registry;
extern struct listener listeners[16];
extern size_t nlisteners;
extern enum attached how; /* all partitions are attached */
extern struct world w;
extern struct verdict v; /* of the last decision */

/** world_run() - a suite of tests that @fill adds, each with a world of its
 * own. Return: the exit code */
int world_run(const char *name, void (*fill)(TCase *t));

GUID id(const char *text); /* NULL: the host */
/** put() - a file of the configuration, without its .conf; then look() */
void put(const char *file, const char *text);
void look(void);
/** listens() - of type STREAM, in @partition */
struct listener *listens(const char *partition, GUID vmid, uint32_t port,
			 uint32_t uid);

/* Decisions about streams. Return: the reason, 0 if allowed */
uint32_t binds(const char *partition, uint32_t uid, GUID vmid, uint32_t port);
uint32_t connects(const char *partition, uint32_t uid, GUID vmid,
		  uint32_t port);
uint32_t connects_as(const struct caller *c, GUID vmid, uint32_t port,
		     bool passthru);

#endif /* TESTS_BROKER_DECIDE_WORLD_H */
