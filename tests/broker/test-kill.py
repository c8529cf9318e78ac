#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The broker is killed: nothing is lost, and nothing is spoilt

Once with a thousand connections and a hundred listeners; then at every entry
to, and at every return from, each system call of a bind, a connect and a
parked connect, by ptrace.
"""
import ctypes
import hashlib
import os
import resource
import select
import selectors
import socket
import sys
import threading
import time
import uuid

import hvs
import tap
from hvb import *
from ptrace import Stepper
from tap import check, same
from transport import Transport

lib = hvs.Library(os.environ["LIBHVSOCKET"])


class Place:
    def __init__(self, work):
        pass

    def __enter__(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        check(hard >= 4096, "RLIMIT_NOFILE is only %d" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
        return self

    def __exit__(self, *exc):
        pass


CHUNK = 4096
TOTAL = 40 * CHUNK


class Flow:
    """One direction of a connection, with checksums at both ends."""

    def __init__(self, number, out, into):
        self.out, self.into = out, into
        self.sent = self.got = 0
        self.want, self.have = hashlib.md5(), hashlib.md5()
        self.block = (b"%08d" % number) * (CHUNK // 8)
        self.rest = b""

    def write(self):
        if not self.rest:
            self.rest = self.block
        n = self.out.send(self.rest)
        self.want.update(self.rest[:n])
        self.rest = self.rest[n:]
        self.sent += n
        return self.sent < TOTAL

    def read(self):
        data = self.into.recv(1 << 16)
        self.have.update(data)
        self.got += len(data)
        return bool(data)


def pump(flows, until_bytes):
    """Moves data until all have sent so much, and what was sent has come."""
    busy = True
    while busy:
        busy = False
        for f in flows:
            if f.sent < until_bytes:
                busy = True
                try:
                    f.write()
                except BlockingIOError:
                    pass
            try:
                f.read()
            except BlockingIOError:
                pass


def test_thousand_connections_and_hundred_listeners(_):
    with Broker() as b:
        c = b.client()
        listeners = [c.serve(WILDCARD, port(2000 + i), backlog=64)
                     for i in range(100)]
        pairs = []
        for i in range(1000):
            near = c.dial(LOOPBACK, port(2000 + i % 100))
            far, _ = listeners[i % 100].accept()
            pairs.append((near, far))
        flows = [Flow(2 * i + k, p[k], p[1 - k])
                 for i, p in enumerate(pairs) for k in (0, 1)]
        for near, far in pairs:
            near.setblocking(False)
            far.setblocking(False)
        killed = threading.Event()

        def murder():
            while sum(f.sent for f in flows) < len(flows) * TOTAL // 4:
                time.sleep(0.005)
            b.kill()
            killed.set()

        t = threading.Thread(target=murder)
        t.start()
        pump(flows, TOTAL // 2)
        t.join()
        check(killed.is_set(), "it was killed in the middle")
        # without a broker at all, and while another starts
        pump(flows, 3 * TOTAL // 4)
        start = time.monotonic()
        b.start()
        with b.client() as again:
            s = again.dial(LOOPBACK, port(2000))
            took = time.monotonic() - start
            check(took < 1, "%.2f s until it served" % took)
            print("# served %.0f ms after its start" % (took * 1e3))
            s.close()
            listeners[0].accept()[0].close()
            for i, listener in enumerate(listeners):
                s = again.dial(LOOPBACK, port(2000 + i))
                a, name = listener.accept()
                same(peer_of(name)[0], LOOPBACK, "who connected")
                s.sendall(b"new")
                same(a.recv(8), b"new", "data of a new connection")
                s.close()
                a.close()
            same(again.call("status")["listeners"], 100, "listeners known")
        pump(flows, TOTAL)
        for f in flows:
            f.out.setblocking(True)
            f.into.setblocking(True)
            f.out.shutdown(socket.SHUT_WR)
            while f.read():
                pass
            same((f.got, f.have.digest()), (f.sent, f.want.digest()),
                 "what arrived")
            check(f.sent >= TOTAL, "all was sent")
        for x in pairs:
            x[0].close()
            x[1].close()
        for x in listeners:
            x.close()


def kill_at_every_call(what, prepare, request, verify):
    """prepare(b) -> state; request(state) is the call, in a thread of its own,
    and returns True if it is done; verify(b, state, done) after a new broker
    is up. Killed at stop 1, 2, ... until the request ends before."""
    k = 0
    while True:
        k += 1
        with Broker() as b:
            os.environ["HVSOCKET_RUNTIME_DIR"] = b.run
            state = prepare(b)
            stepper = Stepper(b.proc.pid)
            result = []
            t = threading.Thread(target=lambda: result.append(request(state)))
            t.start()
            stepper.go()
            stops = 0
            while True:
                if stepper.stopped():
                    stops += 1
                    if stops == k:
                        break
                    stepper.go()
                elif not t.is_alive():
                    break
            finished = stops < k
            # SIGKILL ends a traced process wherever it stands
            os.kill(b.proc.pid, 9)
            b.proc.wait()
            t.join(30)
            check(not t.is_alive(), "%s: the call hangs, killed at %d" % (
                what, k))
            try:
                b.start()
                verify(b, state, result[0])
            except BaseException:
                print("# %s: killed at stop %d" % (what, k))
                raise
        if finished:
            break
    print("# %s: killed at each of %d stops" % (what, k - 1))
    check(k > 12, "that were too few to be a %s" % what)


def attempt(function, *args):
    try:
        function(*args)
    except hvs.Refused as e:
        return e
    return None


def warm():
    """The library's control connection is there before it is counted."""
    lib.check(lib.c.hvs_partition(None, None, 0))


