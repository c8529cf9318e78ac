#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hostile clients of the broker

After each of them the broker serves, is the same process, and has as many
descriptors as before.
"""
import contextlib
import errno
import os
import resource
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
import uuid

import tap
from hvb import *
from tap import check, same

STREAM, RAW, DGRAM = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET,
                      socket.SOCK_DGRAM)
PORT = port(5000)


def unix(kind=STREAM, nonblock=True):
    s = socket.socket(socket.AF_UNIX, kind)
    s.setblocking(not nonblock)
    return s


@contextlib.contextmanager
def unharmed(b):
    """What the block does leaves no trace in the broker."""
    b.serves()
    check(b.settled(b.base), "descriptors at first: %d, not %d" % (
        b.fds(), b.base))
    pid = b.proc.pid
    yield
    check(b.alive() and b.proc.pid == pid, "the broker ended: " +
          open(b.log).read()[-3000:])
    b.serves()
    check(b.settled(b.base), "descriptors afterwards: %d, not %d" % (
        b.fds(), b.base))


VALID = {
    HELLO: struct.pack("<II", 1, 1),
    BIND: address(WILDCARD, PORT) + bytes(4),
    CONNECT: address(LOOPBACK, PORT) + address(ZERO, ZERO) + bytes(8),
    LISTEN: struct.pack("<HH", 1, 0) + address(WILDCARD, PORT) + bytes(4),
    RESULT: bytes(8),
    CALL: b'{"method":"status"}',
    RESOLVE: b"host\0" b"5000\0",
    NAMES: address(ZERO, PORT),
    ATTACH: bytes(16) + struct.pack("<HHI", 1, 1, 0) + b"guest",
}
FDS = {BIND: 1, CONNECT: 1, ATTACH: 1}


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
            for kind in list(range(9, 16)) + list(range(17, 40)) + [0, 0x7fff]:
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
            tries(c, BIND, good + struct.pack("<I", 1 << bit), errno.EINVAL,
                  "BIND flag %d" % bit)
            if bit >= 5:
                tries(c, CONNECT, good + none + struct.pack("<II", 0, 1 << bit),
                      errno.EINVAL, "CONNECT flag %d" % bit)
            if bit >= 1:
                tries(c, LISTEN, struct.pack("<HH", 1, 0) + good +
                      struct.pack("<I", 1 << bit), errno.EINVAL,
                      "LISTEN flag %d" % bit)
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


def test_client_that_never_reads(b):
    with unharmed(b), b.client() as good:
        listener = good.serve(WILDCARD, PORT)
        c = b.client()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:  # until it is thrown out
                c.send(CALL, VALID[CALL])
        good.dial(LOOPBACK, PORT).close()
        c.close()
        listener.close()


def test_waiting_connects_of_one_who_never_reads(b):
    """Their deadlines come while it cannot be told; it ends once."""
    with unharmed(b), b.client() as good:
        listener = good.serve(WILDCARD, PORT)
        for _ in range(4):
            c = b.client()
            s = unix()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for i in range(900):
                    c.start_connect(s, LOOPBACK, port(5999), 50 + i % 3, WAIT)
            check(until(lambda: gone(c)), "it was not thrown out")
            good.dial(LOOPBACK, PORT).close()
            s.close()
            c.close()
        listener.close()


def gone(c):
    """Has the broker closed, whatever lies unread in the queue?"""
    p = select.poll()
    p.register(c.s, select.POLLHUP)
    return any(e & select.POLLHUP for _, e in p.poll(0))


def test_transport_that_never_reads(b):
    """OPEN cannot be told: the connects are refused, each once."""
    with unharmed(b), b.client() as good:
        t = b.client()
        rendezvous = unix()
        t.ask(ATTACH, bytes(16) + struct.pack("<HHI", 1, 1, 0) + b"deaf",
              [rendezvous]).check()
        rendezvous.listen()
        vmid = [p["id"] for p in good.call("partition.list")["partitions"]
                if p["name"] == "deaf"][0]
        t.send(STATE, struct.pack("<I", 1))
        crowd = [b.client() for _ in range(5)]
        sockets, serials = [], []
        for flags in (0, NONBLOCK, WAIT) * 50:
            for c in crowd:
                s = unix()
                sockets.append(s)
                serials.append((c, c.start_connect(s, uuid.UUID(vmid), PORT,
                                                   1000, flags)))
        for i, (c, serial) in enumerate(serials):
            r = c.reply(serial)
            check(r.errno in (0, errno.EHOSTDOWN, errno.ETIMEDOUT,
                              errno.EHOSTUNREACH), "connect %d: %d %r" % (
                                  i, r.errno, r.payload))
        check(until(lambda: gone(t)), "the deaf one was not thrown out")
        for c in crowd:
            c.call("status")
            same(c.others, [], "replies that nobody asked for")
            c.close()
        t.close()
        for s in sockets + [rendezvous]:
            s.close()


def test_ten_thousand_half_open_clients(b):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 32768), hard))
    check(min(hard, 32768) >= 10500, "RLIMIT_NOFILE is only %d" % hard)

    def connects(c, listener, n=60):
        took = []
        for _ in range(n):
            start = time.perf_counter()
            s = c.dial(LOOPBACK, PORT)
            took.append(time.perf_counter() - start)
            listener.accept()[0].close()
            s.close()
        return statistics.median(took)

    try:
        with unharmed(b), b.client() as c:
            listener = c.serve(WILDCARD, PORT)
            before = connects(c, listener)
            crowd = [b.client(hello=False) for _ in range(10000)]
            during = connects(c, listener)
            with b.client() as late:  # and one can still come in
                same(late.partition, ZERO, "a late client")
            # A bound that noise does not reach; waiting behind them would.
            check(during < 20 * before, "a connect takes %.2f ms, not %.2f" % (
                during * 1e3, before * 1e3))
            print("# median of a connect: %.3f ms alone, %.3f ms among 10,000"
                  % (before * 1e3, during * 1e3))
            for x in crowd:
                x.close()
            listener.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clearing_nonblock_on_a_full_backlog(b):
    """Another user's, or the same user's, connects go on meanwhile."""
    with unharmed(b), b.client() as c, b.client() as hostile:
        listener = c.serve(WILDCARD, PORT)
        full = hostile.serve(WILDCARD, port(5001), backlog=0)
        filler = []
        with contextlib.suppress(Refused):
            for _ in range(8):
                filler.append(hostile.dial(LOOPBACK, port(5001), 0, NONBLOCK))
        stop = threading.Event()
        s = [unix() for _ in range(6)]

        def clear():
            while not stop.is_set():
                for x in s:
                    os.set_blocking(x.fileno(), True)
                    os.set_blocking(x.fileno(), False)

        def torment():
            while not stop.is_set():
                serials = [hostile.start_connect(x, LOOPBACK, port(5001), 100)
                           for x in s]
                for n in serials:
                    r = hostile.reply(n)
                    assert r.errno, "nobody accepts"

        threads = [threading.Thread(target=f) for f in (clear, torment)]
        for t in threads:
            t.start()
        worst = 0
        try:
            end = time.monotonic() + 3
            n = 0
            while time.monotonic() < end or n < 20:
                start = time.monotonic()
                c.dial(LOOPBACK, PORT, 20000).close()
                listener.accept()[0].close()
                worst = max(worst, time.monotonic() - start)
                n += 1
        finally:
            stop.set()
            for t in threads:
                t.join()
        print("# %d connects meanwhile, the slowest %.0f ms" % (n, worst * 1e3))
        for x in s + filler + [listener, full]:
            x.close()


BROKEN = {
    "unknown-key": "[Service]\nPort=6001\nColour=red\n",
    "unknown-section": "[Service]\nPort=6002\n[Server]\n",
    "no-id": "[Service]\nElementName=none\n",
    "bad-guid": "[Service]\nServiceId=12345\n",
    "two-ports": "[Service]\nPort=6003\nPort=6004\n",
    "big-port": "[Service]\nPort=4294967296\n",
    "policy": "[Service]\nPort=6005\nPolicy=maybe\n",
    "latin1": b"[Service]\nPort=6006\nElementName=caf\xe9\n",
    "utf16": "[Service]\nPort=6007\n".encode("utf-16"),
    "control": b"[Service]\nPort=6008\nElementName=a\x1b[31m\n",
    "zero": b"[Service]\nPort=6009\n\0\n",
    "no-user": "[Service]\nPort=6010\nBind=user:no-such-user-here\n",
    "rubbish": bytes(range(1, 256)) * 20,
    "large": "[Service]\nPort=6011\n" + "; x\n" * 400000,
    "line": "[Service]\nPort=6012\nElementName=" + "n" * 100000 + "\n",
    "wildcard": "[Service]\nPort=6013\nAllowWildcardBinds=perhaps\n",
    "target": "[Service]\nPort=6014\nTarget=tcp:localhost\n",
    "same-port-a": "[Service]\nPort=6100\n",
    "same-port-b": "[Service]\nPort=6100\n",
}


def test_broken_registry_files(b):
    with unharmed(b), b.client() as c:
        b.service("good", 6000, "ElementName=Good")
        same(c.call("service.show", service="Good")["port"], 6000, "good")
        for name, text in BROKEN.items():
            b.put("services.d/%s.conf" % name, text)
        b.put("partitions.d/bad.conf", "[Partition]\nVmId=zzz\n")
        os.mkdir(b.config + "/services.d/directory.conf")
        os.symlink("/nonexistent", b.config + "/services.d/dangling.conf")
        os.mkfifo(b.config + "/services.d/fifo.conf")
        problems = c.call("status")["problems"]
        files = {os.path.basename(p["file"]) for p in problems}
        for name in BROKEN:
            check(name + ".conf" in files, "no problem is told for " + name)
        check("bad.conf" in files, "nor for the partition")
        for p in problems:
            check(p["reason"] and all(x.isprintable() for x in p["reason"]),
                  "a reason for people: %r" % p)
        same([s["name"] for s in c.call("service.list")["services"]],
             ["Good"], "what is in force")
        listener = c.serve(WILDCARD, port(6000))
        c.dial(LOOPBACK, port(6000)).close()
        listener.close()
        # repaired in place: in force at once, and nothing else was lost
        b.put("services.d/policy.conf", "[Service]\nPort=6005\n")
        same(c.call("service.show", service="policy")["port"], 6005,
             "the repaired file")
        b.drop("services.d/same-port-b.conf")
        same(c.call("service.show", service="6100")["file"], "same-port-a",
             "the one that is left")
        for name in os.listdir(b.config + "/services.d"):
            path = b.config + "/services.d/" + name
            (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        b.drop("partitions.d/bad.conf")
        same(c.call("status")["problems"], [], "problems in the end")


def test_bad_calls(b):
    with unharmed(b), b.client() as c:
        for text in (b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe",
                     b'{"method":1}', b'{"method":"status","method":"names"}',
                     b'{"method":"nothing"}', b'{"method":"status","x":1}',
                     b'{"method":"explain"}', b'{"method":"explain","to":5}',
                     b'{"method":"explain","to":"host:1","uid":-1}',
                     b'{"method":"wait","to":"host:1","timeout_ms":300001}',
                     b'{"method":"wait","to":"host:1","type":"dgram"}',
                     b'{"method":"service.add","name":"a\\u0007b","port":1}',
                     b'{"method":"service.add","name":"a\\u0000b","port":1}',
                     b'{"method":"service.add","name":"' + b"n" * 5000 +
                     b'","port":1}', b'{"method":"service.add","name":""}',
                     b'{"method":"service.add","name":"x","port":4294967296}',
                     b'{"method":"service.add","name":"x","id":"1"}',
                     b'{"method":"service.add","name":"x","lease":-4}',
                     b'{"method":"service.add","name":"x","lease":99999999}',
                     b'{"method":"service.add","name":"x\\nPort=7","port":1}',
                     b'{"method":"service.add","name":"x","bind":"a\\n[Lease]",'
                     b'"port":1}',
                     b'{"method":"partition.add","name":"host"}',
                     b'{"method":"partition.add","name":"a","parent":"b"}',
                     b'{"method":"partition.add","name":"a","kind":"host"}',
                     b'{"method":"partition.remove","partition":"host"}',
                     b'{"a":' * 3000 + b"1" + b"}" * 3000,
                     b"[" * 65000):
            r = c.ask(CALL, text)
            check(r.errno, "%r was taken: %r" % (text[:60], r.payload))
            check(r.payload.decode().isprintable(), "a sentence: %r" %
                  r.payload)
        same(c.call("service.list")["services"], [], "services")


def test_second_broker(b):
    """On the same directory: refused, and the first goes on."""
    with unharmed(b):
        listener = b.client().serve(WILDCARD, PORT)
        other = Broker(directory=b.dir)
        other.start(check=False)
        same((other.ready, other.proc.wait(20)), (False, 1), "a second one")
        check("another broker" in open(b.log).read(), "the reason is told")
        with b.client() as c:
            c.dial(LOOPBACK, PORT).close()
        listener.close()


def test_directory_of_somebody_else(b):
    """Only the owner's: refused by name, and nothing is changed in it."""
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        os.mkdir(work + "/run")
        if os.geteuid() == 0:
            os.chown(work + "/run", 12345, 12345)
            where = work + "/run"
        else:
            where = "/usr"  # root's
        before = sorted(os.listdir(where))
        other = Broker(directory=work)
        other.run = where
        other.start(check=False)
        same((other.ready, other.proc.wait(20)), (False, 1), "the broker")
        log = open(other.log).read()
        check(where in log and "another user" in log, "the reason: " + log)
        same(sorted(os.listdir(where)), before, "what is in it")
        # the same for a link that stands where broker/ should
        os.mkdir(work + "/own")
        os.symlink("/tmp", work + "/own/broker")
        other.run = work + "/own"
        other.start(check=False)
        same((other.ready, other.proc.wait(20)), (False, 1), "with a link")


