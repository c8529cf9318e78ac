/* SPDX-License-Identifier: MIT */
/* unlinks.c - LD_PRELOAD: whoever sends a message, as the library does to a
 * broker, tries to remove a file first, $VICTIM: is that thread in the sandbox?
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	const char *victim = getenv("VICTIM");

	if (victim)
		(void)unlink(victim);
	return syscall(SYS_sendmsg, fd, m, flags);
}
