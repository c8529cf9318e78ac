/* SPDX-License-Identifier: MIT */
/*
 * virtio-kind.h - what --vhost-user asks for: kinds of devices
 *
 * What differs between a disk and a shared folder: number, features, queues,
 * and where the configuration comes from. Pure.
 */
#ifndef HVVM_VIRTIO_KIND_H
#define HVVM_VIRTIO_KIND_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_TAG_MAX 36u
#define VIRTIO_PATH_MAX 107u

struct virtio_kind {
	const char *name;
	uint32_t device;   /* virtio's id */
	uint64_t features; /* of its own that we can carry */
	uint32_t num_max;  /* entries in a queue */
	unsigned int config_len;
	bool asks; /* the back end has the configuration */
};

struct virtio_spec {
	const char *option;
	const struct virtio_kind *kind;
	char path[VIRTIO_PATH_MAX + 1];
	char tag[VIRTIO_TAG_MAX + 1];
};

/** virtio_spec_parse() - KIND:PATH[,tag=NAME]; NULL: good, else what is
 * wrong */
const char *virtio_spec_parse(const char *option, struct virtio_spec *ret);
/** virtio_spec_features() - of those that the back end has, what the driver
 * may have */
uint64_t virtio_spec_features(const struct virtio_spec *s, uint64_t theirs);
/** virtio_spec_queues() - how many; @limit: at most of one sort */
unsigned int virtio_spec_queues(const struct virtio_spec *s, uint64_t features,
				const uint8_t *config, unsigned int limit);
/** virtio_spec_config() - fill in, or put right, @config for @queues */
void virtio_spec_config(const struct virtio_spec *s, unsigned int queues,
			uint8_t *config);
/** virtio_spec_writable() - may the driver write there? */
bool virtio_spec_writable(const struct virtio_spec *s, uint64_t accepted,
			  unsigned int at, unsigned int len);

#endif /* HVVM_VIRTIO_KIND_H */
