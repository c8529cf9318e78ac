# SPDX-License-Identifier: MIT
"""Many connections at once, and many after each other: nothing is left."""
import os
import re
import socket

import hv
import hvs
import stack
import tap
from flows import crc

PORT = 7300
MANY = 500 if hv.LONG else 150
TIMES = 4000 if hv.LONG else 200
ROUND = 500  # of these; who says nothing for long is taken for hung


class Load(hv.HvStack):
    memory = "512M"


STACK = Load


def size(pid):
    """Bytes that are this process's alone, without the guest's memory."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return int(re.search(r"Private_Dirty:\s+(\d+) kB", f.read()).group(1)
                   ) << 10


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def kworkers(g):
    """Ticks that the guest's kernel workers have used, by worker."""
    out = g.run("cat /proc/[0-9]*/stat 2>/dev/null | grep '(kworker'").ok()
    return {line.split()[0]: sum(map(int, line.rsplit(")", 1)[1].split()[11:13]
                                    )) for line in out.splitlines()}


def clean(f, run):
    """What run() leaves: the first time may have made things that stay."""
    g = f.guest
    pids = [g.pid, g.transport()]
    run()
    g.nothing_left()
    before = [(size(p), descriptors(p)) for p in pids]
    run()
    g.nothing_left()
    after = [(size(p), descriptors(p)) for p in pids]
    for (s0, d0), (s1, d1) in zip(before, after):
        tap.same(d1, d0, "descriptors")
        tap.check(s1 - s0 < 1 << 20, "%d bytes more" % (s1 - s0))
    busy = kworkers(g)
    g.run("sleep 2").ok()
    now = kworkers(g)
    for k, ticks in now.items():
        tap.check(ticks - busy.get(k, ticks) < 40,
                  "kernel worker %s is busy: %d ticks in 2 s" % (
                      k, ticks - busy.get(k, ticks)))
    log = g.run("dmesg | grep -E 'BUG|WARNING|Oops|hung task|stall' "
                "|| true").ok()
    tap.same(log, "", "complaints in the guest's log")


def rounds():
    """How many of half of TIMES at a time."""
    left = TIMES // 2
    while left:
        n = min(left, ROUND)
        left -= n
        yield n
        print("# %d to go" % left, flush=True)


def test_many_at_once(f):
    f.service("many", PORT)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)) as e:
        out = f.guest.run("vsock-peer connect -n %d %d swap:2000 shut eof" % (
            MANY, PORT), 200).ok(200)
        tap.same(out.count("received=2000 crc=%s as-sent" % crc(2000)), MANY,
                 "connections with all bytes")
        tap.same(len(e.peers), MANY, "connections at the host")
    f.guest.nothing_left()


def test_many_to_the_guest(f):
    job = f.guest.start("vsock-peer listen -n %d %d echo" % (MANY, PORT + 1))
    job.expect("listening")
    sockets = [f.library.dial(f.vmid, hvs.port(PORT + 1), 20000)
               for _ in range(MANY)]
    for i, s in enumerate(sockets):
        s.sendall(b"%d" % i * 100)
        s.shutdown(socket.SHUT_WR)
    for i, s in enumerate(sockets):
        tap.same(hvs.receive(s), b"%d" % i * 100, "bytes back")
        s.close()
    job.ok(200)
    f.guest.nothing_left()


def test_one_after_the_other_from_the_guest(f):
    f.service("many", PORT)

    def run():
        with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT), keep=False):
            for n in rounds():
                f.guest.run("vsock-peer connect -r %d %d swap:100 shut eof" % (
                    n, PORT), 300).ok(300)
    clean(f, run)


def test_one_after_the_other_to_the_guest(f):
    clean(f, lambda: [to_the_guest(f, n) for n in rounds()])


def to_the_guest(f, n):
    job = f.guest.start("vsock-peer listen -n %d %d echo >/dev/null" % (
        n, PORT + 2))
    stack.until("a listener", lambda: first(f))
    for _ in range(n - 1):
        with f.library.dial(f.vmid, hvs.port(PORT + 2), 20000) as s:
            s.sendall(b"x" * 100)
            s.shutdown(socket.SHUT_WR)
            tap.same(hvs.receive(s), b"x" * 100, "bytes back")
    job.ok(100)


def first(f):
    try:
        f.library.dial(f.vmid, hvs.port(PORT + 2)).close()
        return True
    except hvs.Refused:
        return False
