# SPDX-License-Identifier: MIT
"""Much data, in all sizes and at all speeds, and ends in the middle of it."""
import contextlib
import errno
import os
import signal
import socket
import threading
import time
import zlib

import hv
import hvs
import stack
import tap
import vm
from flows import crc

STACK = hv.HvStack
MUCH = 64 << 20 if hv.LONG else 8 << 20
SINGLE = 65536 if hv.LONG else 8192
PORT = 7000


class Sink:
    """Host service that counts what it gets; @pace: seconds between reads."""

    def __init__(self, f, port, pace=0, chunk=1 << 18):
        f.service("sink", port)
        self.listener = f.library.serve(hvs.WILDCARD, hvs.port(port))
        self.pace, self.chunk = pace, chunk

    def take(self):
        """One connection: bytes, checksum, and how it ended."""
        c, _ = self.listener.accept()
        n = crc32 = 0
        with c:
            c.settimeout(60)
            while True:
                if self.pace:
                    time.sleep(self.pace)
                try:
                    data = c.recv(self.chunk)
                except OSError as e:
                    return n, crc32, errno.errorcode[e.errno]
                if not data:
                    return n, crc32, "eof"
                n += len(data)
                crc32 = zlib.crc32(data, crc32)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def pour(s, n, chunk=1 << 18, pace=0):
    """n bytes of the pattern into a socket."""
    period = hvs.PERIOD * (chunk // len(hvs.PERIOD) + 2)
    at = 0
    while at < n:
        if pace:
            time.sleep(pace)
        start = at % len(hvs.PERIOD)
        at += s.send(period[start:start + min(chunk, n - at)])


def crc_of(n):
    out = 0
    full, rest = divmod(n, len(hvs.PERIOD))
    for _ in range(full):
        out = zlib.crc32(hvs.PERIOD, out)
    return zlib.crc32(hvs.PERIOD[:rest], out)


def to_host(f, n, actions="", more="", pace=0, chunk=1 << 18, timeout=120):
    with Sink(f, PORT, pace, chunk) as sink:
        job = f.guest.start("vsock-peer connect %s %d %s send:%d shut eof" % (
            more, PORT, actions, n))
        got = sink.take()
        job.ok(timeout)
        tap.same(got, (n, crc_of(n), "eof"), "what the host received")


def to_guest(f, n, actions="", more="", pace=0, chunk=1 << 18, timeout=120):
    job = f.guest.start("vsock-peer listen %s %d %s eof" % (more, PORT + 1,
                                                            actions))
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(PORT + 1)) as s:
        s.settimeout(60)
        pour(s, n, chunk, pace)
        s.shutdown(socket.SHUT_WR)
        out = job.ok(timeout)
        tap.check("received=%d crc=%08x as-sent eof" % (n, crc_of(n)) in out,
                  out)


def test_much_to_the_host(f):
    to_host(f, MUCH)


def test_much_to_the_guest(f):
    to_guest(f, MUCH)


