#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hvsocket-vsock, but for the kernel: Unix sockets stand for AF_VSOCK

(vsocket-double.c has the names. What the kernel does with the real ones is
tested in a machine of its own, kernel.py.)
"""
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import uuid

import tap
from hvb import *
from stage import exchange
from tap import check, same

VSOCK = os.environ.get("VSOCK", "")
CIDS = 29
LIMIT_S = 20


class Vsock:
    """The program."""

    def __init__(self, b, wait=True):
        self.dir = b.dir + "/vsock"
        os.makedirs(self.dir, exist_ok=True)
        self.log = open(b.dir + "/vsock-log", "ab+")
        self.at = self.log.seek(0, os.SEEK_END)
        self.p = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", VSOCK, "--sandbox", "none",
             "--verbose"],
            stdin=subprocess.DEVNULL, stderr=self.log,
            env=program_env(dict(os.environ, HVSOCKET_RUNTIME_DIR=b.run,
                                 VSOCK_DOUBLE=self.dir)))
        if wait:
            self.says("serving the kernel's vsock")

    def said(self):
        with open(self.log.name, encoding="utf-8") as f:
            f.seek(self.at)
            return f.read()

    def says(self, words):
        check(until(lambda: words in self.said()), "%r is not in: %s" % (
            words, self.said()))

    def port(self, number, there=True):
        """Somebody listens there, or nobody does."""
        path = "%s/host_%d" % (self.dir, number)

        def listens():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                try:
                    s.connect(path)
                except OSError as e:
                    return e.errno == errno.EPROTOTYPE
        check(until(lambda: bool(listens()) == there), "port %d: %s" % (
            number, self.said()))

    def appear(self, cid):
        with open("%s/guest_%d" % (self.dir, cid), "w"):
            pass

    def vanish(self, cid):
        os.unlink("%s/guest_%d" % (self.dir, cid))

    def listen(self, cid, number):
        """A listener in the guest."""
        s = socket.socket(socket.AF_UNIX)
        s.bind("%s/%d_%d" % (self.dir, cid, number))
        s.listen(128)
        s.settimeout(LIMIT_S)
        return s

    def dial(self, cid, number, source=1234):
        """The guest connects."""
        s = socket.socket(socket.AF_UNIX)
        s.bind("%s/%d-%d-%s" % (self.dir, cid, source, uuid.uuid4().hex[:8]))
        s.connect("%s/host_%d" % (self.dir, number))
        s.settimeout(LIMIT_S)
        return s

    def end(self, status=0):
        if self.p.poll() is None:
            self.p.terminate()
        same(self.p.wait(LIMIT_S), status, "its end: " + self.said())
        self.log.close()


class Stage:
    def __enter__(self):
        self.b = Broker().start()
        self.v = Vsock(self.b)
        self.c = self.b.client()
        return self

    def __exit__(self, *exc):
        self.c.close()
        if self.v:
            self.v.end()
        self.b.end(check=exc[0] is None)

    def vm(self, name="vm", cid=5, there=True):
        if there:
            self.v.appear(cid)
        vmid = self.b.partition(name, "Cid=%d" % cid)
        if there:
            self.state(name, "running")
        return vmid

    def state(self, name, wanted):
        check(until(lambda: self.c.call(
            "partition.show", partition=name)["state"] == wanted), "%s is %s" %
            (name, wanted))


def staged(function):
    def run(_):
        with Stage() as s:
            function(s)
    return run


@staged
def test_guest_to_host(s):
    s.b.service("x", 5000)
    vmid = s.vm()
    listener = s.c.serve(CHILDREN, port(5000))
    s.v.port(5000)
    g = s.v.dial(5, 5000, source=77)
    g.sendall(b"first")
    a, name = listener.accept()
    same(peer_of(name)[:2], (vmid, port(77)), "who dials")
    same(a.recv(5), b"first", "what it says")
    exchange(g, a)


@staged
def test_gone_before_it_is_accepted(s):
    """What a guest has sent before it closed comes, and then the end."""
    s.b.service("x", 5000)
    s.vm()
    listener = s.c.serve(CHILDREN, port(5000))
    s.v.port(5000)
    os.kill(s.v.p.pid, signal.SIGSTOP)
    g = s.v.dial(5, 5000)
    g.sendall(b"all that there is")
    g.close()
    s.v.dial(5, 5000).close()  # and one that has said nothing
    os.kill(s.v.p.pid, signal.SIGCONT)
    a, _ = listener.accept()
    same((a.recv(100), a.recv(1)), (b"all that there is", b""), "what comes")


@staged
def test_host_to_guest(s):
    vmid = s.vm()
    guest = s.v.listen(5, 22)
    p = s.c.dial(vmid, port(22))
    g, _ = guest.accept()
    exchange(p, g)
    e = refusal(s.c.dial, vmid, port(23))
    same(e.reason, NO_LISTENER, str(e))
    e = refusal(s.c.dial, vmid, uuid.uuid4())
    same(e.reason, NO_LISTENER, str(e))
    check("VSOCK template" in str(e), str(e))
    same([(x["via"], x["to"]) for x in s.c.call("connections")["connections"]],
         [], "none are left")


@staged
def test_who_it_is_decides(s):
    """The same port, several guests: the rules are for each of them."""
    s.b.service("x", 5000, "Connect=partition:one")
    one, two = s.vm("one", 5), s.vm("two", 6)
    listener = s.c.serve(CHILDREN, port(5000))
    s.v.port(5000)
    g = s.v.dial(6, 5000)
    same(g.recv(1), b"", "the other is refused")
    same(s.c.call("partition.show", partition="two")["refused"],
         {"connect denied": 1}, "and counted")
    g = s.v.dial(5, 5000)
    a, name = listener.accept()
    same(peer_of(name)[0], one, "who dials")
    stranger = s.v.dial(7, 5000)
    same(stranger.recv(1), b"", "who is nobody")
    s.v.says("CID 7 dials port 5000: it is no partition's")
    g.sendall(b"still")
    same(a.recv(5), b"still", "and the first goes on")
    # withdrawn, and granted to the other
    s.b.service("x", 5000, "Connect=partition:two")
    s.c.call("status")
    same(g.recv(1), b"", "withdrawn")
    g = s.v.dial(6, 5000)
    a, name = listener.accept()
    same(peer_of(name)[0], two, "who dials")


@staged
def test_services_come_and_go(s):
    s.vm()
    for number in (0, 5000, 0xfffffffe):
        s.b.service("x%d" % number, number)
        s.v.port(number)
    s.b.drop("services.d/x5000.conf")
    s.v.port(5000, there=False)
    other = uuid.uuid4()
    s.b.put("services.d/y.conf", "[Service]\nServiceId=%s\nPort=6000\n" % other)
    s.v.port(6000)
    listener = s.c.serve(CHILDREN, other)
    g = s.v.dial(5, 6000)
    listener.accept()[0].sendall(b"by its GUID")
    same(g.recv(20), b"by its GUID", "reached")


@staged
def test_port_of_another(s):
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(s.v.dir + "/host_5000")
    taken.listen()
    s.b.service("x", 5000)
    s.v.says("port 5000: another process listens there")
    taken.close()
    s.vm()
    listener = s.c.serve(CHILDREN, port(5000))
    s.v.port(5000)
    check(until(lambda: "port 5000: listening" in s.v.said()), "tried again")
    g = s.v.dial(5, 5000)
    listener.accept()[0].close()
    same(g.recv(1), b"", "served")


@staged
def test_cid_changes(s):
    s.b.service("x", 5000)
    vmid = s.vm()
    listener = s.c.serve(CHILDREN, port(5000))
    s.v.port(5000)
    g = s.v.dial(5, 5000)
    a, _ = listener.accept()
    s.v.appear(6)
    s.b.partition("vm", "Cid=6", vmid=vmid)
    s.c.call("status")
    same(g.recv(1), b"", "another VM: the old one's connections end")
    same(a.recv(1), b"", "at both ends")
    s.state("vm", "running")
    same(s.v.dial(5, 5000).recv(1), b"", "nobody's now")
    g = s.v.dial(6, 5000)
    same(peer_of(listener.accept()[1])[0], vmid, "who dials")
    # and none
    s.b.partition("vm", "Cid=none", vmid=vmid)
    s.c.call("status")
    same(g.recv(1), b"", "it ends")
    s.state("vm", "off")
    same(s.c.call("partition.show", partition="vm").get("cid"), None, "no CID")


@staged
def test_cid_of_two(s):
    s.b.service("x", 5000)
    one = s.vm("one", 5)
    listener = s.c.serve(CHILDREN, port(5000))
    s.v.port(5000)
    s.b.partition("two", "Cid=5")
    s.v.says("CID 5 is claimed by more than one partition")
    same(s.v.dial(5, 5000).recv(1), b"", "nobody's")
    s.state("one", "off")
    s.b.drop("partitions.d/two.conf")
    s.state("one", "running")
    s.v.dial(5, 5000)
    same(peer_of(listener.accept()[1])[0], one, "settled")


@staged
def test_vm_comes_and_goes(s):
    vmid = s.vm(there=False)
    s.state("vm", "off")
    same(refusal(s.c.dial, vmid, port(22)).reason, OFF, "not there")
    s.v.appear(5)
    s.state("vm", "running")
    guest = s.v.listen(5, 22)
    s.c.dial(vmid, port(22)).close()
    guest.accept()[0].close()
    s.v.vanish(5)
    guest.close()
    same(refusal(s.c.dial, vmid, port(22)).reason, OFF, "found out")
    s.state("vm", "off")
    s.v.appear(5)
    s.state("vm", "running")


@staged
def test_broker_ends_and_returns(s):
    s.b.service("x", 5000)
    vmid = s.vm()
    listener = s.c.serve(CHILDREN, port(5000))
    s.v.port(5000)
    g = s.v.dial(5, 5000)
    a, _ = listener.accept()
    # the transport has been told
    g.sendall(b"x")
    same(a.recv(1), b"x", "a byte")
    s.c.close()
    s.b.kill()
    for left, right in ((g, a), (a, g)):
        left.sendall(b"without a broker")
        same(right.recv(100), b"without a broker", "bytes")
    late = s.v.dial(5, 5000)  # waits for the next one
    s.b.service("y", 5001)
    s.b.start()
    s.c = s.b.client()
    s.state("vm", "running")
    b, name = listener.accept()
    same(peer_of(name)[0], vmid, "who waited")
    late.sendall(b"late")
    same(b.recv(10), b"late", "the dial that waited")
    s.v.port(5001)
    check(until(lambda: len(s.c.call("connections")["connections"]) == 2),
          "told again")


@staged
def test_listener_of_natives(s):
    """It gets the guest's socket, and nothing stands in between."""
    s.b.service("x", 5000)
    vmid = s.vm()
    listener = socket.socket(socket.AF_UNIX)
    s.c.ask(BIND, address(CHILDREN, port(5000)) + struct.pack("<I", 2),
            [listener]).check()
    listener.listen(16)
    s.v.port(5000)
    for restart in (False, True):
        if restart:  # its name tells the next broker
            s.c.close()
            s.b.restart()
            s.c = s.b.client()
            s.state("vm", "running")
        g = s.v.dial(5, 5000)
        g.sendall(b"before it was handed over")
        a, name = listener.accept()
        same(peer_of(name)[0], vmid, "who dials")
        same(name[1 + 5], 3, "flags in its name")
        data, fds = recv_fds(a)
        same((data, len(fds)), (b"\0", 1), "what comes")
        same(a.recv(1), b"", "and no more")
        native = socket.socket(fileno=fds[0])
        same(native.recv(100), b"before it was handed over", "what was sent")
        native.sendall(b"directly")
        same(g.recv(100), b"directly", "and back")
        os.kill(s.v.p.pid, signal.SIGSTOP)
        exchange(native, g, 70000)
        os.kill(s.v.p.pid, signal.SIGCONT)
        same(s.c.call("connections")["connections"], [], "not relayed")
        native.close()
        same(g.recv(1), b"", "the end")
    same(s.c.call("partition.show", partition="vm")["opened"], 1, "counted")
    # a program on the host that dials one has a connection as ever
    listener.close()
    listener = socket.socket(socket.AF_UNIX)
    s.c.ask(BIND, address(LOOPBACK, port(5000)) + struct.pack("<I", 2),
            [listener]).check()
    listener.listen(16)
    p = s.c.dial(LOOPBACK, port(5000))
    a, name = listener.accept()
    same(name[1 + 5], 0, "flags in its name")
    p.sendall(b"as ever")
    same(a.recv(10), b"as ever", "bytes")
    listener.close()


