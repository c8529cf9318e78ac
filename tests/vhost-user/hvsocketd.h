/* SPDX-License-Identifier: MIT */
/* hvsocketd.h - the real broker, where a stand-in would not do */
#ifndef TEST_VHOST_USER_HVSOCKETD_H
#define TEST_VHOST_USER_HVSOCKETD_H

#include <sys/types.h>

/** hvsocketd_put() - @text as the file @name in @dir */
void hvsocketd_put(const char *dir, const char *name, const char *text);
/** hvsocketd_start() - $HVSOCKETD with @dir as its runtime directory and
 * @dir/conf with its files; it is ready. Return: the process */
pid_t hvsocketd_start(const char *dir);

#endif /* TEST_VHOST_USER_HVSOCKETD_H */
