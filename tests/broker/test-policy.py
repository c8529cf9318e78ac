#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Policy that changes while things run, quotas, leases, partitions"""
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import uuid

import tap
from hvb import *
from tap import check, same
from transport import Transport
from users import as_user, several

STREAM, RAW = socket.SOCK_STREAM, socket.SOCK_SEQPACKET


def in_a_broker(*options):
    def wrap(function):
        def run(_):
            with Broker(*options) as b:
                function(b)
        return run
    return wrap


def why(c, vmid, service, **more):
    """Return: 0 if a connect works, else its reason."""
    try:
        c.dial(vmid, service, **more).close()
    except Refused as e:
        same(e.errno, ERRNO[e.reason], str(e))
        check(len(e.text) > 10, "a sentence")
        return e.reason
    return 0


@in_a_broker()
def test_enable_and_disable(b):
    b.service("x", 5000)
    vm = b.partition("vm")
    with b.client() as host, b.client(vm) as guest:
        listener = host.serve(CHILDREN, port(5000))
        loop = host.serve(LOOPBACK, port(5000))
        for lines, down, local in (
                ([], 0, 0), (["Policy=disabled"], DISABLED, DISABLED),
                (["Policy=enabled"], 0, 0),
                (["Connect=user:4242"], CONNECT_DENIED, CONNECT_DENIED),
                (["Connect=partition:vm"], 0, CONNECT_DENIED),
                (["Bind=user:4242"], WILDCARD_NOT, BIND_DENIED),
                (["AllowWildcardBinds=no"], WILDCARD_NOT, 0),
                (["AllowWildcardBinds=yes"], 0, 0)):
            b.service("x", 5000, *lines)
            same((why(guest, PARENT, port(5000)), why(host, LOOPBACK,
                                                      port(5000))),
                 (down, local), "with %r" % lines)
        b.drop("services.d/x.conf")
        same(why(guest, PARENT, port(5000)), NOT_REGISTERED, "removed")
        # per partition, over the service's own
        b.service("x", 5000, "Policy=disabled")
        b.partition("vm", "[Service x]", "Policy=enabled", vmid=vm)
        same((why(guest, PARENT, port(5000)), why(host, LOOPBACK, port(5000))),
             (0, DISABLED), "the partition's table")
        b.partition("vm", "Enabled=no", vmid=vm)
        same(why(guest, PARENT, port(5000)), OFF, "partition disabled")
        # the listener has been there all the time
        b.partition("vm", vmid=vm)
        b.service("x", 5000)
        same(why(guest, PARENT, port(5000)), 0, "in the end")
        listener.close()
        loop.close()


def relayed(b, t, c):
    """A connection to the guest, one from it. Return: both Conns"""
    near = c.dial(t.vmid, port(5000))
    conn = t.wait(lambda: [x for x in t.conns.values() if x.sock])[0]
    near.sendall(b"x")
    conn.sock.setblocking(True)
    same(conn.sock.recv(8), b"x", "data")
    return near, conn


@in_a_broker()
def test_relayed_connections_are_closed(b):
    for change, undo in (
            (lambda: b.service("x", 5000, "Policy=disabled"),
             lambda: b.service("x", 5000)),
            (lambda: b.service("x", 5000, "Connect=user:4242"),
             lambda: b.service("x", 5000)),
            (lambda: b.partition("vm", "Enabled=no", vmid=vm),
             lambda: b.partition("vm", vmid=vm))):
        vm = uuid.uuid4()
        b.partition("vm", vmid=vm)
        b.service("x", 5000)
        with b.client() as c:
            t = Transport(b, "vm")
            near, conn = relayed(b, t, c)
            listener = c.serve(CHILDREN, port(5000))
            token, up = t.dial(PARENT, port(5000))
            far, name = listener.accept()
            same(peer_of(name), (vm, port(1024), 0xffffffff), "the guest")
            t.conns[token] = up_conn = type(conn)(token, 1, port(5000), PARENT,
                                                  0xffffffff)
            up_conn.sock = up
            change()  # nobody asks the broker anything
            t.wait(lambda: conn.closed == NO_LONGER)
            t.wait(lambda: up_conn.closed == NO_LONGER)
            near.settimeout(10)
            same((near.recv(8), far.recv(8)), (b"", b""), "their ends")
            undo()
            with b.client() as again:
                again.dial(t.vmid, port(5000)).close()
            for s in (near, far, listener):
                s.close()
            t.end()


