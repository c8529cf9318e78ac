#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Siblings: partition to partition, where a service's Siblings= says so

Containers are doors with nobody's namespace; guests are transports of the
test's own (transport.py), which say to the broker whatever they like.
"""
import select
import socket
import struct
import sys
import uuid

import tap
from hvb import *
from tap import check, same
from transport import Transport
from users import refused_as, several

STREAM, RAW = socket.SOCK_STREAM, socket.SOCK_SEQPACKET
CIDS = 16 | 4  # of ATTACH: OPEN has partition and CID
SERVICE = port(5000)


class Stage:
    """Guests a (CID 11) and b (CID 12), containers box (CID 13) and tub."""

    def __init__(self, b, running=1):
        self.b = b
        b.service("x", 5000)
        self.a = b.partition("a", "Kind=vm", "SiblingCid=11")
        self.vb = b.partition("b", "Kind=vm", "SiblingCid=12")
        self.box = b.partition("box", "Kind=container", "SiblingCid=13")
        self.tub = b.partition("tub", "Kind=container")
        self.inner = b.partition("inner", "Kind=container", "Parent=b")
        self.ta = Transport(b, "a", types=3, flags=CIDS, vmid=self.a)
        self.tb = Transport(b, "b", types=3, flags=CIDS, vmid=self.vb,
                            running=running)

    def grant(self, *names):
        self.b.service("x", 5000, *(["Siblings=" + " ".join(names)]
                                    if names else []))

    def end(self):
        self.ta.end()
        self.tb.end()


def on_stage(function):
    def run(_):
        with Broker() as b:
            s = Stage(b)
            function(b, s)
            s.end()
    return run


def connections(b):
    with b.client() as c:
        return sorted((x["from"], x["to"], x["via"], x["type"])
                      for x in c.call("connections")["connections"])


def passes(one, other):
    one.sendall(b"there")
    same(other.recv(100), b"there", "one way")
    other.sendall(b"and back")
    same(one.recv(100), b"and back", "the other way")


def arrived(t, conn):
    """What the other guest's transport has of it."""
    return t.wait(lambda: (lambda c: c and c.sock and c)(
        t.conns.get(conn.token)))


def refused_with(reason, function, *args):
    e = refusal(function, *args)
    same((e.reason, e.errno), (reason, ERRNO[reason]), str(e))
    check(len(e.text) > 10, "a sentence")
    return e.text


@on_stage
def test_containers(b, s):
    with b.client(s.box) as box, b.client(s.tub) as tub:
        there = tub.serve(WILDCARD, SERVICE)
        back = box.serve(WILDCARD, SERVICE)
        text = refused_with(UNKNOWN, box.dial, s.tub, SERVICE)
        check("Siblings=" in text, text)
        s.grant("tub")
        refused_with(CONNECT_DENIED, box.dial, s.tub, SERVICE)
        s.grant("box")
        near = box.dial(s.tub, SERVICE)
        far, name = there.accept()
        same(peer_of(name)[0], s.box, "who it is")
        passes(near, far)
        refused_with(CONNECT_DENIED, tub.dial, s.box, SERVICE)
        # one that is for this sibling only
        exact = tub.serve(s.box, SERVICE)
        refused_with(CONNECT_DENIED, tub.serve, s.a, SERVICE)
        box.dial(s.tub, SERVICE).close()
        check(select.select([exact], [], [], 10)[0], "the exact one hears it")
        # rules end what is relayed, and new ones; not what two programs have
        s.grant()
        refused_with(UNKNOWN, box.dial, s.tub, SERVICE)
        passes(near, far)
        for x in (near, far, there, back, exact):
            x.close()


@on_stage
def test_guest_to_guest(b, s):
    """By VmId and by CID, of both types; nobody of ours is in between."""
    s.grant("a")
    for to in (s.vb, 12):
        for kind in (STREAM, RAW):
            near = s.ta.dial_sibling(to, SERVICE, kind)
            same(near.dialled, s.vb, "whom it has reached")
            far = arrived(s.tb, near)
            same((far.partition, far.cid, far.kind, far.uid),
                 (s.a, 11, kind, 0xffffffff), "what b is told")
            same(connections(b)[0], ("a", "b", "vhost-user",
                                     "stream" if kind == STREAM else "raw"),
                 "one connection, of both")
            same(len(connections(b)), 1, "and no second one")
            # the two sockets are each other's peers
            with b.stopped():
                passes(near.sock, far.sock)
                far.sock.shutdown(socket.SHUT_WR)
                same(near.sock.recv(1), b"", "half closed")
            for t, conn in ((s.ta, near), (s.tb, far)):
                conn.sock.close()
                t.c.send(CLOSED, struct.pack("<QQQ", conn.token, 0, 0))
                with t.lock:
                    del t.conns[conn.token]
            check(until(lambda: not connections(b)), "it is gone")


