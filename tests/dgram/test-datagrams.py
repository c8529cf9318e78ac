#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Datagrams between programs of one host: addresses, policy, the calls"""
import contextlib
import ctypes
import errno
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import uuid

import dg
import hvs
import member
import tap
from hvb import BROADCAST, CHILDREN, LOOPBACK, PARENT, SILOHOST, WILDCARD, \
    ZERO, address, port, until
from tap import check, same

PEEK, DONTWAIT, TRUNC = socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_TRUNC
LIB = dg.library()


def refused(reason, number, function, *args, **more):
    try:
        function(*args, **more)
    except hvs.Refused as e:
        same((e.reason, errno.errorcode[e.errno]),
             (reason, errno.errorcode[number]), e.text)
        return e.text
    raise tap.Failure("not refused: %s" % reason)


def fails(number, function, *args, **more):
    try:
        function(*args, **more)
    except hvs.Refused as e:
        same(errno.errorcode[e.errno], errno.errorcode[number], e.text)
        return e.text
    raise tap.Failure("no %s" % errno.errorcode[number])


class World:
    """A broker, its host, a container, one in it, and a service."""

    def __init__(self, b):
        self.b = b
        b.service("news", 7000)
        box = b.partition("box", "Kind=container")
        inner = b.partition("inner", "Kind=container", "Parent=box")
        other = b.partition("other", "Kind=container")
        self.host = dg.Place(LIB, b)
        self.box, self.inner, self.other = (
            dg.Place(LIB, b, v) for v in (box, inner, other))


@contextlib.contextmanager
def world():
    with dg.broker() as b:
        yield World(b)


def test_there_and_back(_):
    with world() as w:
        server = w.host.socket(CHILDREN, port(7000))
        client = w.box.socket()
        same(w.box.send(client, b"ping", PARENT, port(7000)), 4, "sent")
        data, sender = w.host.recv(server)
        same(data, b"ping", "the datagram")
        same(sender[0], w.box.vmid, "who sent it")
        same(sender, (w.box.vmid, LIB.own(client)[1]), "and by which socket")
        # an answer needs no rule: no child is let in by a number like that
        same(w.host.send(server, b"pong", *sender), 4, "answered")
        same(w.box.recv(client), (b"pong", (PARENT, port(7000))), "the answer")
        same(LIB.own(server), (CHILDREN, port(7000)), "hvs_getsockname")
        # nothing, and as much as there can be
        for data in (b"", os.urandom(65536)):
            same(w.box.send(client, data, PARENT, port(7000)), len(data), "")
            same(w.host.recv(server)[0], data, "%d bytes" % len(data))
        fails(errno.EMSGSIZE, w.box.send, client, bytes(65537), PARENT,
              port(7000))
        same(dg.status(w.b)["sockets"], 2, "sockets")
        client.close()
        server.close()
        check(until(lambda: dg.status(w.b)["sockets"] == 0), "closed")