@in_a_broker()
def test_changed_while_there_was_no_broker(b):
    vm = b.partition("vm")
    b.service("x", 5000)
    t = Transport(b, "vm")
    with b.client() as c:
        near, conn = relayed(b, t, c)
    b.kill()
    b.service("x", 5000, "Policy=disabled")
    b.start()
    t.wait(lambda: conn.closed == NO_LONGER)
    near.close()
    t.end()


@in_a_broker()
def test_dial_of_both_types(b):
    b.partition("vm")
    b.service("x", 5000)
    with b.client() as c:
        t = Transport(b, "vm", types=3)
        for kind in (STREAM, RAW):
            listener = c.serve(WILDCARD, port(5000), kind)
            _, s = t.dial(PARENT, port(5000), kind)
            a, _ = listener.accept()
            s.setblocking(True)
            s.send(b"one")
            s.send(b"two")
            if kind == RAW:
                same(a.recv(100), b"one", "bounds of messages")
            e = refusal(t.dial, PARENT, port(5000), STREAM + RAW - kind)
            same(e.reason, NO_LISTENER, "the other type")
            same(" not STREAM" in e.text, kind == RAW, e.text)
            same(" not RAW" in e.text, kind == STREAM, e.text)
            for x in (s, a, listener):
                x.close()
            near = c.dial(t.vmid, port(5000), kind=kind)
            conn = t.wait(lambda: [x for x in t.conns.values()
                                   if x.kind == kind and x.sock])[0]
            near.send(b"down")
            conn.sock.setblocking(True)
            same(conn.sock.recv(8), b"down", "to the guest")
            near.close()
        e = refusal(t.dial, PARENT, port(5001))
        same((e.errno, e.reason), (errno.EACCES, NOT_REGISTERED), "a refusal")
        e = refusal(t.dial, uuid.uuid4(), port(5000))
        same(e.reason, UNKNOWN, "a sibling that is not there")
        t.end()
        s = Transport(b, "vm", types=1)
        same(refusal(s.dial, PARENT, port(5000), RAW).reason, TYPE,
             "a type it does not carry")
        s.end()


@in_a_broker()
def test_attach(b):
    vm = b.partition("vm")
    t = Transport(b, "vm")
    with b.client() as c, b.client(vm) as inside:
        for who, args, number, reason in (
                (c, (vm, 1, 1, 0, b""), errno.EBUSY, EXISTS),
                (inside, (ZERO, 1, 1, 0, b"x"), errno.EPERM, NOT_PERMITTED),
                (c, (ZERO, 1, 1, 0, b"host"), errno.EPERM, NOT_PERMITTED),
                (c, (ZERO, 0, 1, 0, b"x"), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 6, 1, 0, b"x"), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 4, 0, b"x"), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 1, 8, b"x"), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 1, 0, b""), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 1, 0, b"a\nb"), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 1, 0, b"a\0b"), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 1, 0, b"\xff"), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 1, 0, b"n" * 300), errno.EINVAL, BAD_REQUEST),
                (c, (ZERO, 1, 2, 0, b"x"), errno.EINVAL, BAD_REQUEST)):
            vmid, kind, types, flags, name = args
            with socket.socket(socket.AF_UNIX) as s:
                r = who.ask(ATTACH, vmid.bytes_le + struct.pack(
                    "<HHI", kind, types, flags) + name, [s])
            same((r.errno, r.reason), (number, reason), "%r: %r" % (
                args, r.payload))
        names = [p["name"] for p in c.call("partition.list")["partitions"]]
        same(len(names), 2, "partitions: %r" % names)
        # one that it makes ends with it
        u = Transport(b, "new")
        same(len(c.call("partition.list")["partitions"]), 3, "made")
        u.end()
        check(until(lambda: len(c.call("partition.list")["partitions"]) == 2),
              "gone with it")
    t.end()


