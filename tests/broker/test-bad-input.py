#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Frames and descriptors that no program would send"""
import contextlib
import errno
import os
import socket
import struct
import sys
import tempfile
import time

import tap
from hostile import *
from hvb import *
from tap import check, same

def test_every_length_of_every_request(b):
    """Cut short at each byte, and with up to 8 bytes too many."""
    with unharmed(b), b.client() as c:
        for kind, body in VALID.items():
            for n in list(range(len(body))) + [len(body) + i
                                               for i in range(1, 9)]:
                if kind in (CALL, RESOLVE, ATTACH) and n > len(body):
                    continue  # of any length: below
                if kind == ATTACH and n >= 24:
                    continue  # a shorter name is a name
                if kind == HELLO and n > len(body):
                    continue  # a profile: test-windows-profile.py
                if kind == HELLO:  # ends the connection
                    with b.client() as other:
                        other.raw(struct.pack("<HHI", HELLO, 0, 1) +
                                  (body + bytes(8))[:n])
                        data, _ = recv_fds(other.s)
                        same(data, b"", "HELLO of %d bytes" % n)
                    continue
                fds = [unix() for _ in range(FDS.get(kind, 0))]
                r = c.ask(kind, (body + bytes(8))[:n], fds)
                same((r.type, r.errno, r.reason),
                     (kind, errno.EINVAL, BAD_REQUEST),
                     "type %d of %d bytes: %r" % (kind, n, r.payload))
                check(len(r.payload) > 5, "a sentence")
                for s in fds:
                    s.close()


def test_headers(b):
    with unharmed(b):
        for n in range(1, 8):
            with b.client() as c:
                c.raw(struct.pack("<HHI", BIND, 0, 7)[:n])
                same(recv_fds(c.s)[0], b"", "a frame of %d bytes" % n)
        with b.client() as c:
            for kind in [9] + list(range(11, 16)) + list(range(17, 40)) + [0, 0x7fff]:
                r = c.ask(kind, bytes(20))
                same((r.errno, r.reason), (errno.EINVAL, BAD_REQUEST),
                     "type %d" % kind)
            c.raw(struct.pack("<HHI", BIND | REPLY, 0, 1) + bytes(40))
            same(recv_fds(c.s)[0], b"", "a reply from a client")
        with b.client() as c:  # largest, and one more
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
            r = c.ask(CALL, b"x" * (65536 - 8))
            same(r.reason, BAD_REQUEST, "65,536 bytes of no JSON")
            c.raw(struct.pack("<HHI", CALL, 0, 9) + b" " * 65529)
            same(recv_fds(c.s)[0], b"", "65,537 bytes")


def test_before_hello(b):
    with unharmed(b):
        for kind in list(VALID)[1:] + [0, 16, 18, 99]:
            with b.client(hello=False) as c:
                fds = [unix() for _ in range(FDS.get(kind, 0))]
                c.send(kind, VALID.get(kind, b""), fds)
                same(recv_fds(c.s)[0], b"", "type %d first" % kind)
                for s in fds:
                    s.close()
        with b.client(hello=False) as c:
            r = c.ask(HELLO, struct.pack("<II", 2, 9))
            same((r.errno, r.reason), (errno.EPROTONOSUPPORT, BAD_REQUEST),
                 "version 2 to 9")
            r = c.ask(HELLO, struct.pack("<II", 0, 9))
            same(r.errno, 0, "version 0 to 9")


