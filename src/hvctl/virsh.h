/* SPDX-License-Identifier: MIT */
/*
 * virsh.h - asking libvirt, by its own command
 *
 * A process, rather than its library: nothing of libvirt is needed where it is
 * not used, and it works with whatever version is there.
 */
#ifndef HVCTL_VIRSH_H
#define HVCTL_VIRSH_H

#include <stddef.h>
#include <sys/types.h>

#define VIRSH_OUTPUT_MAX (64u << 20)

/**
 * virsh_read() - all that it says on its standard output
 * @uri:	for --connect, or NULL
 * @words:	the command, NULL-ended
 * @ret:	zero-ended, the caller's
 *
 * Its errors go to our stderr. Return: 0; -ENOENT (no virsh), -EIO (it has
 * failed), -E2BIG, -errno.
 */
int virsh_read(const char *uri, const char *const *words, char **ret,
	       size_t *ret_len);

/** virsh_follow() - start one that says something at each event. Return: what
 * it says is read from there; -errno. @ret_pid: to be ended by virsh_end() */
int virsh_follow(const char *uri, pid_t *ret_pid);
void virsh_end(pid_t pid);

#endif /* HVCTL_VIRSH_H */
