#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Much data each way, to a reader that is slower than the writer.

1 GiB with HVSOCKET_TEST_LONG, else 32 MiB. Every byte arrives; meanwhile
another connection of the same guest is served, and the transport holds nothing
but what its sockets and the guest's buffers hold.
"""
import os
import re
import socket
import sys
import time
import zlib

import hvs
import stack
import tap
from flows import crc

SIZE = 1 << 30 if os.environ.get("HVSOCKET_TEST_LONG") else 32 << 20
LIMIT_S = 100 if SIZE < 1 << 30 else 900
# Of the transport's own: what one connection may wait with, and a bit.
MEMORY = 4 << 20


class Slow(stack.Stack):
    def start_guest(self, name="guest", options=()):
        super().start_guest(name, ("--timeout", str(3 * LIMIT_S)))

    def memory(self):
        """Bytes of its own that the transport has."""
        with open("/proc/%d/status" % self.transport.pid) as f:
            return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) \
                << 10


class Beside:
    """Another connection, there and back, as often as it goes."""

    def __init__(self, f):
        f.service("beside", 5100)
        self.echo = stack.Echo(f.library, hvs.WILDCARD, hvs.port(5100))
        self.f = f
        self.job = f.guest.start("while vsock-peer connect 5100 swap:5000; do "
                                 "read -t 0 line && break; done")
        self.times = 0
        self.memory = []

    def seen(self):
        """It goes round once more."""
        self.job.expect("received=5000 crc=%s as-sent" % crc(5000))
        self.times += 1
        self.memory.append(self.f.memory())

    def end(self, started):
        self.job.input()
        self.job.wait(60)
        self.echo.__exit__()
        tap.check(self.times > 3, "%d times beside it" % self.times)
        if not os.environ.get("DAEMON_BUILD"):
            more = max(self.memory) - started
            tap.check(more < MEMORY, "%d bytes of memory more" % more)


def test_slow_guest(f):
    """The guest takes 64 KiB, and does something else."""
    started = f.memory()
    job = f.guest.start("vsock-peer listen 6100 pace:300 eof send:1000 shut")
    job.expect("listening")
    beside = Beside(f)
    data = memoryview(hvs.pattern(1 << 20))
    with f.library.dial(f.vmid, hvs.port(6100)) as s:
        s.settimeout(LIMIT_S)
        for at in range(0, SIZE, len(data)):
            s.sendall(data)
            if at % (SIZE // 8) == 0:
                beside.seen()
        s.shutdown(socket.SHUT_WR)
        tap.check(hvs.receive(s) == hvs.pattern(1000), "what it answers")
    sum_ = 0
    for _ in range(0, SIZE, len(data)):
        sum_ = zlib.crc32(data, sum_)
    beside.end(started)
    out = job.ok(60)
    tap.check("received=%d crc=%08x as-sent eof" % (SIZE, sum_) in out, out)


def test_slow_program(f):
    """The program on the host takes 64 KiB, and sleeps."""
    f.service("slow", 5101)
    started = f.memory()
    with f.library.serve(hvs.WILDCARD, hvs.port(5101)) as listener:
        job = f.guest.start("vsock-peer connect 5101 send:%d shut eof" % SIZE)
        beside = Beside(f)
        s, _ = listener.accept()
        got = sum_ = wanted = 0
        step = SIZE // 8
        with s:
            s.settimeout(LIMIT_S)
            while True:
                data = s.recv(65536)
                if not data:
                    break
                sum_ = zlib.crc32(data, sum_)
                got += len(data)
                # that is what makes it slow; nothing is awaited
                time.sleep(0.0003)
                if got >= step:
                    step += SIZE // 8
                    beside.seen()
            for at in range(0, SIZE, 1 << 20):
                wanted = zlib.crc32(hvs.pattern(1 << 20), wanted)
            s.shutdown(socket.SHUT_WR)
        tap.same((got, "%08x" % sum_), (SIZE, "%08x" % wanted), "its bytes")
        beside.end(started)
        out = job.ok(60)
        tap.check("send sent=%d" % SIZE in out, out)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Slow)
