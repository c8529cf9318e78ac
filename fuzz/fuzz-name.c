/* SPDX-License-Identifier: MIT */
/*
 * fuzz-name.c - a socket's address as the kernel may give it
 *
 * What is read as one of our names must be written as the same name.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct sockaddr_un *a, socklen_t a_len,
		 const struct sockaddr_un *b, socklen_t b_len)
{
	size_t n = b_len - offsetof(struct sockaddr_un, sun_path);

	/* paths may come with or without their zero */
	if (b->sun_path[0])
		n--;
	else if (a_len != b_len)
		abort();
	if (memcmp(a->sun_path, b->sun_path, n) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un sa = { 0 }, again;
	struct listener_name l;
	socklen_t len, n = 0;
	struct name name;
	char *file;

	len = (socklen_t)(size < sizeof(sa) ? size : sizeof(sa));
	if (len)
		memcpy(&sa, data, len);
	name_decode(&sa, len, &name);
	switch (name.kind) {
	case NAME_LISTENER:
		n = listener_name_encode(&name.listener, &again);
		break;
	case NAME_RENDEZVOUS:
		n = rendezvous_name_encode(&name.rendezvous, &again);
		break;
	case NAME_CONNECTOR:
	case NAME_DATAGRAM:
		n = connector_name_encode(&name.connector, &again);
		break;
	case NAME_NONE:
	case NAME_FOREIGN:
		break;
	}
	if (n)
		same(&sa, len, &again, n);

	file = malloc(size + 1);
	if (!file)
		return 0;
	if (size)
		memcpy(file, data, size);
	file[size] = '\0';
	if (listener_file_decode(file, &l) == 0) {
		listener_name_encode(&l, &again);
		if (strcmp(again.sun_path + strlen(NAME_LISTENER_DIR), file))
			abort();
	}
	free(file);
	return 0;
}
