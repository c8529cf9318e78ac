#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What one user or guest of the broker can take from the others: nothing"""
import contextlib
import errno
import os
import socket
import statistics
import struct
import sys
import time
import uuid

import tap
from hvb import *
from tap import check, same
from users import as_user, several

PORT = port(5000)


def lingering():
    """A TCP socket whose last close() waits for an hour."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        s = socket.create_connection(server.getsockname())
        peer = server.accept()[0]
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                 struct.pack("ii", 1, 3600))
    s.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            s.send(bytes(65536))
    return s, peer


def test_lingering_files_do_not_stay(b):
    with b.client() as c:
        before = b.fds()
        stuff = [lingering() for _ in range(60)]
        with b.stopped():
            for s, _ in stuff:
                c.send(HELLO, struct.pack("<II", 1, 1), [s])
                s.close()
        check(b.settled(before), "%d files stay open" % (b.fds() - before))
        for _, peer in stuff:
            peer.close()


def limited(b):
    b.stop()
    b.options = ["--max-pending", "4", "--max-listeners", "4",
                 "--max-clients", "8"]
    b.start()


def test_guests_of_one_user(b):
    """Both VMs' transports are one user's; one guest has all it may have."""
    limited(b)
    with b.client() as c:
        listener = c.serve(WILDCARD, PORT, backlog=0)
        b.service("s", 5000, "Bind=any")
        full = c.dial(LOOPBACK, PORT)
        guests = []
        for name in ("one", "two"):
            t, r = b.client(), socket.socket(socket.AF_UNIX)
            t.ask(ATTACH, bytes(16) + struct.pack("<HHI", 1, 1, 0) +
                  name.encode(), [r]).check()
            r.listen(16)
            guests.append((t, r))
        dial = struct.pack("<HHI", 1, 0, 60000) + PARENT.bytes_le + \
            PORT.bytes_le + port(1024).bytes_le
        for _ in range(4):
            guests[0][0].send(DIAL, dial)
        same(guests[0][0].ask(DIAL, dial).reason, QUOTA, "the fifth of one")
        serial = guests[1][0].send(DIAL, dial)
        c.call("status")  # that was handled
        kept = [full]
        for _ in range(6):
            kept.append(listener.accept()[0])
        same(guests[1][0].reply(serial).errno, 0, "the first of the other")
        for x in kept + [listener]:
            x.close()
        for t, r in guests:
            t.close()
            r.close()


@several
def test_clients_of_a_container(b):
    """A container's users, however many, share what it may have."""
    limited(b)
    vmid = b.partition("box", "Kind=container")
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(b.client(vmid))

        def another():
            for _ in range(4):
                stack.enter_context(b.client(vmid))
            try:
                b.client(vmid)
            except OSError:
                return
            raise AssertionError("nine connections in one container")
        os.chmod(b.run + "/broker", 0o711)
        check(as_user(4242, another), "the other user")


@contextlib.contextmanager
def guest(b, name):
    """A transport whose guest is up: (its connection, rendezvous, VmId)"""
    with b.client() as t, socket.socket(socket.AF_UNIX) as r:
        reply = t.ask(ATTACH, bytes(16) + struct.pack("<HHI", 1, 1, 0) +
                      name.encode(), [r]).check()
        r.listen(16)
        t.send(STATE, struct.pack("<I", 1))
        yield t, r, guid(reply.payload[:16])


def test_name_of_anothers_connection(b):
    """Tokens can be read in /proc/net/unix. Whoever takes one of them for a
    name of its own does not get hold of the connection."""
    with guest(b, "vm") as (t, _, vmid), b.client() as c, b.client() as d:
        s, own = (socket.socket(socket.AF_UNIX) for _ in range(2))
        state, token = c.connect(s, vmid, PORT, 5000, NONBLOCK)
        same(state, 1, "parked")
        source = port(0x80000000 | token & 0xffffffff)
        own.bind(b"\0hvs1" + bytes([1, 0]) + PARENT.bytes_le +
                 source.bytes_le + vmid.bytes_le + port(5001).bytes_le +
                 struct.pack("<IQ", os.getuid(), token))
        e = refusal(d.connect, own, vmid, port(5001), 5000)
        same((e.errno, e.reason), (errno.EINVAL, BAD_REQUEST), str(e))
        r = c.ask(RESULT, struct.pack("<Q", token))
        same(struct.unpack_from("<I", r.payload)[0], 1, "still pending")
        for x in (s, own):
            x.close()


