#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The connection for datagrams to a host that ends it, by halves or for a
while, and questions that are many, or of a broker that is no more"""
import socket
import struct
import sys
import time

import tap
from frames import *
from hvb import *
from lone import *
from pair import *
from tap import check, same
from vmm import read_line

REACH = 9


def asked_for(h):
    """The connection for datagrams, which the host gives it."""
    a, _ = h.s.accept()
    same(read_line(a), GREETING + b"DGRAM\n", "it asks")
    a.sendall(b"OK\n")
    a.settimeout(20)
    check(until(lambda: h.uplink()["datagrams"] == "up"), "%s" % h.uplink())
    return a


def reaches(c, n):
    return [c.send(REACH, address(PARENT, ODD) + bytes(8)) for _ in range(n)]


def number_of(s):
    f = Frame(s)
    same(f.kind, QUESTION, "a question")
    return f.data


def test_many_ask_at_once(_):
    """Each gets its answer, however many there are."""
    with Host() as h, no_relay_stays(h.g):
        kept, a = h.hello(), asked_for(h)
        serials = reaches(h.c, 150)
        for number in [number_of(a) for _ in serials]:
            a.sendall(frame(number + bytes(4), ZERO, source=ZERO, kind=ANSWER))
        for s in serials:
            h.c.reply(s).check()
        a.close()
        kept.close()


def test_an_answer_to_the_broker_before(_):
    """It is for nobody, and not for who asks the next one."""
    with Host() as h, no_relay_stays(h.g):
        kept, a = h.hello(), asked_for(h)
        with dg.Place(LIB, h.g).socket(PARENT, ODD):
            reaches(h.c, 30)
            old = [number_of(a) for _ in range(30)]
            h.c.close()
            h.g.kill()
            kept.close()
            h.g.start()
            h.c = h.g.client()
            kept = h.hello()
            check(until(lambda: h.uplink().get("datagrams") == "up"), "up")
            serials = reaches(h.c, 30)
            new = [number_of(a) for _ in serials]
            for number in old:
                a.sendall(frame(number + struct.pack("<I", NOT_PERMITTED),
                                ZERO, source=ZERO, kind=ANSWER))
            for number in new:
                a.sendall(frame(number + bytes(4), ZERO, source=ZERO,
                                kind=ANSWER))
            for s in serials:
                h.c.reply(s).check()
        a.close()
        kept.close()


def test_a_host_that_reads_no_more(_):
    """Half of the connection is none: it ends, and is asked for again."""
    with Host() as h, no_relay_stays(h.g):
        kept, a = h.hello(), asked_for(h)
        with dg.Place(LIB, h.g).socket(PARENT, ODD) as s:
            for _ in range(60):
                s.send(b"\1\1\0\0" + address(PARENT, ODD) + bytes(60000))
            check(until(lambda: dg.status(h.g)["dropped"].get("queue full")),
                  "it is full: %s" % dg.status(h.g))
            a.shutdown(socket.SHUT_RD)
            while a.recv(1 << 20):
                pass
            asked_for(h).close()
        a.close()
        kept.close()


def test_a_host_that_is_not_older(_):
    """It has known the line: that it once ends without an answer is no more
    than a hvsocket-dgram that has died."""
    with Host() as h, no_relay_stays(h.g):
        kept, a = h.hello(), asked_for(h)
        a.close()
        a, _ = h.s.accept()
        same(read_line(a), GREETING + b"DGRAM\n", "it asks")
        a.close()
        asked_for(h).close()
        kept.close()


def test_a_host_that_ends_it_always(_):
    """It is not asked again without a pause."""
    with Host() as h, no_relay_stays(h.g):
        kept = h.hello()
        start = time.monotonic()
        for _ in range(4):
            a, _ = h.s.accept()
            same(read_line(a), GREETING + b"DGRAM\n", "it asks")
            a.sendall(b"OK\n")
            a.close()
        check(time.monotonic() - start > 2, "there are pauses")
        kept.close()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Nothing, at_once=6)
