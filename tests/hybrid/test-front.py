#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The convention in front of any partition, for programs nobody wrote for it"""
import os
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import uuid

import tap
from hvb import *
from stage import unread
from tap import check, same
from transport import Transport
from vmm import *

OTHER = uuid.UUID("999e53d4-3d5c-4c3e-8779-bed06ec056e1")


class Stage:
    """A service on the host, in a container and in a VM that is attached
    another way, and a front for each."""

    def __enter__(self):
        self.b = Broker().start()
        self.c = self.b.client()
        self.fronts = []
        self.listeners = []
        return self

    def front(self, name, *options, **more):
        path = "%s/front%d" % (self.b.dir, len(self.fronts))
        self.fronts.append(front(self.b, path, name, *options, **more))
        return path

    def serve(self, service=None, backlog=128):
        """An echo on the host. Return: its listener"""
        listener = self.c.serve(LOOPBACK, service or port(5000),
                                backlog=backlog)
        self.listeners.append(listener)

        def run():
            while True:
                try:
                    s, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=[s, b""],
                                 daemon=True).start()
        threading.Thread(target=run, daemon=True).start()
        return listener

    def __exit__(self, *exc):
        for f in self.fronts:
            f.end()
        for s in self.listeners:
            s.close()
        self.c.close()
        self.b.end(check=exc[0] is None)


def staged(function):
    def run(_):
        with Stage() as s:
            function(s)
    return run


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT_S)
    s.connect(path)
    return s


def asks(path, line=b"CONNECT 5000\n"):
    s = connect(path)
    s.sendall(line)
    return s


def answered(path, line=b"CONNECT 5000\n", ok=b"OK 5000\n"):
    s = asks(path, line)
    same(read_line(s), ok, "the answer to %r" % line)
    return s


def closed(s, what):
    """Without a word, whether or not what we said was read."""
    try:
        same(s.recv(100), b"", what)
    except ConnectionResetError:
        pass
    s.close()


@staged
def test_lines(s):
    s.serve()
    s.serve(OTHER)
    path = s.front("loopback")
    same(stat.S_IMODE(os.stat(path).st_mode), 0o600, "for this user")
    for line, ok in (
            (b"CONNECT 5000\n", b"OK 5000\n"),
            (b"connect 5000\n", b"OK 5000\n"),
            (b"CONNECT 00001388-FACB-11E6-BD58-64006A7986D3\n",
             b"OK 00001388-facb-11e6-bd58-64006a7986d3\n"),
            (b"CONNECT %s\n" % str(OTHER).encode(),
             b"OK %s\n" % str(OTHER).encode())):
        for piece in (1, 7, len(line)):
            c = connect(path)
            for i in range(0, len(line), piece):
                c.sendall(line[i:i + piece])
                until(lambda: unread(c) == 0)
            same(read_line(c), ok, "%r in pieces of %d" % (line, piece))
            c.sendall(b"hello")
            same(c.recv(5), b"hello", "the echo")
            c.close()
        # data right behind the newline
        c = asks(path, line + b"at once")
        c.shutdown(socket.SHUT_WR)
        same(read_all(c), ok + b"at once", "%r with data" % line)
        c.close()


@staged
def test_bad_lines_and_refusals(s):
    s.serve()
    path = s.front("loopback")
    silent = [connect(path) for _ in range(3)]
    silent[1].sendall(b"CONNECT 50")
    for line in (b"\n", b"GET / HTTP/1.0\r\n\r\n", b"CONNECT\n", b"CONNECT x\n",
                 b"CONNECT 4294967296\n", b"CONNECT 5000\r\n",
                 b"CONNECT " + b"0" * 100000, b"CONNECT 50\x00\n",
                 b"\xff" * 64):
        try:
            c = asks(path, line)
        except (BrokenPipeError, ConnectionResetError):
            continue  # closed at the first wrong byte
        closed(c, "%r" % line[:30])
    c = asks(path, b"CONNECT 50")
    c.close()
    c = asks(path, b"CONNECT 5001\n")
    closed(c, "no listener")
    check(until(lambda: "loopback:5001: " in s.fronts[0].said()),
          s.fronts[0].said())
    # those who say nothing keep nobody waiting
    answered(path).close()
    # and are not waited for
    for c in silent:
        closed(c, "in the end")


