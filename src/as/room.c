/* SPDX-License-Identifier: MIT */
/*
 * room.c - has the program a number for one more descriptor?
 *
 * They are listed only where there may be as many as it may have, and before
 * Linux 6.2, which does not say how many there are.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "as/target.h"

bool target_room(pid_t tid)
{
	unsigned long fd, below = 0;
	struct dirent *e;
	struct rlimit rl;
	struct stat st;
	char path[32];
	DIR *dir;

	if (prlimit(tid, RLIMIT_NOFILE, NULL, &rl) < 0)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/fd", tid);
	if (rl.rlim_cur && !stat(path, &st) && st.st_size > 0 &&
	    (rlim_t)st.st_size < rl.rlim_cur)
		return true;
	dir = opendir(path);
	if (!dir)
		return true;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		fd = strtoul(e->d_name, NULL, 10);
		below += fd < rl.rlim_cur;
	}
	closedir(dir);
	return below < rl.rlim_cur;
}