def test_large_buffers_both_ways(f):
    for b in (262144, 1 << 20):
        to_host(f, MUCH // 4, more="-b %d" % b)
        to_guest(f, MUCH // 4, more="-b %d" % b)


def test_write_sizes(f):
    for chunk in (4096, 16384, 65536, 262144, 1 << 20):
        to_host(f, MUCH // 8, "chunk:%d" % chunk, chunk=chunk)
        to_guest(f, MUCH // 8, "chunk:%d" % chunk, chunk=chunk)


def test_single_bytes(f):
    to_host(f, SINGLE, "chunk:1")
    to_guest(f, SINGLE, "chunk:1", chunk=1)


def test_slow_reader_at_the_host(f):
    to_host(f, 1 << 20, pace=0.02, chunk=16384)


def test_slow_reader_in_the_guest(f):
    to_guest(f, 1 << 20, "chunk:16384 pace:20000")


def test_slow_writer_in_the_guest(f):
    to_host(f, 200000, "chunk:2000 pace:10000")


def test_slow_writer_at_the_host(f):
    to_guest(f, 200000, chunk=2000, pace=0.01)


def test_both_ways_at_once(f):
    f.service("echo", PORT + 2)
    n = MUCH // 2
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT + 2)):
        out = f.guest.run("vsock-peer connect %d swap:%d shut eof" % (
            PORT + 2, n), 120).ok()
        tap.check("received=%d crc=%08x as-sent" % (n, crc_of(n)) in out, out)


def test_closed_by_the_guest_with_unread_data(f):
    """The guest never reads; what it sent before arrives all the same."""
    f.service("unread", PORT + 3)
    with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 3)) as s:
        job = f.guest.start("vsock-peer connect %d send:10000 wait" %
                            (PORT + 3))
        c, _ = s.accept()
        with c:
            c.sendall(hvs.pattern(3000))
            job.expect("waiting")
            job.input()
            job.ok()
            tap.check(hvs.receive(c) == hvs.pattern(10000), "data")
    f.guest.nothing_left()


def test_closed_by_the_host_with_unread_data(f):
    job = f.guest.start("vsock-peer listen %d eof reset" % (PORT + 4))
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(PORT + 4)) as s:
        s.sendall(hvs.pattern(5000))
    out = job.wait(20).said
    tap.check("eof sent=0 received=5000 crc=%s as-sent eof" % crc(5000) in
              "\n".join(out), str(out))
    f.guest.nothing_left()


def test_program_in_the_guest_killed_in_the_middle(f):
    with Sink(f, PORT) as sink:
        job = f.guest.start("vsock-peer connect %d send:%d" % (PORT, 1 << 30))
        job.expect("connected")
        done = []
        t = threading.Thread(target=lambda: done.append(sink.take()))
        t.start()
        stack.until("data flow", lambda: f.guest.counters()["doorbells_in"])
        job.kill()
        t.join(30)
        tap.check(done and done[0][0] < 1 << 30, "the host's end: %r" % done)
    f.guest.nothing_left()


def test_host_program_gone_in_the_middle(f):
    f.service("gone", PORT + 5)
    with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 5)) as s:
        job = f.guest.start("vsock-peer connect %d send:%d" % (PORT + 5,
                                                              1 << 30))
        c, _ = s.accept()
        hvs.receive(c, 1 << 20)
        c.close()
        out = job.failed()
        tap.check("send failed E" in out, out)
    f.guest.nothing_left()


@contextlib.contextmanager
def going_round(f):
    """Bytes that go round in four connections while something happens."""
    f.service("echo", PORT + 2)
    n = 8 << 20
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT + 2)):
        job = f.guest.start("vsock-peer connect -n 4 %d wait swap:%d shut eof" %
                            (PORT + 2, n))
        job.expect("waiting")
        job.input()
        yield job, "received=%d crc=%08x as-sent" % (n, crc_of(n))


def replace(f):
    before = f.guest.transport()
    os.kill(f.guest.pid, signal.SIGHUP)

    def other():
        try:
            return f.guest.transport() != before
        except (OSError, vm.GuestError):
            return False
    stack.until("another hvsocket-vmbus", other)


def test_transport_replaced_in_the_middle(f):
    with going_round(f) as (job, want):
        for _ in range(3):
            replace(f)
        tap.same(job.status, None, "status before the last replacement")
        tap.same(job.ok(120).count(want), 4, "connections with all bytes")
    f.guest.nothing_left()


def test_transport_killed_in_the_middle(f):
    """Its connections end; the next ones work."""
    with going_round(f) as (job, want):
        os.kill(f.guest.transport(), signal.SIGKILL)
        job.wait(60)
        tap.check(job.status != 0, "all bytes came: it was killed too late")

        def works():
            return f.guest.run("vsock-peer connect %d swap:70000 shut eof" % (
                PORT + 2)).status == 0
        stack.until("a connection through the next one", works)
    f.guest.nothing_left()