@staged
def test_partitions(s):
    """The same by whatever way the partition is attached."""
    def guest_end(t):
        until(lambda: any(c.sock for c in t.conns.values()))
        conn, = [c for c in t.conns.values() if c.sock]
        conn.sock.setblocking(True)
        return conn.sock

    box = s.b.partition("box", "Kind=container")
    with s.b.client(box) as inside:
        listener = inside.serve(PARENT, port(5000))
        c = answered(s.front("box"))
        a, _ = listener.accept()
        c.sendall(b"to the container")
        same(a.recv(100), b"to the container", "a container")
        c.close()
        a.close()
        listener.close()
    vm = s.b.partition("web")
    path = s.front("web")
    closed(asks(path), "it is off")
    t = Transport(s.b, "web", answer=lambda conn:
                  None if conn.service == port(5000) else NO_LISTENER)
    # the VmId does as well
    for p in (path, s.front(str(vm))):
        c = answered(p)
        g = guest_end(t)
        c.sendall(b"to the guest")
        same(g.recv(100), b"to the guest", "another transport's VM")
        g.sendall(b"from the guest")
        same(c.recv(100), b"from the guest", "and back")
        g.shutdown(socket.SHUT_WR)
        same(c.recv(1), b"", "its end")
        c.sendall(b"more")
        same(g.recv(100), b"more", "the other direction goes on")
        c.close()
        same(g.recv(1), b"", "the end")
        g.close()
        for conn in t.conns.values():
            conn.sock = None
    closed(asks(path, b"CONNECT 1\n"), "the guest says no")
    t.end()


@staged
def test_hybrid_behind_it(s):
    os.mkdir(s.b.dir + "/vm", 0o700)
    s.b.partition("vm")
    p = attach(s.b, s.b.dir + "/vm/v.sock")
    vmm = Vmm(s.b.dir + "/vm/v.sock")
    vmm.guest[5000] = echo
    check(until(lambda: s.c.call("partition.show", partition="vm")["state"] ==
                "running"), "the VMM is seen")
    c = answered(s.front("vm"))
    data = os.urandom(1 << 20)
    threading.Thread(target=lambda: (c.sendall(data),
                                     c.shutdown(socket.SHUT_WR))).start()
    check(read_all(c) == data, "through both")
    c.close()
    vmm.end()
    p.end()


def program(*command, data):
    r = subprocess.run(command, input=data, capture_output=True,
                       timeout=LIMIT_S, env=program_env())
    same(r.returncode, 0, "%r: %r" % (command, r.stderr))
    return r.stdout


@staged
def test_socat(s):
    s.serve()
    path = s.front("loopback")
    out = program("socat", "-t", "10", "-", "UNIX-CONNECT:" + path,
                  data=b"CONNECT 5000\nhello")
    same(out, b"OK 5000\nhello", "socat")


@staged
def test_nc(s):
    check(shutil.which("nc"), "nc is not installed (netcat-openbsd)")
    s.serve()
    path = s.front("loopback")
    out = program("nc", "-N", "-U", path, data=b"CONNECT 5000\nhello")
    same(out, b"OK 5000\nhello", "nc")


@staged
def test_ssh_proxy(s):
    """What systemd-ssh-proxy does with vsock-mux/PATH: it peeks at nine bytes
    for the line, and takes it away, before it hands the socket to ssh."""
    def sshd(listener, count):
        for _ in range(count):
            a, _ = listener.accept()
            a.sendall(b"SSH-2.0-test\r\n")
            a.close()

    for number in (22, 65535):
        listener = s.c.serve(LOOPBACK, port(number))
        threading.Thread(target=sshd, args=[listener, 1]).start()
        c = asks(s.front("loopback"), b"CONNECT %d\n" % number)
        line = b""
        while b"\n" not in line:
            check(select.select([c], [], [], LIMIT_S)[0], "an answer")
            line = c.recv(9, socket.MSG_PEEK)
            check(b"OK "[:len(line)] == line[:3], line)
            check(b"\n" in line or len(line) < 9, "too long: %r" % line)
        c.recv(line.index(b"\n") + 1)
        same(read_all(c), b"SSH-2.0-test\r\n", "what ssh gets")
        listener.close()


