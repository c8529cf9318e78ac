/* SPDX-License-Identifier: MIT */
/* registry.c - see registry.h */
#include "registry/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/guid.h"

/* For now: the host and nothing else. */
struct registry {
	int fd;
	struct partition host;
	char name[5];
};


int registry_new(const struct registry_dir *dirs, size_t n,
		 const char *volatile_dir, struct registry **ret)
{
	struct registry *r = calloc(1, sizeof(*r));

	(void)dirs;
	(void)n;
	(void)volatile_dir;
	if (!r)
		return -ENOMEM;
	r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->fd < 0) {
		free(r);
		return -errno;
	}
	memcpy(r->name, "host", 5);
	r->host.name = r->name;
	r->host.origin = ORIGIN_BUILTIN;
	r->host.enabled = true;
	r->host.defaults.wildcard = -1;
	*ret = r;
	return 0;
}

struct registry *registry_free(struct registry *r)
{
	if (r) {
		close(r->fd);
		free(r);
	}
	return NULL;
}

int registry_fd(const struct registry *r)
{
	return r->fd;
}

bool registry_refresh(struct registry *r)
{
	(void)r;
	return false;
}

void registry_reload(struct registry *r)
{
	(void)r;
}

uint64_t registry_generation(const struct registry *r)
{
	(void)r;
	return 1;
}

size_t registry_problems(const struct registry *r,
			 const struct registry_problem **ret)
{
	(void)r;
	*ret = NULL;
	return 0;
}

const struct service *registry_service(const struct registry *r,
				       const GUID *id)
{
	(void)r;
	(void)id;
	return NULL;
}

const struct service *registry_service_by_name(const struct registry *r,
					       const char *name)
{
	(void)r;
	(void)name;
	return NULL;
}

const struct partition *registry_partition(const struct registry *r,
					   const GUID *vmid)
{
	return guid_is_zero(vmid) ? &r->host : NULL;
}

const struct partition *registry_partition_by_name(const struct registry *r,
						   const char *name)
{
	return strcasecmp(name, "host") ? NULL : &r->host;
}

size_t registry_service_count(const struct registry *r)
{
	(void)r;
	return 0;
}

size_t registry_partition_count(const struct registry *r)
{
	(void)r;
	return 1;
}

int registry_each_service(const struct registry *r,
			  int (*fn)(const struct service *s, void *arg),
			  void *arg)
{
	(void)r;
	(void)fn;
	(void)arg;
	return 0;
}

int registry_each_partition(const struct registry *r,
			    int (*fn)(const struct partition *p, void *arg),
			    void *arg)
{
	return fn(&r->host, arg);
}

const struct rules *partition_rules(const struct partition *p, const GUID *id)
{
	(void)p;
	(void)id;
	return NULL;
}

int registry_add_service(struct registry *r, const struct service_draft *d,
			 const struct service **ret, char *why, size_t size)
{
	(void)r; (void)d; (void)ret; (void)why; (void)size;
	return -ENOSYS;
}

int registry_set_service(struct registry *r, const GUID *id,
			 const struct service_draft *d, char *why, size_t size)
{
	(void)r; (void)d; (void)id; (void)why; (void)size;
	return -ENOSYS;
}

int registry_remove_service(struct registry *r, const GUID *id, char *why,
			    size_t size)
{
	(void)r; (void)id; (void)why; (void)size;
	return -ENOSYS;
}

int registry_add_partition(struct registry *r, const struct partition_draft *d,
			   const struct partition **ret, char *why,
			   size_t size)
{
	(void)r; (void)d; (void)ret; (void)why; (void)size;
	return -ENOSYS;
}

int registry_set_partition(struct registry *r, const GUID *vmid,
			   const struct partition_draft *d, char *why,
			   size_t size)
{
	(void)r; (void)d; (void)vmid; (void)why; (void)size;
	return -ENOSYS;
}

int registry_remove_partition(struct registry *r, const GUID *vmid, char *why,
			      size_t size)
{
	(void)r; (void)vmid; (void)why; (void)size;
	return -ENOSYS;
}

size_t registry_expire(struct registry *r, int32_t pid)
{
	(void)r;
	(void)pid;
	return 0;
}

