#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Has the guest started? What its systemd says, and hvctl wait VM"""
import errno
import json
import os
import socket
import subprocess
import sys

import tap
from hvb import *
from tap import check, same
from transport import Transport

STREAM, RAW = socket.SOCK_STREAM, socket.SOCK_SEQPACKET
PORT = 26743


def in_a_broker(function):
    def run(_):
        with Broker() as b:
            b.partition("vm1", "Kind=vm")
            function(b)
    return run


def hvctl(b, *words):
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    env["HVSOCKET_RUNTIME_DIR"] = b.run
    return subprocess.Popen([os.environ["HVCTL"], *words], env=env,
                            stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def start_wait(c, timeout_ms=20000, **more):
    n = c.send(CALL, json.dumps(dict(more, method="partition.wait",
                                     partition="vm1",
                                     timeout_ms=timeout_ms)).encode())
    c.call("status")  # it waits
    return n


def end_wait(c, n):
    return json.loads(c.reply(n).check().payload)


def say(t, text, kind=STREAM, to=PARENT):
    """As systemd does: what it has to say, the end, and the other's end."""
    _, s = t.dial(to, port(PORT), kind)
    with s:
        s.settimeout(20)
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        same(s.recv(1), b"", "the broker's end")


def start_anew(b, t):
    """Another guest, of which nothing is known."""
    t.state(0)
    check(until(lambda: shown(b) == (None, None)), "all forgotten")
    t.state(1)


def shown(b):
    with b.client() as c:
        o = c.call("partition.show", partition="vm1")
    return o.get("ready"), o.get("status")


@in_a_broker
def test_what_is_said(b):
    t = Transport(b, "vm1", types=3)
    same(shown(b), (None, None), "nothing yet")
    say(t, b"STATUS=Starting\n")
    same(shown(b), (None, "Starting"), "how far it is")
    say(t, b"READY=1\nSTATUS=Startup finished")
    same(shown(b), ("ready", "Startup finished"), "ready")
    say(t, b"STOPPING=1", RAW)
    same(shown(b), ("stopping", "Startup finished"), "stopping")
    # the guest starts anew: whatever was said was another one's
    start_anew(b, t)
    say(t, b"X=1\nREADY=1\n", to=uuid.UUID(int=0))
    same(shown(b)[0], "ready", "by the host's VmId")
    # messages, each whole without a newline
    start_anew(b, t)
    _, s = t.dial(PARENT, port(PORT), RAW)
    with s:
        s.send(b"STATUS=one")
        check(until(lambda: shown(b) == (None, "one")), "one")
        s.send(b"READY=1")
        check(until(lambda: shown(b) == ("ready", "one")), "two")
    t.end()
    check(until(lambda: shown(b) == (None, None)), "all forgotten")


@in_a_broker
def test_who_waits(b):
    """By events: each answer comes with what it waits for."""
    with b.client() as c, b.client() as d:
        n, m = start_wait(c), start_wait(d, until="driver")
        t = Transport(b, "vm1", running=0)
        c.call("status")
        t.state(1)
        same(end_wait(d, m), {"partition": "vm1", "way": "driver",
                              "ready": None, "status": ""}, "driver")
        say(t, b"READY=1\nSTATUS=up\n")
        same(end_wait(c, n), {"partition": "vm1", "way": "ready",
                              "ready": "ready", "status": "up"}, "ready")
        # it is known afterwards, too
        same(end_wait(c, start_wait(c))["way"], "ready", "at once")
        # silence is enough after a while, but not of one that stops
        start_anew(b, t)
        same(end_wait(c, start_wait(c, settle_ms=1))["way"], "driver",
             "settled")
        say(t, b"STOPPING=1\n")
        n = start_wait(c, 50, settle_ms=1)
        same(refusal(end_wait, c, n).errno, errno.ETIMEDOUT, "it stops")
        t.end()


@in_a_broker
def test_in_vain(b):
    def why(**more):
        with b.client() as c:
            e = refusal(end_wait, c, start_wait(c, 1, **more))
            return e.errno, e.text
    with b.client() as c:
        for name, words in (("vm1", "no transport has attached"),
                            ("nobody", 'no partition "nobody"')):
            e = refusal(c.call, "partition.wait", partition=name,
                        timeout_ms=1)
            same(e.errno, errno.ETIMEDOUT, name)
            check(words in e.text, e.text)
        for more in ({"until": "x"}, {"timeout_ms": -1}, {"settle_ms": -1},
                     {"timeout_ms": 300001}, {"more": 1},
                     {"partition": "x" * 256}):
            same(refusal(c.call, "partition.wait", **dict(
                {"partition": "vm1"}, **more)).reason, BAD_REQUEST, str(more))
        b.partition("box", "Kind=container")
        check("no virtual machine" in refusal(
            c.call, "partition.wait", partition="box").text, "a container")
    t = Transport(b, "vm1", running=0)
    check("has no driver yet" in why()[1], why()[1])
    t.state(1)
    check("has not said" in why()[1], why()[1])
    t.end()


@in_a_broker
def test_strangers(b):
    t = Transport(b, "vm1", types=3)
    # more than anybody has to say
    _, s = t.dial(PARENT, port(PORT))
    with s:
        s.settimeout(20)
        try:
            while True:
                s.send(b"STATUS=\x1b[2J\n" * 1000)
        except OSError:
            pass
    same(shown(b), (None, None), "nothing for a terminal")
    # more at once than one guest needs
    socks = [t.dial(PARENT, port(PORT))[1] for _ in range(8)]
    same(refusal(t.dial, PARENT, port(PORT)).reason, QUOTA, "a ninth")
    for s in socks:
        s.close()
    check(until(lambda: not failed(say, t, b"READY=1")), "room again")
    # the transport goes in the middle
    _, s = t.dial(PARENT, port(PORT))
    s.send(b"READY")
    t.end()
    s.close()
    with b.client() as c:
        # who waits may go, too
        d = b.client()
        start_wait(d)
        d.close()
        c.call("status")
    check(b.alive(), "the broker")


def failed(function, *args):
    try:
        function(*args)
    except Refused:
        return True
    return False


@in_a_broker
def test_a_service_of_that_port(b):
    """Who registers it has the connections."""
    b.service("mine", PORT)
    t = Transport(b, "vm1")
    with b.client() as c, c.serve(CHILDREN, port(PORT)) as listener:
        _, s = t.dial(PARENT, port(PORT))
        a, _ = listener.accept()
        with a, s:
            s.send(b"READY=1")
            same(a.recv(10), b"READY=1", "its own")
    same(shown(b), (None, None), "not the broker's")
    t.end()


@in_a_broker
def test_windows(b):
    b.end()
    with Broker("--profile", "windows") as w:
        w.partition("vm1", "Kind=vm")
        t = Transport(w, "vm1")
        refusal(t.dial, PARENT, port(PORT))
        t.end()


@in_a_broker
def test_hvctl(b):
    def ends(p, status, out="", err=""):
        got = p.communicate(timeout=20)
        same(p.returncode, status, got)
        check(out in got[0] and err in got[1], got)
        return got[0]

    # it is waited for before there is a machine
    p = hvctl(b, "wait", "vm1", "--timeout", "20")
    q = hvctl(b, "wait", "--via=driver", "vm1", "--json")
    t = Transport(b, "vm1")
    same(json.loads(ends(q, 0))["way"], "driver", "driver")
    say(t, b"READY=1\nSTATUS=fine")
    ends(p, 0, "vm1: ready: fine\n")
    start_anew(b, t)
    ends(hvctl(b, "wait", "vm1", "--settle", "0.01"), 0, "driver is up; that")
    ends(hvctl(b, "wait", "vm1", "--via=ready", "-t", "0.05"), 1, "",
         "has not said that it is ready")
    ends(hvctl(b, "wait", "vm1", "--via=agent", "-t", "0.05"), 1, "",
         "qemu-guest-agent")
    for words in (("vm1", "--via=x"), ("vm1", "--raw"), ("vm1:1", "--json"),
                  ("vm1", "--settle=1", "--via=agent"),
                  ("vm1", "--settle=x"), ("vm1:1", "--via=ready")):
        ends(hvctl(b, "wait", *words), 2)
    t.end()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
