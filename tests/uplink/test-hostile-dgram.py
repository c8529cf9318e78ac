#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Datagrams over an uplink, one end of which says what it likes, or is older"""
import array
import contextlib
import errno
import os
import signal
import socket
import struct
import sys
import time

import dg
import hvs
import tap
from hvb import *
from frames import *
from lone import *
from pair import *
from tap import check, same
from vmm import read_line


def opened(g):
    s = g.says(GREETING + b"DGRAM\n")
    same(read_line(s), b"OK\n", "the answer")
    return s


def greeted(g):
    s = g.says(GREETING + b"HELLO\n")
    same(read_line(s)[:3], b"OK ", "the answer")
    # a VMM, and nobody behind it
    g.vmm = socket.socket(socket.AF_UNIX)
    g.vmm.bind(g.path)
    g.vmm.listen(64)
    g.running()
    return s


def hosted_dgram(function):
    def run(_):
        with Guest() as g:
            with no_relay_stays(g.b):
                g.hello = greeted(g)
                g.host = dg.Place(LIB, g.b)
                function(g)
                g.fine()
                # and datagrams still go
                with opened(g) as s, g.host.socket(CHILDREN, ODD) as heard:
                    s.sendall(frame(b"fine"))
                    same(g.host.recv(heard), (b"fine", (g.vmid, SOURCE)), "")
                g.hello.close()
                g.vmm.close()
                os.unlink(g.path)
    return run


@hosted_dgram
def test_the_frames(g):
    """Byte by byte, in pieces, and both ways."""
    with opened(g) as s, g.host.socket(CHILDREN, ODD) as heard, \
            g.host.socket(WILDCARD, port(0x80000077)) as number:
        for data in (b"", b"x", bytes(65536)):
            for piece in (1 if len(data) < 2 else 10000, 1 << 20):
                f = frame(data)
                for i in range(0, len(f), piece):
                    s.sendall(f[i:i + piece])
                same(g.host.recv(heard), (data, (g.vmid, SOURCE)), "heard")
        # several in one
        s.sendall(frame(b"1") + frame(b"2") + frame(b"3")[:50])
        s.sendall(frame(b"3")[50:])
        for want in b"123":
            same(g.host.recv(heard)[0], bytes([want]), "in order")
        job = Asker(g, number, g.vmid, SOURCE, b"answer")
        f = Frame(s)
        same((f.kind, f.flags, f.sender, f.to, f.service), (
            QUESTION, 0, ZERO, ZERO, SOURCE), "a question")
        same(len(f.data), 4, "its number")
        s.sendall(frame(f.data + struct.pack("<I", 0), ZERO, source=ZERO,
                        kind=ANSWER))
        job.done()
        f = Frame(s)
        same((f.kind, f.flags, f.sender, f.source, f.to, f.service, f.data),
             (DATA, 0, ZERO, port(0x80000077), ZERO, SOURCE, b"answer"), "it")
        # a question of the guest's
        s.sendall(frame(struct.pack("<I", 77), kind=QUESTION))
        same(answer_to(s, 77), (0, ""), "would be heard")
        s.sendall(frame(struct.pack("<I", 78), service=port(9),
                        kind=QUESTION))
        reason, text = answer_to(s, 78)
        same(reason, NOT_REGISTERED, text)
        check("not registered" in text, text)


class Asker:
    """A program of the host's that sends, elsewhere: it waits for an answer."""

    def __init__(self, g, s, vmid, service, data):
        self.pid = os.fork()
        if not self.pid:
            try:
                g.host.send(s, data, vmid, service)
                os._exit(0)
            except hvs.Refused as e:
                os._exit(e.errno)

    def done(self, error=0):
        _, status = os.waitpid(self.pid, 0)
        same(os.waitstatus_to_exitcode(status), error, "how it went")


BAD = [
    frame(kind=0), frame(kind=4), frame(kind=0xffff),
    frame(flags=2), frame(flags=1), frame(b"....", kind=QUESTION, flags=1),
    frame(length=65537), frame(length=0xffffffff),
    frame(kind=QUESTION), frame(b"...", kind=QUESTION),
    frame(b".....", kind=QUESTION),
    frame(b"....", ZERO, source=ZERO, kind=ANSWER),
    frame(bytes(209), ZERO, source=ZERO, kind=ANSWER),
    frame(bytes(8), kind=ANSWER),
    frame(bytes(8), ZERO, source=ZERO, kind=ANSWER, sender=VM),
    frame(bytes(4) + b"\x18\0\0\0", ZERO, source=ZERO, kind=ANSWER),
    frame(bytes(8) + b"\x1b[31m", ZERO, source=ZERO, kind=ANSWER),
    frame(bytes(8) + b"\xff", ZERO, source=ZERO, kind=ANSWER),
    frame(bytes(8) + b"a\0b", ZERO, source=ZERO, kind=ANSWER),
    b"\xff" * 100, b"HVSOCKET/1 HELLO\n" * 10,
]


