# SPDX-License-Identifier: MIT
"""frames - datagrams over an uplink, as they are on its connection"""
import contextlib
import os
import signal
import struct

import dg
from hvb import *
from lone import SOURCE
from pair import *
from tap import check, same

LIB = dg.library()
DATA, QUESTION, ANSWER = 1, 2, 3
HEAD = 72


def frame(data=b"", service=ODD, to=ZERO, source=SOURCE, sender=ZERO,
          kind=DATA, flags=0, length=None):
    n = len(data) if length is None else length
    return struct.pack("<IHH", n, kind, flags) + sender.bytes_le + \
        source.bytes_le + to.bytes_le + service.bytes_le + data


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        check(more, "the connection goes on")
        data += more
    return data


class Frame:
    def __init__(self, s):
        h = exactly(s, HEAD)
        n, self.kind, self.flags = struct.unpack("<IHH", h[:8])
        self.sender, self.source, self.to, self.service = (
            uuid.UUID(bytes_le=h[i:i + 16]) for i in range(8, HEAD, 16))
        self.data = exactly(s, n)


def answer_to(s, number):
    """Of a question: reason, sentence. Datagrams before it are let pass."""
    while True:
        f = Frame(s)
        if f.kind == ANSWER:
            same(struct.unpack("<I", f.data[:4])[0], number, "the number")
            return struct.unpack("<I", f.data[4:8])[0], f.data[8:].decode()


def ended(s):
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    s.close()


def dropped(b, reason, n):
    check(until(lambda: dg.status(b)["dropped"].get(reason, 0) == n),
          "%s: %s" % (reason, dg.status(b)))


@contextlib.contextmanager
def no_relay_stays(b):
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            os.kill(dg.relay(b), signal.SIGTERM)
