#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hvsocket-dgram and the broker end, and come again"""
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys

import dg
import hvb
import hvs
import tap
from hvb import CHILDREN, LOOPBACK, PARENT, WILDCARD, ZERO, port, until
from tap import check, same

LIB = dg.library()
PROGRAM = os.environ["HVSOCKET_DGRAM"]


def refused(reason, number, function, *args, **more):
    try:
        function(*args, **more)
    except hvs.Refused as e:
        same((e.reason, errno.errorcode[e.errno]),
             (reason, errno.errorcode[number]), e.text)
        return e.text
    raise tap.Failure("not refused: %s" % reason)


def ping(h, service=7000):
    with h.socket(LOOPBACK, port(service)) as r, h.socket() as s:
        h.send(s, b"ping", LOOPBACK, port(service))
        same(h.recv(r)[0], b"ping", "")


def running(pid):
    """Is there such a process, and not only what is left of it?"""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_killed(_):
    with dg.broker() as b:
        h = dg.Place(LIB, b)
        r, s = h.socket(LOOPBACK, port(7000)), h.socket()
        h.send(s, b"before", LOOPBACK, port(7000))
        same(h.recv(r)[0], b"before", "")
        first = dg.relay(b)
        os.kill(first, signal.SIGKILL)
        text = refused("no broker", errno.ENETDOWN, h.recv, r)
        check("hvsocket-dgram" in text, text)
        refused("no broker", errno.ENETDOWN, h.send, s, b"x", LOOPBACK,
                port(7000))
        check(until(lambda: dg.status(b)["sockets"] == 0), "forgotten")
        # the address is free, and another one is started
        ping(h)
        second = dg.relay(b)
        check(second and second != first, "another one")
        for _ in range(5):
            os.kill(dg.relay(b), signal.SIGKILL)
            check(until(lambda: not dg.relay(b)), "noticed")
            ping(h)


def test_the_broker_is_killed(_):
    with dg.broker() as b:
        h = dg.Place(LIB, b)
        box = b.partition("box", "Kind=container")
        inside = dg.Place(LIB, b, box)
        b.service("news", 7000)
        r, s = h.socket(CHILDREN, port(7000)), inside.socket()
        inside.send(s, b"1", PARENT, port(7000))
        h.recv(r)
        relay = dg.relay(b)
        b.kill()
        # what was decided goes on, without asking anybody
        raw = b"\1\1\0\0" + hvb.address(PARENT, port(7000))
        s.send(raw + b"2")
        same(h.recv(r)[0], b"2", "while there is no broker")
        s.send(b"\1\1\0\0" + hvb.address(PARENT, port(7001)) + b"to whom?")
        b.start()
        check(until(lambda: dg.relay(b) == relay), "it comes back by itself")
        check(until(lambda: dg.status(b)["sockets"] == 2),
              "and tells what it holds")
        inside.send(s, b"3", PARENT, port(7000))
        data, sender = h.recv(r)
        same(data, b"3", "")
        h.send(r, b"answer", *sender)
        same(inside.recv(s)[0], b"answer", "")
        refused("address taken", errno.EADDRINUSE, h.socket, CHILDREN,
                port(7000))
        with b.client() as c:
            l, = c.call("listeners")["listeners"]
            same((l["type"], l["bound"], l["pid"]), ("dgram", "children",
                                                     os.getpid()), "listeners")
        # the rules that changed meanwhile hold at once
        b.kill()
        b.service("news", 7000, "Policy=disabled")
        b.start()
        check(until(lambda: dg.relay(b) == relay), "again")
        s.send(raw + b"4")
        dg.dropped(b, "disabled", 1)
        ping(h, 7005)
        same(dg.relay(b), relay, "there was never a second one")


def test_a_bind_right_after_a_restart(_):
    with dg.broker() as b:
        h = dg.Place(LIB, b)
        keep = h.socket(LOOPBACK, port(7000))
        relay = dg.relay(b)
        for i in range(5):
            b.restart()
            # before it has come back: the bind waits for it
            s = h.socket(LOOPBACK, port(7001 + i))
            same(dg.relay(b), relay, "no second one")
            h.send(s, b"x", LOOPBACK, port(7000))
            same(h.recv(keep)[0], b"x", "")


