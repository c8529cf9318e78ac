/* SPDX-License-Identifier: MIT */
/* fuzz-domain-xml.c - what virsh dumpxml prints */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "hvctl/domain-xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char why[DOMAIN_WHY] = "";
	struct domain d;
	size_t used;

	while (size) {
		if (domain_xml_parse(text, size, &d, &used, why) < 0) {
			if (!why[0] || strlen(why) >= sizeof(why))
				abort();
			return 0;
		}
		if (!used || used > size || !d.name[0] ||
		    guid_is_zero(&d.uuid) || (d.cid && !d.has_vsock) ||
		    (d.cid && d.cid < 3))
			abort();
		text += used;
		size -= used;
	}
	return 0;
}
