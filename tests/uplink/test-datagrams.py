#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Datagrams and BROADCAST between a guest with a broker and its host

Rows of the address rules, answers, policy, refusals; who dies; and that neither
side can be held up. What the wire looks like is in test-hostile-dgram.py.
"""
import contextlib
import errno
import os
import signal
import subprocess
import sys

import dg
import hvs
import tap
from hvb import *
from pair import *
from tap import check, same

LIB = dg.library()
OTHER_BOX = uuid.UUID("00000007-1111-4111-8111-111111111111")


class Places:
    """The two brokers, and what is in them, as programs see it."""

    def __init__(self, p):
        self.p = p
        self.host, self.guest = dg.Place(LIB, p.h), dg.Place(LIB, p.g)
        self.box = dg.Place(LIB, p.g, BOX)
        for b in (p.h, p.g):
            b.service("news", 7000)
            b.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
        check(until(self.carried), "datagrams: %s" % p.uplink())

    def carried(self):
        with self.p.h.client() as c:
            return self.p.uplink().get("datagrams") == "up" and \
                c.call("partition.show", partition="vm1")["datagrams"]


def datagrams(function):
    def run(_):
        with Pair() as p:
            try:
                function(Places(p))
            except BaseException:
                for text in p.said():
                    print("# " + text.replace("\n", "\n# "), file=sys.stderr)
                raise
            finally:
                for b in (p.h, p.g):
                    with contextlib.suppress(Exception):
                        os.kill(dg.relay(b), signal.SIGTERM)
    return run


def refused(reason, number, function, *args):
    try:
        function(*args)
    except hvs.Refused as e:
        same((e.reason, errno.errorcode[e.errno]),
             (reason, errno.errorcode[number]), e.text)
        return e.text
    raise tap.Failure("not refused: %s" % reason)


@datagrams
def test_there_and_back(w):
    for service in (port(7000), ODD):
        for data in (b"", b"ping", os.urandom(65536)):
            with w.host.socket(CHILDREN, service) as server, \
                    w.guest.socket() as client:
                w.guest.send(client, data, PARENT, service)
                got, sender = w.host.recv(server)
                same(got, data, "guest to host")
                same(sender, (VM, LIB.own(client)[1]), "who it is")
                w.host.send(server, data[::-1], *sender)
                same(w.guest.recv(client), (data[::-1], (PARENT, service)),
                     "the answer")
            with w.guest.socket(PARENT, service) as server, \
                    w.host.socket() as client:
                w.host.send(client, data, VM, service)
                got, sender = w.guest.recv(server)
                same(got, data, "host to guest")
                same(sender, (PARENT, LIB.own(client)[1]), "who it is")
                w.guest.send(server, data[::-1], *sender)
                same(w.host.recv(client), (data[::-1], (VM, service)),
                     "the answer")


# bound where and to what, by whom and whereto, and as whom it is heard
ROWS = (
    (1, "host", VM, "guest", PARENT, VM),
    (2, "host", OTHER_BOX, "guest", PARENT, None),
    (3, "host", CHILDREN, "guest", PARENT, VM),
    (4, "host", WILDCARD, "guest", PARENT, VM),
    (9, "host", LOOPBACK, "guest", PARENT, None),
    (11, "guest", PARENT, "host", VM, PARENT),
    (12, "guest", WILDCARD, "host", VM, PARENT),
    (13, "guest", CHILDREN, "host", VM, None),
    (14, "guest", LOOPBACK, "host", VM, None),
    ("14, itself", "guest", WILDCARD, "guest", LOOPBACK, LOOPBACK),
    (16, "guest", CHILDREN, "box", PARENT, BOX),
    ("16, not the host", "host", WILDCARD, "box", PARENT, None),
    (17, "guest", WILDCARD, "box", SILOHOST, BOX),
    (19, "box", WILDCARD, "host", BOX, PARENT),
    (20, "box", PARENT, "host", BOX, None),
    (21, "box", PARENT, "guest", BOX, PARENT),
)


@datagrams
def test_rows(w):
    w.p.h.partition("other", "Kind=vm", vmid=OTHER_BOX)
    for row, where, bound, sender, to, heard in ROWS:
        for service in (port(7000), ODD):
            here, there = getattr(w, where), getattr(w, sender)
            # those of the row before are gone
            check(until(lambda: dg.status(w.p.h)["sockets"] +
                        dg.status(w.p.g)["sockets"] == 0), "closed")
            with here.socket(bound, service) as s, there.socket() as c:
                if heard is None:
                    text = refused("no listener", errno.ECONNREFUSED,
                                   there.send, c, b"x", to, service)
                    check("nobody in partition" in text, text)
                    continue
                there.send(c, b"row", to, service)
                data, who = here.recv(s)
                same((data, who[0]), (b"row", heard), "row %s" % row)
                same(who[1], LIB.own(c)[1], "row %s: the socket" % row)
                # whoever has sent may be answered
                here.send(s, b"answer", *who)
                same(there.recv(c)[0], b"answer", "row %s: answer" % row)


@datagrams
def test_a_container_answers_as_itself(w):
    """PARENT of a container is the guest: what it sends to whom has sent to it
    goes on to the host, and the host knows which partition it is."""
    with w.box.socket(WILDCARD, ODD) as server, w.host.socket() as client, \
            w.host.socket() as another:
        w.host.send(client, b"to the box", BOX, ODD)
        data, who = w.box.recv(server)
        same((data, who), (b"to the box", (PARENT, LIB.own(client)[1])), "it")
        for _ in range(3):
            w.box.send(server, b"from the box", *who)
            same(w.host.recv(client), (b"from the box", (BOX, ODD)), "answer")
        # others it does not reach, though they have sent to the guest
        with w.guest.socket(PARENT, ODD) as hears:
            w.host.send(another, b"x", VM, ODD)
            w.guest.recv(hears)
        refused("not registered", errno.EACCES, w.box.send, server, b"x",
                PARENT, LIB.own(another)[1])


@datagrams
def test_a_sibling_is_not_taken_for_the_host(w):
    """What comes over the uplink comes from the host, or from below it."""
    w.p.h.partition("beside", "Kind=container", vmid=OTHER_BOX)
    w.p.h.service("news", 7000, "Siblings=beside")
    beside = dg.Place(LIB, w.p.h, OTHER_BOX)
    with w.guest.socket(WILDCARD, port(7000)) as server, \
            beside.socket() as client, w.host.socket() as own:
        text = refused("type not carried", errno.EPROTONOSUPPORT, beside.send,
                       client, b"forged", VM, port(7000))
        check("sibling" in text, text)
        w.host.send(own, b"true", VM, port(7000))
        same(w.guest.recv(server)[0], b"true", "only the host's")


@datagrams
def test_broadcast(w):
    p = w.p
    with w.guest.socket(BROADCAST, ODD) as hears, \
            w.guest.socket(PARENT, ODD) as too, \
            w.box.socket(BROADCAST, ODD) as below, \
            w.host.socket() as s, w.guest.socket() as g:
        w.host.send(s, b"to all", BROADCAST, ODD)
        for x in (hears, too):
            same(w.guest.recv(x), (b"to all", (PARENT, LIB.own(s)[1])), "it")
        # an answer reaches who sent it
        w.guest.send(too, b"me", PARENT, LIB.own(s)[1])
        same(w.host.recv(s), (b"me", (VM, ODD)), "an answer")
        # the guest's own reaches its containers, and not the host
        with w.host.socket(CHILDREN, ODD) as up:
            w.guest.send(g, b"down", BROADCAST, ODD)
            same(w.box.recv(below), (b"down", (PARENT, LIB.own(g)[1])),
                 "the container hears the guest only")
            w.guest.send(g, b"up", PARENT, ODD)
            same(w.host.recv(up)[0], b"up", "the host did not hear it")
    with w.host.socket() as s:
        # nobody is there: that is nobody's error
        w.host.send(s, b"anybody?", BROADCAST, port(7000))


@datagrams
def test_policy_of_both_sides(w):
    p = w.p
    with w.host.socket(CHILDREN, ODD) as server, w.guest.socket() as client:
        def sends():
            w.guest.send(client, b"x", PARENT, ODD)
        sends()
        same(w.host.recv(server)[0], b"x", "allowed")
        who = VM, LIB.own(client)[1]
        for b, name in ((p.h, "the host"), (p.g, "the guest")):
            b.put("services.d/odd.conf",
                  "[Service]\nServiceId=%s\nPolicy=disabled\n" % ODD)
            # a yes of the library's holds for a second
            check(until(lambda: not works(sends)), name)
            refused("disabled", errno.EINVAL, sends)
            b.put("services.d/odd.conf",
                  "[Service]\nServiceId=%s\nConnect=user:4242\n" % ODD)
            refused("connect denied", errno.EACCES, sends)
            b.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
            sends()
        os.remove(p.h.config + "/services.d/odd.conf")
        check(until(lambda: not works(sends)), "not registered any more")
        text = refused("not registered", errno.EACCES, sends)
        check("with the host" in text, text)
    # a datagram that is on its way when rules change is dropped by the host
    before = dg.status(p.h)["dropped"].get("not registered", 0)
    with w.guest.socket() as client:
        raw = dg_frame(PARENT, ODD) + b"x"
        w.guest.bind(client, ZERO, ZERO)
        # (how many of those before are counted already is not known)
        for _ in range(100):
            client.send(raw)
        check(until(lambda: dg.status(p.h)["dropped"].get(
            "not registered", 0) >= before + 100), "counted")
    del who


def dg_frame(vmid, service):
    return b"\1\1\0\0" + address(vmid, service)


def works(function):
    try:
        function()
        return True
    except hvs.Refused:
        return False


@datagrams
def test_what_is_shown(w):
    p = w.p
    hvctl = os.environ["HVCTL"]

    def said(b, *words):
        return subprocess.run(
            [hvctl, *words], env=dict(os.environ, HVSOCKET_RUNTIME_DIR=b.run),
            capture_output=True, text=True, timeout=60).stdout
    out = said(p.g, "status")
    check("datagrams go over it" in out, out)
    out = said(p.h, "partition", "show", "vm1")
    check("datagrams" in out, out)
    same(dg.status(p.h)["uplinks"], 1, "uplinks")
    with w.host.socket(CHILDREN, ODD):
        for b, to in ((p.g, "parent:%s" % ODD), (p.h, "vm1:%s" % ODD)):
            with b.client() as c:
                e = c.call("explain", to=to, type="dgram")
            check(e["allowed"] and "over the uplink" in " ".join(e["steps"]),
                  "%s" % e)


@datagrams
def test_a_flood_costs_who_makes_it(w):
    p = w.p
    with w.host.socket(CHILDREN, port(7000)) as deaf, \
            w.host.socket(CHILDREN, ODD) as other, \
            w.guest.socket() as flood, w.guest.socket() as good:
        n = 3000
        for _ in range(n):
            w.guest.send(flood, bytes(5000), PARENT, port(7000))
        # the host's queue for the one that does not read is full, others work
        w.guest.send(good, b"good", PARENT, ODD)
        same(w.host.recv(other)[0], b"good", "another sender, another service")
        check(until(lambda: dg.status(p.h)["sent"] +
                    dg.status(p.g)["dropped"].get("queue full", 0) >= n),
              "all went somewhere")
        check(dg.status(p.h)["dropped"].get("queue full", 0) > 0,
              "dropped: %s" % dg.status(p.h))
        w.host.send(other, b"fine", VM, LIB.own(good)[1])
        same(w.guest.recv(good)[0], b"fine", "and back")
        del deaf


@datagrams
def test_brokers_and_relays_end(w):
    p = w.p
    with w.host.socket(CHILDREN, ODD) as server, w.guest.socket() as client:
        def both(what):
            w.guest.send(client, what, PARENT, ODD)
            got, who = w.host.recv(server)
            same(got, what, "there")
            w.host.send(server, what, *who)
            same(w.guest.recv(client)[0], what, "and back")
        both(b"before")
        for b in (p.h, p.g):
            relays = dg.relay(p.h), dg.relay(p.g)
            b.kill()
            b.start()
            p.up()
            check(until(w.carried), "again: %s" % p.uplink())
            both(b"the same sockets")
            same((dg.relay(p.h), dg.relay(p.g)), relays, "the same processes")
    for b in (p.h, p.g):
        os.kill(dg.relay(b), signal.SIGKILL)
        check(until(lambda: works_all(w)), "another one: %s" % p.uplink())


def works_all(w):
    try:
        with w.host.socket(CHILDREN, ODD) as server, \
                w.guest.socket() as client:
            w.guest.send(client, b"x", PARENT, ODD)
            return w.host.recv(server)[0] == b"x"
    except hvs.Refused:
        return False


@datagrams
def test_the_host_ends_it(w):
    """uplink.conf is what allows the uplink, datagrams included."""
    p = w.p
    with w.host.socket(CHILDREN, ODD), w.guest.socket() as client:
        p.h.put("services.d/uplink.conf", "[Service]\nPort=%d\n"
                "Policy=disabled\n" % UPLINK)
        check(until(lambda: dg.status(p.h)["uplinks"] == 0), "ended")
        text = refused("partition off", errno.EHOSTDOWN, w.guest.send, client,
                       b"x", PARENT, ODD)
        check("uplink is down" in text, text)
        p.h.put("services.d/uplink.conf", "[Service]\nPort=%d\n" % UPLINK)
        check(until(w.carried), "again")
        w.guest.send(client, b"x", PARENT, ODD)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Nothing)