def test_leases_do_not_pile_up(b):
    """A descriptor watches a lease: not one for each add."""
    with unharmed(b), b.client() as c:
        for i in range(300):
            c.call("service.add", name="x", port=7000)
            c.call("service.remove", service="x")
        check(b.fds() <= b.base + 8, "%d descriptors, %d at first" % (
            b.fds(), b.base))


def test_full_disk(b):
    """Registering fails with ENOSPC; what was there stays."""
    # A limit on the size of files fails writes as a full disk would; the
    # broker's own process gets it, and loses it again.
    with b.client() as c:
        c.call("service.add", name="old", port=7100, lease="none")
        pid = b.proc.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        for method, args in (
                ("service.add", {"name": "new", "port": 7101}),
                ("service.set", {"service": "old", "policy": "disabled"})):
            e = refusal(c.call, method, **args)
            check(e.errno in (errno.EFBIG, errno.ENOSPC), str(e))
        same(c.call("service.show", service="old")["policy"], "default",
             "the old one")
        b.serves()
        resource.prlimit(pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        c.call("service.add", name="new", port=7101, lease="none")
    b.restart()
    with b.client() as c:
        same(sorted(s["name"] for s in c.call("service.list")["services"]),
             ["new", "old"], "after a restart")


class Place:
    def __init__(self, work):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def in_a_broker(function):
    """Each test has a broker of its own, settled before it begins."""
    def run(_):
        with Broker() as b:
            b.serves()
            b.base = b.fds()
            check(until(lambda: count_twice(b)), "it never settles")
            function(b)
    return run


def count_twice(b):
    before, b.base = b.base, b.fds()
    return before == b.base


for name, function in list(globals().items()):
    if name.startswith("test_"):
        globals()[name] = in_a_broker(function)

if __name__ == "__main__":
    tap.main(sys.modules[__name__], Place)
