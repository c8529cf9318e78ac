/* SPDX-License-Identifier: MIT */
/*
 * exec.h - hvvm run --exec: a command in a guest of the kernel that -k names
 *
 * Before the machine is made, exec_prepare() finds kernel and modules, makes
 * the initial file system, and writes what it found into the options. While it
 * runs, the three serial ports come here: the kernel's console (its end is
 * kept, for when something goes wrong), the command's output (to standard
 * output) and what guest-init.c tells. Then exec_end() knows the status.
 */
#ifndef HVVM_EXEC_EXEC_H
#define HVVM_EXEC_EXEC_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"
#include "hvvm/exec/kernel-tree.h"
#include "hvvm/exec/ktap.h"
#include "hvvm/machine.h"
#include "hvvm/options.h"

#define EXEC_CONSOLE_KEPT 65536u

struct exec {
	struct options *o;
	struct machine *m;
	struct kernel_tree tree;
	char append[2048];
	char dir[PATH_MAX - 8], uds_path[PATH_MAX]; /* "": not ours */

	pthread_mutex_t lock; /* of what follows: processors come here */
	char console[EXEC_CONSOLE_KEPT];
	size_t console_at, console_len;
	char out[4096]; /* no more than a pipe takes at once */
	size_t out_len;
	char line[512]; /* of the third port */
	size_t line_len;
	bool line_too_long, up, failed, broken;
	int status; /* the command's; -1: it has not ended */
	uint64_t ended_ns;
	struct ktap ktap;

	struct ev_timer tick;
};

/** exec_prepare() - Return: 0; -errno: a sentence has been said */
int exec_prepare(struct exec *e, struct options *o);
/** exec_start() - the machine's loop is there. Return: 0 or -errno */
int exec_start(struct exec *e, struct machine *m);
/** exec_serial() - bytes of the guest, from any thread */
void exec_serial(struct exec *e, unsigned int port, const uint8_t *data,
		 size_t len);
/** exec_end() - the machine has stopped, with @status. Return: hvvm's status */
int exec_end(struct exec *e, int status);
void exec_free(struct exec *e);

#endif /* HVVM_EXEC_EXEC_H */
