#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""simulate: what the broker has a partition's transport do

The transports' own side of it is in tests/vhost-user and tests/vmbus-user.
"""
import ctypes
import errno
import os
import subprocess
import sys
import threading

import hvs
import tap
from hvb import *
from tap import check, same
from transport import Conn, Transport
from users import refused_as, several

SERVICE = port(5000)
GUEST = port(6000)
PENDING = 1  # of RESULT
ENDS_ALL = "reset", "migrate", "host-sleep"


class Place:
    def __init__(self, work):
        self.b = Broker()

    def __enter__(self):
        self.b.start()
        self.b.service("served", 5000)
        self.vm1 = self.b.partition("vm1", "Kind=vm")
        self.vm2 = self.b.partition("vm2", "Kind=vm")
        self.box = self.b.partition("box", "Kind=container")
        return self

    def __exit__(self, *exc):
        self.b.end(check=exc[0] is None)


class Guest(Transport):
    """Which tells that a connection has been closed, as real ones do."""

    def handle(self, data, fds):
        super().handle(data, fds)
        if struct.unpack_from("<H", data)[0] == CLOSE:
            self.c.send(CLOSED, data[8:16] + bytes(16))


class Guests:
    """Two guests; of vm1 four connections, of vm2 one."""

    def __init__(self, place, flags=1):
        self.b = place.b
        self.t = Guest(self.b, "vm1", types=1, flags=flags)
        self.other = Guest(self.b, "vm2", types=1, flags=flags)
        self.c = self.b.client()
        self.listener = self.c.serve(WILDCARD, SERVICE)
        self.open = {}

    def __enter__(self):
        self.plain = self.dial(self.t.vmid)
        self.kept = self.dial(self.t.vmid, flags=SUSPEND)
        self.elsewhere = self.dial(self.other.vmid)
        self.token, self.guest = self.t.dial(PARENT, SERVICE)
        self.accepted, _ = self.listener.accept()
        return self

    def __exit__(self, *exc):
        for s in (self.plain, self.kept, self.elsewhere, self.guest,
                  self.accepted, self.listener):
            s.close()
        self.t.end()
        self.other.end()
        check(until(lambda: {p["transport"] for p in self.c.call(
            "partition.list")["partitions"]} == {"local"}), "detached")
        self.c.close()

    def dial(self, vmid, flags=0):
        s = socket.socket(socket.AF_UNIX)
        self.c.connect(s, vmid, GUEST, flags=flags)
        s.settimeout(20)
        return s

    def simulate(self, event, partition="vm1"):
        got = self.c.call("simulate", partition=partition, event=event)
        same((got["partition"], got["event"]), (partition, event), "of whom")
        return got["state"], got["ended"], got["kept"]

    def closed(self, t=None):
        """The reasons of the CLOSE that came, of connections of the host."""
        return sorted(x.closed for x in (t or self.t).conns.values()
                      if x.closed is not None)

    def over(self, s):
        try:
            return s.recv(1) == b""
        except ConnectionResetError:
            return True


def test_what_ends_all(place):
    for event in ENDS_ALL:
        with Guests(place) as g:
            same(g.simulate(event), ("running", 3, 0), event)
            check(g.over(g.plain) and g.over(g.kept), event)
            same(g.closed(), [GUEST_RESET] * 2, event)
            same(g.closed(g.other), [], "the other's")
            same(g.t.stalls, [], "nothing is held back")
            # and it is there again
            g.dial(g.t.vmid).close()


def test_pause_and_save(place):
    for event, state in ("pause", "paused"), ("save", "saved"):
        with Guests(place) as g:
            same(g.simulate(event), (state, 2, 1), event)
            check(g.over(g.plain), event)
            check(g.t.wait(lambda: g.t.stalls == [1]), "told to hold back")
            same(g.closed(), [GUEST_RESET], event)
            show = g.c.call("partition.show", partition="vm1")
            same(show["state"], state, "partition.show")
            if event == "save":
                e = refusal(g.dial, g.t.vmid)
                same((e.errno, e.reason), (errno.EHOSTDOWN, OFF), "off")
                check("simulated to be saved" in e.text, e.text)
                why = g.c.call("explain", to="%s:6000" % g.t.vmid)
                same(why["fix"], "hvctl simulate vm1 resume", "explain")
            same(g.simulate(event)[0], state, "twice")
            same(g.simulate("resume")[0], "running", "resume")
            check(g.t.wait(lambda: g.t.stalls == [1, 0]), "told to go on")
            g.kept.sendall(b"goes on")
            peer = [x.sock for x in g.t.conns.values() if x.sock]
            same(len(peer), 1, "the one that was kept")
            same(peer[0].recv(16), b"goes on", "over it")
            g.dial(g.t.vmid).close()
            same(g.simulate("resume")[0], "running", "twice")


def connect_at_once(g, flags=0):
    """Without waiting for the guest's answer: the socket and its token."""
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    _, token = g.c.end_connect(g.c.start_connect(
        s, g.t.vmid, GUEST, timeout=20000, flags=NONBLOCK | flags))
    s.settimeout(20)
    return s, token