@staged
def test_stalled(s):
    vmid = s.vm()
    guest = s.v.listen(5, 22)
    a = s.c.dial(vmid, port(22), flags=SUSPEND)
    g, _ = guest.accept()
    s.c.call("simulate", partition="vm", event="pause")
    g.sendall(b"in")
    a.sendall(b"out")
    same(select.select([g, a], [], [], 0.3)[0], [], "nothing moves")
    s.c.call("simulate", partition="vm", event="resume")
    same((a.recv(10), g.recv(10)), (b"in", b"out"), "all goes on")


@staged
def test_many_connections(s):
    s.b.service("x", 5000)
    vmid = s.vm()
    listener = s.c.serve(CHILDREN, port(5000), backlog=512)
    guest = s.v.listen(5, 22)
    s.v.port(5000)
    pairs = []
    for i in range(200):
        g = s.v.dial(5, 5000)
        g.sendall(b"%d" % i)
        pairs.append((g, listener.accept()[0], b"%d" % i))
        p = s.c.dial(vmid, port(22))
        p.sendall(b"to %d" % i)
        pairs.append((p, guest.accept()[0], b"to %d" % i))
    for g, a, text in pairs:
        same(a.recv(100), text, "its own bytes")
    for g, a, _ in pairs:
        g.close()
        a.close()
    check(until(lambda: not s.c.call("connections")["connections"]),
          "all are over")