def test_addresses(_):
    """Rows of the table: bound to, sender, sends to -> heard as."""
    with world() as w:
        host, box, inner, other = w.host, w.box, w.inner, w.other
        rows = (
            (host, box.vmid, box, PARENT, box.vmid),
            (host, box.vmid, other, PARENT, None),
            (host, CHILDREN, box, PARENT, box.vmid),
            (host, WILDCARD, box, PARENT, box.vmid),
            (host, LOOPBACK, host, LOOPBACK, LOOPBACK),
            (host, WILDCARD, host, LOOPBACK, LOOPBACK),
            (host, CHILDREN, host, LOOPBACK, None),
            (box, PARENT, host, box.vmid, PARENT),
            (box, WILDCARD, host, box.vmid, PARENT),
            (box, SILOHOST, host, box.vmid, PARENT),
            (box, CHILDREN, host, box.vmid, None),
            (box, LOOPBACK, box, LOOPBACK, LOOPBACK),
            (box, CHILDREN, inner, PARENT, inner.vmid),
            (box, CHILDREN, inner, SILOHOST, inner.vmid),
            (inner, WILDCARD, host, inner.vmid, PARENT),
            (box, BROADCAST, host, box.vmid, None),
        )
        for where, bound, sender, to, heard in rows:
            what = "%r" % ((where.vmid, bound, sender.vmid, to),)
            with where.socket(bound, port(7000)) as s, sender.socket() as c:
                if heard is None:
                    refused("no listener", errno.ECONNREFUSED, sender.send, c,
                            b"x", to, port(7000))
                    continue
                sender.send(c, b"x", to, port(7000))
                data, (vmid, service) = where.recv(s)
                same((data, vmid), (b"x", heard), what)
                where.send(s, b"y", vmid, service)
                same(sender.recv(c)[0], b"y", "the answer, " + what)
            check(until(lambda: dg.status(w.b)["sockets"] == 0), "closed")
        s = host.socket()
        for to in (WILDCARD, CHILDREN, PARENT, SILOHOST):
            refused("not a destination", errno.EADDRNOTAVAIL, host.send, s,
                    b"x", to, port(7000))
        refused("partition unknown", errno.EHOSTUNREACH, host.send, s, b"x",
                uuid.uuid4(), port(7000))
        refused("partition unknown", errno.EHOSTUNREACH, other.send,
                other.socket(), b"x", box.vmid, port(7000))
        for bound in (PARENT, BROADCAST):
            refused("not a destination", errno.EADDRNOTAVAIL, host.socket,
                    bound, port(7000))
        # as with listeners: the exact VmId before CHILDREN before WILDCARD
        some = [host.socket(v, port(7000)) for v in (WILDCARD, CHILDREN,
                                                     box.vmid)]
        c = box.socket()
        for s in reversed(some):
            box.send(c, b"first", PARENT, port(7000))
            same(host.recv(s)[0], b"first", "the most specific")
            s.close()
            n = some.index(s)
            check(until(lambda: dg.status(w.b)["sockets"] == n + 1), "closed")


def test_again_at_once(_):
    """An address is free when its socket has been closed."""
    with world() as w:
        c = w.host.socket()
        for i in range(200):
            with w.host.socket(LOOPBACK, port(7000)) as s:
                w.host.send(c, b"%d" % i, LOOPBACK, port(7000))
                same(w.host.recv(s)[0], b"%d" % i, "")
                if i % 50 == 0:
                    refused("address taken", errno.EADDRINUSE, w.host.socket,
                            LOOPBACK, port(7000))


def test_broadcast(_):
    with world() as w:
        host, box, inner, other = w.host, w.box, w.inner, w.other
        heard = [(box, box.socket(PARENT, port(7000))),
                 (box, box.socket(BROADCAST, port(7000))),
                 (other, other.socket(WILDCARD, port(7000)))]
        deaf = [inner.socket(WILDCARD, port(7000)),
                host.socket(WILDCARD, port(7000)),
                box.socket(PARENT, port(7001)),
                other.socket(CHILDREN, port(7000))]
        s = host.socket()
        host.send(s, b"to all", BROADCAST, port(7000))
        number = LIB.own(s)[1]
        for place, r in heard:
            same(place.recv(r), (b"to all", (PARENT, number)), "a child")
        # each may answer
        for place, r in heard:
            place.send(r, b"here", PARENT, number)
        same({host.recv(s)[1][0] for _ in heard}, {box.vmid, other.vmid},
             "who answered")
        check(until(lambda: dg.status(w.b)["delivered"] >= 6), "told")
        same(dg.status(w.b)["delivered"], 6, "nobody else heard it")
        for r in deaf:
            fails(errno.EAGAIN, box.recv, r, flags=DONTWAIT)
        # nobody there is no error
        host.send(s, b"x", BROADCAST, port(7002))
        dg.dropped(w.b, "no listener", 1)
        w.b.partition("box", "Kind=container", "Enabled=no", vmid=box.vmid)
        dg.status(w.b)  # the broker has read it by now
        host.send(s, b"again", BROADCAST, port(7000))
        same(other.recv(heard[2][1])[0], b"again", "the enabled child")
        fails(errno.EAGAIN, box.recv, heard[0][1], flags=DONTWAIT)