def test_it_ends_with_the_last_socket(_):
    with dg.broker() as b:
        h = dg.Place(LIB, b)
        ping(h)
        first = dg.relay(b)
        check(b.stop() == 0, "the broker ends")
        check(until(lambda: not running(first)), "nobody needs it")
        b.start()
        s = h.socket(LOOPBACK, port(7000))
        second = dg.relay(b)
        b.stop()
        h2 = s.dup()
        s.close()
        check(running(second), "a socket is there")
        h2.close()
        check(until(lambda: not running(second)), "none any more")
        b.start()


def test_it_cannot_be_started(_):
    for program, word in (("/nowhere/hvsocket-dgram", "No such file"),
                          ("/bin/false", "status 1")):
        with hvb.Broker("--dgram", program) as b:
            h = dg.Place(LIB, b)
            text = refused("no broker", errno.ENETDOWN, h.socket, LOOPBACK,
                           port(7000))
            check(word in text and "datagrams" in text, text)
            b.serves()


def test_one_that_ends_as_another_is_wanted(_):
    """Its lock is held when the bind comes, and nobody ever does."""
    with dg.broker() as b, b.client() as c:
        with open(b.run + "/broker/datagrams.lock", "w",
                  encoding="ascii") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            n = c.send(hvb.BIND, hvb.address(LOOPBACK, port(7000)) +
                       struct.pack("<I", 1), [s])
            c.call("status")  # the broker has tried by now
        c.reply(n).check()
        check(dg.relay(b), "it was started")
        s.close()


def test_started_by_somebody_else(_):
    with hvb.Broker("--dgram", "none") as b:
        h = dg.Place(LIB, b)
        env = hvb.program_env(dict(os.environ, HVSOCKET_RUNTIME_DIR=b.run))
        p = subprocess.Popen([PROGRAM, "--sandbox",
                              os.environ["DGRAM_SANDBOX"]], env=env)
        try:
            ping(h)  # waits for it
            same(dg.relay(b), p.pid, "this one")
            late = subprocess.run([PROGRAM, "--on-demand"], env=env,
                                  stderr=subprocess.PIPE, text=True,
                                  timeout=30)
            check(late.returncode == 1 and "another" in late.stderr,
                  late.stderr)
            # without --on-demand it waits for the next broker
            b.stop()
            b.start()
            check(until(lambda: dg.relay(b) == p.pid), "it came back")
            ping(h)
        finally:
            p.terminate()
            same(p.wait(20), 0, "SIGTERM")


def test_what_it_may_still_do(_):
    """It is sandboxed: no new privileges, a filter, no core."""
    with dg.broker() as b:
        h = dg.Place(LIB, b)
        ping(h)
        with open("/proc/%d/status" % dg.relay(b), encoding="utf-8") as f:
            lines = dict(line.split(":", 1) for line in f)
        same(lines["NoNewPrivs"].strip(), "1", "NoNewPrivs")
        same(lines["Seccomp"].strip(), "2", "Seccomp")


def test_a_partition_ends(_):
    with dg.broker() as b:
        h = dg.Place(LIB, b)
        box = b.partition("box", "Kind=container")
        inside = dg.Place(LIB, b, box)
        s = inside.socket(PARENT, port(7000))
        h.send(h.socket(), b"x", box, port(7000))
        same(inside.recv(s)[0], b"x", "")
        b.drop("partitions.d/box.conf")
        dg.status(b)
        refused("partition unknown", errno.EHOSTUNREACH, h.send, h.socket(),
                b"x", box, port(7000))
        refused("no broker", errno.ENETDOWN, inside.recv, s)


def test_options(_):
    for args, word in ((["--nonsense"], "nonsense"), (["x"], "x"),
                       (["--sandbox", "y"], "seccomp")):
        r = subprocess.run([PROGRAM] + args, stderr=subprocess.PIPE, text=True,
                           env=hvb.program_env(), timeout=20)
        check(r.returncode == 1 and word in r.stderr, r.stderr)
    for args, word in ((["--help"], "--on-demand"), (["--version"], "dgram")):
        r = subprocess.run([PROGRAM] + args, stdout=subprocess.PIPE, text=True,
                           env=hvb.program_env(), timeout=20)
        check(r.returncode == 0 and word in r.stdout, r.stdout)


tap.main(sys.modules[__name__], tap.Nothing)
