# SPDX-License-Identifier: MIT
"""Connections both ways between a guest and this host, whatever carries them

What every transport has to do; `from flows import *` makes them tests of a
module. Each gets a stack.Host with a guest.
"""
import errno
import os
import select
import socket
import time
import zlib

import hvs
import stack
import tap


def crc(n):
    return "%08x" % zlib.crc32(hvs.pattern(n))


def raises(number, reason, function, *args):
    try:
        function(*args)
    except hvs.Refused as e:
        tap.same(errno.errorcode[e.errno], errno.errorcode[number], "errno")
        tap.check(reason in (None, e.reason), "reason: %s, not %s" % (
            e.reason, reason))
        return
    raise tap.Failure("not refused: %r" % (args,))


def test_guest_to_host_sizes(f):
    f.service("echo", 5000)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5000)):
        for n in (1, 2, 4095, 4096, 65537, 300000, 1 << 20):
            out = f.guest.run("vsock-peer connect 5000 swap:%d shut eof" %
                              n).ok()
            tap.check("swap sent=%d received=%d crc=%s as-sent" % (
                n, n, crc(n)) in out, out)
            tap.check("eof sent=0 received=0" in out, out)


def test_host_receives_what_the_guest_sent(f):
    f.service("sink", 5001)
    s = f.library.serve(hvs.WILDCARD, hvs.port(5001))
    with s:
        for n in (1, 100000, 1 << 20):
            job = f.guest.start("vsock-peer connect 5001 send:%d shut eof" % n)
            c, _ = s.accept()
            with c:
                tap.check(hvs.receive(c) == hvs.pattern(n), "%d bytes" % n)
            job.ok()


def test_peer_as_the_host_sees_it(f):
    f.service("peer", 5002)
    with stack.Echo(f.library, hvs.CHILDREN, hvs.port(5002)) as e:
        out = f.guest.run("vsock-peer connect 5002 peer swap:1").ok()
        tap.check("peer 2 5002" in out, out)
        vmid, service = e.peers[0]
        tap.same(vmid, f.vmid, "the peer's VmId")
        number = int.from_bytes(service.bytes_le[:4], "little")
        tap.same(service, hvs.port(number), "the peer's ServiceId")
        tap.check(number >= 1024, "the guest's port, not %d" % number)


def test_exact_listener_wins(f):
    f.service("exact", 5003)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5003)) as wide, \
            stack.Echo(f.library, f.vmid, hvs.port(5003)) as narrow:
        f.guest.run("vsock-peer connect 5003 swap:10").ok()
        tap.same((len(wide.peers), len(narrow.peers)), (0, 1),
                 "connections at the wildcard and the exact listener")


def test_host_to_guest_sizes(f):
    sizes = (1, 4096, 70000, 1 << 20)
    job = f.guest.start("vsock-peer listen -n %d 6000 peer echo" % len(sizes))
    job.expect("listening")
    for n in sizes:
        data = hvs.pattern(n)
        with f.library.dial(f.vmid, hvs.port(6000)) as s:
            tap.same(f.library.peer(s), (f.vmid, hvs.port(6000)), "peer")
            got = bytearray()
            s.setblocking(False)
            at = 0
            while len(got) < n:
                r, w, _ = select.select([s], [s] if at < n else [], [], 20)
                tap.check(r or w, "nothing moved for 20 s")
                if w:
                    at += s.send(data[at:at + 65536])
                if r:
                    got += s.recv(65536)
            s.setblocking(True)
            s.shutdown(socket.SHUT_WR)
            tap.same(s.recv(1), b"", "end of file")
            tap.check(bytes(got) == data, "%d bytes back" % n)
        out = job.expect("echo .*").group()
        tap.check("received=%d crc=%s as-sent eof" % (n, crc(n)) in out, out)
    job.ok()
    tap.check(all("peer 2 " in l for l in job.said if "peer" in l), "peer CID")


def test_half_close_by_the_guest(f):
    f.service("half", 5004)
    with f.library.serve(hvs.WILDCARD, hvs.port(5004)) as s:
        job = f.guest.start("vsock-peer connect 5004 send:5000 shut eof")
        c, _ = s.accept()
        with c:
            tap.check(hvs.receive(c) == hvs.pattern(5000), "data")
            # The guest has ended writing; we have not.
            c.sendall(hvs.pattern(100000))
            c.shutdown(socket.SHUT_WR)
            tap.check("received=100000 crc=%s as-sent eof" % crc(100000) in
                      job.ok(), "what the guest received")


