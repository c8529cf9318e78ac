#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The address rules, row by row, and the errors of applications

The rows are those of the wildcard matrix of Hyper-V sockets (hvsocket(7),
"Address rules"). Every process stands in a mount, a pid and a network
namespace of its own and has its partition's directory at /run/hvsocket. A VM
is played by such processes where nothing depends on how its bytes travel; the
rows where something does (GUEST) are run again with a real guest by
tests/guest/test-address-rules.py.
"""
import os
import sys

import tap
from hvb import *
from rows import *
from tap import check, same
from transport import Transport

GUEST = {1, 2, 3, 4, 11, 12, 13, 14}  # again in tests/guest

# row, listener in, bound to, service, connector in, connects to, result,
# the connector as the listener sees it; more for connect
TABLE = [
    (1, "host", "vm1", REGISTERED, "vm1", "PARENT", YES, "vm1"),
    (2, "host", "vm1", REGISTERED, "vm2", "PARENT", no("connect", NO_LISTENER)),
    (3, "host", "CHILDREN", REGISTERED, "vm1", "PARENT", YES, "vm1"),
    (4, "host", "WILDCARD", REGISTERED, "vm1", "PARENT", YES, "vm1"),
    (5, "host", "CHILDREN", REGISTERED, "wsl", "PARENT",
     no("connect", WILDCARD_NOT)),
    (5, "host", "WILDCARD", REGISTERED, "wsl", "PARENT",
     no("connect", WILDCARD_NOT)),
    (6, "host", "CHILDREN", REGISTERED, "open", "PARENT", YES, "open"),
    (6, "host", "WILDCARD", REGISTERED, "open", "PARENT", YES, "open"),
    (7, "host", "WILDCARD", port(5000), "wsl", "PARENT",
     no("connect", WILDCARD_NOT)),
    (7, "host", "wsl", port(5000), "wsl", "PARENT", YES, "wsl"),
    (8, "host", "LOOPBACK", UNREGISTERED, "host", "LOOPBACK", YES, "LOOPBACK"),
    (8, "host", "WILDCARD", UNREGISTERED, "host", "LOOPBACK", YES, "LOOPBACK"),
    (9, "host", "CHILDREN", REGISTERED, "host", "LOOPBACK",
     no("connect", NO_LISTENER)),
    (10, "host", "PARENT", REGISTERED, None, None, no("bind", NOT_DESTINATION)),
    (11, "vm1", "PARENT", UNREGISTERED, "host", "vm1", YES, "PARENT"),
    (12, "vm1", "WILDCARD", UNREGISTERED, "host", "vm1", YES, "PARENT"),
    (13, "vm1", "CHILDREN", REGISTERED, "host", "vm1",
     no("connect", NO_LISTENER)),
    (14, "vm1", "LOOPBACK", UNREGISTERED, "vm1", "LOOPBACK", YES, "LOOPBACK"),
    (14, "vm1", "WILDCARD", UNREGISTERED, "vm1", "LOOPBACK", YES, "LOOPBACK"),
    (15, "vm1", "WILDCARD", REGISTERED, "vm2", "vm1", no("connect", UNKNOWN)),
    (15, "vm1", "PARENT", REGISTERED, "vm2", "vm1", no("connect", UNKNOWN)),
    (15, "vm1", "LOOPBACK", REGISTERED, "vm2", "vm1", no("connect", UNKNOWN)),
    # where Siblings= names vm2, and box
    (15, "vm1", "WILDCARD", port(5007), "vm2", "vm1", YES, "vm2"),
    (15, "vm1", "vm2", port(5007), "vm2", "vm1", YES, "vm2"),
    (15, "vm1", "WILDCARD", port(5007), "box", "vm1", YES, "box"),
    (15, "vm1", "vm2", port(5007), "box", "vm1", no("connect", NO_LISTENER)),
    (15, "vm1", "PARENT", port(5007), "vm2", "vm1",
     no("connect", NO_LISTENER)),
    (15, "vm2", "WILDCARD", port(5007), "vm1", "vm2",
     no("connect", CONNECT_DENIED)),
    (15, "vm1", "open", port(5007), None, None, no("bind", CONNECT_DENIED)),
    (16, "vm1", "CHILDREN", REGISTERED, "vmbox", "PARENT", YES, "vmbox"),
    (17, "vm1", "WILDCARD", REGISTERED, "vmbox", "SILOHOST", YES, "vmbox"),
    (17, "vm1", "vmbox", REGISTERED, "vmbox", "SILOHOST", YES, "vmbox"),
    (18, "host", "vmbox", REGISTERED, "vmbox", "PARENT", YES, "vmbox",
     {"passthru": 1}),
    (18, "host", "vmbox", REGISTERED, "vmbox", "PARENT",
     no("connect", NO_LISTENER)),
    (19, "vmbox", "WILDCARD", UNREGISTERED, "host", "vmbox", YES, "PARENT"),
    (20, "vmbox", "PARENT", UNREGISTERED, "host", "vmbox",
     no("connect", NO_LISTENER)),
    (21, "box", "PARENT", UNREGISTERED, "host", "box", YES, "PARENT"),
    (21, "box", "SILOHOST", UNREGISTERED, "host", "box", YES, "PARENT"),
    (22, "host", "WILDCARD", REGISTERED, "host", "WILDCARD",
     no("connect", NOT_DESTINATION)),
    (22, "host", "WILDCARD", REGISTERED, "host", "CHILDREN",
     no("connect", NOT_DESTINATION)),
    (22, "host", "WILDCARD", REGISTERED, "host", "BROADCAST",
     no("connect", NOT_DESTINATION)),
    (22, "host", "WILDCARD", REGISTERED, "host", "PARENT",
     no("connect", NOT_DESTINATION)),
    (23, "host", "vm1", NO_BIND, None, None, no("bind", BIND_DENIED)),
    (23, "host", "WILDCARD", NO_BIND, "vm1", "PARENT",
     no("connect", WILDCARD_NOT)),
    (24, "host", "wsl", port(5005), "wsl", "PARENT", YES, "wsl"),
    (25, "host", "vm1", UNREGISTERED, None, None, no("bind", NOT_REGISTERED)),
    # What an application sees besides.
    ("disabled, exact", "host", "vm1", TURNED_OFF, None, None,
     no("listen", DISABLED)),
    ("disabled, from the host", "vm1", "WILDCARD", TURNED_OFF, "host", "vm1",
     no("connect", DISABLED)),
    ("connect denied", "vm1", "WILDCARD", NO_CONNECT, "host", "vm1",
     no("connect", CONNECT_DENIED)),
    ("not registered, wildcard", "host", "WILDCARD", UNREGISTERED, "vm1",
     "PARENT", no("connect", NOT_REGISTERED)),
    ("VM unknown", "host", "WILDCARD", REGISTERED, "host", "nobody",
     no("connect", UNKNOWN)),
    ("bind to a VM unknown", "host", "nobody", REGISTERED, None, None,
     no("bind", UNKNOWN)),
    ("VM off", "host", "WILDCARD", REGISTERED, "host", "off",
     no("connect", OFF)),
    ("BROADCAST bound", "host", "BROADCAST", REGISTERED, None, None,
     no("bind", NOT_DESTINATION)),
    ("SILOHOST bound by a VM", "vm1", "SILOHOST", REGISTERED, None, None,
     no("bind", NOT_DESTINATION)),
    ("SILOHOST from a VM", "host", "WILDCARD", REGISTERED, "vm1", "SILOHOST",
     no("connect", NOT_DESTINATION)),
    ("a child by its own id", "vm1", "LOOPBACK", REGISTERED, "vm1", "vm1", YES,
     "LOOPBACK"),
]


def test_namespaces(place):
    """Nobody shares one with anybody."""
    mine = [os.readlink("/proc/self/ns/" + n) for n in ("mnt", "pid", "net")]
    all_of_them = [mine] + [m.namespaces for two in place.members.values()
                            for m in two]
    for kind in zip(*all_of_them):
        same(len(set(kind)), len(all_of_them), "namespaces of their own")


def test_table(place):
    play_all(place, TABLE)
    rows = {e[0] for e in TABLE}
    same({n for n in rows if isinstance(n, int)}, set(range(1, 26)), "rows")
    check(GUEST <= rows, "rows to be run with a guest as well")


def test_address_taken(place):
    a, d = place.members["host"]
    same(a.ask("bind", vmid=str(WILDCARD), service=str(REGISTERED)).get(
        "errno"), None, "the first")
    refused(d.ask("bind", vmid=str(WILDCARD), service=str(REGISTERED)),
            "bind", TAKEN, "the second")
    same(d.ask("bind", vmid=str(LOOPBACK), service=str(REGISTERED)).get(
        "errno"), None, "another VmId")
    a.ask("close")
    d.ask("close")
    same(d.ask("bind", vmid=str(WILDCARD), service=str(REGISTERED)).get(
        "errno"), None, "after the first has gone")
    d.ask("close")


def test_guest_never_answers(place):
    t = Transport(place.b, "vm2", types=1)
    t.answer = lambda conn: NO_ANSWER
    d = place.members["host"][1]
    same(t.vmid, IDS["vm2"], "who it is")
    refused(d.ask("connect", vmid=str(t.vmid), service=str(UNREGISTERED),
                  timeout=300), "connect", NO_ANSWER, "told so")
    t.answer = lambda conn: "silence"
    refused(d.ask("connect", vmid=str(t.vmid), service=str(UNREGISTERED),
                  timeout=100), "connect", NO_ANSWER, "not told anything")
    check(t.wait(lambda: [x for x in t.conns.values()
                          if x.closed == NO_ANSWER]), "it was told to close")
    refused(d.ask("connect", vmid=str(t.vmid), service=str(UNREGISTERED),
                  kind=5), "connect", TYPE, "RAW")
    d.ask("close")
    t.state(0)
    check(until(lambda: d.ask("connect", vmid=str(t.vmid), service=str(
        UNREGISTERED)).get("reason") == REASONS[OFF]), "off")
    d.ask("close")
    t.end()


def test_most_specific_listener_wins(place):
    host, vm = place.members["host"], place.members["vm1"]
    for first, second in (("vm1", "CHILDREN"), ("CHILDREN", "WILDCARD"),
                          ("vm1", "WILDCARD")):
        ids = [str(WORDS.get(x) or IDS.get(x)) for x in (first, second)]
        # the less specific one was there before
        for m, vmid in ((host[0], ids[1]), (host[1], ids[0])):
            same(m.ask("bind", vmid=vmid, service=str(REGISTERED)).get(
                "errno"), None, "bind")
            m.ask("listen")
        got = vm[0].ask("connect", vmid=str(PARENT), service=str(REGISTERED))
        check("peer" in got, str(got))
        same(host[1].ask("accept")["data"], "over", first)
        for m in host + vm:
            m.ask("close")


def test_a_container_keeps_its_partition(place):
    """The mount survives the broker: killed, and started again."""
    before = os.stat("%s/broker/partitions/%s" % (place.b.run, IDS["box"]))
    place.b.restart()
    play(place, 21, "box", "PARENT", UNREGISTERED, "host", "box", YES, "PARENT")
    play(place, 1, "host", "vm1", REGISTERED, "vm1", "PARENT", YES, "vm1")
    for name in ("box", "vmbox", "vm1"):
        for m in place.members[name]:
            same(m.ask("where")["vmid"], str(IDS[name]), "who it is")
    after = os.stat("%s/broker/partitions/%s" % (place.b.run, IDS["box"]))
    same(after.st_ino, before.st_ino, "the directory")


def test_z_no_broker(place):
    place.b.stop()
    a, d = place.members["host"]
    refused(a.ask("bind", vmid=str(WILDCARD), service=str(REGISTERED)), "bind",
            NO_BROKER, "bind")
    refused(d.ask("connect", vmid=str(LOOPBACK), service=str(REGISTERED)),
            "connect", NO_BROKER, "connect")
    a.ask("close")
    d.ask("close")
    place.b.start()
    play(place, 8, "host", "WILDCARD", UNREGISTERED, "host", "LOOPBACK", YES,
         "LOOPBACK")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Place)