def result(c, token):
    """State (1: pending), errno and reason of such a connect."""
    return struct.unpack_from("<III", c.ask(
        RESULT, struct.pack("<Q", token)).check().payload)


def test_connected_without_waiting(place):
    """It is a connection like others as soon as the guest has answered."""
    for flags, kept in (0, 1), (SUSPEND, 2):
        with Guests(place) as g:
            s, token = connect_at_once(g, flags)
            check(until(lambda: result(g.c, token)[0] != PENDING), "answered")
            same([x["state"] for x in g.c.call("connections")["connections"]
                  if x["via"] != "direct"], ["connected"] * 5, "connections")
            same(g.simulate("pause")[1:], (4 - kept, kept), "pause")
            if not flags:
                check(g.over(s), "ended")
            s.close()


def test_reset_ends_a_pause(place):
    with Guests(place) as g:
        g.simulate("pause")
        same(g.simulate("reset")[0], "running", "reset")
        check(g.over(g.kept), "ended as well")
        check(g.t.wait(lambda: g.t.stalls == [1, 0]), "goes on")


def test_the_option_on_an_accepted_socket(place):
    """Set after accept(), as WSL does; only an end's owner may."""
    lib = hvs.Library(os.environ["LIBHVSOCKET"])
    os.environ["HVSOCKET_RUNTIME_DIR"] = place.b.run
    for values, kept in ([1], 2), ([1, 0], 1):
        with Guests(place) as g:
            for value in values:
                lib.check(lib.c.hvs_setsockopt(
                    g.accepted.fileno(), hvs.SOL_HVSOCKET, 4,
                    ctypes.byref(ctypes.c_uint32(value)), 4))
            # what was sent over the library's connection before this is in
            a = hvs.Address()
            lib.check(lib.c.hvs_address_parse(b"vm1:served", ctypes.byref(a)))
            same(g.simulate("pause")[2], kept, "kept")
    with Guests(place) as g:
        with place.b.client(place.box) as stranger:
            stranger.send(KEEP, struct.pack("<QI", g.token, 1))
            stranger.call("status")
        for bad in (b"", struct.pack("<Q", g.token),
                    struct.pack("<QI", g.token, 2),
                    struct.pack("<QI", g.token + 1, 1)):
            g.c.send(KEEP, bad)
        same(g.simulate("pause")[2], 1, "kept")


def test_the_option_of_a_container(place):
    """Its connection is known to be its own by a broker that comes later, too,
    if the transport says whose it is."""
    vm = place.b.partition("inner", "Kind=vm", "Parent=box")
    for flags, kept in (1 | 4, 1), (1, 0):
        t = Guest(place.b, "inner", types=1, flags=flags)
        with place.b.client(place.box) as c, \
                socket.socket(socket.AF_UNIX) as s:
            c.connect(s, vm, GUEST)
            token, = t.conns
        same(t.conns[token].partition, place.box if flags & 4 else ZERO,
             "what it is told")
        before = t.attached
        place.b.restart()
        t.wait(lambda: t.attached > before)
        with place.b.client() as host, place.b.client(place.box) as c:
            if flags & 4:
                same([x["from"] for x in
                      host.call("connections")["connections"]
                      if x["to"] == "inner"], ["box"], "whose it is")
            c.send(KEEP, struct.pack("<QI", token, 1))
            c.call("status")
            got = host.call("simulate", partition="inner", event="pause")
            same((got["ended"], got["kept"]), (1 - kept, kept),
                 "with flags %d" % flags)
        t.end()
        with place.b.client() as host:
            check(until(lambda: host.call("partition.show", partition="inner")[
                "transport"] == "local"), "detached")
    place.b.drop("partitions.d/inner.conf")


def test_transport_that_lies(place):
    """One that does not know a partition, or one that cannot have dialled."""
    for claim in uuid.UUID(int=99), place.box, place.vm2, place.vm1, ZERO:
        with Guests(place, flags=1 | 4) as g:
            token = g.token + 1
            conn = g.t.conns[token] = Conn(token, 1, GUEST, SERVICE, 0)
            g.t.c.send(LIVE, struct.pack("<QHHI", token, 1, 1, 0) +
                       GUEST.bytes_le + SERVICE.bytes_le + claim.bytes_le)
            if claim != ZERO:
                same(g.t.wait(lambda: conn.closed), NO_LONGER,
                     f"not the host's: {claim}")
            mine = lambda: [x["from"] for x in
                            g.c.call("connections")["connections"]
                            if int(x["token"], 16) == token]
            check(until(lambda: mine() == (["host"] if claim == ZERO else [])),
                  f"noted: {claim}")


