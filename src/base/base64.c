/* SPDX-License-Identifier: MIT */
/* base64.c - see base64.h: base/b64.h with other two letters, and padding */
#include "base/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64.h"
#include "base/cleanup.h"

char *base64_encode(const void *data, size_t len)
{
	char *text = malloc(B64_SIZE(len) + 3);
	size_t n;

	if (!text)
		return NULL;
	n = b64_encode(data, len, text);
	for (size_t i = 0; i < n; i++)
		if (text[i] == '-')
			text[i] = '+';
		else if (text[i] == '_')
			text[i] = '/';
	while (n % 4)
		text[n++] = '=';
	text[n] = '\0';
	return text;
}

int base64_decode(const char *text, size_t len, char **ret, size_t *ret_len)
{
	cleanup_free_ char *copy = NULL;
	char *data;
	size_t n = len, want;
	int r;

	if (len % 4)
		return -EINVAL;
	while (n && len - n < 2 && text[n - 1] == '=')
		n--;
	want = n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
	copy = malloc(n + 1);
	data = malloc(want + 1);
	if (!copy || !data) {
		free(data);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		/* its own two are not of this alphabet */
		copy[i] = c == '+' ? '-' :
			  c == '/' ? '_' :
			  c == '-' || c == '_' ? '=' : c;
	}
	r = b64_decode(copy, n, (uint8_t *)data, want);
	if (r < 0) {
		free(data);
		return r;
	}
	data[want] = '\0';
	*ret = data;
	*ret_len = want;
	return 0;
}
