#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hvctl and datagrams: nc, listeners, explain, status; programs under hvctl as"""
import contextlib
import os
import subprocess
import sys

import dg
import hvb
import tap
from hvb import CHILDREN, LOOPBACK, PARENT, port, until
from tap import check, same

LIB = dg.library()
HVCTL = os.environ["HVCTL"]


def env(place):
    return hvb.program_env(dict(os.environ, HVSOCKET_RUNTIME_DIR=place.dir))


def ctl(place, *args, data=b"", status=0):
    r = subprocess.run([HVCTL, *args], input=data, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, env=env(place), timeout=60)
    same(r.returncode, status, "%r: %s" % (args, r.stderr.decode()))
    return (r.stderr if status else r.stdout).decode()


@contextlib.contextmanager
def world():
    with dg.broker() as b:
        b.service("news", 7000)
        box = b.partition("box", "Kind=container")
        yield b, dg.Place(LIB, b), dg.Place(LIB, b, box)


def test_nc_sends(_):
    with world() as (b, host, box):
        s = host.socket(CHILDREN, port(7000))
        ctl(box, "nc", "--dgram", "parent:news", data=b"from a shell")
        data, sender = host.recv(s)
        same((data, sender[0]), (b"from a shell", box.vmid), "")
        # with an answer
        p = subprocess.Popen([HVCTL, "nc", "-u", "-t", "60", "parent:news"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             env=env(box))
        p.stdin.write(b"question")
        p.stdin.close()
        data, sender = host.recv(s)
        host.send(s, b"answer", *sender)
        same(p.stdout.read(6), b"answer", "the answer")
        p.terminate()
        p.wait(30)
        p.stdout.close()
        err = ctl(box, "nc", "-u", "parent:7001", data=b"x", status=1)
        check("not registered" in err, err)
        for bad in ("--raw", "--wait"):
            ctl(box, "nc", "-u", bad, "parent:news", status=2)


def test_nc_listens(_):
    with world() as (b, host, box):
        p = subprocess.Popen([HVCTL, "nc", "-u", "-l", "-v", "children:news"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=env(host))
        check(until(lambda: dg.status(b)["sockets"] == 1), "it listens")
        s = box.socket()
        box.send(s, b"hello", PARENT, port(7000))
        same(p.stdout.read(5), b"hello", "")
        line = p.stderr.readline().decode()
        check(line.startswith("datagrams from box:"), line)
        p.stdin.write(b"back")
        p.stdin.flush()
        same(box.recv(s), (b"back", (PARENT, port(7000))), "")
        p.terminate()
        p.communicate(timeout=30)


def test_what_it_shows(_):
    with world() as (b, host, box):
        check("datagrams" not in ctl(host, "status"), "nothing to show")
        s = host.socket(CHILDREN, port(7000))
        c = box.socket()
        text = ctl(host, "listeners")
        check([line.split()[:4] for line in text.splitlines()[1:]] ==
              [["host", "children", "news", "dgram"]], text)
        box.send(c, b"x", PARENT, port(7000))
        host.recv(s)
        s.close()
        check(until(lambda: dg.status(b)["sockets"] == 1), "closed")
        c.send(b"\1\1\0\0" + hvb.address(PARENT, port(7000)) + b"x")
        dg.dropped(b, "no listener", 1)
        text = ctl(host, "status")
        check("1 sockets, 2 sent, 1 delivered" in text and
              "no listener 1" in text, text)


def test_explain(_):
    with world() as (b, host, box):
        ctl(box, "explain", "--dgram", "parent:news", status=1)
        s = host.socket(CHILDREN, port(7000))
        text = ctl(box, "explain", "--dgram", "parent:news")
        check(text.startswith("yes"), text)
        # a stream has no listener there
        ctl(box, "explain", "parent:news", status=1)
        b.service("daemon", 7001, "Target=unix:/nowhere")
        with b.client() as c:
            r = c.call("explain", to="loopback:7001", type="dgram")
            same((r["allowed"], r["reason"]), (False, "type not carried"),
                 r["text"])
        ctl(box, "explain", "--dgram", "--bind", "broadcast:news")
        ctl(host, "explain", "--dgram", "--bind", "broadcast:news", status=1)
        s.close()


def test_private_broker(_):
    """Without any configuration; nothing is left of it."""
    code = ("import dg, hvb, os\n"
            "lib = dg.library()\n"
            "class B:\n"
            "    def control(self, vmid):\n"
            "        return os.environ['HVSOCKET_RUNTIME_DIR'] + '/control'\n"
            "h = dg.Place(lib, B())\n"
            "r, s = h.socket(hvb.LOOPBACK, hvb.port(5)), h.socket()\n"
            "h.send(s, b'private', hvb.LOOPBACK, hvb.port(5))\n"
            "print(h.recv(r)[0])\n")
    r = subprocess.run([HVCTL, "as", "--private", "host", "--",
                        sys.executable, "-c", code], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=60,
                       # the preload library goes first
                       env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0:"
                                "verify_asan_link_order=0"))
    same((r.returncode, r.stdout), (0, b"b'private'\n"), r.stderr.decode())


tap.main(sys.modules[__name__], tap.Nothing)
