#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Datagrams among programs that mean no good"""
import contextlib
import errno
import os
import signal
import socket
import struct
import sys
import threading

import dg
import hvb
import hvs
import tap
from hvb import BIND, CHILDREN, LOOPBACK, PARENT, WILDCARD, ZERO, address, \
    port, refusal, until
from tap import check, same

LIB = dg.library()
DONTWAIT = socket.MSG_DONTWAIT
RELAY, SOCKET, KNOWN, ROUTE, FLUSH, GONE, DROPS = range(32, 39)
# a datagram to ourselves, as it stands on the socket
FRAME = struct.pack("<BBH", 1, 1, 0) + address(LOOPBACK, port(7000))


@contextlib.contextmanager
def host(*options):
    with dg.broker(*options) as b:
        yield dg.Place(LIB, b), b


def lost(place, s):
    """The socket has been taken from its program."""
    try:
        place.recv(s)
    except hvs.Refused as e:
        return e.errno == errno.ENETDOWN
    return False


def works(place):
    with place.socket(LOOPBACK, port(7777)) as a, place.socket() as b:
        place.send(b, b"works", LOOPBACK, port(7777))
        same(place.recv(a)[0], b"works", "others go on")


def left_out(b):
    return dg.status(b)["dropped"]["queue full"]


def test_receiver_that_never_reads(_):
    with host() as (h, b):
        deaf = h.socket(LOOPBACK, port(7000))
        s = h.socket()
        n = 3000
        for i in range(n):
            h.send(s, b"%4d" % i + bytes(996), LOOPBACK, port(7000))
        # nobody was blocked by it, and its queue has an end
        works(h)
        st = dg.status(b)
        check(until(lambda: dg.status(b)["dropped"].get("queue full", 0) > 0),
              "dropped: %r" % st)
        # what was not dropped comes when it reads: what the kernel has kept,
        # then what has waited
        check(until(lambda: dg.status(b)["sent"] == n + 1), "all taken")
        left = n - dg.status(b)["dropped"]["queue full"]
        check(256 < left < n, "%d kept" % left)
        got = [int(h.recv(deaf)[0][:4]) for _ in range(left)]
        same(got, sorted(got), "in order")
        big = h.socket(LOOPBACK, port(7001))
        for i in range(200):
            h.send(s, bytes(65536), LOOPBACK, port(7001))
        works(h)
        check(until(lambda: dg.status(b)["sent"] == n + 202), "all taken")
        kept = n + 200 - left_out(b)
        check(16 <= kept - left <= 17,
              "of the large ones 1 MiB and two: %d" % (kept - left))
        big.close()
        check(until(lambda: dg.status(b)["dropped"].get("receiver gone", 0)),
              "what waited for it is counted")


def test_flood(_):
    """Its receiver is slow; the others' datagrams get there in their turn."""
    with host() as (h, b):
        slow = h.socket(LOOPBACK, port(7000))
        flooder, quiet = h.socket(), h.socket()
        h.send(flooder, b"flood", LOOPBACK, port(7000))
        h.send(quiet, b"quiet first", LOOPBACK, port(7000))
        stop = threading.Event()

        def flood():
            # past the library: as fast as the kernel takes it
            while not stop.is_set():
                try:
                    flooder.send(FRAME + b"flood" + bytes(500))
                except OSError:
                    return

        t = threading.Thread(target=flood)
        t.start()
        try:
            check(until(lambda: dg.status(b)["dropped"].get("queue full", 0) >
                        1000), "there is a flood")
            for i in range(20):
                h.send(quiet, b"quiet %d" % i, LOOPBACK, port(7000))
            seen, read = [], 0
            while len(seen) < 21 and read < 20000:
                data = h.recv(slow)[0]
                read += 1
                if data.startswith(b"quiet"):
                    seen.append(data)
            same(seen, [b"quiet first"] + [b"quiet %d" % i for i in range(20)],
                 "each of the quiet one's, in order, after %d" % read)
            works(h)
        finally:
            stop.set()
            flooder.close()
            t.join()


def test_many_that_do_not_read(_):
    """All that one user's sockets may hold is taken; others still get in."""
    with host() as (h, b):
        deaf = [h.socket(LOOPBACK, port(7000 + i)) for i in range(10)]
        flooder, quiet = h.socket(), h.socket()
        for i in range(len(deaf)):
            for _ in range(30):
                h.send(flooder, bytes(65536), LOOPBACK, port(7000 + i))
        check(until(lambda: dg.status(b)["sent"] == 300), "all is taken")
        check(dg.status(b)["dropped"].get("no memory", 0) > 0,
              "and some is dropped")
        for i in range(len(deaf)):
            h.send(quiet, b"q" * 65536, LOOPBACK, port(7000 + i))
        for s in deaf:
            while h.recv(s)[0][:1] != b"q":
                pass  # or it comes never: a time limit ends that
        works(h)