@staged
def test_users_see_their_own(s):
    """CIDS: only what the client's user may attach."""
    uid = os.geteuid()
    s.b.partition("mine", "Cid=5", "User=%d" % uid)
    s.b.partition("other", "Cid=6")
    s.b.partition("none")
    s.c.ask(CIDS).check()
    lists = {}
    while len(lists) < 2:
        data, _ = s.c.receive()
        kind, _, serial, flags = struct.unpack_from("<HHII", data)
        same(flags, 3, "in one part")
        lists[kind] = data[12:]
        s.c.raw(struct.pack("<HHIII", kind | REPLY, 0, serial, 0, 0))
    same(sorted(struct.unpack_from("<I", lists[CIDS], i)[0]
                for i in range(0, len(lists[CIDS]), 20)), [5, 6], "CIDs")
    # nothing else is to be had over it
    s.c.send(CALL, b'{"method":"status"}')
    same(s.c.s.recv(1), b"", "ended")
    s.c.close()
    s.c = s.b.client()
    with s.b.client(s.vm("vm", 8)) as c:
        e = refusal(lambda: c.ask(CIDS).check())
    same(e.reason, NOT_PERMITTED, str(e))


@staged
def test_starts_with_a_broker_only(s):
    s.v.end()
    s.b.stop()
    s.v = Vsock(s.b, wait=False)
    same(s.v.p.wait(LIMIT_S), 1, "status")
    check("no broker" in s.v.said(), s.v.said())
    s.v.log.close()
    s.v = None
    s.b.start()
    s.c.close()
    s.c = s.b.client()


def test_options(_):
    def run(*args, **env):
        return subprocess.run([VSOCK, *args], capture_output=True, text=True,
                              timeout=LIMIT_S, env=program_env(env))
    r = run("--help")
    same(r.returncode, 0, "--help")
    check("--sandbox" in r.stdout, r.stdout)
    r = run("--version")
    check(r.stdout.startswith("hvsocket-vsock "), r.stdout)
    for args, words in ((("--sandbox", "maybe"), "maybe"),
                        (("--unheard-of",), "unheard-of"),
                        (("more",), "more"), ((), "no AF_VSOCK")):
        r = run(*args)
        same((r.returncode, r.stdout), (1, ""), "%r" % (args,))
        check(words in r.stderr and r.stderr.count("\n") == 1, r.stderr)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
