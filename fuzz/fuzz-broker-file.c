/* SPDX-License-Identifier: MIT */
/* fuzz-broker-file.c - the text of a broker.conf */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "registry/broker-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct broker_file f = { .profile = PROFILE_WINDOWS };
	char place[UPLINK_PATH_MAX + 6];
	struct uplink_place again;
	struct parse_error e = { 0 };

	if (broker_file_parse((const char *)data, size, &f, &e) < 0) {
		if (!e.reason[0] || f.has_profile)
			abort();
		return 0;
	}
	if (!f.has_profile && f.profile != PROFILE_WINDOWS)
		abort();
	(void)profile_name(f.profile);
	uplink_place_text(&f.uplink, place);
	if (uplink_place_parse(place, &again) < 0 ||
	    again.kind != f.uplink.kind)
		abort();
	return 0;
}
