# SPDX-License-Identifier: MIT
"""rows - the rows of the address rules, played by members of partitions"""
import uuid

from hvb import *
from member import Member
from tap import check, same

IDS = {name: uuid.UUID("%08x-1111-4111-8111-111111111111" % i)
       for i, name in enumerate(("vm1", "vm2", "wsl", "open", "box", "vmbox",
                                 "off"), 1)}
WORDS = {"WILDCARD": WILDCARD, "CHILDREN": CHILDREN, "PARENT": PARENT,
         "LOOPBACK": LOOPBACK, "SILOHOST": SILOHOST, "BROADCAST": BROADCAST,
         "nobody": uuid.UUID("99999999-1111-4111-8111-111111111111")}

REASONS = {NOT_REGISTERED: "not registered", BIND_DENIED: "bind denied",
           CONNECT_DENIED: "connect denied", DISABLED: "disabled",
           NO_LISTENER: "no listener",
           WILDCARD_NOT: "wildcard bind not allowed to match",
           UNKNOWN: "partition unknown", OFF: "partition off",
           NO_ANSWER: "no answer", TAKEN: "address taken",
           NOT_DESTINATION: "not a destination", TYPE: "type not carried",
           NO_BROKER: "no broker"}

YES = "yes"


def no(step, reason, number=None):
    """Refused; number: the errno, where it is not the reason's own."""
    return step, reason, number or ERRNO[reason]


def refused(got, step, reason, where, number=None):
    want = (number or ERRNO[reason], REASONS[reason])
    same((got.get("errno"), got.get("reason")), want, "%s: %s" % (
        where, got.get("text", got)))
    check(len(got["text"]) > 10, "a sentence")


def play(place, row, listener, bound, service, connector, to, result,
         seen=None, more=None, kind=1):
    where = "row %s: %s bound to %s, %s connects to %s" % (
        row, listener, bound, connector, to)
    a = place.members[listener][0]
    d = place.members[connector][1] if connector else None
    step, reason, number = (None,) * 3 if result == YES else result

    def vmid(word):
        return str(WORDS.get(word) or IDS.get(word, ZERO))

    try:
        got = a.ask("bind", vmid=vmid(bound), service=str(service), kind=kind)
        if step == "bind":
            refused(got, step, reason, where, number)
            return
        same(got, {"own": [vmid(bound), str(service)]}, where + ": bind")
        got = a.ask("listen")
        if step == "listen":
            refused(got, step, reason, where, number)
            return
        same(got, {}, where + ": listen")
        if not d:
            return
        got = d.ask("connect", vmid=vmid(to), service=str(service),
                    kind=kind, **(more or {}))
        if step == "connect":
            refused(got, step, reason, where, number)
            return
        check("peer" in got, "%s: %r" % (where, got))
        same(got["peer"], [vmid(to), str(service)], where + ": its peer")
        number = got["own"][1]
        same(got["own"][0], str(ZERO), where + ": its own name")
        got = a.ask("accept")
        same(got.get("peer"), [vmid(seen), number], where +
             ": the peer of the accepting end")
        same(got["data"], "over", where + ": data")
    finally:
        a.ask("close")
        if d:
            d.ask("close")


def play_all(place, entries):
    """Each is what play() takes; every one that fails is told of."""
    failed = 0
    for entry in entries:
        try:
            play(place, *entry)
        except AssertionError as e:
            failed += 1
            print("# %s" % e)
    same(failed, 0, "rows that are not as they should be")


REGISTERED, NO_BIND, TURNED_OFF, UNREGISTERED, NO_CONNECT = map(
    port, (5000, 5001, 5002, 5003, 5004))


class Place:
    """One broker, and two members in each of its partitions; in all those of
    IDS but "off"."""

    def __init__(self, work, *options, profile=None, more=()):
        """more: partitions, each a name and its lines"""
        self.b = Broker(*options)
        self.profile, self.more = profile, more

    def __enter__(self):
        b = self.b.start()
        b.service("registered", 5000)
        b.service("nobind", 5001, "Bind=none")
        b.service("disabled", 5002, "Policy=disabled")
        b.service("noconnect", 5004, "Connect=user:4242")
        b.service("beside", 5007, "Siblings=vm2 box")
        for name, *lines in (
                ("vm1", "Kind=vm"), ("vm2", "Kind=vm"), ("off", "Kind=vm"),
                ("wsl", "Kind=vm", "[Defaults]", "AllowWildcardBinds=no",
                 "[Service 5005]", "Policy=enabled"),
                ("open", "Kind=vm", "[Defaults]", "AllowWildcardBinds=no",
                 "[Service registered]", "AllowWildcardBinds=yes"),
                ("box", "Kind=container"),
                ("vmbox", "Kind=container", "Parent=vm1"), *self.more):
            b.partition(name, *lines, vmid=IDS[name])
        with b.client() as c:
            same(c.call("status")["problems"], [], "problems")
        self.members = {}
        for name in ("host", "vm1", "vm2", "wsl", "open", "box", "vmbox",
                     *(m[0] for m in self.more)):
            directory = b.run if name == "host" else \
                "%s/broker/partitions/%s" % (b.run, IDS[name])
            two = [Member(directory, profile=self.profile) for _ in range(2)]
            self.members[name] = two
            for m in two:
                same((m.vmid, m.name),
                     (IDS.get(name, ZERO), name if name != "host" else m.name),
                     "who %s is" % name)
        return self

    def __exit__(self, *exc):
        for two in self.members.values():
            for m in two:
                m.end()
        self.b.end(check=exc[0] is None)
