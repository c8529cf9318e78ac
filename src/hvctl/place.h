/* SPDX-License-Identifier: MIT */
/*
 * place.h - where our other programs are
 *
 * Named by a variable; else beside this program, as in a build tree; else
 * where they are installed.
 */
#ifndef HVCTL_PLACE_H
#define HVCTL_PLACE_H

#include <stddef.h>

/**
 * place_find() - the path of a program or library
 * @variable:	of the environment: the path itself
 * @beside:	relative to the directory of this program, NULL-ended
 * @installed:	absolute
 * @ret:	the path; where nothing is found, the last one tried
 *
 * Return: 0, -ENOENT, -ENAMETOOLONG. A variable that is set is taken as it is,
 * and an error is then its file's.
 */
int place_find(const char *variable, const char *const *beside,
	       const char *installed, char *ret, size_t size);

#endif /* HVCTL_PLACE_H */
