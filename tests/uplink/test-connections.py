#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a program sees of connections between a guest with a broker and its host"""
import errno
import os
import select
import socket
import struct
import subprocess
import sys
import threading

import tap
from hvb import *
from pair import *
from stage import exchange
from tap import check, same

TYPES = (socket.SOCK_STREAM, RAW)


@paired
def test_both_ways(p):
    p.h.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
    for kind in TYPES:
        for vmid in (WILDCARD, CHILDREN, VM):
            listener = p.hc.serve(vmid, ODD, kind)
            s = p.gc.dial(PARENT, ODD, kind=kind)
            a, name = listener.accept()
            same(peer_of(name)[0], VM, "who it is for the host")
            same(peer_of(name)[2], 0xffffffff, "no user of the host")
            through(s, a)
            listener.close()
        listener = p.gc.serve(PARENT, ODD, kind)
        s = p.hc.dial(VM, ODD, kind=kind)
        a, name = listener.accept()
        same(peer_of(name)[0], PARENT, "who it is for the guest")
        through(s, a)
        listener.close()
        e = refusal(p.hc.dial, VM, ODD, kind=kind)
        same((e.errno, e.reason), (errno.ECONNREFUSED, NO_LISTENER), str(e))
        check("guest" not in str(e) and "nobody" in str(e), str(e))
        e = refusal(p.gc.dial, PARENT, ODD, kind=kind)
        same(e.reason, NO_LISTENER, str(e))


def test_siblings(_):
    """From one guest's broker by the host's to another's: any ServiceId, while
    the host allows it."""
    with Broker() as h:
        h.service("uplink", UPLINK)

        def allow(*lines):
            h.put("services.d/odd.conf", "[Service]\nServiceId=%s\n%s\n" % (
                ODD, "".join(lines)))

        allow("Siblings=vm2")
        other = uuid.UUID("00000002-1111-4111-8111-111111111111")
        with Pair("vm1", VM, None, host=h) as one, \
                Pair("vm2", other, None, host=h) as two:
            for kind in TYPES:
                listener = one.gc.serve(WILDCARD, ODD, kind)
                s = two.gc.dial(VM, ODD, kind=kind)
                a, name = listener.accept()
                with h.client() as c:
                    same([(x["from"], x["to"])
                          for x in c.call("connections")["connections"]
                          if x["service"] == str(ODD)], [("vm2", "vm1")],
                         "one connection")
                same(peer_of(name)[0], PARENT, "all that it knows")
                through(s, a)
                s = two.gc.dial(VM, ODD, kind=kind)
                a, _ = listener.accept()
                a.settimeout(20)
                allow()
                for end in (s, a):
                    try:
                        same(end.recv(1), b"", "its end")
                    except ConnectionResetError:
                        pass
                    end.close()
                e = refusal(two.gc.dial, VM, ODD, kind=kind)
                same(e.reason, UNKNOWN, str(e))
                check("sibling" in str(e), str(e))
                e = refusal(one.gc.dial, other, ODD, kind=kind)
                same(e.reason, UNKNOWN, str(e))
                allow("Siblings=vm2")
                listener.close()


@paired
def test_a_container_in_the_guest(p):
    with p.g.client(BOX) as box:
        for kind in TYPES:
            listener = box.serve(WILDCARD, ODD, kind)
            s = p.hc.dial(BOX, ODD, kind=kind)
            a, name = listener.accept()
            same(peer_of(name)[0], PARENT, "who it is")
            through(s, a)
            # PARENT is the guest; past it is the host
            p.g.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
            p.h.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
            up, top = p.gc.serve(CHILDREN, ODD, kind), \
                p.hc.serve(CHILDREN, ODD, kind)
            s = box.dial(PARENT, ODD, kind=kind)
            a, name = up.accept()
            same(peer_of(name)[0], BOX, "who it is for the guest")
            through(s, a)
            s = box.dial(PARENT, ODD, kind=kind, flags=PASSTHRU)
            a, name = top.accept()
            same(peer_of(name)[0], VM, "who it is for the host")
            through(s, a)
            for x in (listener, up, top):
                x.close()


@paired
def test_much_data(p):
    p.h.service("registered", 5000)
    listener = p.hc.serve(WILDCARD, port(5000))
    s = p.gc.dial(PARENT, port(5000))
    a, _ = listener.accept()
    exchange(s, a)
    other = p.gc.serve(WILDCARD, port(5000))
    s = p.hc.dial(VM, port(5000))
    a, _ = other.accept()
    exchange(s, a)


@paired
def test_messages_keep_their_bounds(p):
    listener = p.gc.serve(WILDCARD, ODD, RAW)
    s = p.hc.dial(VM, ODD, kind=RAW)
    a, _ = listener.accept()
    a.settimeout(20)
    sizes = [1, 65536, 2, 3, 65535, 4096, 100, 65536] * 8
    for one, two in ((s, a), (a, s)):
        t = threading.Thread(target=lambda x=one: [
            x.sendall(bytes([n & 255]) * n) for n in sizes])
        t.start()
        for n in sizes:
            got = two.recv(1 << 17)
            same((len(got), got[:1]), (n, bytes([n & 255])), "a message")
        t.join()
    # one that nobody can be sent ends the connection
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    s.sendall(bytes(70000))
    check(a.recv(10) == b"", "the end")


def parked(c, vmid, service, kind):
    s = socket.socket(socket.AF_UNIX, kind)
    state, token = c.connect(s, vmid, service, flags=NONBLOCK)
    return s, state, token


def result(c, token):
    r = c.ask(5, struct.pack("<Q", token)).check()
    return struct.unpack_from("<III", r.payload)