def test_caller_that_moved_away(place):
    """A container's connection, told to a broker in whose registry the VM is
    no longer below it, or the container no longer is."""
    for kind in "moved", "gone":
        with Broker() as b:
            box = b.partition("box", "Kind=container")
            inner = b.partition("inner", "Kind=vm", "Parent=box")
            t = Transport(b, "inner", types=1, flags=1 | 4)
            with b.client(box) as c, socket.socket(socket.AF_UNIX) as s:
                c.connect(s, inner, GUEST)
                conn, = t.conns.values()
                same(conn.partition, box, "the container's")
                b.kill()
                b.partition("inner", "Kind=vm", vmid=inner)
                if kind == "gone":
                    b.drop("partitions.d/box.conf")
                b.start()
                same(t.wait(lambda: conn.closed), NO_LONGER, kind)
            t.end()


def test_transport_that_is_slow(place):
    """Whose queue is shorter than what it is to be told."""
    n = 1000
    with Guests(place) as g:
        with g.t.lock:  # it reads nothing
            for token in range(1, n + 1):
                g.t.conns[token] = Conn(token, 1, GUEST, GUEST, 0)
                g.t.c.send(LIVE, struct.pack("<QHHI", token, 1, 1, 0) +
                           GUEST.bytes_le + GUEST.bytes_le)
            check(until(lambda: len(g.c.call("connections")[
                "connections"]) >= n + 4), "known")
            same(g.simulate("reset"), ("running", n + 3, 0), "all of them")
            same(g.simulate("reset"), ("running", 0, 0), "once each")
            same(g.simulate("pause"), ("paused", 0, 0), "behind them")
        check(g.t.wait(lambda: g.t.stalls == [1]), "told")
        same(g.closed(), [GUEST_RESET] * (n + 2), "told of each")
        check(until(lambda: [x["from"] for x in g.c.call("connections")[
            "connections"] if x["to"] == "vm1"] == []), "all have ended")
        g.simulate("resume")
        g.dial(g.t.vmid).close()


def test_open_that_waits(place):
    """A connect that the guest has not answered when it is reset."""
    with Guests(place) as g:
        g.t.answer = lambda conn: "silence"
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        serial = g.c.start_connect(s, g.t.vmid, GUEST, timeout=20000)
        check(g.t.wait(lambda: len(g.t.conns) == 3), "asked")
        with place.b.client() as c:
            c.call("simulate", partition="vm1", event="reset")
        check(g.t.wait(lambda: g.closed() == [GUEST_RESET] * 3), "given up")
        conn = [x for x in g.t.conns.values() if x.serial][0]
        g.t.say(conn, GUEST_RESET)
        e = refusal(g.c.end_connect, serial)
        same((e.errno, e.reason), (errno.ECONNRESET, GUEST_RESET), "told so")
        s.close()


def test_save_refuses_those_under_way(place):
    """Connects that the guest has not answered; one that waits goes on."""
    with Guests(place) as g:
        g.t.answer = lambda conn: "silence"
        serials = []
        for flags in 0, WAIT:
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            serials.append(g.c.start_connect(s, g.t.vmid, GUEST,
                                             timeout=20000, flags=flags))
            s.close()
        check(g.t.wait(lambda: len(g.t.conns) == 4), "asked")
        g.t.progress = lambda conn: None  # nor a parked one
        parked, token = connect_at_once(g)
        check(g.t.wait(lambda: [x for x in g.t.conns.values()
                                if x.parked and x.sock]), "parked")
        with place.b.client() as c:
            got = c.call("simulate", partition="vm1", event="save")
            same((got["ended"], got["kept"]), (2, 1), "connections")
            e = refusal(g.c.end_connect, serials[0])
            same((e.errno, e.reason), (errno.EHOSTDOWN, OFF), "blocking")
            same(result(g.c, token)[1:], (errno.EHOSTDOWN, OFF), "parked")
            check(g.over(parked), "its socket")
            same([x for x in c.call("connections")["connections"]
                  if x["state"] == "opening"], [], "forgotten")
            g.t.answer = lambda conn: None
            c.call("simulate", partition="vm1", event="resume")
        g.c.end_connect(serials[1])
        parked.close()


def test_host_sleeps(place):
    with Guests(place) as g:
        same(g.simulate("host-sleep", "host")[1:], (4, 0), "everybody's")
        check(g.over(g.elsewhere), "vm2's")
        e = refusal(g.simulate, "pause", "host")
        check("host-sleep" in e.text, e.text)