def test_addresses(b):
    def tries(c, kind, body, number, what):
        with unix() as s:
            r = c.ask(kind, body, [s] if kind in FDS else [])
        same((r.errno, r.reason), (number, BAD_REQUEST), what)

    good, none = address(LOOPBACK, PORT), address(ZERO, ZERO)
    with unharmed(b), b.client() as c:
        for family, reserved, number in (
                (0, 0, errno.EAFNOSUPPORT), (1, 0, errno.EAFNOSUPPORT),
                (40, 0, errno.EAFNOSUPPORT), (0xffff, 0, errno.EAFNOSUPPORT),
                (34, 1, errno.EINVAL), (34, 0xffff, errno.EINVAL)):
            bad = address(LOOPBACK, PORT, family, reserved)
            what = "family %d, Reserved %d" % (family, reserved)
            tries(c, BIND, bad + bytes(4), number, "BIND " + what)
            tries(c, CONNECT, bad + none + bytes(8), number, "CONNECT " + what)
            tries(c, CONNECT, good + address(ZERO, PORT, family, reserved) +
                  bytes(8), number, "CONNECT from " + what)
            tries(c, LISTEN, struct.pack("<HH", 1, 0) + bad + bytes(4),
                  number, "LISTEN " + what)
        for bit in range(32):
            if bit != 1:
                tries(c, BIND, good + struct.pack("<I", 1 << bit),
                      errno.EINVAL, "BIND flag %d" % bit)
            if bit >= 6:
                tries(c, CONNECT, good + none + struct.pack("<II", 0, 1 << bit),
                      errno.EINVAL, "CONNECT flag %d" % bit)
            if bit >= 1:
                tries(c, LISTEN, struct.pack("<HH", 1, 0) + good +
                      struct.pack("<I", 1 << bit), errno.EINVAL,
                      "LISTEN flag %d" % bit)
        tries(c, BIND, good + struct.pack("<I", 3), errno.EINVAL,
              "a native one of datagrams")
        tries(c, CONNECT, good + none + struct.pack("<II", 0, 3), errno.EINVAL,
              "not blocking and waiting")
        tries(c, CONNECT, good + none + struct.pack("<II", 300001, 0),
              errno.EINVAL, "300,001 ms")
        tries(c, CONNECT, good + address(PARENT, ZERO) + bytes(8),
              errno.EINVAL, "a local VmId")
        for kind in (0, 2, 3, 4, 6, 0xffff):
            tries(c, LISTEN, struct.pack("<HH", kind, 0) + good + bytes(4),
                  errno.EINVAL, "LISTEN type %d" % kind)
        with unix(nonblock=False) as s:
            r = c.ask(CONNECT, good + none + bytes(8), [s])
            same((r.errno, r.reason), (errno.EINVAL, BAD_REQUEST),
                 "a blocking socket")