@staged
def test_broker_restarted(s):
    s.serve()
    path = s.front("loopback")
    c = answered(path)
    s.c.close()
    s.b.kill()
    c.sendall(b"goes on")
    same(c.recv(100), b"goes on", "without a broker")
    s.b.start()
    s.c = s.b.client()
    answered(path).close()
    c.close()


@staged
def test_a_broker_that_takes_its_time(s):
    """Only those wait for it who have asked."""
    listener = s.c.serve(LOOPBACK, port(5001))
    s.serve()
    path = s.front("loopback")
    c = answered(path)
    with s.b.stopped():
        n = s.fronts[0].fds()
        late = asks(path)
        # who writes and closes before the answer is heard all the same
        gone = asks(path, b"CONNECT 5001\nall of it")
        gone.close()
        given_up = asks(path, b"CONNECT 5001\n")
        given_up.close()
        check(until(lambda: s.fronts[0].fds() > n), "accepted")
        for _ in range(20):
            c.sendall(b"goes on")
            same(c.recv(100), b"goes on", "who is connected already")
    same(read_line(late), b"OK 5000\n", "the answer in the end")
    a, _ = listener.accept()
    while True:
        data = read_all(a)
        a.close()
        if data:
            break
        a, _ = listener.accept()  # who gave up just after it was dialled
    same(data, b"all of it", "what was written")
    for x in (c, late, listener):
        x.close()


@staged
def test_the_diallers_sandbox(s):
    """The threads that ask the broker cannot remove others' files, either."""
    s.serve()
    with tempfile.TemporaryDirectory() as elsewhere:
        victim = elsewhere + "/victim"
        preload = " ".join(filter(None, (os.environ.get("LD_PRELOAD"),
                                         os.environ["UNLINKS"])))
        for options in ("--sandbox", "none"), ():
            path = s.front("loopback", *options, wrapper=(
                "env", "VICTIM=" + victim, "LD_PRELOAD=" + preload))
            # it has asked the broker itself, before the sandbox
            open(victim, "w").close()
            answered(path).close()
            same(os.path.exists(victim),
                 not options and SANDBOX != "none", "is it still there?")


@staged
def test_a_broker_that_has_stopped(s):
    """Who waits for it is not kept for ever."""
    path = s.front("loopback")
    with s.b.stopped():
        # more than threads that ask
        waiting = [asks(path) for _ in range(10)]
        for c in waiting:
            closed(c, "in the end")
        said = s.fronts[0].said
        check(until(lambda: said().count("does not answer")), said())


@staged
def test_backlog(s):
    """A listener that is slow to accept is waited for, not given up."""
    listener = s.c.serve(LOOPBACK, port(5000), backlog=0)
    path = s.front("loopback")
    fds = [asks(path) for _ in range(4)]
    accepted = []
    for _ in fds:
        accepted.append(listener.accept()[0])
    for c in fds:
        same(read_line(c), b"OK 5000\n", "in the end")
    for x in fds + accepted + [listener]:
        x.close()


@staged
def test_many_and_gone(s):
    listener = s.serve()
    path = s.front("loopback")
    clients = [answered(path) for _ in range(100)]
    for i, c in enumerate(clients):
        c.sendall(b"%d" % i)
    for i, c in enumerate(clients):
        same(c.recv(100), b"%d" % i, "its own")
        c.close()
    # with room for a few only, none is kept
    path = s.front("loopback", files=64)
    for _ in range(200):
        c = answered(path)
        c.close()
        asks(path).close()  # who goes before the answer
    listener.close()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing, at_once=6)
