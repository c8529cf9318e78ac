#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that has all the connections it may have, which takes a while"""
import socket
import struct
import sys

import tap
from hvb import *
from tap import same

PORT = port(5000)


def test_more_connections_than_a_guest_can_have(_):
    with Broker() as b, b.client() as t, b.client() as c, \
            socket.socket(socket.AF_UNIX) as rendezvous:
        t.ask(ATTACH, bytes(16) + struct.pack("<HHI", 1, 1, 0) + b"vm",
              [rendezvous]).check()
        rendezvous.listen(16)
        t.send(STATE, struct.pack("<I", 1))
        for i in range(65536 + 3):
            t.send(LIVE, struct.pack("<QHHI", 1 + i, 1, 1, i) + PORT.bytes_le +
                   port(1024).bytes_le)
        for i in range(3):
            kind, token, reason = struct.unpack("<H6xQI", t.receive()[0])
            same((kind, token, reason), (CLOSE, 65537 + i, QUOTA), "one more")
        same(c.call("status")["connections"], 65536, "of the guest")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