@in_a_broker()
def test_volatile_registrations(b):
    with b.client() as c:
        c.call("service.add", name="mine", port=7000)
        same(why(c, LOOPBACK, port(7000)), NO_LISTENER, "there")
        # an end of the process that owns it
        p = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        c.call("service.add", name="of-cat", port=7001, lease=p.pid)
        p.stdin.close()
        p.wait()
        check(until(lambda: len(c.call("service.list")["services"]) == 1),
              "ends with the process")
        # an end of the connection: relayed connections go with it, at once
        b.partition("vm")
        other = b.client()
        other.call("service.add", name="of-other", port=7002,
                   lease="connection")
        t = Transport(b, "vm")
        listener = c.serve(WILDCARD, port(7002))
        token, s = t.dial(PARENT, port(7002))
        t.conns[token] = conn = type("C", (), {"sock": s, "closed": None,
                                               "serial": None})()
        other.close()
        t.wait(lambda: conn.closed == NO_LONGER)
        same(len(c.call("service.list")["services"]), 1, "services")
        listener.close()
        t.end()
        # a file comes first, whoever was there
        b.service("file", 7000)
        same(c.call("service.show", service="7000")["origin"], "config",
             "whose it is")
        e = refusal(c.call, "service.add", name="again", port=7000)
        same((e.errno, e.reason), (errno.EEXIST, EXISTS), "shadowing a file")
        e = refusal(c.call, "service.set", service="file", policy="disabled")
        same(e.reason, NOT_PERMITTED, "changing a file")
        e = refusal(c.call, "service.remove", service="file")
        same(e.reason, NOT_PERMITTED, "removing a file")
        c.call("service.add", name="kept", port=7010, lease="none")
        b.restart()
    with b.client() as c:
        same([s["name"] for s in c.call("service.list")["services"]
              if s["origin"] == "volatile" and s["name"] == "kept"], ["kept"],
             "after a restart")


@in_a_broker("--max-listeners", "3", "--max-pending", "4", "--max-volatile",
             "2", "--max-clients", "6")
def test_quotas(b):
    vm = b.partition("vm")
    with b.client() as c, b.client(vm) as inside:
        held = [c.serve(WILDCARD, port(6000 + i)) for i in range(3)]
        e = refusal(c.serve, WILDCARD, port(6009))
        same((e.errno, e.reason), (errno.ENOBUFS, QUOTA), str(e))
        check("listeners" in e.text, e.text)
        # the same user in another partition is the same user
        same(refusal(inside.serve, WILDCARD, port(6009)).reason, QUOTA,
             "listeners of the user")
        held.pop().close()
        b.restart()
    with b.client() as c:
        same(len(c.call("listeners")["listeners"]), 2, "after a restart")
        held.append(c.serve(WILDCARD, port(6009)))
        same(refusal(c.serve, WILDCARD, port(6010)).reason, QUOTA,
             "counted again after a restart")
        for s in held:
            s.close()
        check(until(lambda: not c.call("listeners")["listeners"]), "all gone")
        c.serve(WILDCARD, port(6010)).close()
        # connects being set up
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        serials = [c.start_connect(s, LOOPBACK, port(6500), 60000, WAIT)
                   for _ in range(4)]
        e = refusal(c.end_connect, c.start_connect(s, LOOPBACK, port(6500),
                                                   60000, WAIT))
        same((e.errno, e.reason), (errno.ENOBUFS, QUOTA), str(e))
        s.close()
        # registrations
        for i in range(2):
            c.call("service.add", name="s%d" % i, port=6600 + i)
        e = refusal(c.call, "service.add", name="s9", port=6609)
        same((e.errno, e.reason), (errno.ENOBUFS, QUOTA), str(e))
        c.call("service.remove", service="s0")
        c.call("service.add", name="s9", port=6609)
        # control connections: one too many is closed at once
        crowd = [b.client() for _ in range(5)]
        one = b.client(hello=False)
        try:
            one.send(HELLO, struct.pack("<II", 1, 1))
            got = recv_fds(one.s)[0]
        except OSError:
            got = b""
        same(got, b"", "the seventh")
        crowd.pop().close()
        check(until(lambda: serves(b)), "room again")
        for x in crowd + [one]:
            x.close()
        del serials


def serves(b):
    try:
        b.client().close()
        return True
    except OSError:
        return False