def test_half_close_by_the_host(f):
    f.service("half", 5004)
    with f.library.serve(hvs.WILDCARD, hvs.port(5004)) as s:
        job = f.guest.start("vsock-peer connect 5004 eof send:100000 shut")
        c, _ = s.accept()
        with c:
            c.sendall(b"x" * 10)
            c.shutdown(socket.SHUT_WR)
            tap.check(hvs.receive(c) == hvs.pattern(100000), "data")
        out = job.ok()
        tap.check("received=10 " in out, out)


def test_half_close_of_a_host_connect(f):
    job = f.guest.start("vsock-peer listen 6001 eof send:3000 shut")
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(6001)) as s:
        s.sendall(hvs.pattern(2000))
        s.shutdown(socket.SHUT_WR)
        tap.check(hvs.receive(s) == hvs.pattern(3000), "data")
    out = job.ok()
    tap.check("received=2000 crc=%s as-sent eof" % crc(2000) in out, out)


def test_no_answer(f):
    f.pause_guest()
    try:
        start = time.monotonic()
        raises(errno.ETIMEDOUT, "no answer", f.library.dial, f.vmid,
               hvs.port(6003), 300)
        took = time.monotonic() - start
    finally:
        f.resume_guest()
    tap.check(0.25 < took < 3, "%.2f s, not 0.3" % took)


def test_hundred_at_once(f):
    f.service("many", 5005)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5005)) as e:
        out = f.guest.run("vsock-peer connect -n 100 5005 swap:20000 shut eof",
                          60).ok()
        tap.same(out.count("received=20000 crc=%s as-sent" % crc(20000)), 100,
                 "connections with all bytes")
        tap.same(len(e.peers), 100, "connections at the host")
        tap.same(len({service for _, service in e.peers}), 100,
                 "different ports")


def test_hundred_to_the_guest(f):
    job = f.guest.start("vsock-peer listen -n 100 6004 echo")
    job.expect("listening")
    sockets = [f.library.dial(f.vmid, hvs.port(6004)) for _ in range(100)]
    for i, s in enumerate(sockets):
        s.sendall(b"%d" % i * 100)
        s.shutdown(socket.SHUT_WR)
    for i, s in enumerate(sockets):
        tap.same(hvs.receive(s), b"%d" % i * 100, "bytes back")
        s.close()
    job.ok(60)


def again(f, what, function):
    """Until the transport has found the new broker."""
    def attempt():
        try:
            return function()
        except hvs.Refused:
            return None
    return stack.until(what, attempt)


def test_broker_killed_under_live_connections(f):
    f.service("live", 5008)
    n = 8 << 20
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5008)) as e:
        back = f.guest.start("vsock-peer listen 6005 echo")
        back.expect("listening")
        with f.library.dial(f.vmid, hvs.port(6005)) as s:
            idle = f.guest.start("vsock-peer connect -n 10 5008 swap:1000 "
                                 "wait swap:50000 shut eof")
            idle.expect("waiting")
            busy = f.guest.start("vsock-peer connect 5008 wait swap:%d shut "
                                 "eof" % n)
            busy.expect("waiting")
            busy.input()
            # Data is on its way when the broker dies, and while there is none.
            f.kill_broker()
            idle.input()
            out = idle.ok(60)
            tap.same(out.count("received=50000 crc=%s as-sent" % crc(50000)),
                     10, "connections with all bytes, without a broker")
            f.start_broker()
            out = busy.ok(120)
            tap.check("received=%d crc=%s as-sent" % (n, crc(n)) in out, out)
            s.sendall(b"still here")
            s.shutdown(socket.SHUT_WR)
            tap.same(hvs.receive(s), b"still here", "host to guest")
        back.ok()
        # The old listener serves new connections, and the guest is reached.
        again(f, "attached again", lambda: f.kind in f.control(
            "partition", "show", f.name))
        before = len(e.peers)
        f.guest.run("vsock-peer connect 5008 swap:100").ok()
        tap.same(len(e.peers), before + 1, "the listener from before")
    job = f.guest.start("vsock-peer listen 6006 echo")
    job.expect("listening")
    with again(f, "host to guest", lambda: f.library.dial(
            f.vmid, hvs.port(6006))) as s:
        s.sendall(b"new")
        s.shutdown(socket.SHUT_WR)
        tap.same(hvs.receive(s), b"new", "host to guest")
    job.ok()
