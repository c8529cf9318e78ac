#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""CONNECT with flag NATIVE, and what a transport may hand over"""
import contextlib
import os
import select
import socket
import struct
import sys

import tap
from hvb import *
from tap import check, same
from transport import Transport
from users import as_user, several


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


class Polite(Giver):
    """Gives where it is asked for only; else the broker would drop it."""

    def say(self, conn, reason):
        ours = self.give if conn.native else []
        self.give, ours = ours, self.give
        super().say(conn, reason)
        self.give = ours

    def asked(self):
        return [(conn.uid, conn.native) for conn in self.conns.values()]


def given(reply):
    """Return: the state, the number of descriptors"""
    for fd in reply.fds:
        os.close(fd)
    return struct.unpack_from("<I", reply.payload)[0], len(reply.fds)


@several
@in_a_broker
def test_whose(b, c):
    """The VM's user and root get it, others what everybody gets."""
    os.chmod(b.run, 0o755)
    b.partition("vm", "User=4242", vmid=b.vm)
    os.seteuid(4242)
    try:
        t = Polite(b, "vm")
    finally:
        os.seteuid(0)
    ours, theirs = socket.socketpair()
    t.give = [theirs]

    def gets(*wanted):
        def run():
            with b.client() as other:
                same(given(dial(other, b.vm)), wanted, "state, descriptors")
        return run

    for uid, wanted in ((4242, (2, 1)), (4343, (0, 0)), (0, (2, 1))):
        check(as_user(uid, gets(*wanted)), "user %d" % uid)
    same(t.asked(), [(4242, True), (4343, False), (0, True)], "what is asked")
    ours.close()
    theirs.close()
    t.end()


@in_a_broker
def test_one_at_a_time(b, c):
    """A descriptor that nobody fetches is the broker's, in flight."""
    t = Polite(b, "vm")
    ours, theirs = socket.socketpair()
    t.give = [theirs]
    me = os.geteuid()
    with contextlib.ExitStack() as stack:
        serials = []
        for _ in range(2):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.setblocking(False)
            serials.append(c.start_connect(s, b.vm, port(1), flags=NATIVE))
            # the answer to the first is there, and is not read
            check(select.select([c.s], [], [], 20)[0], "answered")
            t.wait(lambda: len(t.conns) == len(serials))
        same(t.asked(), [(me, True), (me, False)], "what is asked")
        same([given(c.reply(x).check()) for x in serials], [(2, 1), (0, 0)],
             "state, descriptors")
    same(given(dial(c, b.vm)), (2, 1), "once it has been fetched")
    ours.close()
    theirs.close()
    t.end()


@in_a_broker
def test_native_listener(b, c):
    """Of streams, and only where the transport can hand over."""
    b.service("x", 5000)
    native = struct.pack("<I", 2)
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    e = refusal(lambda: c.ask(BIND, address(CHILDREN, port(5000)) + native,
                              [raw]).check())
    same((e.errno, e.reason), (ERRNO[TYPE], TYPE), str(e))
    listener = socket.socket(socket.AF_UNIX)
    c.ask(BIND, address(CHILDREN, port(5000)) + native, [listener]).check()
    listener.listen()
    # the same address is taken, native or not
    other = socket.socket(socket.AF_UNIX)
    for flags in (0, 2):
        e = refusal(lambda: c.ask(
            BIND, address(CHILDREN, port(5000)) + struct.pack("<I", flags),
            [other]).check())
        same(e.reason, TAKEN, str(e))
    t = Transport(b, "vm")
    _, g = t.dial(PARENT, port(5000))
    a, name = listener.accept()
    same(name[1 + 5], 1, "flags in its name: a guest's, and as ever")
    g.sendall(b"as ever")
    same(a.recv(10), b"as ever", "bytes")
    t.end()
    # who says that it can has to be of that kind
    s = socket.socket(socket.AF_UNIX)
    with b.client() as x:
        e = refusal(lambda: x.ask(
            ATTACH, b.vm.bytes_le + struct.pack("<HHI", 1, 1, 8), [s]).check())
    same(e.reason, BAD_REQUEST, str(e))


@in_a_broker
def test_flags(b, c):
    e = refusal(dial, c, b.vm, NATIVE | NONBLOCK)
    same(e.reason, BAD_REQUEST, str(e))
    e = refusal(dial, c, b.vm, 64)
    same(e.reason, BAD_REQUEST, str(e))


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
