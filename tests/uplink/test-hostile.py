#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that says what it likes over its uplink, and a host that does

The guest is the test, at the doors that hvsocket-hybrid makes: no broker.
"""
import array
import os
import socket
import struct
import sys
import time

import tap
from hvb import *
from lone import *
from pair import *
from tap import check, same
from vmm import read_line

BAD = [b"\n", b"HELLO\n", b"GET / HTTP/1.0\r\n\r\n", b"\0" * 200, b"\xff" * 159,
       GREETING + b"HELLO\nmore", GREETING + b"HELLO x\n",
       line()[:-1] + b" \n", line() + b"early data", line(kind="dgram"),
       line(to="me"), line(ms="0"), line(ms="999999999"), line(service="5000"),
       b"x" * 160, b"x" * 161, b"x" * 70000,
       GREETING + b"CONNECT" + b" " * 150 + b"\n"]


@hosted
def test_lines_that_are_none(g):
    for bad in BAD:
        s = g.dial()
        try:
            s.sendall(bad)
        except (BrokenPipeError, ConnectionResetError):
            pass
        ends(s)


@hosted
def test_a_line_in_pieces(g):
    listener = g.c.serve(CHILDREN, ODD)
    s = g.dial()
    for i, c in enumerate(line()):
        s.send(bytes([c]))
    same(read_line(s), b"OK\n", "the answer")
    a, _ = listener.accept()
    through(s, a)
    listener.close()


@hosted
def test_nobody_waits_for_ever(g):
    some = [g.says(line()[:n]) for n in (0, 1, 50)]
    start = time.monotonic()
    for s in some:
        ends(s)
    check(4 < time.monotonic() - start < 15, "5 seconds")


@hosted
def test_only_so_many_at_a_time(g):
    some = []
    while len(some) < 1024:
        # the transport asks for so many at a time
        some += [g.dial() for _ in range(128)]
        check(until(lambda: g.c.call("partition.show", partition="vm")
                    ["connections"] >= len(some)), "%d" % len(some))
    ends(g.dial())
    same(g.refused(), {"over quota": 1}, "why")
    some[0].close()
    check(until(lambda: g.c.call("partition.show", partition="vm")
                ["connections"] < 1024), "one less")
    g.fine()
    for s in some[1:]:
        s.close()


@hosted
def test_who_it_says_it_is(g):
    """Nothing in a line makes it another partition."""
    other = g.b.partition("other", "Kind=vm")
    listener = g.c.serve(other, ODD)
    for source in (other, PARENT, LOOPBACK, ODD):
        s = g.says(line(source=source))
        same(read_line(s).split(b" ")[:2], [b"NO", b"6"], "not heard")
    listener.close()
    listener = g.c.serve(WILDCARD, ODD)
    s = g.says(line(source=other))
    same(read_line(s), b"OK\n", "heard")
    a, name = listener.accept()
    same(peer_of(name)[:2], (g.vmid, other), "as what it is")
    s.close()
    listener.close()


@hosted
def test_where_it_wants_to_go(g):
    other = g.b.partition("other", "Kind=vm")
    box = g.b.partition("box", "Kind=container")
    with g.b.client(other) as c, g.b.client(box) as d:
        listeners = [c.serve(WILDCARD, ODD), d.serve(WILDCARD, ODD),
                     g.c.serve(LOOPBACK, ODD)]
        for to, reason in ((other, UNKNOWN), (box, UNKNOWN),
                           (uuid.uuid4(), UNKNOWN), (ZERO, NOT_DESTINATION),
                           (CHILDREN, NOT_DESTINATION),
                           (BROADCAST, NOT_DESTINATION),
                           (SILOHOST, NOT_DESTINATION), ("-", NO_LISTENER),
                           (PARENT, NO_LISTENER)):
            s = g.says(line(to=to))
            answer = read_line(s)
            same(answer.split(b" ")[:2], [b"NO", b"%d" % reason],
                 "to %s: %s" % (to, answer))
            same(s.recv(10), b"", "and the end")
            s.close()
        for listener in listeners:
            listener.setblocking(False)
            try:
                listener.accept()
                check(False, "somebody came")
            except BlockingIOError:
                pass
            listener.close()


@hosted
def test_descriptors(g):
    """A guest cannot send any; a transport that was taken over can."""
    r, w = os.pipe()
    s = g.dial()
    try:
        s.sendmsg([line()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                              array.array("i", [w]))])
    except PermissionError:
        pass  # a kernel that keeps them out
    os.close(w)
    same(os.read(r, 1), b"", "it is closed")
    os.close(r)
    s.close()


@hosted
def test_lengths_of_messages(g):
    listener = g.c.serve(CHILDREN, ODD, RAW)
    for bad in (b"\0\0\0\0", struct.pack("<I", 65537), b"\xff" * 4,
                struct.pack("<I", 100) + b"only this", b"\1\0"):
        s = g.says(line(kind="raw"))
        same(read_line(s), b"OK\n", "the answer")
        a, _ = listener.accept()
        a.settimeout(20)
        s.sendall(struct.pack("<I", 3) + b"one" + bad)
        s.shutdown(socket.SHUT_WR)
        same(a.recv(100), b"one", "the message before")
        try:
            same(a.recv(100), b"", "the end")
        except ConnectionResetError:
            pass
        a.close()
        s.close()
    s = g.says(line(kind="raw"))
    same(read_line(s), b"OK\n", "the answer")
    a, _ = listener.accept()
    s.sendall(struct.pack("<I", 5) + b"he")
    s.sendall(b"llo" + struct.pack("<I", 1) + b"!")
    same((a.recv(100), a.recv(100)), (b"hello", b"!"), "in pieces")
    a.sendall(b"back")
    same(s.recv(100), struct.pack("<I", 4) + b"back", "framed")
    s.close()
    a.close()
    listener.close()


@hosted
def test_greeting_again_and_again(g):
    hello = GREETING + b"HELLO\n"
    first = g.says(hello)
    same(read_line(first), b"OK %s vm\n" % str(g.vmid).encode(), "the answer")
    check(g.c.call("partition.show", partition="vm")["uplink"], "known")
    for _ in range(200):
        s = g.says(hello)
        same(read_line(s)[:3], b"OK ", "the answer")
        same(first.recv(1), b"", "the last one counts")
        first.close()
        first = s
    # nothing is to follow
    first.sendall(b"x")
    same(first.recv(1), b"", "its end")
    check(not g.c.call("partition.show", partition="vm")["uplink"], "unknown")


@hosted
def test_a_guests_broker_that_misbehaves(g):
    """What a guest answers concerns those only who ask it."""
    with g.b.client() as c:
        hello = None
        answers = [b"", b"OK", b"OK\r\n", b"ok\n", b"NO 0 x\n", b"NO\n",
                   b"NO 77 x\n", b"x" * 5000, b"NO 6 \x1b[31m\n",
                   b"NO 3 \xff\n"]
        vmm = socket.socket(socket.AF_UNIX)
        vmm.bind(g.path)
        vmm.listen(8)
        vmm.settimeout(20)
        g.running()
        # what asks whether the VMM is there ends by itself
        hello = g.says(GREETING + b"HELLO\n")
        same(read_line(hello)[:3], b"OK ", "the answer")
        for answer in answers:
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            serial = c.start_connect(s, g.vmid, ODD, 5000)
            while True:
                v, _ = vmm.accept()
                if read_line(v) == b"CONNECT %d\n" % UPLINK:
                    break
            v.sendall(b"OK 1\n")
            asked = read_line(v)
            check(asked.startswith(GREETING + b"CONNECT stream - %s " %
                                   str(ODD).encode()), "asked: %s" % asked)
            try:
                v.sendall(answer)
            except (BrokenPipeError, ConnectionResetError):
                pass
            v.close()
            e = refusal(c.end_connect, serial)
            check(e.reason in (OFF, BROKER_FAILED), "%s: %s" % (answer, e))
            check(str(e).isprintable(), "no control characters: %r" % str(e))
        hello.close()
        vmm.close()
        os.unlink(g.path)


@hosted
def test_who_may_say_uplink(g):
    """hvsocket-uplink is the broker's own."""
    g.fine()
    with g.b.client() as c:
        e = refusal(c.ask(40).check)
        same(e.reason, EXISTS, str(e))
        # JOINED is for it only
        c.send(42, bytes(80))
        e = refusal(c.reply(c.serial).check)
        same(e.reason, BAD_REQUEST, str(e))
    with g.b.client(g.vmid) as c:
        e = refusal(c.ask(40).check)
        same(e.reason, NOT_PERMITTED, str(e))