def test_default_destination(_):
    with world() as w:
        server = w.host.socket(LOOPBACK, port(7000))
        s = w.host.socket()
        fails(errno.EDESTADDRREQ, w.host.send, s, b"x")
        fails(errno.ENOTCONN, LIB.peer, s)
        w.host.connect(s, LOOPBACK, port(7000))
        same(LIB.peer(s), (LOOPBACK, port(7000)), "hvs_getpeername")
        w.host.send(s, b"by default")
        same(w.host.recv(server)[0], b"by default", "")
        # again, to where nobody is yet
        w.host.connect(s, LOOPBACK, port(7001))
        refused("no listener", errno.ECONNREFUSED, w.host.send, s, b"x")
        late = w.host.socket(LOOPBACK, port(7001))
        w.host.send(s, b"late")
        same(w.host.recv(late)[0], b"late", "")
        refused("not a destination", errno.EADDRNOTAVAIL, w.host.connect, s,
                PARENT, port(7000))
        w.host.disconnect(s)
        fails(errno.EDESTADDRREQ, w.host.send, s, b"x")


def test_flags(_):
    with world() as w:
        server = w.host.socket(LOOPBACK, port(7000))
        s = w.host.socket()
        fails(errno.EAGAIN, w.host.recv, server, flags=DONTWAIT)
        fails(errno.ENOTCONN, w.host.recv, s, flags=DONTWAIT)
        w.host.send(s, b"0123456789", LOOPBACK, port(7000))
        same(w.host.recv(server, flags=PEEK)[0], b"0123456789", "MSG_PEEK")
        same(w.host.recv(server, 4, flags=PEEK)[0], b"0123", "cut")
        data, _, n = w.host.recv(server, 4, flags=PEEK | TRUNC)
        same((data, n), (b"0123", 10), "MSG_TRUNC")
        same(w.host.recv(server, 0)[0], b"", "no room at all")
        fails(errno.EAGAIN, w.host.recv, server, flags=DONTWAIT)
        fails(errno.EOPNOTSUPP, w.host.recv, server, flags=socket.MSG_OOB)
        fails(errno.EOPNOTSUPP, w.host.send, s, b"x", LOOPBACK, port(7000),
              flags=socket.MSG_OOB)
        server.setblocking(False)
        fails(errno.EAGAIN, w.host.recv, server)
        for call in (lambda: LIB.listen(s),
                     lambda: LIB.check(LIB.c.hvs_accept(s.fileno(), None, None,
                                                        0), s.fileno())):
            fails(errno.EOPNOTSUPP, call)
        fails(errno.EINVAL, w.host.bind, server, LOOPBACK, port(7001))


def message(buffers, name=None):
    iov = (dg.Iov * len(buffers))(*[
        dg.Iov(ctypes.cast(b, ctypes.c_void_p), len(b)) for b in buffers])
    return dg.Msg(ctypes.cast(ctypes.pointer(name), ctypes.c_void_p)
                  if name else None, 36 if name else 0,
                  ctypes.cast(iov, ctypes.c_void_p), len(buffers)), iov


def test_messages_of_many_parts(_):
    with world() as w:
        server = w.host.socket(LOOPBACK, port(7000))
        s = w.host.socket()
        parts = [ctypes.create_string_buffer(bytes([65 + i]) * 3, 3)
                 for i in range(20)]
        to = hvs.Address.of(LOOPBACK, port(7000))
        m, keep = message(parts, to)
        same(LIB.check(LIB.c.hvs_sendmsg(s.fileno(), ctypes.byref(m), 0),
                       s.fileno()), 60, "hvs_sendmsg")
        rooms = [ctypes.create_string_buffer(7) for _ in range(6)]
        sender = hvs.Address()
        m, keep = message(rooms, sender)
        same(LIB.check(LIB.c.hvs_recvmsg(server.fileno(), ctypes.byref(m), 0),
                       server.fileno()), 42, "hvs_recvmsg")
        same(b"".join(r.raw for r in rooms),
             b"".join(p.raw for p in parts)[:42], "the parts")
        same((m.namelen, m.controllen, bool(m.flags & TRUNC)), (36, 0, True),
             "msghdr")
        same(sender.get(), (LOOPBACK, LIB.own(s)[1]), "the sender")
        m, keep = message(parts, to)
        m.control, m.controllen = ctypes.addressof(parts[0]), 16
        fails(errno.EOPNOTSUPP, lambda: LIB.check(LIB.c.hvs_sendmsg(
            s.fileno(), ctypes.byref(m), 0), s.fileno()))
        del keep


