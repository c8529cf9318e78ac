/* SPDX-License-Identifier: MIT */
/*
 * verbs.h - the one table of verbs
 *
 * Dispatch, help, and the test that compares manual and completion all read
 * it. A verb's function gets checked options and the right number of
 * operands, and returns hvctl's exit code: 0, 1 (it failed, and one line said
 * so), 2 (the words were wrong).
 */
#ifndef HVCTL_VERBS_H
#define HVCTL_VERBS_H

#include "hvctl/args.h"
#include "hvctl/call.h"

struct verb {
	const char *group; /* "service", "partition", or NULL */
	const char *name;
	int (*fn)(struct ctl *c, const struct args *a);
	const char *synopsis; /* what follows the name */
	const char *summary; /* one line */
	const struct opt *opts;
	unsigned int min, max; /* operands */
	enum args_rest rest;
	const char *more; /* paragraphs for --help, or NULL */
};

extern const struct verb verbs[]; /* ended by a NULL name */

/* cmd-service.c, cmd-policy.c, cmd-reg.c */
int cmd_service_add(struct ctl *c, const struct args *a);
int cmd_service_list(struct ctl *c, const struct args *a);
int cmd_service_show(struct ctl *c, const struct args *a);
int cmd_service_enable(struct ctl *c, const struct args *a);
int cmd_service_disable(struct ctl *c, const struct args *a);
int cmd_service_revert(struct ctl *c, const struct args *a);
int cmd_service_remove(struct ctl *c, const struct args *a);
int cmd_service_import(struct ctl *c, const struct args *a);
int cmd_service_export(struct ctl *c, const struct args *a);

/* cmd-partition.c, cmd-partition-set.c; the group as typed ("vm",
 * "container") is the first word of ctl.verb */
int cmd_partition_add(struct ctl *c, const struct args *a);
int cmd_partition_list(struct ctl *c, const struct args *a);
int cmd_partition_id(struct ctl *c, const struct args *a);
int cmd_partition_show(struct ctl *c, const struct args *a);
int cmd_partition_set(struct ctl *c, const struct args *a);
int cmd_partition_remove(struct ctl *c, const struct args *a);

/* cmd-import.c */
int cmd_partition_import(struct ctl *c, const struct args *a);

/* cmd-heartbeat.c, cmd-shutdown.c, cmd-time.c, cmd-kvp.c,
 * cmd-freeze.c, cmd-fcopy.c, cmd-integration.c: guests.h */
int cmd_info(struct ctl *c, const struct args *a);
int cmd_heartbeat(struct ctl *c, const struct args *a);
int cmd_shutdown(struct ctl *c, const struct args *a);
int cmd_reboot(struct ctl *c, const struct args *a);
int cmd_time(struct ctl *c, const struct args *a);
int cmd_fcopy(struct ctl *c, const struct args *a);
int cmd_freeze(struct ctl *c, const struct args *a);
int cmd_thaw(struct ctl *c, const struct args *a);
int cmd_kvp_get(struct ctl *c, const struct args *a);
int cmd_kvp_set(struct ctl *c, const struct args *a);
int cmd_kvp_delete(struct ctl *c, const struct args *a);
int cmd_kvp_list(struct ctl *c, const struct args *a);
int cmd_kvp_ip(struct ctl *c, const struct args *a);
int cmd_kvp_set_ip(struct ctl *c, const struct args *a);
int cmd_integration_list(struct ctl *c, const struct args *a);
int cmd_integration_enable(struct ctl *c, const struct args *a);
int cmd_integration_disable(struct ctl *c, const struct args *a);

/* cmd-show.c */
int cmd_listeners(struct ctl *c, const struct args *a);
int cmd_connections(struct ctl *c, const struct args *a);
int cmd_status(struct ctl *c, const struct args *a);
int cmd_reload(struct ctl *c, const struct args *a);
int cmd_simulate(struct ctl *c, const struct args *a);

/* cmd-explain.c */
int cmd_explain(struct ctl *c, const struct args *a);
int cmd_wait(struct ctl *c, const struct args *a);

/* cmd-nc.c, cmd-forward.c, cmd-attach.c, cmd-as.c */
int cmd_nc(struct ctl *c, const struct args *a);
int cmd_forward(struct ctl *c, const struct args *a);
int cmd_attach(struct ctl *c, const struct args *a);
int cmd_as(struct ctl *c, const struct args *a);

/* cmd-ssh.c, cmd-exec.c, cmd-cp.c: session.h */
int cmd_ssh(struct ctl *c, const struct args *a);
int cmd_shell(struct ctl *c, const struct args *a);
int cmd_exec(struct ctl *c, const struct args *a);
int cmd_cp(struct ctl *c, const struct args *a);

/* cmd-nc-dgram.c */

/** nc_datagrams() - nc --dgram; @linger: --timeout, @ms, was given. Return: the
 * exit status */
int nc_datagrams(struct ctl *c, const struct args *a, bool linger, uint32_t ms);

/* help.c */
int cmd_help(struct ctl *c, const struct args *a);
int cmd_version(struct ctl *c, const struct args *a);
void help_verb(const struct verb *v, const char *group);
void help_all(void);

/** verb_find() - by the first words typed; "vm" and "container" stand for
 * "partition". @ret_words: how many words it took. NULL if there is none. */
const struct verb *verb_find(char **words, size_t *ret_words);

#endif /* HVCTL_VERBS_H */