def test_a_host_that_misbehaves(_):
    """Of its datagrams: test-hostile-dgram.py."""
    with Host("--dgram", "none") as h:
        for answer in (b"", b"OK\n", b"x" * 5000, b"OK %s \x1b\n" %
                       str(VM).encode(), b"NO 1 register it\n"):
            h.hello(answer).close()
            check(until(lambda: h.uplink()["state"] == "down"), "down")
        check(until(lambda: "register it" in h.uplink().get("why", "")),
              "why: %s" % h.uplink())
        e = refusal(h.c.dial, PARENT, ODD)
        same(e.reason, OFF, str(e))
        check("register it" in str(e), str(e))
        kept = h.hello()
        check(until(lambda: h.uplink()["state"] == "up"), "up")
        same(h.uplink()["name"], "a vm", "its name")
        # it is asked, and never answers
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        serial = h.c.start_connect(s, PARENT, ODD, 300)
        a, _ = h.s.accept()
        check(read_line(a).startswith(GREETING + b"CONNECT stream - "), "asked")
        same(refusal(h.c.end_connect, serial).reason, NO_ANSWER, "too late")
        same(a.recv(1), b"", "given up")
        # what comes after the answer is the program's, and not a byte less
        for kind, sent in ((socket.SOCK_STREAM, b"hello"),
                           (RAW, b"\5\0\0\0hello")):
            s = socket.socket(socket.AF_UNIX, kind)
            s.setblocking(False)
            serial = h.c.start_connect(s, PARENT, ODD)
            a, _ = h.s.accept()
            read_line(a)
            a.sendall(b"OK\n" + sent)
            h.c.end_connect(serial)
            s.settimeout(20)
            same(s.recv(10), b"hello", "data in one piece with the answer")
            a.close()
            same(s.recv(10), b"", "the end")
        # at its own door: not the host, but whoever may enter the directory
        for bad in (b"CONNECT 22\n", b"CONNECT %d\nHELLO\n" % UPLINK,
                    b"x" * 100, b"CONNECT %d\r\n" % UPLINK):
            x = socket.socket(socket.AF_UNIX)
            x.connect(h.path)
            x.sendall(bad)
            x.settimeout(20)
            try:
                same(x.recv(100), b"", "no answer")
            except ConnectionResetError:
                pass
            x.close()
        x = socket.socket(socket.AF_UNIX)
        x.connect(h.path)
        x.sendall(b"CONNECT %d\n" % UPLINK)
        same(read_line(x), b"OK %d\n" % UPLINK, "the door")
        x.sendall(GREETING + b"HELLO\n")
        same(read_line(x)[:6], b"NO 17 ", "a host has no uplink to its guest")
        x.close()
        kept.sendall(b"x")
        check(until(lambda: h.uplink()["state"] == "down"), "down again")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Nothing, at_once=6)
