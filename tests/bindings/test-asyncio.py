#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvsocket for Python under asyncio: streams, loop.sock_*, datagrams, a slow guest"""
import asyncio
import errno
import os
import socket
import sys

import tap
from hvb import OFF, Broker
from tap import check, same
from transport import Transport

import hvsocket
from hvsocket import HvSocket, Reason

LIMIT_S = 20


class Fixture:
    def __init__(self, _work):
        self.b = Broker()

    def __enter__(self):
        self.b.start()
        os.environ["HVSOCKET_RUNTIME_DIR"] = self.b.run
        self.b.partition("vm")
        self.b.service("echo", 5000)
        return self

    def __exit__(self, *exc):
        self.b.end(check=exc[0] is None)


def in_a_loop(function):
    def run(f):
        async def limited():
            await asyncio.wait_for(function(f), LIMIT_S)
        asyncio.run(limited(), debug=True)
    return run


async def shout(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()
    await writer.wait_closed()


async def refusal(what):
    try:
        await what
    except OSError as e:
        return e
    raise tap.Failure("was not refused")


@in_a_loop
async def test_streams(f):
    server = await hvsocket.start_server(shout, "wildcard:echo")
    async with server:
        same(server.sockets[0].getsockname().port, 5000, "the server's name")
        for wait in False, True:
            reader, writer = await hvsocket.open_connection(
                "loopback:echo", wait=wait, timeout=5)
            same(writer.get_extra_info("peername"),
                 hvsocket.resolve("loopback:echo"), "peername")
            writer.write(b"hello\n" * 1000)
            writer.write_eof()
            same(await reader.read(), b"HELLO\n" * 1000, "answer")
            writer.close()
            await writer.wait_closed()


@in_a_loop
async def test_many_at_once(f):
    async def one(n):
        reader, writer = await hvsocket.open_connection("loopback:5001")
        writer.write(b"%d\n" % n)
        line = await reader.readline()
        writer.close()
        return int(line)

    async with await hvsocket.start_server(shout, "loopback:5001"):
        same(await asyncio.gather(*map(one, range(50))), list(range(50)),
             "answers")


@in_a_loop
async def test_refusals(f):
    e = await refusal(hvsocket.open_connection("loopback:5002"))
    check(isinstance(e, ConnectionRefusedError), repr(e))
    same(e.reason, Reason.NO_LISTENER, "reason")
    e = await refusal(hvsocket.open_connection("loopback:5002", timeout=600))
    same(e.reason, Reason.NO_LISTENER, "longer than brokers wait: %s" % e)
    e = await refusal(hvsocket.start_server(shout, "children:5999"))
    same(e.reason, Reason.NOT_REGISTERED, "reason")
    e = await refusal(hvsocket.open_connection("loopback:5002", wait=True,
                                               timeout=0.05))
    check(e.reason in (Reason.NO_ANSWER, Reason.NO_LISTENER), repr(e))


@in_a_loop
async def test_cancelled_while_it_waits(f):
    before = set(os.listdir("/proc/self/fd"))
    task = asyncio.ensure_future(hvsocket.open_connection(
        "loopback:5003", wait=True, timeout=0.5))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    else:
        raise tap.Failure("was not cancelled")
    # the thread gives up by itself, and leaves no descriptor
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)
    left = set()
    for fd in set(os.listdir("/proc/self/fd")) - before:
        try:
            left.add(os.readlink("/proc/self/fd/" + fd))
        except OSError:
            pass
    # the library keeps its connection to the broker
    check(len([x for x in left if x.startswith("socket:")]) <= 1, left)


@in_a_loop
async def test_loop_sock_calls(f):
    loop = asyncio.get_running_loop()
    with hvsocket.create_server("loopback:5004") as server, \
            HvSocket() as c:
        server.setblocking(False)
        c.setblocking(False)
        accepted = asyncio.ensure_future(loop.sock_accept(server))
        await loop.sock_connect(c, "loopback:5004")
        s, peer = await accepted
        with s:
            same(type(s), HvSocket, "accepted")
            same(peer.vm_id, hvsocket.HV_GUID_LOOPBACK, "by whom")
            data = os.urandom(1 << 20)
            sent = asyncio.ensure_future(loop.sock_sendall(c, data))
            got = b""
            while len(got) < len(data):
                got += await loop.sock_recv(s, 1 << 16)
            await sent
            same(got == data, True, "the same data")


@in_a_loop
async def test_a_guest_that_answers(f):
    t = Transport(f.b, "vm")
    try:
        reader, writer = await hvsocket.open_connection("vm:6000")
        conn = t.wait(lambda: [c for c in t.conns.values() if c.sock])[0]
        check(conn.parked, "the loop was not held up")
        conn.sock.sendall(b"from the guest")
        same(await reader.read(100), b"from the guest", "data")
        writer.write(b"x")
        same(conn.sock.recv(10), b"x", "the other way")
        writer.close()
        await writer.wait_closed()
    finally:
        t.end()


@in_a_loop
async def test_a_guest_that_refuses(f):
    t = Transport(f.b, "vm", answer=lambda conn: OFF)
    try:
        e = await refusal(hvsocket.open_connection("vm:6001"))
        same((e.errno, e.reason), (errno.EHOSTDOWN, Reason.PARTITION_OFF),
             "the true error: %s" % e)
        with HvSocket() as s:
            s.setblocking(False)
            e = await refusal(asyncio.get_running_loop().sock_connect(
                s, "vm:6001"))
            same(e.errno, errno.EHOSTDOWN, "sock_connect(): %s" % e)
    finally:
        t.end()


@in_a_loop
async def test_why(f):
    t = Transport(f.b, "vm", answer=lambda conn: OFF)
    try:
        with HvSocket() as s:
            s.setblocking(False)
            try:
                s.connect("vm:6002")
                raise tap.Failure("not in progress")
            except BlockingIOError as e:
                same(e.errno, errno.EINPROGRESS, "at first")
            loop, told = asyncio.get_running_loop(), asyncio.Event()
            loop.add_writer(s, told.set)
            await told.wait()
            loop.remove_writer(s)
            why = s.why()
            same((why.errno, why.reason),
                 (errno.EHOSTDOWN, Reason.PARTITION_OFF), "why(): %s" % why)
    finally:
        t.end()


@in_a_loop
async def test_datagrams(f):
    loop = asyncio.get_running_loop()
    got = asyncio.Queue()

    class Take(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            got.put_nowait((data, addr))

    s = hvsocket.create_server("loopback:5005", type=socket.SOCK_DGRAM)
    s.setblocking(False)
    there, _ = await loop.create_datagram_endpoint(Take, sock=s)
    c = HvSocket(type=socket.SOCK_DGRAM)
    c.setblocking(False)
    here, _ = await loop.create_datagram_endpoint(Take, sock=c)
    here.sendto(b"a question", hvsocket.resolve("loopback:5005"))
    data, who = await got.get()
    same(data, b"a question", "datagram")
    there.sendto(b"an answer", who)
    # a socket that was not bound is known to the loop, but had no peer then
    data, who = await got.get()
    same((data, who.port), (b"an answer", 5005), "answer")
    here.close()
    there.close()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Fixture)