def test_mark_is_not_wiped_off(b):
    """Leaving and coming back does not make anybody trusted again."""
    with b.client() as c:
        listener = c.serve(WILDCARD, PORT, backlog=0)
        filler = [c.dial(LOOPBACK, PORT)]
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        pid = os.fork()
        if not pid:
            while True:
                os.set_blocking(s.fileno(), True)
                os.set_blocking(s.fileno(), False)
        try:
            vmid = b.partition("box", "Kind=container")
            b.service("s", 5000, "Bind=any")

            def caught():
                with b.client(vmid) as d:
                    d.reply(d.start_connect(s, PARENT, PORT, 20))
                with open(b.log) as f:
                    return f.read().count("served slowly")
            check(until(caught), "nobody is caught")
            n = caught()
            for _ in range(100):
                same(caught(), n, "caught so often")
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        for x in filler + [s, listener]:
            x.close()


def test_waking_the_waiting(b):
    """One who has a thousand connects waiting, and wakes them all the time,
    does not hold up others much."""
    with b.client() as c, b.client() as hostile:
        listener = c.serve(WILDCARD, PORT)

        def once():
            start = time.monotonic()
            c.dial(LOOPBACK, PORT, 20000).close()
            listener.accept()[0].close()
            return time.monotonic() - start

        def beside(number):
            """While somebody else says all the time that a port listens."""
            pid = os.fork()
            if not pid:
                while True:
                    hostile.notice(1, LOOPBACK, port(number))
            try:
                return statistics.median(once() for _ in range(100))
            finally:
                os.kill(pid, 9)
                os.waitpid(pid, 0)

        own, s = (socket.socket(socket.AF_UNIX) for _ in range(2))
        s.setblocking(False)
        hostile.bind(own, LOOPBACK, port(6500))
        for _ in range(1000):
            hostile.start_connect(s, LOOPBACK, port(6500), 300000, WAIT)
        # the processor's share is the same in both
        nobody, among = beside(6501), beside(6500)
        print("# median of a connect: %.3f ms where nobody waits, %.3f ms" % (
            nobody * 1e3, among * 1e3))
        check(among < 50 * nobody, "held up")
        for x in (own, s, listener):
            x.close()


def test_large_replies_that_nobody_reads(b):
    """They are the broker's memory."""
    for i in range(300):
        b.service("service-%d" % i, 7000 + i)
    ask = b'{"method":"service.list"}'
    with b.client() as c, b.client() as d:
        serials = [c.send(CALL, ask) for _ in range(8)]
        check(until(lambda: d.ask(CALL, ask).reason == QUOTA), "no limit")
        for n in serials:
            r = c.reply(n)
            same((r.errno, len(r.fds)), (0, 1), "those that there is room for")
            os.close(r.fds[0])
        same(len(d.call("service.list")["services"]), 300, "room again")


@several
def test_ids_that_were_given_up(b):
    """A connection that ends takes no more with it than what is its own."""
    one = str(uuid.uuid4())
    told, tell = os.pipe()
    go, wait = os.pipe()

    def first():
        with b.client() as c:
            c.call("service.add", name="mine", id=one, lease="connection")
            with b.client() as d:
                d.call("service.remove", service="mine")
            os.write(tell, b"x")
            os.read(go, 1)

    pid = os.fork()
    if not pid:
        os._exit(0 if as_user(4242, first) else 1)
    os.read(told, 1)
    with b.client() as c:
        c.call("service.add", name="ours", id=one, lease="none")
        os.write(wait, b"x")
        same(os.waitpid(pid, 0)[1], 0, "the first owner")
        same([s["name"] for s in c.call("service.list")["services"]], ["ours"],
             "after the first owner went")
    for fd in (told, tell, go, wait):
        os.close(fd)


def test_whom_wildcards_cover(b):
    """Many of them, and many partitions: not all pairs in one reply."""
    for i in range(200):
        b.partition("p%d" % i)
    with b.client() as c:
        held = [c.serve(WILDCARD, port(8000 + i)) for i in range(200)]
        all = c.call("listeners")["listeners"]
        same(len(all), 200, "listeners")
        check(sum("covers" in x for x in all) <= 82, "too much is told")
        same([len(x["covers"]) for x in
              c.call("listeners", service="8199")["listeners"]], [200],
             "of one")
        for s in held:
            s.close()


def in_a_broker(function):
    def run(_):
        with Broker() as b:
            function(b)
    return run


for name, function in list(globals().items()):
    if name.startswith("test_"):
        globals()[name] = in_a_broker(function)

if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
