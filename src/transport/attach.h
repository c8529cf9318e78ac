/* SPDX-License-Identifier: MIT */
/* attach.h - a program that serves nobody before it has attached */
#ifndef TRANSPORT_ATTACH_H
#define TRANSPORT_ATTACH_H

#include "transport/link.h"

/** attach_wait() - link_start(), and run the loop until the broker has
 * answered. Return: 0: it is up; -EPERM: refused; -ENETDOWN: no broker, or it
 * has gone; -ETIMEDOUT: no answer in 5 s; -EINTR: ev_quit(); -errno */
int attach_wait(struct link *l, struct ev *ev);

#endif /* TRANSPORT_ATTACH_H */