def test_garbage(_):
    with host() as (h, b):
        pid = None
        for junk in (b"", b"x", FRAME[:39], b"\2" + FRAME[1:], b"\1\2" +
                     FRAME[2:], FRAME[:2] + b"\1\0" + FRAME[4:],
                     FRAME[:4] + b"\2\0" + FRAME[6:],
                     FRAME[:6] + b"\1\0" + FRAME[8:], FRAME + bytes(65537),
                     os.urandom(60)):
            s = h.socket(LOOPBACK, port(7000))
            pid = pid or dg.relay(b)
            s.send(junk)
            check(lost(h, s), "%r" % junk[:40])
            s.close()
            check(until(lambda: dg.status(b)["sockets"] == 0), "forgotten")
        same(dg.relay(b), pid, "it is the same process")
        works(h)


def test_descriptors_in_a_frame(_):
    with host() as (h, b):
        s = h.socket(LOOPBACK, port(7000))
        r, w = os.pipe()
        try:
            hvb.send_fds(s, FRAME, [w] * 3)
        except PermissionError:
            pass  # SO_PASSRIGHTS: the kernel keeps them out (Linux 6.16)
        os.close(w)
        same(os.read(r, 1), b"", "closed")
        os.close(r)
        works(h)


def test_bind_of_what_is_no_such_socket(_):
    with host() as (h, b), b.client() as c:
        body = address(LOOPBACK, port(7000)) + struct.pack("<I", 1)
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        named = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        named.bind(b"\0hvs-test-%d" % os.getpid())
        for s, number in ((stream, errno.EINVAL), (raw[0], errno.EISCONN),
                          (named, errno.EINVAL),
                          (socket.socket(), errno.EINVAL)):
            e = refusal(lambda: c.ask(BIND, body, [s]).check())
            same((e.errno, e.reason), (number, hvb.BAD_REQUEST), e.text)
        for flags in (3, 4, 1 << 31):
            e = refusal(lambda: c.ask(
                BIND, body[:36] + struct.pack("<I", flags), [stream]).check())
            same(e.reason, hvb.BAD_REQUEST, e.text)
        # a name of a datagram socket that somebody made up
        fake = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fake.bind(b"\0hvs1" + struct.pack("<BB", 2, 0) + LOOPBACK.bytes_le +
                  port(7001).bytes_le + bytes(32) +
                  struct.pack("<IQ", os.getuid(), os.getpid()))
        e = refusal(lambda: c.ask(BIND, body, [fake]).check())
        same(e.reason, hvb.BAD_REQUEST, e.text)
        for junk in (b"", bytes(43), address(LOOPBACK, port(1)) + bytes(9)):
            e = refusal(lambda: c.ask(9, junk).check())
            same(e.reason, hvb.BAD_REQUEST, e.text)
        works(h)


def test_a_name_of_our_own(_):
    """As of a broker that died before its reply, or made up."""
    with host() as (h, b), b.client() as c:
        def named(number, token):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.bind(b"\0hvs1" + struct.pack("<BB", 2, 0) + bytes(16) +
                   port(number).bytes_le + bytes(32) +
                   struct.pack("<IQ", os.getuid(), token))
            return s

        def ask(s):
            return c.ask(BIND, address(ZERO, ZERO) + struct.pack("<I", 1),
                         [s]).check()

        server = h.socket(LOOPBACK, port(7000))
        b.service("high", 0x80000077)
        dg.status(b)
        used = named(0x80000005, 3)
        ask(used)
        for number in (7000, 7001, 0x80000077, 0x80000005):
            e = refusal(lambda: ask(named(number, 1)))
            same(e.reason, hvb.BAD_REQUEST, e.text)
        # nor twice, while the other one is there
        e = refusal(lambda: ask(named(0x80000006, 3)))
        same(e.reason, hvb.BAD_REQUEST, e.text)
        # the library knows it by its name, also after a restart
        for again in range(2):
            h.send(used, b"x", LOOPBACK, port(7000))
            sender = h.recv(server)[1]
            same(sender, (LOOPBACK, port(0x80000005)), "its number")
            h.send(server, b"answer", *sender)
            same(h.recv(used)[0], b"answer", "")
            if not again:
                b.restart()
                check(until(lambda: dg.status(b)["sockets"] == 2), "back")
        # what another socket's token stands for is not this one's
        a = h.socket(ZERO, ZERO)
        h.send(a, b"x", LOOPBACK, port(7000))
        sender = h.recv(server)[1]
        h.send(server, b"first", *sender)
        same(h.recv(a)[0], b"first", "")
        token = struct.unpack("<Q", a.getsockname()[-8:])[0]
        thief = named(0x80000008, token)
        n = dg.status(b)["sockets"]
        a.close()
        check(until(lambda: dg.status(b)["sockets"] == n - 1), "closed")
        with b.client() as c:
            c.ask(BIND, address(ZERO, ZERO) + struct.pack("<I", 1),
                  [thief]).check()
            server.send(struct.pack("<BBH", 1, 1, 0) + address(*sender) +
                        b"not for it")
            check(until(lambda: dg.status(b)["dropped"]), "dropped")
            thief.setblocking(False)
            try:
                thief.recv(1)
                raise tap.Failure("it got what was another's")
            except BlockingIOError:
                pass