@hosted_dgram
def test_frames_that_are_none(g):
    for bad in BAD:
        s = opened(g)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(bad)
        ended(s)
    # cut off
    for n in (1, HEAD - 1, HEAD, HEAD + 3):
        s = opened(g)
        s.sendall(frame(b"12345")[:n])
        s.shutdown(socket.SHUT_WR)
        ended(s)
    check(until(lambda: dg.status(g.b)["uplinks"] == 0), "none is left")


@hosted_dgram
def test_who_it_says_it_is(g):
    """A guest speaks for itself, and what is below it only answers."""
    child = g.b.partition("child", "Kind=container", "Parent=vm")
    box = g.b.partition("box", "Kind=container")
    other = g.b.partition("other", "Kind=vm")
    with opened(g) as s, g.host.socket(CHILDREN, ODD) as heard, \
            g.host.socket(child, ODD) as exact:
        refused = 0
        for sender in (other, box, uuid.uuid4(), g.vmid, PARENT, LOOPBACK,
                       CHILDREN, BROADCAST):
            s.sendall(frame(b"forged", sender=sender))
            refused += 1
            dropped(g.b, "not permitted", refused)
        # it is below the guest, but nobody has sent to it
        s.sendall(frame(b"forged", sender=child))
        dropped(g.b, "no listener", 1)
        s.sendall(frame(struct.pack("<I", 5), kind=QUESTION, sender=other))
        same(answer_to(s, 5)[0], NOT_PERMITTED, "asked")
        # whose socket the other one is: SOURCE is the guest's to say, and
        # stands for nobody but itself
        s.sendall(frame(b"itself", source=other))
        same(g.host.recv(heard), (b"itself", (g.vmid, other)), "itself")
        job = Asker(g, exact, child, SOURCE, b"to the child")
        f = Frame(s)
        same((f.kind, f.to), (QUESTION, child), "asked for")
        s.sendall(frame(f.data + bytes(4), ZERO, source=ZERO, kind=ANSWER))
        job.done()
        f = Frame(s)
        same((f.to, f.service, f.source), (child, SOURCE, ODD), "to the child")
        # not with another source, not from another one, and then yes
        for bad in ({"source": ODD, "sender": child}, {"sender": other}):
            s.sendall(frame(b"forged", **bad))
        s.sendall(frame(b"the child", sender=child))
        same(g.host.recv(exact), (b"the child", (child, SOURCE)), "answer")


@hosted_dgram
def test_where_it_wants_to_go(g):
    other = g.b.partition("other", "Kind=vm")
    box = g.b.partition("box", "Kind=container")
    with opened(g) as s, g.host.socket(LOOPBACK, ODD), \
            dg.Place(LIB, g.b, box).socket(WILDCARD, ODD) as inside, \
            dg.Place(LIB, g.b, other).socket(WILDCARD, ODD):
        for i, (to, reason) in enumerate((
                (other, UNKNOWN), (box, UNKNOWN), (uuid.uuid4(), UNKNOWN),
                (CHILDREN, NOT_DESTINATION), (BROADCAST, NOT_DESTINATION),
                (LOOPBACK, NOT_DESTINATION), (SILOHOST, NOT_DESTINATION),
                (PARENT, NO_LISTENER), (ZERO, NO_LISTENER))):
            s.sendall(frame(b"data", to=to) +
                      frame(struct.pack("<I", i), to=to, kind=QUESTION))
            got = answer_to(s, i)
            same(got[0], reason, "to %s: %s" % (to, got[1]))
        inside.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            inside.recv(1)
            check(False, "somebody was reached")