def test_poll(_):
    with world() as w:
        server = w.host.socket(LOOPBACK, port(7000))
        s = w.host.socket(ZERO, ZERO)
        p = select.epoll()
        p.register(server, select.EPOLLIN)
        same(p.poll(0), [], "nothing there")
        same(select.select([], [s], [], 0)[1], [s], "room")
        w.host.send(s, b"x", LOOPBACK, port(7000))
        same(p.poll(20), [(server.fileno(), select.EPOLLIN)], "something")
        w.host.recv(server)
        same(p.poll(0), [], "nothing again")
        p.close()


def test_other_types(_):
    """On a connection the calls are the kernel's."""
    with world() as w:
        lib = w.host.here()
        listener = lib.serve(LOOPBACK, port(7000))
        c = lib.dial(LOOPBACK, port(7000))
        s, _ = listener.accept()
        same(w.host.send(c, b"bytes"), 5, "hvs_sendto")
        buf = ctypes.create_string_buffer(16)
        same(LIB.c.hvs_recvfrom(s.fileno(), buf, ctypes.c_size_t(16), 0, None,
                                None), 5, "hvs_recvfrom")
        same(buf.raw[:5], b"bytes", "")
        fails(errno.EISCONN, w.host.send, c, b"x", LOOPBACK, port(7000))
        # the same address is free for datagrams
        d = w.host.socket(LOOPBACK, port(7000))
        refused("address taken", errno.EADDRINUSE, w.host.socket, LOOPBACK,
                port(7000))
        d.close()


def test_policy_between_two_messages(_):
    with world() as w:
        server = w.host.socket(CHILDREN, port(7000))
        c = w.box.socket()
        w.box.send(c, b"1", PARENT, port(7000))
        back = w.host.recv(server)[1]
        # past the library, which would ask again after a while: what decides
        # is what stands between
        for n, lines in enumerate((["Policy=disabled"],
                                   ["Connect=user:4242"],
                                   ["AllowWildcardBinds=no"],
                                   ["Bind=user:4242"]), 1):
            w.b.service("news", 7000, *lines)
            dg.status(w.b)  # the broker has read it by now
            c.send(b"\1\1\0\0" + address(PARENT, port(7000)) + b"no")
            check(until(lambda: sum(dg.status(w.b)["dropped"].values()) == n),
                  "dropped: %r" % lines)
            fails(errno.EAGAIN, w.host.recv, server, flags=DONTWAIT)
            w.b.service("news", 7000)
            dg.status(w.b)
            w.box.send(c, b"yes", PARENT, port(7000))
            same(w.host.recv(server)[0], b"yes", "allowed again")
        # nor is an answer let through then
        w.b.service("news", 7000, "Connect=user:4242")
        refused("no listener", errno.ECONNREFUSED, w.host.send, server, b"x",
                back[0], back[1])
        refused("connect denied", errno.EACCES, w.box.send, w.box.socket(),
                b"x", PARENT, port(7000))
        w.b.drop("services.d/news.conf")
        refused("not registered", errno.EACCES, w.box.send, w.box.socket(),
                b"x", PARENT, port(7000))
        refused("not registered", errno.EACCES, w.host.socket, w.box.vmid,
                port(7000))


