#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""More of them: ncat, and the kernel's vsock_perf where its source has it"""
import importlib
import os
import re
import shutil
import socket
import sys
import threading

import hvs
import stack
import tap
import vm
import vsock_partner
from programs import PORT, when_it_listens
from vsock_partner import has

PERF_BYTES = 64 << 20
PERF_BUFFER = 1 << 20  # of the guest's socket
LONG_S = 120
LINES = b"".join(b"%d\n" % i for i in range(1, 20001))  # seq 1 20000


class Programs(importlib.import_module("test-programs").Programs):
    def more(self):
        ncat = shutil.which("ncat")
        if not ncat:
            raise vm.GuestError("ncat is not installed here")
        return [os.path.realpath(ncat) + ":bin/ncat"] + [
            p for p in vsock_partner.programs() if p.endswith("vsock_perf")]


def test_ncat_connects(f):
    """A file there and back: ncat sends what it reads, then its end."""
    f.service("echo", PORT)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)):
        out = f.guest.run("seq 1 20000 >/tmp/in; ncat --vsock 2 %d </tmp/in "
                          ">/tmp/out && cmp /tmp/in /tmp/out && echo same" %
                          PORT, LONG_S).ok(LONG_S)
    tap.check("same" in out, out)


def test_ncat_sends_only(f):
    f.service("sink", PORT + 5)
    with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 5)) as s:
        job = f.guest.start("seq 1 20000 | ncat --send-only --vsock 2 %d" %
                            (PORT + 5))
        c, _ = s.accept()
        with c:
            c.settimeout(LONG_S)
            tap.check(hvs.receive(c) == LINES, "what was sent")
        job.ok(LONG_S)


def test_ncat_listens(f):
    """Both ways at once; each side ends its own. (With --exec ncat ends with
    what it receives, and drops what its program still says.)"""
    job = f.guest.start("seq 1 20000 >/tmp/in; ncat --vsock -l %d </tmp/in "
                        ">/tmp/out && cmp /tmp/in /tmp/out && echo same" %
                        (PORT + 6))
    sockets = []
    when_it_listens(f, "ncat", lambda: sockets.append(
        f.library.dial(f.vmid, hvs.port(PORT + 6))))
    with sockets[0] as s:
        s.settimeout(LONG_S)
        t = threading.Thread(target=lambda: (s.sendall(LINES),
                                             s.shutdown(socket.SHUT_WR)))
        t.start()
        got = hvs.receive(s)
        t.join()
    tap.check(got == LINES, "%d bytes came" % len(got))
    tap.check("same" in job.ok(LONG_S), str(job.said))


def rate(out):
    for line in out.splitlines():
        if re.search("performance|total bytes", line):
            tap.note("vsock_perf: " + line)


def test_perf_guest_sends(f):
    if not has(f, "vsock_perf"):
        return
    for more in ("", " --zerocopy"):
        f.service("perf", PORT + 7)
        with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 7)) as s:
            job = f.guest.start("vsock_perf --sender 2 --port %d --bytes %d "
                                "--buf-size 64K%s" % (PORT + 7, PERF_BYTES,
                                                      more))
            c, _ = s.accept()
            with c:
                c.settimeout(LONG_S)
                buffer, n = bytearray(1 << 20), 0
                while True:
                    some = c.recv_into(buffer)
                    if not some:
                        break
                    n += some
            out = job.ok(LONG_S)
        tap.same(n, PERF_BYTES, "bytes that came")
        tap.check("total bytes sent: %d" % PERF_BYTES in out, out)
        rate(out)


def test_perf_guest_receives(f):
    if not has(f, "vsock_perf"):
        return
    job = f.guest.start("vsock_perf --port %d --buf-size 1M --vsk-size %d" %
                        (PORT + 8, PERF_BUFFER))
    sockets = []
    when_it_listens(f, "vsock_perf", lambda: sockets.append(
        f.library.dial(f.vmid, hvs.port(PORT + 8))))
    with sockets[0] as s:
        s.settimeout(LONG_S)
        data = bytes(1 << 20)
        for _ in range(PERF_BYTES // len(data)):
            s.sendall(data)
    out = job.ok(LONG_S)
    # It ends when it sees the end, though there may be more to read.
    n = int(re.search(r"total bytes received: (\d+)", out).group(1))
    tap.check(PERF_BYTES - PERF_BUFFER <= n <= PERF_BYTES, out)
    rate(out)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Programs)