@on_stage
def test_guest_and_container(b, s):
    s.grant("a", "box")
    with b.client(s.box) as box:
        listener = box.serve(WILDCARD, SERVICE)
        near = s.ta.dial_sibling(13, SERVICE)
        far, name = listener.accept()
        same(peer_of(name)[0], s.a, "the guest")
        passes(near.sock, far)
        same(connections(b), [("a", "box", "vhost-user", "stream")], "listed")
        far.close()
        for flags in (0, NONBLOCK):
            near = box.dial(s.vb, SERVICE, flags=flags)
            conn = s.tb.wait(lambda: next(
                (c for c in s.tb.conns.values()
                 if c.sock and not c.serial), None))
            same((conn.partition, conn.cid), (s.box, 13), "the container")
            conn.sock.setblocking(True)
            conn.sock.settimeout(20)
            passes(near, conn.sock)
            near.close()
            with s.tb.lock:
                del s.tb.conns[conn.token]
            conn.sock.close()
        listener.close()
    # who has no SiblingCid= has no CID there either
    s.grant("tub")
    with b.client(s.tub) as tub:
        near = tub.dial(s.vb, SERVICE)
        conn = s.tb.wait(lambda: next(iter(s.tb.conns.values()), None))
        same((conn.partition, conn.cid), (s.tub, 0), "no CID")
        near.close()


@on_stage
def test_revoked(b, s):
    """By each way to take it back; both ends are told at once."""
    def table(*lines):
        b.partition("b", "Kind=vm", "SiblingCid=12", *lines, vmid=s.vb)

    ways = (lambda: s.grant(),
            lambda: s.grant("box"),
            lambda: b.service("x", 5000, "Siblings=a", "Policy=disabled"),
            lambda: b.service("x", 5000, "Siblings=a", "Connect=none"),
            lambda: b.drop("services.d/x.conf"),
            lambda: table("[Service 5000]", "Siblings=none"),
            lambda: table("Enabled=no"),
            lambda: b.partition("a", "Kind=vm", "Enabled=no", vmid=s.a))
    for i, revoke in enumerate(ways):
        s.grant("a")
        table()
        b.partition("a", "Kind=vm", "SiblingCid=11", vmid=s.a)
        near = s.ta.dial_sibling(s.vb, SERVICE)
        far = arrived(s.tb, near)
        revoke()
        for t, conn in ((s.ta, near), (s.tb, far)):
            same(t.wait(lambda: conn.closed), NO_LONGER, "way %d" % i)
    check(refusal(s.ta.dial_sibling, s.vb, SERVICE).reason, "and no new one")


@on_stage
def test_revoked_while_the_guest_thinks(b, s):
    """Its yes comes too late, and its transport does not wait for a socket."""
    s.tb.answer = lambda conn: "silence"
    s.grant("a")
    serial = s.ta.start_dial(s.vb, SERVICE)
    conn = s.tb.wait(lambda: next(iter(s.tb.conns.values()), None))
    s.grant()
    s.tb.say(conn, None)
    same(refusal(s.ta.end_dial, serial).reason, UNKNOWN, "revoked")
    same(s.tb.wait(lambda: conn.closed), NO_LONGER, "told at once")
    check(not conn.sock, "they have not met")


@on_stage
def test_a_broker_later(b, s):
    """It is told whose connection it is, and judges by the rules of then."""
    s.grant("a")
    near = s.ta.dial_sibling(12, SERVICE)
    far = arrived(s.tb, near)

    def restart(between):
        before = s.ta.attached, s.tb.attached
        b.kill()
        between()
        b.start()
        for t, n in zip((s.ta, s.tb), before):
            t.wait(lambda: t.attached > n)

    restart(lambda: None)
    check(until(lambda: connections(b) == [("a", "b", "vhost-user",
                                            "stream")]), connections(b))
    passes(near.sock, far.sock)
    restart(s.grant)
    for t, conn in ((s.ta, near), (s.tb, far)):
        same(t.wait(lambda: conn.closed), NO_LONGER, "after the restart")


