/* SPDX-License-Identifier: MIT */
/* verdict.c - see verdict.h */
#include "broker/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/guid.h"
#include "proto/message.h"

void verdict_init(struct verdict *v)
{
	v->reason = 0;
	v->error = 0;
	v->text[0] = '\0';
	v->service = guid_zero;
	v->target = NULL;
	v->peer = guid_zero;
	v->relayed = false;
	v->uplink = false;
	v->listener = NULL;
	v->refused = NULL;
	v->unix_target = NULL;
	v->disabled = false;
	v->explain = false;
	v->rule[0] = v->fix[0] = v->steps[0] = '\0';
}

void refuse(struct verdict *v, uint32_t reason, const char *fmt, ...)
{
	va_list ap;

	v->reason = reason;
	v->error = reason_errno(reason);
	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
}

void verdict_step(struct verdict *v, const char *fmt, ...)
{
	size_t n;
	va_list ap;

	if (!v->explain)
		return;
	n = strlen(v->steps);
	va_start(ap, fmt);
	vsnprintf(v->steps + n, sizeof(v->steps) - n - 1, fmt, ap);
	va_end(ap);
	n = strlen(v->steps);
	if (n + 1 < sizeof(v->steps)) {
		v->steps[n] = '\n';
		v->steps[n + 1] = '\0';
	}
}

void verdict_note(struct verdict *v, char *where, size_t size,
		  const char *fmt, ...)
{
	va_list ap;

	if (!v->explain)
		return;
	va_start(ap, fmt);
	vsnprintf(where, size, fmt, ap);
	va_end(ap);
}
