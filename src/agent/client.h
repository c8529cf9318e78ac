/* SPDX-License-Identifier: MIT */
/*
 * client.h - qemu-guest-agent's protocol, the client's side, without I/O
 *
 * Bytes go in, bytes come out. The agent does one command after another;
 * several may be said before the first is answered. Each connection begins with
 * guest-sync-delimited: 0xFF makes the agent forget what an earlier client left
 * half said, and what arrives before the 0xFF of its answer was for somebody
 * else. Each command has an id, which the agent says again; what has another id
 * is an answer that is late or doubled, and is dropped and counted.
 *
 * The guest is hostile: a line has a limit, so has what lies in front of the
 * answer, and JSON may not be nested without end. What breaks these rules ends
 * the conversation (-EPROTO, -EMSGSIZE), and agent_why() is a sentence about
 * it. What it says is valid UTF-8 without zeros, and no more than that: for a
 * terminal it has to be escaped.
 */
#ifndef AGENT_CLIENT_H
#define AGENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define AGENT_LINE_MAX (4u << 20)
/* 16 MiB each of both outputs of a program, as base64, and some */
#define AGENT_LINE_MOST (48u << 20)
#define AGENT_DEPTH_MAX 32
#define AGENT_STRAY_MAX 64 /* answers that nobody waits for, in a row */
#define AGENT_WHY 200

struct agent_client;

/** agent_new() - @seed makes the ids differ from those of other clients.
 * NULL where memory is out */
struct agent_client *agent_new(uint64_t seed);
struct agent_client *agent_free(struct agent_client *c);

/**
 * agent_say() - what is to be sent for a command
 * @command:	"guest-ping"
 * @arguments:	an object, or NULL; borrowed
 * @line_max:	of the answer; 0: AGENT_LINE_MAX
 * @ret:	for free()
 *
 * The first is agent_say_sync(). Return: 0; -EINVAL (no UTF-8, or something is
 * waited for already); -ENOMEM.
 */
int agent_say(struct agent_client *c, const char *command,
	      json_t *arguments, size_t line_max, char **ret, size_t *ret_len);
int agent_say_sync(struct agent_client *c, char **ret, size_t *ret_len);

/** agent_say_behind() - another command, while something is waited for: when
 * that has its answer, the one to this is waited for. -EINVAL: nothing is */
int agent_say_behind(struct agent_client *c, const char *command,
		     json_t *arguments, char **ret, size_t *ret_len);

/** agent_forget() - wait for no answer any more; what comes is dropped */
void agent_forget(struct agent_client *c);

/** agent_say_silent() - a command that has an answer only if it fails, as
 * guest-shutdown, and guest-ping behind it: the answer to that is its own */
int agent_say_silent(struct agent_client *c, const char *command,
		     json_t *arguments, char **ret, size_t *ret_len);

/**
 * agent_hear() - what has arrived
 * @ret_used:	how much of it was taken; the rest is for the next command
 * @ret:	the answer: an object with "return" or "error"; of a sync {}
 *
 * Return: 1: the answer is there; 0: more is needed; -EPROTO, -EMSGSIZE,
 * -ENOMEM: the conversation is over.
 */
int agent_hear(struct agent_client *c, const char *data, size_t len,
	       size_t *ret_used, json_t **ret);

/** agent_dropped() - answers so far that were late or doubled */
unsigned int agent_dropped(const struct agent_client *c);
/** agent_why() - why the conversation is over. Ours, and safe to show */
const char *agent_why(const struct agent_client *c);

/* What an answer with "error" means. */
enum agent_refusal {
	AGENT_NO_REFUSAL,
	AGENT_DISABLED, /* by the guest's configuration, or it is frozen */
	AGENT_UNKNOWN, /* this agent has no such command */
	AGENT_FAILED, /* it has tried */
};

/** agent_refusal() - @ret_text: borrowed, the guest's words */
enum agent_refusal agent_refusal(const json_t *answer, const char **ret_text);

static inline void agent_freep(struct agent_client **c)
{
	agent_free(*c);
}

#endif /* AGENT_CLIENT_H */
