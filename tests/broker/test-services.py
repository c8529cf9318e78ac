#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SERVICES: a transport that asks for it is told what is registered"""
import socket
import struct
import sys
import uuid

import tap
from hvb import *
from tap import check, same

FIRST, LAST, MOST = 1, 2, 4095
OWN = port(26743)  # the broker's: where guests say that they are ready


class Watcher:
    """A transport that wants the list and takes it frame by frame."""

    def __init__(self, b, name="vm", flags=2):
        self.c = b.client()
        self.s = socket.socket(socket.AF_UNIX)
        self.c.ask(ATTACH, ZERO.bytes_le + struct.pack("<HHI", 3, 1, flags) +
                   name.encode(), [self.s]).check()

    def frame(self):
        data, _ = self.c.receive()
        kind, _, serial = struct.unpack_from("<HHI", data)
        same(kind, SERVICES, "what came")
        flags, = struct.unpack_from("<I", data, 8)
        ids = [guid(data[i:i + 16]) for i in range(12, len(data), 16)]
        return serial, flags, ids

    def answer(self, serial):
        self.c.raw(struct.pack("<HHIII", SERVICES | REPLY, 0, serial, 0, 0))

    def list(self):
        whole, flags = [], 0
        while not flags & LAST:
            serial, flags, ids = self.frame()
            same(bool(flags & FIRST), not whole, "the first of a list")
            check(ids or not whole, "a frame without anything")
            whole += ids
            self.answer(serial)
        same(len(set(whole)), len(whole), "each once")
        check(OWN in whole, "the broker's own")
        return set(whole) - {OWN}

    def until(self, ids):
        while self.list() != ids:
            pass

    def silent(self):
        """Nothing was sent before this was answered."""
        n = self.c.send(99)
        data, _ = self.c.receive()
        same(struct.unpack_from("<HHI", data), (99 | REPLY, 0, n), "silence")

    def close(self):
        self.c.close()
        self.s.close()


def in_a_broker(function):
    def run(_):
        with Broker() as b:
            function(b)
    return run


@in_a_broker
def test_come_and_go(b):
    other = uuid.uuid4()
    w = Watcher(b)
    same(w.list(), set(), "at first")
    b.service("x", 5000)
    w.until({port(5000)})
    b.put("services.d/y.conf", "[Service]\nServiceId=%s\nPort=6000\n" % other)
    w.until({port(5000), port(6000), other})
    # who may is not asked here
    b.service("x", 5000, "Policy=disabled")
    b.drop("services.d/y.conf")
    w.until({port(5000)})
    with b.client() as c:
        c.call("service.add", name="mine", port=7000, lease="connection")
        w.until({port(5000), port(7000)})
    w.until({port(5000)})
    w.silent()
    w.close()


@in_a_broker
def test_only_who_asks(b):
    b.service("x", 5000)
    w = Watcher(b, flags=0)
    b.service("y", 5001)
    with b.client() as c:
        c.call("service.list")
    w.silent()
    w.close()


@in_a_broker
def test_unchanged_is_not_told_again(b):
    b.service("x", 5000)
    w = Watcher(b)
    w.until({port(5000)})
    b.partition("another")
    b.service("x", 5000, "Connect=user:4242")
    with b.client() as c:
        same(len(c.call("partition.list")["partitions"]), 3, "read")
    w.silent()
    w.close()


@in_a_broker
def test_one_at_a_time(b):
    """Who does not answer gets no queue of lists, and the last one in the
    end."""
    w = Watcher(b)
    serial, flags, ids = w.frame()
    same((flags, ids), (FIRST | LAST, [OWN]), "the first list")
    with b.client() as c:
        for i in range(50):
            b.service("s%d" % i, 1000 + i)
            c.call("service.show", service="s%d" % i)
        w.silent()
        w.answer(serial + 7)  # no answer to anything
        w.silent()
        w.answer(serial)
        same(w.list(), {port(1000 + i) for i in range(50)}, "all of them")
        w.silent()
    w.close()


@in_a_broker
def test_many(b):
    with b.client() as c:
        for i in range(0, MOST + 5, 1):
            path = b.config + "/services.d/s%d.conf" % i
            with open(path, "w") as f:
                f.write("[Service]\nPort=%d\n" % (10000 + i))
        c.call("reload")
        same(len(c.call("service.list")["services"]), MOST + 5, "registered")
    w = Watcher(b)
    serial, flags, ids = w.frame()
    same((flags, len(ids)), (FIRST, MOST), "the first part")
    w.silent()
    w.answer(serial)
    serial, flags, ids = w.frame()
    same((flags, len(ids)), (LAST, 5 + 1), "the rest, and the broker's own")
    w.answer(serial)
    w.silent()
    w.close()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