def test_siblings(_):
    """Where Siblings= names the sender; who is named may be answered."""
    with world() as w:
        server = w.other.socket(WILDCARD, port(7000))
        c = w.box.socket()
        text = refused("partition unknown", errno.EHOSTUNREACH, w.box.send, c,
                       b"x", w.other.vmid, port(7000))
        check("Siblings=" in text, text)
        w.b.service("news", 7000, "Siblings=box")
        w.box.send(c, b"1", w.other.vmid, port(7000))
        data, sender = w.other.recv(server)
        same((data, sender[0]), (b"1", w.box.vmid), "who it is")
        w.other.send(server, b"2", *sender)
        data, sender = w.box.recv(c)
        same((data, *sender), (b"2", w.other.vmid, port(7000)), "the answer")
        # but not asked
        there = w.box.socket(WILDCARD, port(7000))
        refused("connect denied", errno.EACCES, w.other.send,
                w.other.socket(), b"x", w.box.vmid, port(7000))
        there.close()
        # what stands between decides for each
        w.b.service("news", 7000, "Siblings=none")
        dg.status(w.b)
        c.send(b"\1\1\0\0" + address(w.other.vmid, port(7000)) + b"no")
        check(until(lambda: sum(dg.status(w.b)["dropped"].values()) == 1),
              "dropped")
        fails(errno.EAGAIN, w.other.recv, server, flags=DONTWAIT)


def test_the_address_of_a_service(_):
    """Only who may bind a service sends with its address."""
    with world() as w:
        h, raw = w.host, b"\1\1\0\0"
        inside = w.box.socket(PARENT, port(7000))
        before = [h.socket(v, port(7000)) for v in (LOOPBACK, WILDCARD)]
        h.send(before[1], b"1", w.box.vmid, port(7000))
        same(w.box.recv(inside), (b"1", (PARENT, port(7000))), "it may")
        w.b.service("news", 7000, "Bind=user:4242")
        dg.status(w.b)
        for v in (LOOPBACK, WILDCARD, CHILDREN, w.box.vmid):
            refused("bind denied", errno.EACCES, h.socket, v, port(7000))
        # nor who did so when it might
        refused("bind denied", errno.EACCES, h.send, before[0], b"x",
                w.box.vmid, port(7000))
        for n, s in enumerate(before, 1):
            s.send(raw + address(w.box.vmid, port(7000)) + b"no")
            dg.dropped(w.b, "bind denied", n)
        s.send(raw + address(BROADCAST, port(7000)) + b"no")
        dg.dropped(w.b, "no listener", 1)
        fails(errno.EAGAIN, w.box.recv, inside, flags=DONTWAIT)
        # a child listens as it likes, and is itself for its parent
        w.b.service("up", 7001)
        server = h.socket(CHILDREN, port(7001))
        w.box.send(inside, b"2", PARENT, port(7001))
        same(h.recv(server), (b"2", (w.box.vmid, port(7000))), "a child's")


def test_nobody_is_let_in_by_number(_):
    """A socket that only sends is reached by answers alone."""
    with world() as w:
        a, b = w.host.socket(ZERO, ZERO), w.host.socket()
        refused("no listener", errno.ECONNREFUSED, w.host.send, b, b"x",
                LOOPBACK, LIB.own(a)[1])
        server = w.host.socket(LOOPBACK, port(7000))
        w.host.send(a, b"x", LOOPBACK, port(7000))
        number = w.host.recv(server)[1][1]
        w.host.send(server, b"answer", LOOPBACK, number)
        same(w.host.recv(a)[0], b"answer", "")
        refused("no listener", errno.ECONNREFUSED, w.host.send, b, b"x",
                LOOPBACK, number)


def test_an_answer_after_a_refusal(_):
    """That nobody was there is no reason when somebody has come."""
    with world() as w:
        server = w.host.socket(CHILDREN, port(7000))
        a = w.box.socket(ZERO, ZERO)
        number = LIB.own(a)[1]
        server.send(b"\1\1\0\0" + address(w.box.vmid, number) + b"x")
        check(until(lambda: dg.status(w.b)["dropped"]), "refused")
        w.box.send(a, b"1", PARENT, port(7000))
        same(w.host.recv(server), (b"1", (w.box.vmid, number)), "")
        w.host.send(server, b"answer", w.box.vmid, number)
        same(w.box.recv(a)[0], b"answer", "let through now")