def test_who_may_relay(_):
    with host() as (h, b):
        vm = b.partition("vm", "Kind=container")
        with b.client(vm) as c:
            same(refusal(lambda: c.ask(RELAY).check()).errno, errno.EPERM, "")
        works(h)
        with b.client() as c:
            same(refusal(lambda: c.ask(RELAY).check()).errno, errno.EBUSY, "")
            for kind in (SOCKET, KNOWN, ROUTE, FLUSH, GONE, DROPS):
                same(refusal(lambda: c.ask(kind).check()).reason,
                     hvb.BAD_REQUEST, "a program has no such message")


def test_a_relay_of_our_own(_):
    """Whatever it says, the broker stays."""
    with host("--dgram", "none") as (h, b):
        for junk in (b"", bytes(7), bytes(52), bytes(72), bytes(76),
                     bytes(75), b"\xff" * 76, os.urandom(76 + 4 * 5000)):
            for kind in (KNOWN, ROUTE, GONE, DROPS, BIND, 99, SOCKET):
                with b.client() as c:
                    check(until(lambda: not c.ask(RELAY).errno), "attached")
                    # it may be thrown out at the first
                    with contextlib.suppress(ConnectionError):
                        c.send(kind, junk)
                        c.send(KNOWN, b"")
                        c.send(GONE, bytes(8))
        b.serves()
        # one that takes what it is sent, and says nothing
        with b.client() as c:
            check(until(lambda: not c.ask(RELAY).errno), "attached")
            c.send(KNOWN, b"")
            s = h.socket(LOOPBACK, port(7000))
            data, fds = c.receive()
            same(struct.unpack_from("<H", data)[0], SOCKET, "SOCKET")
            same(data[48:64], port(7000).bytes_le, "its ServiceId")
            same(len(fds), 1, "its end")
            token = data[8:16]
            r = c.ask(ROUTE, token + address(LOOPBACK, port(7000)))
            same(r.check().payload, token + LOOPBACK.bytes_le, "ROUTE")
            e = refusal(lambda: c.ask(ROUTE, bytes(8) + address(
                LOOPBACK, port(7000))).check())
            same(e.reason, hvb.NOT_FOUND, e.text)
            # what was said is void when somebody else is there
            other = h.socket(LOOPBACK, port(7001))
            data, more = c.receive()
            same(struct.unpack_from("<H", data)[0], SOCKET, "another SOCKET")
            data, _ = c.receive()
            same(struct.unpack_from("<H", data)[0], FLUSH, "FLUSH")
            os.close(more[0])
            check(lost(h, other), "the other one")
            h.send(s, b"x", LOOPBACK, port(7000))
            same(os.read(fds[0], 100), FRAME + b"x", "the frame")
            # a datagram that it made up is delivered: it is trusted
            os.write(fds[0], b"junk")
            try:
                h.recv(s)
                raise tap.Failure("junk was taken")
            except hvs.Refused as e:
                same(e.errno, errno.EPROTO, "junk")
            os.close(fds[0])
            check(lost(h, s), "gone")


def test_quota(_):
    with host("--max-listeners", "10") as (h, b):
        some = [h.socket(ZERO, ZERO) for _ in range(5)]
        some += [h.socket(LOOPBACK, port(7000 + i)) for i in range(5)]
        for where in ((ZERO, ZERO), (LOOPBACK, port(8000))):
            try:
                h.socket(*where)
                raise tap.Failure("not refused")
            except hvs.Refused as e:
                same(e.reason, "over quota", e.text)
        some.pop().close()
        some.pop(0).close()
        check(until(lambda: dg.status(b)["sockets"] == 8), "two closed")
        some += [h.socket(ZERO, ZERO), h.socket(LOOPBACK, port(8000))]


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ask_bind(c, n):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        return c.send(BIND, address(LOOPBACK, port(n)) + struct.pack("<I", 1),
                      [s])


