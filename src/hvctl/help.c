/* SPDX-License-Identifier: MIT */
/* help.c - hvctl help, --help and version, all from the table of verbs */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

void help_verb(const struct verb *v, const char *group)
{
	printf("usage: hvctl %s%s%s%s%s\n\n%s.\n", v->group ? group : "",
	       v->group ? " " : "", v->name, v->synopsis[0] ? " " : "",
	       v->synopsis, v->summary);
	if (v->more)
		printf("%s\n", v->more);
	printf("\noptions:\n");
	for (const struct opt *o = v->opts; o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%c%c%s--%s%s%s",
			 o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
			 o->letter ? ", " : "  ", o->name, o->arg ? " " : "",
			 o->arg ? o->arg : "");
		printf("  %-26s %s%s\n", left, o->help,
		       o->many ? " (repeatable)" : "");
	}
	printf("  %-26s %s\n", "-h, --help", "this text");
}

void help_all(void)
{
	printf("usage: hvctl VERB [WORD]...\n\nverbs:\n");
	for (const struct verb *v = verbs; v->name; v++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s", v->group ? v->group : "",
			 v->group ? " " : "", v->name);
		printf("  %-21s %s\n", left, v->summary);
	}
	printf("\n\"vm\" and \"container\" are \"partition\", for that kind "
	       "only.\n"
	       "ADDRESS is PARTITION:SERVICE, each a name, a GUID, or one of "
	       "the words\nwildcard, children, parent, loopback, silohost, "
	       "host; a service also a port.\n"
	       "hvctl VERB --help tells about one verb, hvctl(1) about all.\n");
}

int cmd_help(struct ctl *c, const struct args *a)
{
	char *words[] = { a->npos ? a->pos[0] : NULL,
			  a->npos > 1 ? a->pos[1] : NULL, NULL };
	bool found = false;
	const struct verb *one;
	const char *group;
	size_t n;

	(void)c;
	if (!a->npos) {
		help_all();
		return 0;
	}
	one = verb_find(words, &n);
	if (one && n == a->npos) {
		help_verb(one, words[0]);
		return 0;
	}
	group = words[0];
	if (!strcmp(group, "vm") || !strcmp(group, "container"))
		group = "partition";
	for (const struct verb *v = verbs; v->name && a->npos == 1; v++)
		if (v->group && !strcmp(v->group, group)) {
			printf("hvctl %s %s %s\n    %s\n",
			       words[0], v->name, v->synopsis, v->summary);
			found = true;
		}
	if (found)
		return 0;
	return usage("help %s%s%s: unknown verb", show(words[0]),
		     words[1] ? " " : "", words[1] ? show(words[1]) : "");
}

int cmd_version(struct ctl *c, const struct args *a)
{
	(void)c;
	(void)a;
	printf("hvctl %s\n", HVSOCKET_VERSION);
	return 0;
}
