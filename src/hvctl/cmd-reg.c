/* SPDX-License-Identifier: MIT */
/* cmd-reg.c - hvctl service import, export */
#include "hvctl/verbs.h"
#include "hvctl/out.h"
int cmd_service_import(struct ctl *c, const struct args *a){(void)a;return fail("%s", c->verb);}
int cmd_service_export(struct ctl *c, const struct args *a){(void)a;return fail("%s", c->verb);}
