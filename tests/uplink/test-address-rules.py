#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The address rules where VMs have brokers of their own, row by row

The rows are those of tests/broker/test-address-rules.py. A member of a VM is a
process at that VM's broker, one of a container in it has the directory that
this broker made for the container, in namespaces of its own. What differs is
said: the host does not take the guest's word for which container asks.
"""
import sys

import tap
from hvb import *
from member import Member
from pair import *
from rows import *
from tap import same

ANY_ID = uuid.UUID("0c0ffee0-1111-4111-8111-111111111111")  # registered

# row, listener in, bound to, service, connector in, connects to, result,
# the connector as the listener sees it; more for connect
BESIDE = port(5007)

TABLE = [
    (1, "host", "vm1", REGISTERED, "vm1", "PARENT", YES, "vm1"),
    (2, "host", "vm1", REGISTERED, "vm2", "PARENT", no("connect", NO_LISTENER)),
    (3, "host", "CHILDREN", REGISTERED, "vm1", "PARENT", YES, "vm1"),
    (4, "host", "WILDCARD", REGISTERED, "vm1", "PARENT", YES, "vm1"),
    (5, "host", "CHILDREN", REGISTERED, "wsl", "PARENT",
     no("connect", WILDCARD_NOT)),
    (5, "host", "WILDCARD", REGISTERED, "wsl", "PARENT",
     no("connect", WILDCARD_NOT)),
    (6, "host", "CHILDREN", ANY_ID, "wsl", "PARENT", YES, "wsl"),
    (6, "host", "WILDCARD", ANY_ID, "wsl", "PARENT", YES, "wsl"),
    (8, "host", "LOOPBACK", UNREGISTERED, "host", "LOOPBACK", YES, "LOOPBACK"),
    (9, "host", "CHILDREN", REGISTERED, "host", "LOOPBACK",
     no("connect", NO_LISTENER)),
    (10, "host", "PARENT", REGISTERED, None, None, no("bind", NOT_DESTINATION)),
    (11, "vm1", "PARENT", UNREGISTERED, "host", "vm1", YES, "PARENT"),
    (12, "vm1", "WILDCARD", UNREGISTERED, "host", "vm1", YES, "PARENT"),
    (13, "vm1", "CHILDREN", REGISTERED, "host", "vm1",
     no("connect", NO_LISTENER)),
    (14, "vm1", "LOOPBACK", UNREGISTERED, "vm1", "LOOPBACK", YES, "LOOPBACK"),
    (14, "vm1", "WILDCARD", UNREGISTERED, "vm1", "LOOPBACK", YES, "LOOPBACK"),
    ("14, the parent's", "vm1", "PARENT", UNREGISTERED, "vm1", "LOOPBACK",
     no("connect", NO_LISTENER)),
    (15, "vm1", "WILDCARD", REGISTERED, "vm2", "vm1", no("connect", UNKNOWN)),
    (15, "vm1", "PARENT", REGISTERED, "vm2", "vm1", no("connect", UNKNOWN)),
    (15, "vm1", "LOOPBACK", REGISTERED, "vm2", "vm1", no("connect", UNKNOWN)),
    # where the host's Siblings= names vm2; the guest knows its host only
    (15, "vm1", "WILDCARD", BESIDE, "vm2", "vm1", YES, "PARENT"),
    (15, "vm1", "CHILDREN", BESIDE, "vm2", "vm1", no("connect", NO_LISTENER)),
    (15, "vm2", "WILDCARD", BESIDE, "vm1", "vm2",
     no("connect", CONNECT_DENIED)),
    (16, "vm1", "CHILDREN", REGISTERED, "vmbox", "PARENT", YES, "vmbox"),
    ("16, wildcard", "vm1", "WILDCARD", REGISTERED, "vmbox", "PARENT", YES,
     "vmbox"),
    ("16, not the host", "host", "WILDCARD", REGISTERED, "vmbox", "PARENT",
     no("connect", NO_LISTENER)),
    (17, "vm1", "WILDCARD", REGISTERED, "vmbox", "SILOHOST", YES, "vmbox"),
    (17, "vm1", "vmbox", REGISTERED, "vmbox", "SILOHOST", YES, "vmbox"),
    (18, "host", "vm1", REGISTERED, "vmbox", "PARENT", YES, "vm1",
     {"passthru": 1}),
    ("18, its own id", "host", "vmbox", REGISTERED, "vmbox", "PARENT",
     no("connect", NO_LISTENER), None, {"passthru": 1}),
    (18, "host", "vm1", REGISTERED, "vmbox", "PARENT",
     no("connect", NO_LISTENER)),
    (19, "vmbox", "WILDCARD", UNREGISTERED, "host", "vmbox", YES, "PARENT"),
    (20, "vmbox", "PARENT", UNREGISTERED, "host", "vmbox",
     no("connect", NO_LISTENER)),
    (21, "vmbox", "PARENT", UNREGISTERED, "vm1", "vmbox", YES, "PARENT"),
    (21, "vmbox", "SILOHOST", UNREGISTERED, "vm1", "vmbox", YES, "PARENT"),
    (22, "vm1", "WILDCARD", REGISTERED, "vm1", "WILDCARD",
     no("connect", NOT_DESTINATION)),
    (22, "vm1", "WILDCARD", REGISTERED, "vm1", "CHILDREN",
     no("connect", NOT_DESTINATION)),
    (23, "host", "vm1", NO_BIND, None, None, no("bind", BIND_DENIED)),
    (23, "host", "WILDCARD", NO_BIND, "vm1", "PARENT",
     no("connect", WILDCARD_NOT)),
    (25, "host", "vm1", UNREGISTERED, None, None, no("bind", NOT_REGISTERED)),
    # What an application sees besides.
    ("disabled with the host", "host", "WILDCARD", TURNED_OFF, "vm1", "PARENT",
     no("connect", DISABLED)),
    ("disabled in the guest", "vm1", "WILDCARD", TURNED_OFF, "host", "vm1",
     no("connect", DISABLED)),
    ("connect denied by the host", "host", "WILDCARD", NO_CONNECT, "vm1",
     "PARENT", no("connect", CONNECT_DENIED)),
    ("connect denied in the guest", "vm1", "WILDCARD", NO_CONNECT, "host",
     "vm1", no("connect", CONNECT_DENIED)),
    ("not registered with the host", "host", "WILDCARD", UNREGISTERED, "vm1",
     "PARENT", no("connect", NOT_REGISTERED)),
    ("VM unknown", "host", "WILDCARD", REGISTERED, "vm1", "nobody",
     no("connect", UNKNOWN)),
    ("a container's host is not its sibling", "vmbox", "WILDCARD",
     UNREGISTERED, "vm2", "vmbox", no("connect", UNKNOWN)),
    ("bind to a VM unknown", "vm1", "nobody", REGISTERED, None, None,
     no("bind", UNKNOWN)),
    ("bind SILOHOST", "vm1", "SILOHOST", REGISTERED, None, None,
     no("bind", NOT_DESTINATION)),
    ("SILOHOST", "host", "WILDCARD", REGISTERED, "vm1", "SILOHOST",
     no("connect", NOT_DESTINATION)),
]


class Place:
    def __init__(self, work):
        self.h = Broker()

    def __enter__(self):
        h = self.h.start()
        h.service("uplink", UPLINK, "ElementName=the uplink")
        self.pairs = [
            Pair("vm1", IDS["vm1"], IDS["vmbox"], host=h).__enter__(),
            Pair("vm2", IDS["vm2"], None, host=h).__enter__(),
            Pair("wsl", IDS["wsl"], None, host=h).__enter__()]
        h.partition("wsl", "Kind=vm", "[Defaults]", "AllowWildcardBinds=no",
                    "[Service %s]" % ANY_ID, "AllowWildcardBinds=yes",
                    vmid=IDS["wsl"])
        for b in [h] + [p.g for p in self.pairs]:
            b.service("registered", 5000)
            b.service("beside", 5007, *(["Siblings=vm2"] if b is h else []))
            b.service("nobind", 5001, "Bind=none")
            b.service("disabled", 5002, "Policy=disabled")
            b.service("noconnect", 5004, "Connect=user:4242")
            b.put("services.d/any.conf", "[Service]\nServiceId=%s\n" % ANY_ID)
            with b.client() as c:
                same(c.call("status")["problems"], [], "problems")
        g = [p.g for p in self.pairs]
        self.members = {
            name: [Member(directory) for _ in range(2)]
            for name, directory in (
                ("host", h.run), ("vm1", g[0].run), ("vm2", g[1].run),
                ("wsl", g[2].run),
                ("vmbox", "%s/broker/partitions/%s" % (g[0].run,
                                                       IDS["vmbox"])))}
        return self

    def __exit__(self, *exc):
        for two in self.members.values():
            for m in two:
                m.end()
        for p in self.pairs:
            p.__exit__(*exc)
        self.h.end(check=exc[0] is None)

    def diagnose(self):
        return "\n".join(self.pairs[0].said())


def test_rows(place):
    for row in TABLE:
        play(place, *row)


def other(service):
    """The same with an id that is no port, where it needs no registration,
    or is registered."""
    return {REGISTERED: ANY_ID, UNREGISTERED: ODD}.get(service)


def test_rows_with_ids_that_are_no_ports(place):
    for row in TABLE:
        if other(row[3]) and row[2] != "wsl" and row[4] != "wsl":
            play(place, *row[:3], other(row[3]), *row[4:])


def test_rows_of_raw(place):
    for row in TABLE:
        play(place, *row, kind=int(RAW))


def test_the_members(place):
    for name, two in place.members.items():
        for m in two:
            same((m.vmid, m.name if name == "vmbox" else None),
                 (IDS["vmbox"], "vmbox") if name == "vmbox" else (ZERO, None),
                 "who %s is to its own broker" % name)
    where = {tuple(m.namespaces) for m in sum(place.members.values(), [])}
    same(len(where), 10, "different namespaces")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Place)
