/* SPDX-License-Identifier: MIT */
/* virtio-kind.c - see virtio-kind.h; virtio 1.2, 5.2 (block), 5.11 (fs) */
#include "hvvm/virtio-kind.h"

#include <string.h>

#include "base/bytes.h"
#include "hvvm/virtio-mmio.h"

#define BIT(n) (1ull << (n))
/* The ring's own: nothing that changes its layout or its addresses. */
#define RING_FEATURES                                                      \
	(BIT(VIRTIO_F_RING_INDIRECT_DESC) | BIT(VIRTIO_F_RING_EVENT_IDX) | \
	 BIT(VIRTIO_F_MODERN))

#define BLK_F_CONFIG_WCE 11
#define BLK_F_MQ 12
#define BLK_AT_WCE 32u
#define BLK_AT_QUEUES 34u

enum { BLK, FS };

static const struct virtio_kind kinds[] = {
	/* sizes, geometry, read-only, flush, topology, cache mode, queues,
	 * discard, write zeroes: up to there goes the configuration */
	[BLK] = { "blk", 2,
		  BIT(1) | BIT(2) | BIT(4) | BIT(5) | BIT(6) | BIT(9) |
			  BIT(10) | BIT(BLK_F_CONFIG_WCE) | BIT(BLK_F_MQ) |
			  BIT(13) | BIT(14),
		  256, 60, true },
	/* the tag and the number of request queues */
	[FS] = { "fs", 26, 0, 1024, VIRTIO_TAG_MAX + 4, false },
};

const char *virtio_spec_parse(const char *option, struct virtio_spec *ret)
{
	static const char tag[] = ",tag=";
	struct virtio_spec s = { .option = option, .tag = "share" };
	const char *colon = strchr(option, ':'), *comma, *end;

	if (!colon)
		return "KIND:PATH is needed";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strlen(kinds[i].name) == (size_t)(colon - option) &&
		    !strncmp(kinds[i].name, option, (size_t)(colon - option)))
			s.kind = &kinds[i];
	if (!s.kind)
		return "the kind is blk or fs";
	end = colon + strlen(colon);
	comma = strstr(colon, tag);
	if (comma) {
		const char *name = comma + strlen(tag);
		size_t len = (size_t)(end - name);

		if (s.kind != &kinds[FS])
			return "only fs has a tag";
		if (!len || len > VIRTIO_TAG_MAX)
			return "a tag has 1 to 36 bytes";
		memset(s.tag, 0, sizeof(s.tag));
		memcpy(s.tag, name, len);
		end = comma;
	}
	colon++;
	if (end == colon || (size_t)(end - colon) > VIRTIO_PATH_MAX)
		return "a socket's path has 1 to 107 bytes";
	memcpy(s.path, colon, (size_t)(end - colon));
	*ret = s;
	return NULL;
}

uint64_t virtio_spec_features(const struct virtio_spec *s, uint64_t theirs)
{
	return theirs & (s->kind->features | RING_FEATURES);
}

unsigned int virtio_spec_queues(const struct virtio_spec *s, uint64_t features,
				const uint8_t *config, unsigned int limit)
{
	unsigned int n;

	if (s->kind == &kinds[FS])
		return 2; /* one for urgent requests, one for the others */
	if (!(features & BIT(BLK_F_MQ)))
		return 1;
	n = le16_get(config + BLK_AT_QUEUES);
	n = n < limit ? n : limit;
	n = n < VIRTIO_QUEUES_MAX ? n : VIRTIO_QUEUES_MAX;
	return n ? n : 1;
}

void virtio_spec_config(const struct virtio_spec *s, unsigned int queues,
			uint8_t *config)
{
	if (s->kind == &kinds[BLK]) {
		le16_put(config + BLK_AT_QUEUES, (uint16_t)queues);
		return;
	}
	memcpy(config, s->tag, VIRTIO_TAG_MAX);
	le32_put(config + VIRTIO_TAG_MAX, 1);
}

bool virtio_spec_writable(const struct virtio_spec *s, uint64_t accepted,
			  unsigned int at, unsigned int len)
{
	return s->kind == &kinds[BLK] && accepted & BIT(BLK_F_CONFIG_WCE) &&
	       at == BLK_AT_WCE && len == 1;
}
