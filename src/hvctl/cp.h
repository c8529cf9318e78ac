/* SPDX-License-Identifier: MIT */
/*
 * cp.h - one file at a time, between here and a guest
 *
 * The bytes go into a file beside the final one, whose name is made of the
 * final name and of which file the source is, with its size and time: a copy
 * that was cut is gone on with by the next call, if the source is still the
 * same. When all is there it is checked, and then takes the final name at once.
 * What failed for a reason that will stay is removed.
 *
 * Such a part belongs to one call at a time, and to our user. Where another has
 * it, or it is somebody else's, the bytes go under a name that nobody guesses,
 * and are not gone on with.
 */
#ifndef HVCTL_CP_H
#define HVCTL_CP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "hvctl/session.h"
#include "hvctl/sftp-link.h"

#define CP_DEPTH_MAX 64u
#define CP_PATH_MAX 4096u
#define CP_PART_SIZE 64u
#define CP_UNSIZED_MAX (64u << 20) /* of a file that says it has no bytes */
#define CP_CHANGED "it has changed while it was copied"
#define CP_NO_FILE "not a regular file"
#define CP_REFUSED_MAX 1000u /* names that a directory cannot have */

struct cp {
	struct session *s;
	struct sftp_link *l;
	bool resume, preserve, verify;
	bool failed; /* something was left out */
	size_t listed; /* bytes of names that are being worked through */
	unsigned int refused;
	/* progress, on a terminal */
	bool show;
	const char *name;
	uint64_t total, done, shown_ms, start_ms, start_done;
};

/** cp_put() - @from of this machine to @to. Return: 0, or 1 (told) */
int cp_put(struct cp *c, const char *from, const char *to);

/** cp_get() - @from of the guest to @name below @dirfd; @shown: how that is
 * called in messages. Return: 0, or 1 (told) */
int cp_get(struct cp *c, const char *from, int dirfd, const char *name,
	   const char *shown);

/** cp_put_tree(), cp_get_tree() - a directory and what is in it; what is
 * neither file nor directory is left out, told. Return: 0; 1: the session is
 * over */
int cp_put_tree(struct cp *c, const char *from, const char *to,
		unsigned int depth);
int cp_get_tree(struct cp *c, const char *from, int dirfd, const char *name,
		unsigned int depth);

/** cp_part_name() - where the bytes go until they are all there
 * @of:	what they are a part of, for a name that is always the same; NULL: for
 *	one that nobody guesses */
void cp_part_name(const char *of, char ret[static CP_PART_SIZE]);

/** cp_remote_sum() - of @size bytes of the guest's @path: its cksum(1), or
 * read over sftp. Return: 0, or a result of the link's */
int cp_remote_sum(struct cp *c, const char *path, uint64_t size,
		  uint32_t *ret);

/** cp_remote_failed() - tell why the guest's @path could not be written or
 * read. Return: 1 */
int cp_remote_failed(struct cp *c, const char *path, int result);
/** cp_local_failed() - the same of ours, with a positive errno */
int cp_local_failed(struct cp *c, const char *path, int error);

/** cp_begin(), cp_moved(), cp_over() - the progress of one file */
void cp_begin(struct cp *c, const char *name, uint64_t total, uint64_t done);
void cp_moved(struct cp *c, uint64_t n);
void cp_over(struct cp *c);

#endif /* HVCTL_CP_H */