@hosted_dgram
def test_nobody_waits_for_it(g):
    """It reads nothing, answers nothing, and floods."""
    with opened(g) as s, g.host.socket(WILDCARD, port(0x80000077)) as c, \
            g.host.socket(CHILDREN, ODD) as heard:
        # a question without an answer
        job = Asker(g, c, g.vmid, SOURCE, b"x")
        job.done(errno.ETIMEDOUT)
        # answers to what was not asked
        for number in (0, 1, 77, 0xffffffff):
            s.sendall(frame(struct.pack("<II", number, 0), ZERO, source=ZERO,
                            kind=ANSWER))
        # it was sent to, may be answered: so much that it cannot take
        s.sendall(frame(b"hello"))
        who = g.host.recv(heard)[1]
        raw = b"\1\1\0\0" + address(*who) + bytes(60000)
        for _ in range(200):
            heard.send(raw)
        check(until(lambda: dg.status(g.b)["dropped"].get("queue full", 0) >
                    50), "dropped: %s" % dg.status(g.b))
        # others are served meanwhile
        with g.host.socket(LOOPBACK, port(7777)) as a, g.host.socket() as b:
            g.host.send(b, b"others", LOOPBACK, port(7777))
            same(g.host.recv(a)[0], b"others", "others")
        # questions whose answers it does not read, until it is read from no
        # more or all are taken: neither costs anybody
        s.settimeout(2)
        with contextlib.suppress(socket.timeout):
            for i in range(20000):
                s.sendall(frame(struct.pack("<I", i), kind=QUESTION))
        with g.host.socket(LOOPBACK, port(7777)) as a, g.host.socket() as b:
            g.host.send(b, b"others", LOOPBACK, port(7777))
            same(g.host.recv(a)[0], b"others", "others")


@hosted_dgram
def test_it_answers_no_question(g):
    """A server that answers guests is held up by such a one once, and not for
    each of its answers."""
    with opened(g) as s, g.host.socket(WILDCARD, port(0x80000077)) as c:
        job = Asker(g, c, g.vmid, SOURCE, b"x")
        same(Frame(s).kind, QUESTION, "it is asked")
        job.done(errno.ETIMEDOUT)
        # a new connection does not make that forgotten
        with opened(g) as again:
            start = time.monotonic()
            for i in range(10):
                g.host.send(c, b"%d" % i, g.vmid, port(100 + i))
            check(time.monotonic() - start < 2, "nobody waits")
            for i in range(10):
                same(Frame(again).data, b"%d" % i, "it is sent")


@hosted_dgram
def test_it_answers_slowly(g):
    """Just before it is too late, each time."""
    with opened(g) as s, g.host.socket(WILDCARD, port(0x80000077)) as c:
        for i in range(2):
            job = Asker(g, c, g.vmid, port(50 + i), b"x")
            number = Frame(s).data
            time.sleep(1.2)
            s.sendall(frame(number + bytes(4), ZERO, source=ZERO, kind=ANSWER))
            job.done()
            same(Frame(s).kind, DATA, "it is sent")
        start = time.monotonic()
        g.host.send(c, b"y", g.vmid, port(99))
        check(time.monotonic() - start < 1, "nobody waits")
        same(Frame(s).data, b"y", "it is sent")


@hosted_dgram
def test_again_and_again(g):
    with g.host.socket(CHILDREN, ODD) as heard:
        first = opened(g)
        for i in range(100):
            s = opened(g)
            same(first.recv(1), b"", "the last one counts")
            first.close()
            first = s
            s.sendall(frame(b"%d" % i))
            same(g.host.recv(heard)[0], b"%d" % i, "the new one")
        check(until(lambda: dg.status(g.b)["uplinks"] == 1), "one is left")
        first.close()


class Relay:
    """In the place of hvsocket-dgram: what is it told?"""
    RELAY, SOCKET, KNOWN, ROUTE, FLUSH = 32, 33, 34, 35, 36

    def __init__(self, b):
        self.c = b.client()
        self.c.ask(self.RELAY).check()
        self.c.send(self.KNOWN)
        self.flushes = 0

    def until(self, kind):
        while True:
            data, fds = self.c.receive()
            got = struct.unpack_from("<H", data)[0]
            self.flushes += got == self.FLUSH
            if got == kind:
                return fds

    def keeps_a_way(self):
        self.c.send(self.ROUTE, bytes(8) + address(PARENT, ODD))
        self.until(self.ROUTE | REPLY)