def test_transport_that_cannot_hold_back(place):
    with Guests(place, flags=0) as g:
        for event in "pause", "save":
            e = refusal(g.simulate, event)
            same(e.errno, errno.EOPNOTSUPP, event)
            check("cannot hold" in e.text, e.text)
        same(g.closed(), [], "nothing has ended")
        same(g.simulate("reset")[1], 3, "reset")


def test_ends_with_the_transport(place):
    with Guests(place) as g:
        g.simulate("save")
        g.t.end()
        check(until(lambda: g.c.call("partition.show", partition="vm1")[
            "transport"] == "local"), "detached")
        g.t = Guest(place.b, "vm1", types=1, flags=1)
        same(g.c.call("partition.show", partition="vm1")["state"], "running",
             "another transport")
        g.dial(g.t.vmid).close()


def test_what_cannot_be_reached(place):
    with place.b.client(place.box) as inside, place.b.client() as c:
        listener = c.serve(CHILDREN, SERVICE)
        near = inside.dial(PARENT, SERVICE)
        far, _ = listener.accept()
        e = refusal(c.call, "simulate", partition="box", event="reset")
        same(e.errno, errno.EOPNOTSUPP, "no transport")
        check("(1 now)" in e.text and "program to program" in e.text, e.text)
        near.sendall(b"still")
        same(far.recv(16), b"still", "nothing was done")
        e = refusal(inside.call, "simulate", partition="box", event="reset")
        same(e.errno, errno.EPERM, "from within")
        for bad in ({"partition": "box", "event": "x"},
                    {"partition": "box"}, {"event": "reset"},
                    {"partition": "nobody", "event": "reset"}):
            check(refusal(c.call, "simulate", **bad).text, str(bad))
        for s in (near, far, listener):
            s.close()


@several
def test_who_may(place):
    """The broker's user, root, and the partition's User=."""
    os.chmod(place.b.run, 0o755)
    def simulates():
        with place.b.client() as c:
            c.call("simulate", partition="vm1", event="reset")

    for user, expected in (0, 0), (61234, errno.EPERM), (61235, 0):
        place.b.partition("vm1", "Kind=vm", "User=61235", vmid=place.vm1)
        with Guests(place):
            same(refused_as(user, simulates), expected, "uid %d" % user)


def run_hvctl(run, *words):
    env = dict(os.environ, HVSOCKET_RUNTIME_DIR=run)
    env.pop("LD_PRELOAD", None)
    r = subprocess.run([os.environ["HVCTL"], "simulate", *words], env=env,
                       capture_output=True, text=True)
    return r.returncode, r.stdout, r.stderr


def answer_hvctl(listener, reply):
    """As a broker would, to one call."""
    s, _ = listener.accept()
    with s:
        while True:
            data = s.recv(65536)
            if not data:
                return
            kind, _, serial = struct.unpack_from("<HHI", data)
            body = reply if kind == CALL else \
                struct.pack("<II", 1, 65536) + bytes(32) + b"host"
            s.send(struct.pack("<HHIII", kind | REPLY, 0, serial, 0, 0) + body)


def test_hvctl_where_the_kernel_does_not_tell(place):
    with tempfile.TemporaryDirectory() as run, \
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(run + "/control")
        listener.listen()
        listener.settimeout(20)
        t = threading.Thread(target=answer_hvctl, args=(listener, json.dumps(
            {"partition": "vm1", "event": "reset", "state": "running",
             "ended": 1, "kept": 0, "direct": None}).encode()))
        t.start()
        code, out, err = run_hvctl(run, "vm1", "reset")
        t.join()
        same((code, out),
             (1, "vm1 is running: connections ended: 1, kept: 0\n"), err)
        check("not known" in err, err)


def test_hvctl(place):
    def hvctl(*words):
        return run_hvctl(place.b.run, *words)

    with Guests(place) as g:
        same(hvctl("vm1", "pause"),
             (0, "vm1 is paused: connections ended: 2, kept: 1\n", ""), "")
        same(hvctl("vm1", "resume"),
             (0, "vm1 is running: connections ended: 0, kept: 1\n", ""), "")
        with place.b.client(place.vm1) as inside:
            near = inside.dial(PARENT, SERVICE)
            far, _ = g.listener.accept()
            code, out, err = hvctl("vm1", "reset")
            same((code, out),
                 (1, "vm1 is running: connections ended: 1, kept: 0\n"), "")
            check("1 of its connections go from program to program" in err,
                  err)
            code, out, err = hvctl("host", "host-sleep")
            same(code, 1, "host-sleep")
            check("1 of its connections go from program to program" in err,
                  err)
            near.close()
            far.close()
    code, out, err = hvctl("box", "reset")
    check(code == 1 and not out and "no transport" in err, err)
    same(hvctl("vm1", "explode")[0], 2, "no such event")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Place)
