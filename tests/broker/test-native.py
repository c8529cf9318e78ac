#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""CONNECT with flag NATIVE, and what a transport may hand over"""
import os
import socket
import struct
import sys

import tap
from hvb import *
from tap import check, same
from transport import Transport


class Giver(Transport):
    """Answers with descriptors."""
    give = ()

    def say(self, conn, reason):
        serial, conn.serial = conn.serial, None
        self.c.raw(struct.pack("<HHIII", OPEN | REPLY, 0, serial, 0, 0),
                   self.give)


def in_a_broker(function):
    def run(_):
        with Broker() as b:
            b.vm = b.partition("vm")
            with b.client() as c:
                function(b, c)
    return run


def dial(c, vmid, flags=NATIVE):
    with socket.socket(socket.AF_UNIX) as s:
        s.setblocking(False)
        return c.reply(c.start_connect(s, vmid, port(1), flags=flags)).check()


@in_a_broker
def test_handed_over(b, c):
    t = Giver(b, "vm")
    ours, theirs = socket.socketpair()
    t.give = [theirs]
    r = dial(c, b.vm)
    theirs.close()
    same(struct.unpack_from("<I", r.payload)[0], 2, "the state")
    with socket.socket(fileno=r.fds[0]) as s:
        s.sendall(b"hello")
        same(ours.recv(100), b"hello", "the other end")
    same(ours.recv(100), b"", "and nobody else has it")
    ours.close()
    same(c.call("connections")["connections"], [], "not relayed")
    same(c.call("partition.show", partition="vm")["opened"], 1, "counted")
    t.end()


@in_a_broker
def test_not_handed_over(b, c):
    t = Transport(b, "vm")
    r = dial(c, b.vm)
    same((struct.unpack_from("<I", r.payload)[0], r.fds), (0, []), "as ever")
    check(until(lambda: any(x.sock for x in t.conns.values())), "arrived")
    t.end()


@in_a_broker
def test_something_else(b, c):
    """A program never gets what is no connected stream socket."""
    t = Giver(b, "vm")
    before = b.fds()
    r, w = os.pipe()
    a, z = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lonely = socket.socket(socket.AF_UNIX)
    inet = socket.socket(socket.AF_INET)
    pair = socket.socketpair()
    for give in ([w], [a], [lonely], [inet], list(pair)):
        t.give = give
        e = refusal(dial, c, b.vm)
        same(e.reason, BROKER_FAILED, str(e))
    for x in (a, z, lonely, inet, *pair):
        x.close()
    os.close(w)
    check(b.settled(before), "kept nothing")
    same(os.read(r, 1), b"", "closed")
    os.close(r)
    t.end()


@in_a_broker
def test_not_asked_for(b, c):
    t = Giver(b, "vm")
    ours, theirs = socket.socketpair()
    t.give = [theirs]
    e = refusal(dial, c, b.vm, 0)
    same(e.reason, OFF, "the transport is dropped: %s" % e)
    ours.close()
    theirs.close()
    t.end()


@in_a_broker
def test_flags(b, c):
    e = refusal(dial, c, b.vm, NATIVE | NONBLOCK)
    same(e.reason, BAD_REQUEST, str(e))
    e = refusal(dial, c, b.vm, 64)
    same(e.reason, BAD_REQUEST, str(e))


class Place:
    def __init__(self, work):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Place)