def test_many_threads_send_first(_):
    """One of them binds the socket; each datagram gets there."""
    with world() as w:
        server = w.host.socket(LOOPBACK, port(7000))
        a = hvs.Address.of(LOOPBACK, port(7000))
        for _ in range(20):
            s = w.host.socket()
            start = threading.Barrier(8)

            def first(s=s, start=start):
                start.wait()
                LIB.c.hvs_sendto(s.fileno(), b"x", ctypes.c_size_t(1), 0,
                                 ctypes.byref(a), 36)

            some = [threading.Thread(target=first) for _ in range(8)]
            for t in some:
                t.start()
            for t in some:
                t.join()
            own = LIB.own(s)[1]
            same([w.host.recv(server)[1][1] for _ in some], [own] * 8, "each")
            s.close()


def test_fork_and_inheritance(_):
    with world() as w:
        server = w.host.socket(LOOPBACK, port(7000))
        s = w.host.socket()
        w.host.connect(s, LOOPBACK, port(7000))
        pid = os.fork()
        if not pid:
            try:
                w.host.send(s, b"a child")
                os._exit(0)
            finally:
                os._exit(1)
        same(w.host.recv(server)[0], b"a child", "of a fork")
        same(os.waitpid(pid, 0)[1], 0, "it ended")
        # after exec only the name tells
        s.set_inheritable(True)
        code = ("import dg, hvb, hvs, socket\n"
                "lib = dg.library()\n"
                "s = socket.socket(fileno=%d)\n"
                "a = hvs.Address.of(hvb.LOOPBACK, hvb.port(7000))\n"
                "import ctypes\n"
                "assert lib.c.hvs_sendto(%d, b'exec', ctypes.c_size_t(4), 0,"
                " ctypes.byref(a), 36) == 4\n" % (s.fileno(), s.fileno()))
        pid = os.spawnv(os.P_NOWAIT, sys.executable,
                        [sys.executable, "-c", code])
        same(w.host.recv(server)[0], b"exec", "")
        same(os.waitpid(pid, 0)[1], 0, "it ended")


CONTAINED = """
import dg, hvb, hvs, os, socket
assert not os.path.exists("/run/hvsocket/broker")
lib = dg.library()
s = lib.socket(dg.DGRAM)
import ctypes
a = hvs.Address.of(hvb.PARENT, hvb.port(7000))
assert lib.c.hvs_sendto(s.fileno(), b"inside", ctypes.c_size_t(6), 0,
                        ctypes.byref(a), 36) == 6, lib.reason(s.fileno())
buf = ctypes.create_string_buffer(16)
n = lib.c.hvs_recvfrom(s.fileno(), buf, ctypes.c_size_t(16), 0, None, None)
print(buf.raw[:n].decode())
"""


def test_from_a_container(_):
    """With mounts and a network of its own, and the partition's directory."""
    with world() as w, tempfile.NamedTemporaryFile("w", suffix=".py") as f:
        f.write(CONTAINED)
        f.flush()
        server = w.host.socket(CHILDREN, port(7000))
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        env = dict(os.environ)
        env.pop("HVSOCKET_RUNTIME_DIR", None)
        p = subprocess.Popen(
            ["unshare"] + user + ["--mount", "--pid", "--fork", "--net",
                                  "--kill-child", "sh", "-c", member.MOUNT,
                                  "sh", w.box.dir, sys.executable, f.name],
            env=env, stdout=subprocess.PIPE, text=True)
        data, sender = w.host.recv(server)
        same((data, sender[0]), (b"inside", w.box.vmid), "who sent")
        w.host.send(server, b"outside", *sender)
        same(p.communicate(timeout=60)[0], "outside\n", "the answer")
        same(p.returncode, 0, "it ended")


def test_without_a_broker(_):
    with world() as w:
        s = w.host.socket()
        os.environ["HVSOCKET_RUNTIME_DIR"] = "/nowhere"
        for call in (lambda: LIB.bind(s, LOOPBACK, port(7000)),
                     lambda: LIB.connect(s, LOOPBACK, port(7000))):
            refused("no broker", errno.ENETDOWN, call)
        a = hvs.Address.of(LOOPBACK, port(7000))
        refused("no broker", errno.ENETDOWN, lambda: LIB.check(
            LIB.c.hvs_sendto(s.fileno(), b"x", ctypes.c_size_t(1), 0,
                             ctypes.byref(a), 36), s.fileno()))


tap.main(sys.modules[__name__], tap.Nothing)