def test_binds_that_wait(_):
    """For hvsocket-dgram, which is asked whether who has the address lives:
    they have a limit, like connects."""
    with host("--max-pending", "4") as (h, b), b.client() as c:
        r = h.socket(LOOPBACK, port(7000))
        pid = dg.relay(b)
        with stopped(pid):
            wait = [ask_bind(c, 7000) for _ in range(4)]
            for _ in range(3):
                e = hvb.refusal(c.reply(ask_bind(c, 7000)).check)
                same((e.reason, e.errno), (hvb.QUOTA, errno.ENOBUFS), str(e))
        for n in wait:
            same(c.reply(n).errno, errno.EADDRINUSE, "its answer")
        # and they count no more
        for _ in range(5):
            same(c.reply(ask_bind(c, 7000)).errno, errno.EADDRINUSE, "")
        same(dg.relay(b), pid, "nothing has become of it")
        h.send(r, b"x", LOOPBACK, port(7000))
        same(h.recv(r)[0], b"x", "")
    # and for one to be there
    with hvb.Broker("--max-pending", "4", "--dgram", "none") as b:
        with b.client() as c:
            for _ in range(4):
                ask_bind(c, 7000)
            same(c.reply(ask_bind(c, 7000)).errno, errno.ENOBUFS, "one more")
        # who has gone waits no more
        check(until(lambda: b.fds() <= before_binds(b)), "closed")


def before_binds(b):
    """Descriptors of a broker that nobody is connected to."""
    with hvb.Broker("--dgram", "none") as other:
        return other.fds()


def test_binds_that_it_does_not_fetch(_):
    """It may be slow: that costs whoever binds, and not who is bound."""
    with host() as (h, b), b.client() as c:
        r = h.socket(LOOPBACK, port(7000))
        pid = dg.relay(b)
        with stopped(pid):
            for i in range(5000):
                reply = c.reply(ask_bind(c, 8000 + i))
                if reply.errno:
                    break
            same((reply.errno, reply.reason), (errno.ENOBUFS, hvb.QUOTA),
                 "in the end")
            check(i > 1000, "after %d" % i)
        check(until(lambda: dg.status(b)["sockets"] == 1), "they are gone")
        same(dg.relay(b), pid, "nothing has become of it")
        h.send(r, b"x", LOOPBACK, port(7000))
        same(h.recv(r)[0], b"x", "")
        works(h)


def test_binds_of_a_container_that_it_does_not_fetch(_):
    """They are no other partition's, and no other user's."""
    with host() as (h, b):
        box = b.partition("box", "Kind=container")
        with b.client() as c, b.client(box) as inside:
            r = h.socket(LOOPBACK, port(7000))
            pid = dg.relay(b)
            with stopped(pid):
                for i in range(5000):
                    reply = inside.reply(ask_bind(inside, 8000 + i))
                    if reply.errno:
                        break
                same((reply.errno, reply.reason), (errno.ENOBUFS, hvb.QUOTA),
                     "in the end")
                same(c.reply(ask_bind(c, 8000)).errno, 0, "on the host")
            check(until(lambda: dg.status(b)["sockets"] == 1), "they are gone")
            same(dg.relay(b), pid, "nothing has become of it")
            r.close()
            works(h)


def test_many_destinations(_):
    """More than are remembered; each still gets what is sent to it."""
    with host() as (h, b):
        some = [h.socket(LOOPBACK, port(7000 + i)) for i in range(300)]
        s = h.socket()
        for again in range(2):
            for i in range(len(some)):
                h.send(s, b"%d" % i, LOOPBACK, port(7000 + i))
            for i, r in enumerate(some):
                same(h.recv(r)[0], b"%d" % i, "")


def test_a_sender_that_goes_at_once(_):
    """What it has sent before it closed is delivered."""
    with host() as (h, b):
        r = h.socket(LOOPBACK, port(7000))
        works(h)
        pid = dg.relay(b)
        os.kill(pid, signal.SIGSTOP)
        try:
            s = h.socket(ZERO, ZERO)
            for i in range(20):
                h.send(s, b"%d" % i, LOOPBACK, port(7000))
            s.close()
        finally:
            os.kill(pid, signal.SIGCONT)
        for i in range(20):
            same(h.recv(r)[0], b"%d" % i, "")


tap.main(sys.modules[__name__], tap.Nothing)
