/* SPDX-License-Identifier: MIT */
/* fuzz-service-file.c - the text of a service file; what is taken can be
 * written, and is read as the same again */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "registry/service-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look_up(const char *name, uint32_t *ret)
{
	*ret = 1;
	return name[0] == 'x' ? -ENOENT : 0;
}

static const struct name_lookup names = { look_up, look_up };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where a list is folded several blanks become one space. */
static bool same_but_blanks(const char *a, const char *b)
{
	while (*a && *b && (*a == *b || (is_blank(*a) && is_blank(*b)))) {
		if (!is_blank(*a)) {
			a++;
			b++;
			continue;
		}
		a += strspn(a, " \t");
		b += strspn(b, " \t");
	}
	return *a == *b;
}

static void write_again(const struct service_text *t)
{
	struct service_text again;
	struct parse_error e;
	char *text;

	if (service_text_format(t, &text) < 0)
		abort();
	/* A word that fills a whole line cannot be folded. */
	if (service_text_parse(text, strlen(text), true, &again, &e) == 0) {
		for (size_t k = 0; k < SERVICE_KEYS; k++) {
			if (!t->value[k] != !again.value[k])
				abort();
			if (!t->value[k])
				continue;
			if (k == SERVICE_BIND || k == SERVICE_CONNECT ||
					    k == SERVICE_SIBLINGS
				    ? !same_but_blanks(t->value[k],
						       again.value[k])
				    : strcmp(t->value[k], again.value[k]) != 0)
				abort();
		}
		service_text_fini(&again);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service_text t;
	struct parse_error e;
	struct service s;

	for (int is_volatile = 0; is_volatile < 2; is_volatile++) {
		e.reason[0] = '\0';
		if (service_text_parse((const char *)data, size, is_volatile,
				       &t, &e) < 0) {
			if (!e.reason[0])
				abort();
			continue;
		}
		if (service_build(&t, "stem", &names, &s, &e) == 0) {
			if (name_check("", s.name, 0, &e) < 0)
				abort();
			write_again(&t);
			service_fini(&s);
		} else if (!e.reason[0]) {
			abort();
		}
		service_text_fini(&t);
	}
	return 0;
}
