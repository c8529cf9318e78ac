/* SPDX-License-Identifier: MIT */
/* options.h - what the command line of hvvm run says */
#ifndef HVVM_OPTIONS_H
#define HVVM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_MANY 32u

enum console_kind {
	CONSOLE_STDIO,
	CONSOLE_PTY,
	CONSOLE_FILE,
	CONSOLE_UNIX,
	CONSOLE_NONE,
};

/* What a serial port is joined to. */
struct options_port {
	enum console_kind kind;
	const char *path; /* CONSOLE_FILE, CONSOLE_UNIX */
};

struct options {
	const char *name; /* of the partition; NULL: none */
	const char *kernel, *initrd, *append;
	int initrd_fd;	  /* instead of a name; -1 */
	const char *exec; /* the command; NULL: boot as usual */
	const char *modules;
	const char *module[OPTIONS_MANY + 1];
	const char *add[OPTIONS_MANY + 1];
	bool ktap;
	uint64_t memory; /* bytes */
	unsigned int cpus;
	struct options_port console, serial2;
	const char *credential[OPTIONS_MANY + 1];
	bool notify; /* systemd in the guest is to say that it is ready */
	const char *vmcore;
	bool no_huge_pages, no_reboot, no_vmbus, verbose;
	const char *uds_path, *vmbus_socket, *trace, *sandbox, *integration;
	const char *inject[OPTIONS_MANY + 1];
	const char *vhost_user[OPTIONS_MANY + 1];
	unsigned int timeout; /* s; 0: none */
};

/** options_parse() - Return: -1: go on; else the exit status */
int options_parse(struct options *o, int argc, char **argv);

#endif /* HVVM_OPTIONS_H */