@paired
def test_without_blocking(p):
    p.h.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
    for kind in TYPES:
        for dialler, server, vmid, bound in (
                (p.gc, p.hc, PARENT, CHILDREN), (p.hc, p.gc, VM, PARENT)):
            listener = server.serve(bound, ODD, kind)
            s, state, token = parked(dialler, vmid, ODD, kind)
            same(state, 1, "in progress")
            check(select.select([], [s], [], 20)[1], "POLLOUT")
            same(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0, "good")
            same(result(dialler, token)[0], 2, "connected")
            a, _ = listener.accept()
            through(s, a)
            listener.close()
            s, state, token = parked(dialler, vmid, ODD, kind)
            check(until(lambda: result(dialler, token)[0] == 3), "failed")
            same(result(dialler, token)[1:], (errno.ECONNREFUSED, NO_LISTENER),
                 "why")
            same(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
                 errno.ECONNRESET, "what the kernel says")
            s.close()


@paired
def test_waiting_for_a_listener(p):
    p.h.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
    for dialler, server, vmid, bound in (
            (p.gc, p.hc, PARENT, CHILDREN), (p.hc, p.gc, VM, PARENT)):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        serial = dialler.start_connect(s, vmid, ODD, 20000, WAIT)
        listener = server.serve(bound, ODD)
        same(dialler.end_connect(serial)[0], 0, "connected")
        a, _ = listener.accept()
        through(s, a)
        dialler.call("wait", to="%s:%s" % ("parent" if vmid == PARENT else
                                           "vm1", ODD))
        listener.close()


@paired
def test_a_full_backlog(p):
    listener = p.gc.serve(WILDCARD, ODD, backlog=0)
    got = [p.hc.dial(VM, ODD)]
    e = None
    while not e and len(got) < 10:
        try:
            got.append(p.hc.dial(VM, ODD, timeout=200))
        except Refused as r:
            e = r
    check(e and e.reason in (BACKLOG, NO_ANSWER), "refused: %s" % e)
    listener.accept()[0].close()
    got.append(p.hc.dial(VM, ODD))


@paired
def test_ports_that_the_guests_kernel_has(p):
    """What its broker does not know is asked of the VMM as ever."""
    # the VMM's part is the guest's broker here, which has one port only
    for flags in (0, NONBLOCK):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        if flags:
            state, token = p.hc.connect(s, VM, port(77), flags=flags)
            check(until(lambda: result(p.hc, token)[0] == 3), "failed")
        else:
            e = refusal(p.hc.connect, s, VM, port(77))
            same(e.reason, NO_LISTENER, str(e))


@paired
def test_connections_are_shown_and_ended(p):
    p.h.service("registered", 5000)
    listener = p.hc.serve(WILDCARD, port(5000))
    s = p.gc.dial(PARENT, port(5000))
    a, _ = listener.accept()
    s.sendall(b"12345")
    same(a.recv(10), b"12345", "data")

    def one(client):
        # bytes are told for the next time
        found = [c for c in client.call("connections")["connections"]
                 if c["via"] == "uplink"]
        same(len(found), 1, "connections: %s" % found)
        return found[0]

    for client, names in ((p.gc, (None, "host")), (p.hc, ("vm1", "host"))):
        got = one(client)
        same((got["from"], got["to"])[bool(not names[0]):],
             names[bool(not names[0]):], "who and whom: %s" % got)
        same(got["service"], str(port(5000)), "what")
        same(got["state"], "connected", "state")
    check(until(lambda: one(p.gc)["bytes_out"] == 5), "bytes to the host")
    check(until(lambda: one(p.hc)["bytes_in"] == 5), "bytes from the guest")
    # the host's rules, which the guest does not see, end it
    p.h.service("registered", 5000, "Policy=disabled")
    p.hc.call("reload")
    same((a.recv(1), s.recv(1)), (b"", b""), "its end")
    check(until(lambda: not [
        c for b in (p.gc, p.hc) for c in b.call("connections")["connections"]
        if c["via"] == "uplink"]), "nothing is left")
    same(p.uplink()["state"], "up", "the uplink stays")
    same(refusal(p.gc.dial, PARENT, port(5000)).reason, DISABLED, "from now on")


@paired
def test_the_guests_rules_for_its_own(p):
    p.h.service("registered", 5000)
    p.g.service("registered", 5000, "Connect=user:4242")
    p.hc.serve(WILDCARD, port(5000))
    e = refusal(p.gc.dial, PARENT, port(5000))
    same(e.reason, CONNECT_DENIED, str(e))


@paired
def test_what_is_said_of_it(p):
    up = p.uplink()
    same(up, {"place": "unix:" + p.path, "state": "up", "id": str(VM),
              "name": "vm1", "datagrams": "up"}, "status in the guest")
    same(p.hc.call("status")["uplink"], None, "status of the host")
    for b, words in ((p.g, ["status"]), (p.h, ["partition", "show", "vm1"])):
        out = subprocess.run(
            [os.environ["HVCTL"], *words], check=True, text=True,
            stdout=subprocess.PIPE, env=program_env(
                dict(os.environ, HVSOCKET_RUNTIME_DIR=b.run))).stdout
        check(", up\n" in out or "uplink        yes\n" in out, out)
    r = p.gc.call("explain", to="parent:%s" % ODD)
    same((r["allowed"], r["rule"]), (True, "the host decides"), str(r))
    check("uplink" in " ".join(r["steps"]), str(r))
    r = p.hc.call("explain", **{"from": "vm1", "to": "parent:%d" % UPLINK})
    check(r["allowed"] and "broker" in r["text"], str(r))
    r = p.hc.call("explain", to="vmbox:%s" % ODD)
    check(r["allowed"] and "broker" in r["text"], str(r))
    same(refusal(p.hc.serve, WILDCARD, port(UPLINK)).reason,
         BIND_DENIED, "the port")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Nothing)
