/* SPDX-License-Identifier: MIT */
/*
 * ready.h - has the guest started? What its systemd says, and who waits for it
 *
 * A service of the broker's own: a guest's systemd that was told to
 * (vmm.notify_socket, systemd.system-credentials(7)) connects to its host at
 * port 26743 and says what is in proto/notice.h. Whose guest it is is known by
 * how the connection came. What it said is kept with its transport, until the
 * guest starts anew or the transport ends. A service that is registered with
 * that port has the connections instead, and under the profile "windows" there
 * is none.
 */
#ifndef BROKER_READY_H
#define BROKER_READY_H

#include "broker/transport.h"

/** ready_wants() - is this for us, and not for a program? */
bool ready_wants(const struct broker *b, const struct msg_dial *m);

/** ready_dial() - answer DIAL */
void ready_dial(struct client *c, uint32_t serial, const struct msg_dial *m);

/** ready_service() - what guests dial; false: nothing, see above */
bool ready_service(const struct broker *b, GUID *ret);

/** ready_state() - the guest of @t came, or went */
void ready_state(struct transport *t, bool running);

/** ready_client_gone(), ready_transport_gone() - one side is being dropped */
void ready_client_gone(struct client *c);
void ready_transport_gone(struct transport *t);

#endif /* BROKER_READY_H */
