#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The profile "windows", row by row

Each row is played three times: by default, under a broker whose profile it is,
and by processes that chose it themselves (HVSOCKET_PROFILE) under a broker
whose profile it is not. Rows 1 to 25 are those of the wildcard matrix; the
others are rules and errors of docs/windows-profile.md, which names the sources.
"""
import errno
import os
import sys

import tap
from hvb import *
from member import Member
from rows import *
from tap import check, same
from transport import Transport
from users import refused_as, several

IDS.update((n, uuid.UUID("%08x-2222-4222-8222-222222222222" % i))
           for i, n in enumerate(("own", "nested", "nestedbox"), 1))
SERVED, BESIDE = port(5006), port(5007)
RAW = 5

NOBODY = no("connect", NO_LISTENER)
UNREACHED = no("connect", UNKNOWN)
NET = no("connect", UNKNOWN, errno.ENETUNREACH)
SAME = object()

# row, listener in, bound to, service, connector in, connects to, by default,
# with the profile, the connector as the listener sees it; more for play()
TABLE = [
    (1, "host", "vm1", REGISTERED, "vm1", "PARENT", YES, SAME, "vm1"),
    (2, "host", "vm1", REGISTERED, "vm2", "PARENT", NOBODY, SAME),
    (3, "host", "CHILDREN", REGISTERED, "vm1", "PARENT", YES, SAME, "vm1"),
    (4, "host", "WILDCARD", REGISTERED, "vm1", "PARENT", YES, SAME, "vm1"),
    # a table of its own, which does not mention wildcards
    (5, "host", "CHILDREN", REGISTERED, "own", "PARENT", YES,
     no("connect", WILDCARD_NOT), "own"),
    (5, "host", "WILDCARD", REGISTERED, "own", "PARENT", YES,
     no("connect", WILDCARD_NOT), "own"),
    (5, "host", "WILDCARD", REGISTERED, "wsl", "PARENT",
     no("connect", WILDCARD_NOT), SAME),
    (6, "host", "CHILDREN", REGISTERED, "open", "PARENT", YES, SAME, "open"),
    (6, "host", "WILDCARD", REGISTERED, "open", "PARENT", YES, SAME, "open"),
    (7, "host", "own", REGISTERED, "own", "PARENT", YES, SAME, "own"),
    (8, "host", "LOOPBACK", UNREGISTERED, "host", "LOOPBACK", YES, SAME,
     "LOOPBACK"),
    (8, "host", "WILDCARD", UNREGISTERED, "host", "LOOPBACK", YES, SAME,
     "LOOPBACK"),
    (9, "host", "CHILDREN", REGISTERED, "host", "LOOPBACK", NOBODY, SAME),
    (10, "host", "PARENT", REGISTERED, None, None,
     no("bind", NOT_DESTINATION), SAME),
    (11, "vm1", "PARENT", UNREGISTERED, "host", "vm1", YES, SAME, "PARENT"),
    (12, "vm1", "WILDCARD", UNREGISTERED, "host", "vm1", YES, SAME, "PARENT"),
    (13, "vm1", "CHILDREN", REGISTERED, "host", "vm1", NOBODY, SAME),
    (14, "vm1", "LOOPBACK", UNREGISTERED, "vm1", "LOOPBACK", YES, SAME,
     "LOOPBACK"),
    (14, "vm1", "WILDCARD", UNREGISTERED, "vm1", "LOOPBACK", YES, SAME,
     "LOOPBACK"),
    (15, "vm1", "WILDCARD", REGISTERED, "vm2", "vm1", UNREACHED, NET),
    (15, "vm1", "WILDCARD", BESIDE, "vm2", "vm1", YES, NET, "vm2"),
    (15, "vm1", "vm2", BESIDE, "vm2", "vm1", YES, no("bind", UNKNOWN), "vm2"),
    (15, "vm2", "WILDCARD", BESIDE, "vm1", "vm2",
     no("connect", CONNECT_DENIED), SAME),
    (16, "vm1", "CHILDREN", REGISTERED, "vmbox", "PARENT", YES, SAME, "vmbox"),
    (17, "vm1", "WILDCARD", REGISTERED, "vmbox", "SILOHOST", YES, SAME,
     "vmbox"),
    (18, "host", "vmbox", REGISTERED, "vmbox", "PARENT", YES, SAME, "vmbox",
     {"more": {"passthru": 1}}),
    (18, "host", "vmbox", REGISTERED, "vmbox", "PARENT", NOBODY, SAME),
    (19, "vmbox", "WILDCARD", UNREGISTERED, "host", "vmbox", YES, SAME,
     "PARENT"),
    (20, "vmbox", "PARENT", UNREGISTERED, "host", "vmbox", NOBODY, SAME),
    (21, "box", "PARENT", UNREGISTERED, "host", "box", YES, SAME, "PARENT"),
    (22, "host", "WILDCARD", REGISTERED, "host", "WILDCARD",
     no("connect", NOT_DESTINATION), SAME),
    (22, "host", "WILDCARD", REGISTERED, "host", "CHILDREN",
     no("connect", NOT_DESTINATION), SAME),
    (23, "host", "vm1", NO_BIND, None, None, no("bind", BIND_DENIED), SAME),
    (23, "host", "WILDCARD", NO_BIND, "vm1", "PARENT",
     no("connect", WILDCARD_NOT), SAME),
    (24, "host", "wsl", port(5005), "wsl", "PARENT", YES, SAME, "wsl"),
    (25, "host", "vm1", UNREGISTERED, None, None,
     no("bind", NOT_REGISTERED), SAME),
    # rules
    ("SOCK_STREAM only", "host", "LOOPBACK", REGISTERED, "host", "LOOPBACK",
     YES, no("bind", TYPE, errno.ESOCKTNOSUPPORT), "LOOPBACK", {"kind": RAW}),
    ("BROADCAST has no use", "host", "BROADCAST", REGISTERED, None, None,
     no("bind", NOT_DESTINATION), SAME),
    ("a partition is LOOPBACK to itself", "vm1", "LOOPBACK", REGISTERED, "vm1",
     "vm1", YES, NET, "LOOPBACK"),
    ("no way between siblings", "vm1", "WILDCARD", REGISTERED, "box", "vm1",
     UNREACHED, NET),
    ("no way between siblings", "box", "WILDCARD", BESIDE, "vm2", "box", YES,
     NET, "vm2"),
    ("one host and its partitions", "nested", "WILDCARD", UNREGISTERED,
     "host", "nested", YES, NET, "PARENT"),
    ("one host and its partitions", "nestedbox", "WILDCARD", UNREGISTERED,
     "host", "nestedbox", YES, NET, "PARENT"),
    ("one host and its partitions", "nestedbox", "WILDCARD", UNREGISTERED,
     "vm1", "nestedbox", YES, SAME, "PARENT"),
    ("one host and its partitions", "host", "nested", REGISTERED, None, None,
     YES, no("bind", UNKNOWN)),
    ("passthru is of containers", "host", "nested", REGISTERED, "nested",
     "PARENT", YES, no("bind", UNKNOWN), "nested", {"more": {"passthru": 1}}),
    ("passthru is of containers", "host", "WILDCARD", REGISTERED, "nested",
     "PARENT", YES, no("connect", NOT_DESTINATION), "nested",
     {"more": {"passthru": 1}}),
    # errors
    ("disabled, exact", "host", "vm1", TURNED_OFF, None, None,
     no("listen", DISABLED), SAME),
    ("disabled, from the host", "vm1", "WILDCARD", TURNED_OFF, "host", "vm1",
     no("connect", DISABLED), SAME),
    ("disabled, from a guest", "host", "WILDCARD", TURNED_OFF, "vm1",
     "PARENT", no("connect", DISABLED),
     no("connect", DISABLED, errno.ECONNREFUSED)),
    ("not registered, from a guest", "host", "WILDCARD", UNREGISTERED, "vm1",
     "PARENT", no("connect", NOT_REGISTERED),
     no("connect", NOT_REGISTERED, errno.ECONNREFUSED)),
    ("connect denied, from the host", "vm1", "WILDCARD", NO_CONNECT, "host",
     "vm1", no("connect", CONNECT_DENIED), SAME),
    ("connect denied, from a guest", "host", "WILDCARD", NO_CONNECT, "vm1",
     "PARENT", no("connect", CONNECT_DENIED),
     no("connect", CONNECT_DENIED, errno.ECONNREFUSED)),
    ("unknown", "host", "WILDCARD", REGISTERED, "host", "nobody", UNREACHED,
     NET),
    ("off", "host", "WILDCARD", REGISTERED, "host", "off",
     no("connect", OFF), no("connect", OFF, errno.ENETUNREACH)),
]


OWN = [
    ("own", "Kind=vm", "[Service registered]", "Policy=enabled"),
    ("nested", "Kind=vm", "Parent=vm1"),
    ("nestedbox", "Kind=container", "Parent=nested"),
]


class Three:
    """By default, by the broker's profile, by the members' own."""

    def __init__(self, work):
        self.default = Place(work, more=OWN)
        self.broker = Place(work, "--profile", "windows", more=OWN)
        self.own = Place(work, profile="windows", more=OWN)

    def __enter__(self):
        for p in (self.default, self.broker, self.own):
            p.__enter__()
        return self

    def __exit__(self, *exc):
        for p in (self.default, self.broker, self.own):
            p.__exit__(*exc)


def table(place, windows):
    entries = []
    for *row, ours, theirs, seen, more in (
            e + (None,) * (9 - len(e)) + (({},) if len(e) < 10 else ())
            for e in TABLE):
        result = theirs if windows and theirs is not SAME else ours
        entries.append((*row, result, seen, more.get("more"),
                        more.get("kind", 1)))
    play_all(place, entries)


def test_default(three):
    table(three.default, False)


def test_profile_of_the_broker(three):
    table(three.broker, True)


def test_profile_of_the_program(three):
    table(three.own, True)
    same({e[0] for e in TABLE if isinstance(e[0], int)}, set(range(1, 26)),
         "rows")


def test_the_reason_names_the_rule(three):
    for place in (three.broker, three.own):
        m = place.members["vm1"][1]
        got = m.ask("connect", vmid=str(IDS["vm1"]), service=str(REGISTERED))
        check(got["text"].startswith("not on Windows: ") and
              'profile "windows"' in got["text"], str(got))
        m.ask("close")


def test_the_listeners_own_profile(three):
    """Who has chosen it hears only what it would hear on Windows, whoever
    connects; also from a broker that was started again."""
    b, members = three.default.b, three.default.members
    m = Member(b.run, profile="windows")
    check("own" in m.ask("bind", vmid=str(CHILDREN), service=str(REGISTERED)),
          "bound")
    same(m.ask("listen"), {}, "listens")

    def asks(name):
        d = members[name][0]
        got = d.ask("connect", vmid=str(PARENT), service=str(REGISTERED))
        d.ask("close")
        return got

    for _ in range(2):
        check("peer" in asks("vm1"), "a VM without a table")
        m.ask("accept")
        # without the profile wildcards match that one, too
        refused(asks("own"), "connect", WILDCARD_NOT, "a table of its own")
        refused(asks("nested"), "connect", NO_LISTENER, "its parent is a VM")
        b.restart()
        check(until(lambda: b.serves() is None), "again")
    got = explain(three.default, "PARENT:5000", **{"from": "own"})
    check("table of its own" in got["text"], str(got))
    m.ask("close")
    # and in a VM: by whom it is registered, and who connects
    inside = Member("%s/broker/partitions/%s" % (b.run, IDS["nested"]),
                    profile="windows")
    inside.ask("bind", vmid=str(WILDCARD), service=str(UNREGISTERED))
    inside.ask("listen")
    d = members["host"][0]
    got = d.ask("connect", vmid=str(IDS["nested"]), service=str(UNREGISTERED))
    d.ask("close")
    inside.ask("close")
    # past its own child the host would not get on Windows
    refused(got, "connect", UNKNOWN, "too deep")
    check("not on Windows" in got["text"], got["text"])
    for x in (m, inside):
        x.end()


def explain(place, to, **more):
    with place.b.client() as c:
        return c.call("explain", to=to, **more)


def test_explain(three):
    to = "%s:5003" % IDS["nested"]
    m = three.default.members["nested"][0]
    with three.default.b.client() as c:
        m.ask("bind", vmid=str(WILDCARD), service=str(UNREGISTERED))
        m.ask("listen")
        same(c.call("explain", to=to)["allowed"], True, "by default")
        got = c.call("explain", to=to, profile="windows")
        same((got["allowed"], got["error"], got["reason"]),
             (False, "ENETUNREACH", "partition unknown"), "by the profile")
        check("one host and its partitions" in got["rule"], got["rule"])
        check(refusal(c.call, "explain", to=to, profile="x"), "no such one")
        m.ask("close")
    got = explain(three.broker, to)
    check("one host and its partitions" in got["rule"], got["rule"])
    with three.broker.b.client() as c:
        # nobody gets out of the broker's by asking for another
        got = c.call("explain", to=to, profile="default")
        same(got["allowed"], False, "the broker's profile stays")
        same(c.call("status")["profile"], "windows", "status")


def test_options_and_types_that_windows_lacks(three):
    host = three.own.members["host"][0]
    same(three.default.members["host"][0].ask("option"), {}, "by default")
    got = host.ask("option")
    same(got["errno"], errno.ENOPROTOOPT, "WAIT_LISTENER")
    for kind in socket.SOCK_DGRAM, RAW, socket.SOCK_RAW:
        got = host.ask("bind", vmid=str(LOOPBACK), service=str(REGISTERED),
                       kind=int(kind))
        same((got["errno"], got["reason"]),
             (errno.ESOCKTNOSUPPORT, REASONS[TYPE]), "socket(%d)" % kind)
    with three.broker.b.client() as c:
        s = socket.socket(socket.AF_UNIX)
        e = refusal(c.connect, s, LOOPBACK, REGISTERED, flags=WAIT)
        check(e and e.errno == errno.EINVAL and "not on Windows" in e.text,
              "flag WAIT")


def test_what_only_the_guest_knows(three):
    """Its refusals, and its transport's end, are the profile's errors too."""
    for place, profile, number in (
            (three.default, b"", errno.EHOSTDOWN),
            (three.default, b"windows", errno.ENETUNREACH),
            (three.broker, b"", errno.ENETUNREACH)):
        b = place.b
        expected = (number, OFF)
        t = Transport(b, "off", answer=lambda conn: OFF)
        with b.client(hello=False) as c, b.client() as other:
            c.ask(HELLO, struct.pack("<II", 1, 1) + profile).check()
            e = refusal(c.dial, t.vmid, REGISTERED)
            same((e.errno, e.reason), expected, "at once")
            # the transport, held up, answers when the program has gone
            with socket.socket(socket.AF_UNIX) as s:
                s.setblocking(False)
                with t.lock:
                    _, token = c.end_connect(c.start_connect(
                        s, t.vmid, REGISTERED, flags=NONBLOCK))
                    c.close()
                    other.call("status")
                result = lambda: struct.unpack_from("<III", other.ask(
                    RESULT, struct.pack("<Q", token)).check().payload)
                check(until(lambda: result()[0] == 3), "it failed")
                same(result()[1:], expected, "without its program")
        with b.client(hello=False) as c, socket.socket(socket.AF_UNIX) as s:
            c.ask(HELLO, struct.pack("<II", 1, 1) + profile).check()
            t.answer = lambda conn: "silence"
            s.setblocking(False)
            serial = c.start_connect(s, t.vmid, REGISTERED)
            check(t.wait(lambda: [x for x in t.conns.values() if x.serial]),
                  "asked")
            t.end()
            e = refusal(c.end_connect, serial)
            same((e.errno, e.reason), expected, "its transport's end")


def test_a_profile_that_is_unknown(three):
    for name in ("x", "Windows", "a name that is longer than any profile's"):
        with three.default.b.client(hello=False) as c:
            e = refusal(lambda: c.ask(HELLO, struct.pack("<II", 1, 1) +
                                      name.encode()).check())
            check(e and e.errno == errno.EINVAL, name)
            c.ask(HELLO, struct.pack("<II", 1, 1) + b"windows").check()


@several
def test_who_registers(three):
    """A user of the host."""
    b = three.default.b
    os.chmod(b.run, 0o755)
    for profile, number in (b"", 0), (b"windows", errno.EPERM):
        def registers():
            with b.client(hello=False) as c:
                c.ask(HELLO, struct.pack("<II", 1, 1) + profile).check()
                c.call("service.add", name="theirs", lease="connection")

        same(refused_as(61234, registers), number, "profile %r" % profile)


def test_target_is_no_listener(three):
    """Target= has no counterpart: the daemon does not listen on the service."""
    for place, allowed in ((three.default, True), (three.broker, False)):
        b = place.b
        path = os.path.join(b.run, "daemon")
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.bind(path)
            daemon.listen()
            b.service("served", 5006, "Target=unix:" + path)
            got = explain(place, "parent:5006", **{"from": "vm1"})
            same(got["allowed"], allowed, str(got))
            if not allowed:
                check("Target=" in got["text"], got["text"])
            b.drop("services.d/served.conf")


class Told(Transport):
    """Which remembers what it is told to close."""

    def __init__(self, *args, **more):
        self.closes = []
        super().__init__(*args, **more)

    def handle(self, data, fds):
        if struct.unpack_from("<H", data)[0] == CLOSE:
            self.closes.append(struct.unpack_from("<QI", data, 8))
        super().handle(data, fds)


def members_own(b):
    """A client whose program has chosen the profile."""
    c = b.client(hello=False)
    c.ask(HELLO, struct.pack("<II", 1, 1) + b"windows").check()
    return c


def test_chosen_after_the_connect(_):
    """A listener's profile is nothing to a connection that is there."""
    with Broker() as b:
        b.partition("vm1", "Kind=vm", "[Defaults]", "Policy=enabled")
        b.service("served", 5000)
        t = Told(b, "vm1", types=1)
        with b.client() as c, members_own(b) as w:
            with c.serve(WILDCARD, REGISTERED) as listener:
                token, guest = t.dial(PARENT, REGISTERED)
                accepted, _ = listener.accept()
            with w.serve(WILDCARD, REGISTERED):
                e = refusal(t.dial, PARENT, REGISTERED)
                same(e and e.reason, WILDCARD_NOT, "a new one")
                b.service("other", 7777)
                check(until(lambda: "other" in str(c.call("service.list"))),
                      "the policy has changed")
                check(refusal(t.dial, PARENT, port(9999)),
                      "what came before has been seen")
                same(t.closes, [], "the old one")
                b.service("served", 5000, "Policy=disabled")
                check(until(lambda: t.closes == [(token, NO_LONGER)]),
                      "rules still hold")
            guest.close()
            accepted.close()
        t.end()


def test_a_refused_listener_that_died(_):
    """Its program has closed it and goes on: the refusal is not its."""
    for asks in "dial", "explain":
        with Broker() as b:
            b.partition("vm1", "Kind=vm", "[Defaults]", "Policy=enabled")
            b.service("served", 5000)
            t = Transport(b, "vm1", types=1)
            with b.client() as c, members_own(b) as w:
                with w.serve(WILDCARD, REGISTERED):
                    e = refusal(t.dial, PARENT, REGISTERED)
                    same(e.reason, WILDCARD_NOT, "while it lives")
                if asks == "dial":
                    e = refusal(t.dial, PARENT, REGISTERED)
                    same(e.reason, NO_LISTENER, e.text)
                else:
                    got = c.call("explain", to="parent:5000", **{
                        "from": "vm1"})
                    check("nobody" in got["text"], got["text"])
                same(os.listdir(b.run + "/broker/listeners"), [], asks)
            t.end()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Three)
