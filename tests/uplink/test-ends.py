#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""When somebody dies: brokers, hvsocket-uplink, the transport; and comes back"""
import os
import signal
import socket
import sys
import threading

import tap
from hvb import *
from pair import *
from tap import check, same
from vmm import Vmm, attach, echo, read_line


def relay_of(broker):
    """The process id of its hvsocket-uplink."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                name = f.read().split(b"\0")[0]
            with open("/proc/%s/environ" % pid, "rb") as f:
                env = f.read()
        except OSError:
            continue
        if name == b"hvsocket-uplink" and \
                b"HVSOCKET_RUNTIME_DIR=%s\0" % broker.run.encode() in env:
            return int(pid)
    return None


def open_both(p):
    """A connection each way, of each type."""
    p.h.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
    out = []
    for kind in (socket.SOCK_STREAM, RAW):
        with p.h.client() as h, p.g.client() as g:
            for dialler, server, vmid, bound in (
                    (g, h, PARENT, CHILDREN), (h, g, VM, PARENT)):
                listener = server.serve(bound, ODD, kind)
                s = dialler.dial(vmid, ODD, kind=kind)
                a, _ = listener.accept()
                listener.close()
                out.append((s, a))
    return out


def alive(pairs):
    for s, a in pairs:
        for x, y in ((s, a), (a, s)):
            x.settimeout(20)
            y.settimeout(20)
            x.sendall(b"still there")
            same(y.recv(100), b"still there", "data")


def dead(pairs):
    for s, a in pairs:
        for x in (s, a):
            x.settimeout(20)
            try:
                same(x.recv(10), b"", "the end")
            except ConnectionResetError:
                pass
            x.close()


def shown(broker):
    with broker.client() as c:
        return len([x for x in c.call("connections")["connections"]
                    if x["via"] == "uplink"])


def listed(pairs, *brokers):
    for b in brokers:
        check(until(lambda: shown(b) == len(pairs)), "listed")


@paired
def test_the_hosts_broker(p):
    before = open_both(p)
    for how in (p.h.kill, p.h.stop):
        how()
        check(until(lambda: p.uplink()["state"] == "down"), "the guest knows")
        alive(before)
        with p.g.client() as c:
            e = refusal(c.dial, PARENT, ODD)
            same(e.reason, OFF, str(e))
            check("uplink is down" in str(e), str(e))
        p.h.start()
        p.up()
        alive(before)
        listed(before, p.h, p.g)
        more = open_both(p)
        alive(more)
        for s, a in more:
            s.close()
            a.close()
        listed(before, p.h, p.g)
    # rules that changed meanwhile
    p.h.kill()
    p.h.put("services.d/odd.conf",
            "[Service]\nServiceId=%s\nPolicy=disabled\n" % ODD)
    p.h.start()
    dead(before)


@paired
def test_the_guests_broker(p):
    before = open_both(p)
    for how in (p.g.kill, p.g.stop):
        how()
        check(until(lambda: not p.has_broker()), "the host knows")
        alive(before)
        with p.h.client() as c:
            e = refusal(c.dial, VM, ODD)
            # without one the VMM is asked, and there is none either
            check(e.reason in (OFF, NO_LISTENER, TYPE, NO_ANSWER), str(e))
        p.g.start()
        p.up()
        alive(before)
        listed(before, p.h, p.g)
        more = open_both(p)
        alive(more)
        for s, a in more:
            s.close()
            a.close()


@paired
def test_hvsocket_uplink(p):
    for b in (p.h, p.g):
        before = open_both(p)
        check(until(lambda: relay_of(b)), "it runs")
        pid = relay_of(b)
        os.kill(pid, signal.SIGKILL)
        dead(before)
        check(until(lambda: relay_of(b) not in (None, pid)), "another one")
        p.up()

        def again():
            try:
                alive(open_both(p))
                return True
            except Refused:
                return False  # it is about to come
        check(until(again), "new connections")
        check(b.alive(), "the broker lives")


@paired
def test_the_transport(p):
    before = open_both(p)
    p.t.kill()
    p.t = None
    dead(before)
    check(until(lambda: p.uplink()["state"] == "down"), "the guest knows")
    same(shown(p.h), 0, "nothing is left")
    p.t = attach(p.h, p.path, p.name)
    p.up()
    alive(open_both(p))


@paired
def test_it_ends_with_the_last_connection(p):
    """Nothing is left behind by brokers that end for good."""
    before = open_both(p)
    pids = [relay_of(p.h), relay_of(p.g)]
    p.g.stop()
    check(relay_of(p.g), "it carries")
    for s, a in before:
        s.close()
        a.close()
    check(until(lambda: not relay_of(p.g)), "gone: %s" % pids)
    p.g.start()


@paired
def test_the_service_is_turned_off(p):
    before = open_both(p)
    p.h.service("uplink", UPLINK, "Policy=disabled")
    p.hc.call("reload")
    check(until(lambda: p.uplink()["state"] == "down"), "down")
    dead(before)
    check(until(lambda: "uplink" in p.uplink().get("why", "")),
          "why: %s" % p.uplink())
    p.h.service("uplink", UPLINK)
    p.hc.call("reload")
    p.up()
    alive(open_both(p))


@paired
def test_no_descriptor_is_lost(p):
    for s, a in open_both(p):
        s.close()
        a.close()
    check(until(lambda: shown(p.h) + shown(p.g) == 0), "closed")
    before = p.h.fds(), p.g.fds()
    for _ in range(50):
        for s, a in open_both(p):
            s.close()
            a.close()
    for c, vmid in ((p.gc, PARENT), (p.hc, VM)):
        for kind in (socket.SOCK_STREAM, RAW):
            for _ in range(20):
                refusal(c.dial, vmid, ODD, kind=kind)
                s = socket.socket(socket.AF_UNIX, kind)
                c.connect(s, vmid, ODD, flags=NONBLOCK)
                s.close()
    for b, n in zip((p.h, p.g), before):
        check(b.settled(n), "descriptors: %d, not %d" % (b.fds(), n))


@paired
def test_a_guest_that_asks_for_what_is_its_own(p):
    """It comes back over its own uplink, and both ends go at once."""
    with p.g.client(BOX) as box:
        listener = box.serve(WILDCARD, ODD)
        for _ in range(3):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20)
            s.connect("%s_%d" % (p.path, UPLINK))
            s.sendall(b"HVSOCKET/1 CONNECT stream %s %s %s 5000\n" % (
                str(BOX).encode(), str(ODD).encode(),
                str(port(0x80000001)).encode()))
            same(read_line(s), b"OK\n", "the answer")
            a, _ = listener.accept()
            through(s, a)
        listener.close()
        # now nobody answers, and the transport dies
        with p.g.stopped():
            some = []
            for _ in range(5):
                s = socket.socket(socket.AF_UNIX)
                s.connect("%s_%d" % (p.path, UPLINK))
                s.sendall(b"HVSOCKET/1 CONNECT stream %s %s %s 9000\n" % (
                    str(BOX).encode(), str(ODD).encode(),
                    str(port(0x80000001)).encode()))
                some.append(s)
            with p.h.client() as c:
                check(until(lambda: c.call("partition.show", partition="vm1")
                            ["connections"] > 5), "they wait")
            p.t.kill()
            p.t = None
            for s in some:
                s.close()
        check(p.h.alive(), "the broker lives")
        p.t = attach(p.h, p.path, p.name)
        p.up()
        alive(open_both(p))


@paired
def test_many_at_once(p):
    """hvsocket-uplink is told of all of them, however fast they come."""
    p.h.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
    with p.h.client() as h, p.g.client() as g:
        listener = h.serve(CHILDREN, ODD, backlog=400)
        pid = relay_of(p.h)
        os.kill(pid, signal.SIGSTOP)
        waits = []
        try:
            for _ in range(300):
                s = socket.socket(socket.AF_UNIX)
                s.setblocking(False)
                waits.append((s, g.start_connect(s, PARENT, ODD, 20000)))
            # those for HELLO and DGRAM, and for each the guest's and what is
            # in it
            check(until(lambda: h.call("status")["connections"] == 602),
                  "joined")
        finally:
            os.kill(pid, signal.SIGCONT)
        for s, serial in waits:
            same(g.end_connect(serial)[0], 0, "connected")
        pairs = [(s, listener.accept()[0]) for s, _ in waits]
        same(relay_of(p.h), pid, "the same hvsocket-uplink")
        for s, a in pairs:
            s.close()
            a.close()


def test_a_kernel_beside_the_broker(_):
    """The guest has listeners that its broker knows nothing of."""
    with Broker() as h:
        h.service("uplink", UPLINK)
        h.partition("vm1", "Kind=vm", vmid=VM)
        path = h.dir + "/v.sock"
        inner = h.dir + "/inner.sock"
        os.symlink("%s_%d" % (path, UPLINK), "%s_%d" % (inner, UPLINK))
        t = attach(h, path, "vm1")
        vmm = Vmm(path)
        vmm.guest[77] = echo

        def to_broker(s, ok):
            x = socket.socket(socket.AF_UNIX)
            x.connect(inner)
            x.sendall(b"CONNECT %d\n" % UPLINK)
            read_line(x)
            x.settimeout(None)
            s.sendall(ok)

            def move(a, b):
                try:
                    while data := a.recv(65536):
                        b.sendall(data)
                    b.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            threading.Thread(target=move, args=(x, s), daemon=True).start()
            move(s, x)
        vmm.guest[UPLINK] = to_broker
        with Broker("--uplink", "unix:" + inner) as g, h.client() as c:
            check(until(lambda: c.call("partition.show", partition="vm1")
                        ["uplink"]), "up")
            for flags in (0, NONBLOCK):
                s = c.dial(VM, port(77), flags=flags)
                s.sendall(b"echo")
                same(s.recv(10), b"echo", "the kernel's listener")
                s.close()
            with g.client() as gc:
                listener = gc.serve(PARENT, port(77))
                for flags in (0, NONBLOCK):
                    s = c.dial(VM, port(77), flags=flags)
                    a, _ = listener.accept()
                    through(s, a)
                listener.close()
            check(refusal(c.dial, VM, port(78)).reason == NO_LISTENER, "none")
        t.end()
        vmm.end()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Nothing)