def test_every_system_call_of_a_bind(_):
    def prepare(b):
        warm()
        return lib.socket()

    def request(s):
        return attempt(lib.bind, s, WILDCARD, port(3000))

    def verify(b, s, failed):
        if failed:
            same(failed.reason, "no broker", str(failed))
            lib.bind(s, WILDCARD, port(3000))
        lib.listen(s)
        same(lib.own(s), (WILDCARD, port(3000)), "its name")
        d = lib.dial(LOOPBACK, port(3000))
        a, _ = s.accept()
        d.sendall(b"x")
        same(a.recv(4), b"x", "data")
        with b.client() as c:
            same(len(c.call("listeners")["listeners"]), 1, "listeners")
        same(len(os.listdir(b.run + "/broker/listeners")), 1, "files")
        for x in (a, d, s):
            x.close()

    kill_at_every_call("bind", prepare, request, verify)


def test_every_system_call_of_a_connect(_):
    def prepare(b):
        listener = lib.serve(WILDCARD, port(3001))
        warm()
        return lib.socket(), listener

    def request(state):
        return attempt(lib.connect, state[0], LOOPBACK, port(3001))

    def verify(b, state, failed):
        s, listener = state
        if failed:
            same(failed.reason, "no broker", str(failed))
            lib.connect(s, LOOPBACK, port(3001))
        a, _ = listener.accept()
        same(lib.peer(s), (LOOPBACK, port(3001)), "its peer")
        same(lib.peer(a)[0], LOOPBACK, "the other's peer")
        s.sendall(b"there")
        a.sendall(b"and back")
        same((a.recv(9), s.recv(9)), (b"there", b"and back"), "data")
        listener.setblocking(False)
        try:
            listener.accept()
            raise tap.Failure("a second connection")
        except BlockingIOError:
            pass
        for x in (a, s, listener):
            x.close()

    kill_at_every_call("connect", prepare, request, verify)


def test_every_system_call_of_a_parked_connect(_):
    """The guest says yes; its transport attaches again by itself."""
    def prepare(b):
        t = Transport(b, "guest")
        # one that lives already must be there afterwards
        old = lib.socket()
        lib.connect(old, t.vmid, port(3100))
        conn = t.wait(lambda: [x for x in t.conns.values() if x.sock])[0]
        warm()
        s = lib.socket()
        s.setblocking(False)
        return b, t, s, old, conn

    def request(state):
        return attempt(lib.connect, state[2], state[1].vmid, port(3002))

    def verify(b, state, failed):
        _, t, s, old, conn = state
        t.wait(lambda: t.attached == 2)
        if failed is None or failed.errno != errno.EINPROGRESS:
            check(failed, "a connect to a guest is in progress first")
            same(failed.reason, "no broker", str(failed))
            again = attempt(lib.connect, s, t.vmid, port(3002))
            check(again and again.errno == errno.EINPROGRESS, str(again))
        p = select.poll()
        p.register(s, select.POLLOUT)
        check(p.poll(10000), "POLLOUT")
        same(lib.error(s), 0, "SO_ERROR")
        same(lib.peer(s), (t.vmid, port(3002)), "its peer")
        s.setblocking(True)
        s.settimeout(20)
        s.sendall(b"first words")
        got = t.wait(lambda: [x for x in t.conns.values()
                              if x.sock and x.service == port(3002)])
        same(len(got), 1, "connections of the guest")
        got[0].sock.settimeout(20)
        t.wait(lambda: got[0].serial is None)
        same(got[0].sock.recv(100), b"first words", "without filler")
        got[0].sock.sendall(b"answer")
        same(s.recv(100), b"answer", "the other way")
        old.sendall(b"still")
        conn.sock.setblocking(True)
        same(conn.sock.recv(100), b"still", "the old connection")
        with b.client() as c:
            tokens = {x["token"] for x in c.call("connections")["connections"]
                      if x["via"] == "vhost-user"}
            check("%016x" % conn.token in tokens, "told again: %r" % tokens)
        for x in (s, old):
            x.close()
        t.end()

    kill_at_every_call("parked connect", prepare, request, verify)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Place)