@on_stage
def test_hostile(b, s):
    """A transport that says what it likes."""
    s.grant("a", "b", "box", "inner")
    nobody = uuid.uuid4()
    for to, reason in ((nobody, UNKNOWN), (0, UNKNOWN), (1, UNKNOWN),
                       (2, UNKNOWN), (99, UNKNOWN), (11, UNKNOWN),
                       (0xffffffff, UNKNOWN), (s.inner, UNKNOWN)):
        refused_with(reason, s.ta.dial_sibling, to, SERVICE)
    # a CID with something behind it
    odd = uuid.UUID(bytes_le=struct.pack("<IIQ", 12, 1, 0))
    serial = s.ta.start_dial(odd, SERVICE, flags=1)
    same(refusal(s.ta.end_dial, serial).reason, UNKNOWN, "an odd CID")
    for flags in (2, 3, 0x8000):
        serial = s.ta.start_dial(s.vb, SERVICE, flags=flags)
        same(refusal(s.ta.end_dial, serial).reason, BAD_REQUEST, "flags")
    # two of one CID are nobody
    b.partition("tub", "Kind=container", "SiblingCid=12", vmid=s.tub)
    check("nobody's" in refused_with(UNKNOWN, s.ta.dial_sibling, 12, SERVICE),
          "which one?")
    # it says that it has connections that it may not have
    outsider = b.partition("outsider", "Kind=vm")
    t = Transport(b, "outsider", flags=CIDS, vmid=outsider)
    for i, (direction, beyond) in enumerate((
            (1, s.a), (0, s.a), (1, s.inner), (0, s.inner), (0, nobody),
            (1, nobody), (0, outsider))):
        s.grant("a", "b") if i else s.grant("a", "b", "inner")
        conn = type("Fake", (), {})()
        conn.token, conn.closed, conn.sock = 7000 + i, None, None
        with t.lock:
            t.conns[conn.token] = conn
        t.c.send(LIVE, struct.pack("<QHHI", conn.token, STREAM, direction,
                                   0xffffffff) + SERVICE.bytes_le +
                 port(1).bytes_le + beyond.bytes_le)
        if (direction, beyond) == (1, s.a):
            continue  # a may: whether it has is its own affair
        if (direction, beyond) == (0, outsider):
            continue  # with itself
        same(t.wait(lambda: conn.closed), NO_LONGER, "LIVE %d" % i)
        with t.lock:
            del t.conns[conn.token]
    t.end()
    b.serves()


@on_stage
def test_hostile_about_the_other(b, s):
    """Whatever one's transport says of a connection with the other's: it is
    listed, it counts, and it is the caller's."""
    def grant(*more):
        for x, number in ("x", 5000), ("y", 5001):
            b.service(x, number, "Siblings=a b box", *more)

    grant()
    near = s.ta.dial_sibling(s.vb, SERVICE)
    arrived(s.tb, near)
    true = ("a", "b", "vhost-user", "stream")
    for direction, beyond, service in (
            (0, s.a, SERVICE), (1, s.box, SERVICE), (1, ZERO, SERVICE),
            (1, s.a, port(5001))):
        with b.client() as c:
            s.tb.c.send(CLOSED, struct.pack("<QQQ", near.token, 0, 0))
            s.tb.c.send(LIVE, struct.pack("<QHHI", near.token, STREAM,
                                          direction, 0xffffffff) +
                        service.bytes_le + port(1024).bytes_le +
                        beyond.bytes_le)
            s.tb.state(1)
            told = (("b", "a") if direction == 0 else
                    ({s.box: "box", ZERO: "host"}.get(beyond, "a"), "b"))
            check(until(lambda: told + true[2:] in connections(b)),
                  connections(b))
            rows = c.call("connections")["connections"]
            check([x for x in rows if (x["from"], x["to"]) == true[:2] and
                   x["service"] in ("x", str(SERVICE))], rows)
    grant("MaxConnections=1")
    refused_with(QUOTA, s.ta.dial_sibling, s.vb, SERVICE)


@on_stage
def test_kept_while_one_stands_still(b, s):
    """CONNECTED_SUSPEND of a listener beside the guest that has dialled."""
    vmid = b.partition("c", "Kind=vm")
    t = Transport(b, "c", flags=CIDS | 1, vmid=vmid)
    s.grant("c")
    with b.client(s.box) as box, b.client(s.tub) as tub, b.client() as c:
        listener = box.serve(WILDCARD, SERVICE)
        for client in tub, box:
            conn = t.dial_sibling(s.box, SERVICE)
            client.send(KEEP, struct.pack("<QI", conn.token, 1))
            client.call("status")
        got = c.call("simulate", partition="c", event="pause")
        same((got["ended"], got["kept"]), (1, 1), "what the box has kept")
        listener.close()
    t.end()