def test_it_redials(_):
    """Again and again: others' ways are not void as often."""
    with Guest() as g, greeted(g):
        r, n = Relay(g.b), 100
        start, last = time.monotonic(), None
        for _ in range(n):
            r.keeps_a_way()
            s = g.says(GREETING + b"DGRAM\n")
            end = socket.socket(fileno=r.until(r.SOCKET)[0])
            end.sendall(b"OK\n")
            same(read_line(s), b"OK\n", "the answer")
            for x in last or ():
                x.close()
            last = s, end
        r.keeps_a_way()
        most = 9 + int(time.monotonic() - start)
        check(r.flushes <= most, "%d of %d" % (r.flushes, most))
        before = r.flushes
        r.until(r.FLUSH)  # what was put off comes yet
        same(r.flushes, before + 1, "once")
        for x in last:
            x.close()
        r.c.close()
        g.vmm.close()


@hosted_dgram
def test_descriptors(g):
    """A guest cannot send any; a transport that was taken over can."""
    r, w = os.pipe()
    s = opened(g)
    with contextlib.suppress(PermissionError, BrokenPipeError):
        s.sendmsg([frame(b"x")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                   array.array("i", [w]))])
    os.close(w)
    same(os.read(r, 1), b"", "it is closed")
    os.close(r)
    s.close()


@hosted_dgram
def test_a_guest_that_is_older(g):
    """It has a broker, and never says DGRAM."""
    with g.host.socket() as c:
        def answer():
            try:
                g.host.send(c, b"x", g.vmid, ODD)
            except hvs.Refused as e:
                return e
        # at first it may still ask
        e = answer()
        same((e.reason, e.errno), ("partition off", errno.EHOSTDOWN), str(e))
        check(until(lambda: answer().reason != "partition off"), "no more")
        try:
            g.host.send(c, b"x", g.vmid, ODD)
            check(False, "sent")
        except hvs.Refused as e:
            same((e.reason, e.errno), ("type not carried",
                                       errno.EPROTONOSUPPORT), str(e))
            check("its broker is an older one" in str(e), str(e))
        with g.b.client() as m:
            x = m.call("explain", to="vm:%s" % ODD, type="dgram")
            same((x["allowed"], x["error"]), (False, "EPROTONOSUPPORT"), "")


def test_a_host_that_is_older(_):
    """It ends a connection whose line it does not know."""
    with Host() as h, no_relay_stays(h.g):
        kept = h.hello()
        check(until(lambda: h.uplink()["state"] == "up"), "up")
        a, _ = h.s.accept()
        same(read_line(a), GREETING + b"DGRAM\n", "it asks")
        a.close()
        check(until(lambda: "does not know DGRAM" in h.uplink()["datagrams"]),
              "%s" % h.uplink())
        guest = dg.Place(LIB, h.g)
        with guest.socket() as c:
            try:
                guest.send(c, b"x", PARENT, ODD)
                check(False, "sent")
            except hvs.Refused as e:
                same((e.reason, e.errno), ("type not carried",
                                           errno.EPROTONOSUPPORT), str(e))
                check("does not know DGRAM" in str(e), str(e))
        # connections go as ever
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        serial = h.c.start_connect(s, PARENT, ODD)
        a, _ = h.s.accept()
        check(b"CONNECT stream" in read_line(a), "asked")
        a.sendall(b"OK\n")
        h.c.end_connect(serial)
        kept.close()


def test_a_host_that_misbehaves(_):
    with Host() as h, no_relay_stays(h.g):
        kept = h.hello()
        for bad in (b"", b"NO 12 too many\n", b"OK more\n", b"x" * 400):
            a, _ = h.s.accept()
            same(read_line(a), GREETING + b"DGRAM\n", "it asks")
            if not bad:
                # as an older one, which is asked again much later
                a.sendall(b"OK\n")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                a.sendall(bad)
            a.close()
        guest = dg.Place(LIB, h.g)
        with guest.socket(PARENT, ODD) as heard:
            for bad in BAD[:3] + [frame(sender=VM), frame(flags=1, to=VM),
                                  frame(flags=3)]:
                a, _ = h.s.accept()
                same(read_line(a), GREETING + b"DGRAM\n", "it asks")
                a.sendall(b"OK\n" + frame(b"good") + bad)
                same(guest.recv(heard), (b"good", (PARENT, SOURCE)), "good")
                a.settimeout(20)
                ended(a)
            a, _ = h.s.accept()
            read_line(a)
            a.sendall(b"OK\n" + frame(b"to all", flags=1))
            same(guest.recv(heard)[0], b"to all", "BROADCAST")
            a.close()
        kept.close()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Nothing, at_once=6)
