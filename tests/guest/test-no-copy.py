#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Payload goes from guest memory to the socket without a buffer between.

The transport runs under trace-payload, which looks at each system call and
says where the bytes lay that went through its sockets.
"""
import os
import re
import sys

import hvs
import stack
import tap

# Bytes under way at one time: fewer than fit a socket's buffer. What does not
# fit has to wait somewhere, and the transport may keep it.
PIECE = 64 << 10
PIECES = 64


class Traced(stack.Stack):
    def transport_command(self):
        tracer = os.path.join(os.environ["GUEST_PROGRAMS"], "trace-payload")
        return [tracer] + super().transport_command()

    def payload(self):
        """Bytes in the guest's memory and in the transport's own, so far."""
        self.transport.terminate()
        self.transport.wait(20)
        self.log.flush()
        with open(self.log.name) as f:
            text = f.read()
        m = re.search(r"^payload guest=(\d+) own=(\d+)$", text, re.M)
        tap.check(m, text)
        return int(m.group(1)), int(m.group(2))


def test_payload_lies_in_guest_memory(f):
    f.service("echo", 5000)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5000)):
        out = f.guest.run("vsock-peer connect 5000 %sshut eof" % (
            "swap:%d " % PIECE * PIECES), 60).ok()
        tap.same(out.count("received=%d crc" % PIECE), PIECES, "pieces")
        tap.same(out.count("as-sent"), PIECES + 1, "as they were sent")
    guest, own = f.payload()
    # Each byte came once from the guest's memory and went once into it.
    tap.check(guest >= 2 * PIECE * PIECES, "%d bytes in guest memory, %d not" %
              (guest, own))
    # What remains are messages of the VMM and of the broker.
    tap.check(own < 64 << 10, "%d bytes in the transport's memory" % own)


tap.main(sys.modules[__name__], Traced)
