/* SPDX-License-Identifier: MIT */
/* command.h - the program: started under the filter, its status */
#ifndef AS_COMMAND_H
#define AS_COMMAND_H

#include <sys/types.h>

/**
 * command_start() - a child that has the filter and waits for command_go()
 * @ret_listener:	where its calls, and those of what it starts, come to
 * @ret_go:		for command_go()
 *
 * To be called before there are threads. Return: its pid, or -1 (told).
 */
pid_t command_start(char **command, int *ret_listener, int *ret_go);

/** command_go() - it becomes its command. @go is closed. */
void command_go(int go);

#endif /* AS_COMMAND_H */
