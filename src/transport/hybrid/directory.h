/* SPDX-License-Identifier: MIT */
/*
 * directory.h - the private directory of one VM
 *
 * It has the VMM's socket P and our P_N beside it, and is the VM's identity:
 * whoever could write there could be the VM, or a service of the host. So it
 * has to be the user's own, nobody else may write to it, and one process has
 * it at a time, who holds a lock file there. It becomes the working directory:
 * the names in it are short, and stay the same directory's whatever becomes of
 * its path.
 */
#ifndef HYBRID_DIRECTORY_H
#define HYBRID_DIRECTORY_H

#include <stddef.h>
#include <sys/un.h>

/* The name of P, so short that P_GUID is a socket's address. */
#define DIRECTORY_NAME_SIZE (sizeof(((struct sockaddr_un *)0)->sun_path) - 37)
#define DIRECTORY_WHY 200

/**
 * directory_enter() - that of @path, for as long as the process lives; what an
 * earlier process left there is removed
 * @ret_name:	P's name in it
 * @why:	a sentence (DIRECTORY_WHY bytes) if it fails
 *
 * Return: 0; -EINVAL (no name of a file, or too long), -EPERM (another user's,
 * or others may write to it), -EBUSY (another process has it), -errno
 */
int directory_enter(const char *path, char ret_name[DIRECTORY_NAME_SIZE],
		    char *why);

/** directory_leave() - at the end of the process: its lock is removed */
void directory_leave(void);

#endif /* HYBRID_DIRECTORY_H */