def test_quota_is_the_callers(_):
    """One who asks and asks a guest that does not answer takes nothing from
    the host."""
    with Broker("--max-pending=8") as b:
        s = Stage(b)
        s.grant("a")
        s.tb.answer = lambda conn: "silence"
        serials = [s.ta.start_dial(s.vb, SERVICE) for _ in range(9)]
        same(refusal(s.ta.end_dial, serials[-1]).reason, QUOTA, "its limit")
        s.tb.answer = lambda conn: None
        with b.client() as host:
            host.dial(s.vb, SERVICE).close()
        s.end()


@on_stage
def test_max_connections(b, s):
    b.service("x", 5000, "Siblings=a", "MaxConnections=2")
    for _ in range(2):
        arrived(s.tb, s.ta.dial_sibling(s.vb, SERVICE))
    refused_with(QUOTA, s.ta.dial_sibling, s.vb, SERVICE)


@on_stage
def test_names(b, s):
    """Whom it may reach it may call by name, with that service."""
    with b.client(s.box) as box:
        def resolve(service):
            return guid(box.ask(RESOLVE, b"tub\0" + service + b"\0").check()
                        .payload[4:20])

        def name(service):
            return box.ask(NAMES, address(s.tub, service)).check() \
                .payload.split(b"\0")[0]

        refused_with(UNKNOWN, resolve, b"x")
        same(name(SERVICE), b"", "a VmId that it has from somewhere")
        s.grant("box")
        same((resolve(b"x"), resolve(b"5000"), name(SERVICE)),
             (s.tub, s.tub, b"tub"), "granted")
        refused_with(UNKNOWN, resolve, b"6000")
        same(name(port(6000)), b"", "for another service")


@on_stage
def test_told_to_people(b, s):
    with b.client() as c:
        same(c.call("service.show", service="x")["siblings"], None, "nobody")
        same(c.call("partition.show", partition="a")["sibling_cid"], 11, "cid")
        check("sibling_cid" not in c.call("partition.show", partition="tub"),
              "none")

        def explain(**more):
            return c.call("explain", **{"from": "a", "to": "b:x", **more})

        e = explain()
        same((e["allowed"], e["reason"]), (False, "partition unknown"), "off")
        check("Siblings=a in the file of service \"x\"" in e["fix"], e["fix"])
        s.grant("box")
        e = explain()
        same((e["allowed"], e["reason"], e["rule"]),
             (False, "connect denied", "Siblings= in the service's file"),
             "not named")
        same(c.call("service.show", service="x")["siblings"], "box", "named")
        s.grant("a")
        e = explain()
        same((e["allowed"], e["text"]), (True, "the guest of \"b\" is asked"),
             "yes")
        check(any("come from CID 11" in x for x in e["steps"]), e["steps"])
        e = explain(profile="windows")
        same((e["allowed"], e["error"]), (False, "ENETUNREACH"), "windows")
        check("no way between siblings" in e["rule"], e["rule"])
        with b.client(s.tub) as tub:
            listener = tub.serve(WILDCARD, SERVICE)
            l, = c.call("listeners")["listeners"]
            same(sorted((x["partition"], x["ok"]) for x in l["covers"]
                        if x["partition"] in "a b box"),
                 [("a", True), ("b", False), ("box", False)], "covered")
            s.grant()
            l, = c.call("listeners")["listeners"]
            same([x["partition"] for x in l["covers"]], ["host"], "as ever")
            listener.close()


@several
def test_registrations_of_users(_):
    """What an ordinary user registers opens no partitions to each other."""
    with Broker() as b:
        with b.client() as c:
            def theirs(method, **more):
                with b.client() as mine:
                    mine.call(method, **more)

            same(refused_as(4242, lambda: theirs(
                "service.add", name="t", port=6000, lease="none")), 0, "own")
            same(refused_as(4242, lambda: theirs(
                "service.add", name="u", port=6001, lease="none",
                siblings="a")), errno.EPERM, "with siblings")
            same(refused_as(4242, lambda: theirs(
                "service.set", service="t", siblings="a")), errno.EPERM,
                "afterwards")
            c.call("service.set", service="t", siblings="a")
            same(c.call("service.show", service="t")["siblings"], "a",
                 "an administrator's word")
            refusal(c.call, "service.set", service="t", siblings="any")
            refusal(c.call, "service.set", service="t", siblings="user:0")
            p = c.call("partition.add", name="p", kind="container",
                       sibling_cid="77")
            same(p["sibling_cid"], 77, "at once")
            p = c.call("partition.set", partition="p", sibling_cid="none")
            check("sibling_cid" not in p, "taken away")
            refusal(c.call, "partition.set", partition="p", sibling_cid="2")


tap.main(sys.modules[__name__], tap.Nothing)