@several
@in_a_broker("--max-listeners", "3")
def test_quota_of_a_user_is_not_another_users(b):
    def another():
        d = b.client()
        mine = [d.serve(LOOPBACK, port(6100 + i)) for i in range(3)]
        same(refusal(d.serve, LOOPBACK, port(6109)).reason, QUOTA, "")
        same(refusal(d.call, "reload").reason, NOT_PERMITTED, "")
        same(refusal(d.call, "partition.add", name="x").reason,
             NOT_PERMITTED, "")
        d.call("service.add", name="own", port=6200)
        del mine

    with b.client() as c:
        held = [c.serve(LOOPBACK, port(6000 + i)) for i in range(2)]
        check(as_user(4242, another), "the other user's process")
        for s in held:
            s.close()


@in_a_broker()
def test_disabled_on_the_way(b):
    """Nothing passes through a partition that is disabled."""
    b.service("s", 5000, "Bind=any")
    vm = b.partition("vm", "Kind=vm")
    inner = b.partition("inner", "Kind=container", "Parent=vm")
    with b.client() as c, b.client(inner) as inside:
        listener = c.serve(WILDCARD, port(5000))
        own = inside.serve(WILDCARD, port(5001))
        inside.dial(PARENT, port(5000), 0, PASSTHRU).close()
        c.dial(inner, port(5001)).close()
        b.partition("vm", "Kind=vm", "Enabled=no", vmid=vm)
        for client, to, number in ((inside, PARENT, 5000), (c, inner, 5001)):
            e = refusal(client.dial, to, port(number), 0, PASSTHRU)
            same((e.reason, '"vm"' in e.text), (OFF, True), str(e))
        inside.dial(LOOPBACK, port(5001)).close()
        for s in (listener, own):
            s.close()


def with_a_group(work):
    """A broker that sees a user "member" in a second group, whoever there is
    on this machine. Return: its program"""
    for name, line in (("passwd", "member:x:4242:4242::/:/bin/false\n"),
                       ("group", "team:x:4300:member\n")):
        with open("/etc/" + name, encoding="utf-8") as f:
            text = f.read()
        with open("%s/%s" % (work, name), "w", encoding="utf-8") as f:
            f.write(text + line)
    path = work + "/hvsocketd"
    with open(path, "w", encoding="utf-8") as f:
        f.write(SEES % {"work": work, "program": PROGRAM})
    os.chmod(path, 0o755)
    return path


SEES = """#!/bin/sh
exec unshare --mount sh -c '
mount --bind %(work)s/passwd /etc/passwd &&
mount --bind %(work)s/group /etc/group && exec "$0" "$@"' %(program)s "$@"
"""


@several
def test_listener_of_a_group_after_a_restart(_):
    """Its binder's groups are looked up by the broker that finds it there."""
    told, tell = os.pipe()
    go, wait = os.pipe()
    with tempfile.TemporaryDirectory() as work, \
            Broker(program=with_a_group(work)) as b:
        b.service("s", 5000, "Bind=group:4300")

        def member():
            with b.client() as c:
                listener = c.serve(WILDCARD, port(5000))
                os.write(tell, b"x")
                os.read(go, 1)
                listener.close()

        pid = os.fork()
        if not pid:
            os._exit(0 if as_user(4242, member, [4300]) else 1)
        os.close(tell)
        try:
            same(os.read(told, 1), b"x", "bound")
            with b.client() as c:
                c.dial(LOOPBACK, port(5000)).close()
            b.restart()
            with b.client() as c:
                c.dial(LOOPBACK, port(5000)).close()
        finally:
            os.write(wait, b"x")
            same(os.waitpid(pid, 0)[1], 0, "the member of the group")
        for fd in (told, go, wait):
            os.close(fd)


