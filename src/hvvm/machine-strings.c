/* SPDX-License-Identifier: MIT */
/* machine-strings.c - what --credential and --notify tell the guest: read once,
 * written anew at each boot */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/credential.h"
#include "hvvm/exec/file.h"
#include "hvvm/machine.h"
#include "hvvm/smbios.h"

static int add(struct machine *m, const char *name, size_t name_len,
	       const void *value, size_t len)
{
	char *s;

	if (len > SMBIOS_SIZE) {
		log_err("--credential %.*s: %zu bytes: all credentials "
			"together have less than %u",
			(int)name_len, name, len, SMBIOS_SIZE);
		return -ENOSPC;
	}
	s = credential_string(name, name_len, value, len);
	if (!s) {
		log_err("--credential: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	m->strings[m->string_count++] = s;
	return 0;
}

static int add_option(struct machine *m, const char *arg)
{
	cleanup_free_ uint8_t *bytes = NULL;
	const char *file, *value, *why;
	size_t name_len, len;
	int r;

	r = credential_parse(arg, &name_len, &file, &value, &why);
	if (r < 0) {
		/* not all of it: it may be a secret */
		log_err("--credential: %s", why);
		return r;
	}
	if (value)
		return add(m, arg, name_len, value, strlen(value));
	r = file_read(file, &bytes, &len);
	if (r < 0) {
		log_err("--credential %.*s: %s: %s", (int)name_len, arg, file,
			strerror(-r));
		return r;
	}
	return add(m, arg, name_len, bytes, len);
}

int machine_strings_read(struct machine *m)
{
	int r = 0;

	for (unsigned int i = 0; m->o->credential[i] && r == 0; i++)
		r = add_option(m, m->o->credential[i]);
	if (r == 0 && m->o->notify)
		r = add_option(m, CREDENTIAL_NOTIFY);
	return r;
}

int machine_strings_write(struct machine *m)
{
	int r;

	if (!m->string_count)
		return 0;
	r = smbios_write(m->strings, m->string_count,
			 memory_at(&m->memory, SMBIOS_BASE, SMBIOS_SIZE));
	if (r == -ENOSPC)
		log_err("--credential: all of them together do not fit into "
			"%u bytes",
			SMBIOS_SIZE);
	return r < 0 ? r : 0;
}

void machine_strings_free(struct machine *m)
{
	for (unsigned int i = 0; i < m->string_count; i++)
		free(m->strings[i]);
	m->string_count = 0;
}