def lingering():
    """A TCP socket whose last close takes seconds."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    server.bind(("127.0.0.1", 0))
    server.listen()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3))
    s.connect(server.getsockname())
    far, _ = server.accept()
    s.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            s.send(bytes(1 << 20))
    return s, (server, far)


@contextlib.contextmanager
def strange_sockets():
    """(name, descriptor, errno where a fresh AF_UNIX socket is wanted)"""
    with contextlib.ExitStack() as stack, \
            tempfile.TemporaryDirectory() as work:
        keep = stack.enter_context
        r, w = os.pipe()
        stack.callback(os.close, r)
        stack.callback(os.close, w)
        f = keep(open(work + "/file", "wb"))
        d = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, d)
        opath = os.open(work, os.O_PATH)
        stack.callback(os.close, opath)
        tcp, udp = keep(socket.socket()), keep(
            socket.socket(socket.AF_INET, DGRAM))
        pair = socket.socketpair()
        stack.callback(pair[0].close)
        stack.callback(pair[1].close)
        named = keep(unix())
        named.bind(work + "/named")
        abstract = keep(unix())
        abstract.bind(b"\0" + os.urandom(8))
        listening = keep(unix())
        listening.bind(work + "/listening")
        listening.listen()
        connected = keep(unix())
        connected.connect(work + "/listening")
        taken = keep(listening.accept()[0])
        yield [
            ("a pipe's reading end", r, errno.ENOTSOCK),
            ("a pipe's writing end", w, errno.ENOTSOCK),
            ("a file", f.fileno(), errno.ENOTSOCK),
            ("a directory", d, errno.ENOTSOCK),
            ("an O_PATH descriptor", opath, None),
            ("TCP", tcp.fileno(), errno.EINVAL),
            ("UDP", udp.fileno(), errno.EINVAL),
            ("AF_UNIX SOCK_DGRAM", keep(unix(DGRAM)).fileno(),
             errno.EPROTONOSUPPORT),
            ("a named socket", named.fileno(), errno.EINVAL),
            ("an abstract name", abstract.fileno(), errno.EINVAL),
            ("a listening socket", listening.fileno(), errno.EINVAL),
            ("a socketpair's end", pair[0].fileno(), errno.EISCONN),
            ("a connected socket", connected.fileno(), errno.EISCONN),
            ("an accepted socket", taken.fileno(), errno.EINVAL),
        ]


def test_wrong_descriptors(b):
    with unharmed(b), b.client() as c, strange_sockets() as all_of_them:
        listener = c.serve(WILDCARD, PORT)
        for name, fd, number in all_of_them:
            for kind, body in (
                    (BIND, address(WILDCARD, port(5001)) + bytes(4)),
                    (CONNECT, VALID[CONNECT]), (ATTACH, VALID[ATTACH])):
                if kind == CONNECT and number is not None and \
                        name != "a listening socket":
                    os.set_blocking(fd, False)
                r = c.ask(kind, body, [fd])
                check(r.errno != 0, "%s in type %d was taken" % (name, kind))
                check(r.payload, "a sentence")
                if number is not None and kind != ATTACH:
                    same(r.errno, number, "%s in type %d: %r" % (
                        name, kind, r.payload))
        listener.setblocking(False)
        try:
            listener.accept()
            raise tap.Failure("somebody got through")
        except BlockingIOError:
            pass
        listener.close()
        # nothing was bound under the other number
        same(refusal(c.dial, LOOPBACK, port(5001)).reason, NO_LISTENER,
             "who listens on 5001")


def test_number_of_descriptors(b):
    """None, too many, and some with messages that take none."""
    with unharmed(b), b.client() as c:
        with unix() as s:
            for kind, body in VALID.items():
                counts = [0, 2, 3, 253] if kind in (BIND, CONNECT) else \
                    [0, 2, 3, 253] if kind == ATTACH else [1, 2, 253]
                for n in counts:
                    r = c.ask(kind, body, [s] * n)
                    same((r.errno, r.reason), (errno.EINVAL, BAD_REQUEST),
                         "type %d with %d descriptors" % (kind, n))
        c.raw(b"", [sys.stderr.fileno()])  # descriptors and not one byte
        same(recv_fds(c.s)[0], b"", "an empty frame with a descriptor")


def test_lingering_descriptors(b):
    """Their last close takes seconds: nobody else waits for it."""
    with unharmed(b):
        stuff = [lingering() for _ in range(24)]
        with b.client() as c, b.client() as other:
            listener = other.serve(WILDCARD, PORT)
            with b.stopped():  # so that the broker's is the last close
                for i, (s, _) in enumerate(stuff):
                    kind = (BIND, HELLO, CONNECT)[i % 3]
                    c.send(kind, VALID[kind], [s])
                    s.close()
            start = time.monotonic()
            for i in range(100):
                other.dial(LOOPBACK, PORT).close()
                listener.accept()[0].close()
            took = time.monotonic() - start
            check(took < 2.5, "100 connects took %.1f s: they waited" % took)
            listener.close()
        for _, keep in stuff:
            for s in keep:
                s.close()


def test_lingering_in_the_queue(b):
    """The socket's own queue holds such descriptors, and ours is the last."""
    with unharmed(b), b.client() as c, b.client() as other:
        listener = other.serve(WILDCARD, PORT)
        held, stuff = [], []
        for _ in range(12):
            near, far = socket.socketpair()
            for _ in range(4):
                s, keep = lingering()
                send_fds(far, b"x", [s])
                s.close()
                stuff.append(keep)
            held.append((near, far))
        with b.stopped():
            for near, far in held:
                near.setblocking(False)
                c.send(CONNECT, VALID[CONNECT], [near])
                near.close()
        start = time.monotonic()
        for _ in range(50):
            other.dial(LOOPBACK, PORT).close()
            listener.accept()[0].close()
        took = time.monotonic() - start
        check(took < 2.5, "50 connects took %.1f s" % took)
        for _, far in held:
            far.close()
        for keep in stuff:
            for s in keep:
                s.close()
        listener.close()


def test_forged_listener_name(b):
    """A file of the right name in a directory of one's own."""
    with unharmed(b), b.client() as c, tempfile.TemporaryDirectory() as work:
        listener = c.serve(WILDCARD, PORT)
        name = listener.getsockname()
        check(name.startswith("listeners/"), "a listener's name: " + name)
        listener.close()
        here = os.getcwd()
        os.mkdir(work + "/listeners")
        os.chdir(work)
        try:
            with unix() as s:
                s.bind(name)
                e = refusal(c.bind, s, WILDCARD, PORT)
                same((e.errno, e.reason), (errno.EINVAL, BAD_REQUEST), "why")
        finally:
            os.chdir(here)
        same([x for x in c.call("listeners")["listeners"]], [], "listeners")


every_test_in_a_broker(globals())

if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