@in_a_broker()
def test_partitions(b):
    with b.client() as c:
        p = c.call("partition.add", name="web1", kind="container")
        vmid = uuid.UUID(p["id"])
        same((p["state"], p["kind"], os.path.isdir(p["directory"])),
             ("off", "container", True), "as made")
        q = c.call("partition.add", name="inner", parent="web1")
        same(q["parent"], "web1", "a parent")
        same(why(c, vmid, port(1)), OFF, "nobody in it")
        inside = b.client(vmid)
        listener = inside.serve(PARENT, port(1))
        same(why(c, vmid, port(1)), 0, "somebody in it")
        c.call("partition.set", partition="web1", name="web2")
        same(c.call("partition.show", partition="web2")["id"], str(vmid),
             "renamed")
        same(why(c, vmid, port(1)), 0, "still there")
        c.call("partition.set", partition="web2", enabled=False)
        same(why(c, vmid, port(1)), OFF, "disabled")
        c.call("partition.set", partition="web2", enabled=True)
        e = refusal(c.call, "partition.add", name="web2")
        same((e.errno, e.reason), (errno.EEXIST, EXISTS), "twice")
        c.call("partition.remove", partition="inner")
        c.call("partition.remove", partition="web2")
        same(why(c, vmid, port(1)), UNKNOWN, "removed")
        same(recv_fds(inside.s)[0], b"", "who was in it")
        same(os.listdir(b.run + "/broker/listeners"), [], "its listeners")
        listener.close()
        # a waiting connect ends with its partition, by a file that goes
        vm = b.partition("vm")
        inside = b.client(vm)
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        inside.start_connect(s, LOOPBACK, port(9), 60000, WAIT)
        b.drop("partitions.d/vm.conf")
        same(recv_fds(inside.s)[0], b"", "its client")
        b.serves()
        # from inside, nothing of others is seen
        vm = b.partition("vm")
        with b.client(vm) as inside:
            for method in ("service.list", "partition.list", "listeners",
                           "connections", "reload", "service.add"):
                same(refusal(inside.call, method).reason, NOT_PERMITTED, method)
            st = inside.call("status")
            check("partitions_counters" not in st or not
                  st["partitions_counters"], "status: %r" % st)
            same(refusal(inside.call, "explain", to="host:1",
                         **{"from": "host"}).reason, NOT_PERMITTED, "explain")


@in_a_broker()
def test_listener_before_the_service(b):
    """Bound by its port before a service with an id of its own has it."""
    ident = uuid.uuid4()
    vm = b.partition("vm")
    with b.client() as c, b.client(vm) as inside:
        listener = c.serve(WILDCARD, port(4200))
        same(why(inside, PARENT, port(4200)), NOT_REGISTERED, "not yet")
        b.service("late", 4200, "ServiceId=%s" % ident)
        for spelling in port(4200), ident:
            same(why(inside, PARENT, spelling), 0, str(spelling))
            same(refusal(c.serve, WILDCARD, spelling).reason, TAKEN, "bind")
        listener.close()


@in_a_broker()
def test_names_of_others_are_not_told(b):
    one = b.partition("one")
    b.partition("two")
    with b.client() as c, b.client(one) as inside:
        c.ask(RESOLVE, b"two\0" b"1\0").check()
        inside.ask(RESOLVE, b"one\0" b"1\0").check()
        inside.ask(RESOLVE, b"host\0" b"1\0").check()
        same(inside.ask(RESOLVE, b"two\0" b"1\0").reason, UNKNOWN, "two")


@in_a_broker()
def test_full_backlog(b):
    with b.client() as c:
        listener = c.serve(WILDCARD, port(4100), backlog=0)
        held = []
        while True:
            try:
                held.append(c.dial(LOOPBACK, port(4100), 0, NONBLOCK))
            except Refused as e:
                same((e.errno, e.reason), (errno.ECONNREFUSED, BACKLOG), str(e))
                break
        e = refusal(c.dial, LOOPBACK, port(4100), 60)
        same((e.errno, e.reason), (errno.ECONNREFUSED, BACKLOG), "in vain")
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        n = c.start_connect(s, LOOPBACK, port(4100), 20000)
        c.call("status")
        listener.accept()[0].close()
        same(c.end_connect(n)[0], 0, "room at last")
        for x in held + [s, listener]:
            x.close()


def test_target(_):
    """A daemon that listens on a Unix socket is the service."""
    with Broker() as b:
        daemon = socket.socket(socket.AF_UNIX)
        daemon.bind(b.dir + "/daemon")
        daemon.listen()
        b.service("d", 4200, "Target=unix:%s/daemon" % b.dir)
        vm = b.partition("vm")
        with b.client(vm) as c:
            s = c.dial(PARENT, port(4200))
            a, name = daemon.accept()
            same(peer_of(name)[0], vm, "who it is")
            s.close()
            a.close()
            daemon.close()
            e = refusal(c.dial, PARENT, port(4200))
            same(e.reason, NO_LISTENER, str(e))
            os.unlink(b.dir + "/daemon")
            same(refusal(c.dial, PARENT, port(4200)).reason, NO_LISTENER, "")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
