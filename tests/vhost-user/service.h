/* SPDX-License-Identifier: MIT */
/* service.h - a double of the service manager: its notify socket and its store
 * of descriptors, as sd_notify(3) and sd_listen_fds(3) have them */
#ifndef TEST_VHOST_USER_SERVICE_H
#define TEST_VHOST_USER_SERVICE_H

#include <stdbool.h>

#define SVC_KEPT 16

struct svc {
	char path[108];
	int sock;
	struct {
		char name[64];
		int fd;
		bool poll; /* it goes when its peer has closed */
	} kept[SVC_KEPT];
	int nkept;
	unsigned int ready; /* READY=1 seen */
};

void svc_start(struct svc *s, const char *dir);
void svc_fini(struct svc *s);
/** svc_poll() - true: there was something */
bool svc_poll(struct svc *s);
/** svc_in_child() - its environment and descriptors, before exec. Return: where
 * @keep is now */
int svc_in_child(struct svc *s, int keep);

#endif /* TEST_VHOST_USER_SERVICE_H */
