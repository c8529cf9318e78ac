/* SPDX-License-Identifier: MIT */
/*
 * ini-edit.h - one key of an ini file, everything else as it was
 *
 * Comments, order and other sections stay. Pure.
 */
#ifndef HVCTL_INI_EDIT_H
#define HVCTL_INI_EDIT_H

/**
 * ini_edit() - set KEY=VALUE in [section]
 * @text:	the file; a section that is not there is added at its end
 * @value:	without control characters, not empty
 * @ret:	the new text, the caller's
 *
 * Old lines with this key, and those that go on with their value, are
 * dropped; the new one comes first in its section. Return: 0, -EINVAL,
 * -ENOMEM.
 */
int ini_edit(const char *text, const char *section, const char *key,
	     const char *value, char **ret);

#endif /* HVCTL_INI_EDIT_H */
