#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients and files that are out for harm"""
import contextlib
import ctypes
import errno
import os
import resource
import statistics
import struct
import sys
import tempfile
import threading
import time
import uuid

import tap
from hostile import *
from hvb import *
from tap import check, same
from transport import Transport

def test_client_that_never_reads(b):
    with unharmed(b), b.client() as good:
        listener = good.serve(WILDCARD, PORT)
        c = b.client()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:  # until it is thrown out
                c.send(CALL, VALID[CALL])
        good.dial(LOOPBACK, PORT).close()
        c.close()
        listener.close()


def test_waiting_connects_of_one_who_never_reads(b):
    """Their deadlines come while it cannot be told; it ends once."""
    with unharmed(b), b.client() as good:
        listener = good.serve(WILDCARD, PORT)
        for _ in range(4):
            c = b.client()
            s = unix()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for i in range(900):
                    c.start_connect(s, LOOPBACK, port(5999), 50 + i % 3, WAIT)
            check(until(lambda: gone(c)), "it was not thrown out")
            good.dial(LOOPBACK, PORT).close()
            s.close()
            c.close()
        listener.close()


def test_transport_that_never_reads(b):
    """OPEN cannot be told: the connects are refused, each once."""
    with unharmed(b), b.client() as good:
        t = b.client()
        rendezvous = unix()
        t.ask(ATTACH, bytes(16) + struct.pack("<HHI", 1, 1, 0) + b"deaf",
              [rendezvous]).check()
        rendezvous.listen()
        vmid = [p["id"] for p in good.call("partition.list")["partitions"]
                if p["name"] == "deaf"][0]
        t.send(STATE, struct.pack("<I", 1))
        crowd = [b.client() for _ in range(5)]
        sockets, serials = [], []
        for flags in (0, NONBLOCK, WAIT) * 50:
            for c in crowd:
                s = unix()
                sockets.append(s)
                serials.append((c, c.start_connect(s, uuid.UUID(vmid), PORT,
                                                   1000, flags)))
        for i, (c, serial) in enumerate(serials):
            r = c.reply(serial)
            check(r.errno in (0, errno.EHOSTDOWN, errno.ETIMEDOUT,
                              errno.EHOSTUNREACH), "connect %d: %d %r" % (
                                  i, r.errno, r.payload))
        check(until(lambda: gone(t)), "the deaf one was not thrown out")
        for c in crowd:
            c.call("status")
            same(c.others, [], "replies that nobody asked for")
            c.close()
        t.close()
        for s in sockets + [rendezvous]:
            s.close()


def test_ten_thousand_half_open_clients(b):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 32768), hard))
    check(min(hard, 32768) >= 10500, "RLIMIT_NOFILE is only %d" % hard)

    def connects(c, listener, n=60):
        took = []
        for _ in range(n):
            start = time.perf_counter()
            s = c.dial(LOOPBACK, PORT)
            took.append(time.perf_counter() - start)
            listener.accept()[0].close()
            s.close()
        return statistics.median(took)

    try:
        with unharmed(b), b.client() as c:
            listener = c.serve(WILDCARD, PORT)
            before = connects(c, listener)
            crowd = [b.client(hello=False) for _ in range(10000)]
            arriving = connects(c, listener)
            crowd[-1].ask(HELLO, struct.pack("<II", 1, 1)).check()
            during = connects(c, listener)
            with b.client() as late:  # and one can still come in
                same(late.partition, ZERO, "a late client")
            print("# median of a connect: %.3f ms alone, %.3f ms while 10,000 "
                  "come in, %.3f ms among them" % (
                      before * 1e3, arriving * 1e3, during * 1e3))
            # Bounds that noise does not reach; waiting behind them would.
            check(arriving < 200 * before, "connects wait for the crowd")
            check(during < 10 * before, "connects are slower among the crowd")
            for x in crowd:
                x.close()
            listener.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clearing_nonblock_on_a_full_backlog(b):
    """Another user's, or the same user's, connects go on meanwhile."""
    with unharmed(b), b.client() as c, b.client() as hostile:
        listener = c.serve(WILDCARD, PORT)
        full = hostile.serve(WILDCARD, port(5001), backlog=0)
        filler = []
        with contextlib.suppress(Refused):
            for _ in range(8):
                filler.append(hostile.dial(LOOPBACK, port(5001), 0, NONBLOCK))
        stop = threading.Event()
        s = [unix() for _ in range(6)]

        def clear():
            while not stop.is_set():
                for x in s:
                    os.set_blocking(x.fileno(), True)
                    os.set_blocking(x.fileno(), False)

        def torment():
            while not stop.is_set():
                serials = [hostile.start_connect(x, LOOPBACK, port(5001), 100)
                           for x in s]
                for n in serials:
                    r = hostile.reply(n)
                    assert r.errno, "nobody accepts"

        threads = [threading.Thread(target=f) for f in (clear, torment)]
        for t in threads:
            t.start()
        worst = 0
        try:
            end = time.monotonic() + 3
            n = 0
            while time.monotonic() < end or n < 20:
                start = time.monotonic()
                c.dial(LOOPBACK, PORT, 20000).close()
                listener.accept()[0].close()
                worst = max(worst, time.monotonic() - start)
                n += 1
        finally:
            stop.set()
            for t in threads:
                t.join()
        print("# %d connects meanwhile, the slowest %.0f ms" % (n, worst * 1e3))
        for x in s + filler + [listener, full]:
            x.close()


BROKEN = {
    "unknown-key": "[Service]\nPort=6001\nColour=red\n",
    "unknown-section": "[Service]\nPort=6002\n[Server]\n",
    "no-id": "[Service]\nElementName=none\n",
    "bad-guid": "[Service]\nServiceId=12345\n",
    "two-ports": "[Service]\nPort=6003\nPort=6004\n",
    "big-port": "[Service]\nPort=4294967296\n",
    "policy": "[Service]\nPort=6005\nPolicy=maybe\n",
    "latin1": b"[Service]\nPort=6006\nElementName=caf\xe9\n",
    "utf16": "[Service]\nPort=6007\n".encode("utf-16"),
    "control": b"[Service]\nPort=6008\nElementName=a\x1b[31m\n",
    "zero": b"[Service]\nPort=6009\n\0\n",
    "no-user": "[Service]\nPort=6010\nBind=user:no-such-user-here\n",
    "rubbish": bytes(range(1, 256)) * 20,
    "large": "[Service]\nPort=6011\n" + "; x\n" * 400000,
    "line": "[Service]\nPort=6012\nElementName=" + "n" * 100000 + "\n",
    "wildcard": "[Service]\nPort=6013\nAllowWildcardBinds=perhaps\n",
    "target": "[Service]\nPort=6014\nTarget=tcp:localhost\n",
    "same-port-a": "[Service]\nPort=6100\n",
    "same-port-b": "[Service]\nPort=6100\n",
}


def test_broken_registry_files(b):
    with unharmed(b), b.client() as c:
        b.service("good", 6000, "ElementName=Good")
        same(c.call("service.show", service="Good")["port"], 6000, "good")
        for name, text in BROKEN.items():
            b.put("services.d/%s.conf" % name, text)
        b.put("partitions.d/bad.conf", "[Partition]\nVmId=zzz\n")
        os.mkdir(b.config + "/services.d/directory.conf")
        os.symlink("/nonexistent", b.config + "/services.d/dangling.conf")
        os.mkfifo(b.config + "/services.d/fifo.conf")
        problems = c.call("status")["problems"]
        files = {os.path.basename(p["file"]) for p in problems}
        for name in BROKEN:
            check(name + ".conf" in files, "no problem is told for " + name)
        check("bad.conf" in files, "nor for the partition")
        for p in problems:
            check(p["reason"] and all(x.isprintable() for x in p["reason"]),
                  "a reason for people: %r" % p)
        same([s["name"] for s in c.call("service.list")["services"]],
             ["Good"], "what is in force")
        listener = c.serve(WILDCARD, port(6000))
        c.dial(LOOPBACK, port(6000)).close()
        listener.close()
        # repaired in place: in force at once, and nothing else was lost
        b.put("services.d/policy.conf", "[Service]\nPort=6005\n")
        same(c.call("service.show", service="policy")["port"], 6005,
             "the repaired file")
        b.drop("services.d/same-port-b.conf")
        same(c.call("service.show", service="6100")["file"], "same-port-a",
             "the one that is left")
        for name in os.listdir(b.config + "/services.d"):
            path = b.config + "/services.d/" + name
            (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        b.drop("partitions.d/bad.conf")
        same(c.call("status")["problems"], [], "problems in the end")


def test_bad_calls(b):
    with unharmed(b), b.client() as c:
        for text in (b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe",
                     b'{"method":1}', b'{"method":"status","method":"names"}',
                     b'{"method":"nothing"}', b'{"method":"status","x":1}',
                     b'{"method":"explain"}', b'{"method":"explain","to":5}',
                     b'{"method":"explain","to":"host:1","uid":-1}',
                     b'{"method":"wait","to":"host:1","timeout_ms":300001}',
                     b'{"method":"wait","to":"host:1","type":"dgram"}',
                     b'{"method":"service.add","name":"a\\u0007b","port":1}',
                     b'{"method":"service.add","name":"a\\u0000b","port":1}',
                     b'{"method":"service.add","name":"' + b"n" * 5000 +
                     b'","port":1}', b'{"method":"service.add","name":""}',
                     b'{"method":"service.add","name":"x","port":4294967296}',
                     b'{"method":"service.add","name":"x","id":"1"}',
                     b'{"method":"service.add","name":"x","lease":-4}',
                     b'{"method":"service.add","name":"x","lease":99999999}',
                     b'{"method":"service.add","name":"x\\nPort=7","port":1}',
                     b'{"method":"service.add","name":"x","bind":"a\\n[Lease]",'
                     b'"port":1}',
                     b'{"method":"partition.add","name":"host"}',
                     b'{"method":"partition.add","name":"a","parent":"b"}',
                     b'{"method":"partition.add","name":"a","kind":"host"}',
                     b'{"method":"partition.remove","partition":"host"}',
                     b'{"a":' * 3000 + b"1" + b"}" * 3000,
                     b"[" * 65000):
            r = c.ask(CALL, text)
            check(r.errno, "%r was taken: %r" % (text[:60], r.payload))
            check(r.payload.decode().isprintable(), "a sentence: %r" %
                  r.payload)
        same(c.call("service.list")["services"], [], "services")


def test_second_broker(b):
    """On the same directory: refused, and the first goes on."""
    with unharmed(b):
        listener = b.client().serve(WILDCARD, PORT)
        other = Broker(directory=b.dir)
        other.start(check=False)
        same((other.ready, other.proc.wait(20)), (False, 1), "a second one")
        check("another broker" in open(b.log).read(), "the reason is told")
        with b.client() as c:
            c.dial(LOOPBACK, PORT).close()
        listener.close()


def test_directory_of_somebody_else(b):
    """Only the owner's: refused by name, and nothing is changed in it."""
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        os.mkdir(work + "/run")
        if os.geteuid() == 0:
            os.chown(work + "/run", 12345, 12345)
            where = work + "/run"
        else:
            where = "/usr"  # root's
        before = sorted(os.listdir(where))
        other = Broker(directory=work)
        other.run = where
        other.start(check=False)
        same((other.ready, other.proc.wait(20)), (False, 1), "the broker")
        log = open(other.log).read()
        check(where in log and "another user" in log, "the reason: " + log)
        same(sorted(os.listdir(where)), before, "what is in it")
        # the same for a link that stands where broker/ should
        os.mkdir(work + "/own")
        os.symlink("/tmp", work + "/own/broker")
        other.run = work + "/own"
        other.start(check=False)
        same((other.ready, other.proc.wait(20)), (False, 1), "with a link")


def test_leases_do_not_pile_up(b):
    """A descriptor watches a lease: not one for each add."""
    with unharmed(b), b.client() as c:
        for i in range(300):
            c.call("service.add", name="x", port=7000)
            c.call("service.remove", service="x")
        check(b.fds() <= b.base + 8, "%d descriptors, %d at first" % (
            b.fds(), b.base))
        b.base += 1  # one of them stays for as long as this process lives


def test_full_disk(b):
    """Registering fails with ENOSPC; what was there stays."""
    # A limit on the size of files fails writes as a full disk would; the
    # broker's own process gets it, and loses it again.
    with b.client() as c:
        c.call("service.add", name="old", port=7100, lease="none")
        pid = b.proc.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        for method, args in (
                ("service.add", {"name": "new", "port": 7101}),
                ("service.set", {"service": "old", "policy": "disabled"})):
            e = refusal(c.call, method, **args)
            check(e.errno in (errno.EFBIG, errno.ENOSPC), str(e))
        same(c.call("service.show", service="old")["policy"], "default",
             "the old one")
        b.serves()
        resource.prlimit(pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        c.call("service.add", name="new", port=7101, lease="none")
    b.restart()
    with b.client() as c:
        same(sorted(s["name"] for s in c.call("service.list")["services"]),
             ["new", "old"], "after a restart")


def test_forged_connection(b):
    """The name of another's connection, in a network namespace of one's own."""
    give_r, give_w = os.pipe()
    tell_r, tell_w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
            check(ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0,
                  "no namespaces")
            given = os.read(give_r, 200)
            s = unix()
            s.bind(given[16:])
            with b.client() as c:
                e = refusal(c.connect, s, guid(given[:16]), PORT)
                os.write(tell_w, b"%d %d" % (e.errno, e.reason))
        finally:
            os._exit(0)
    t = Transport(b, "vm")
    with b.client() as c:
        s = unix()
        c.connect(s, t.vmid, PORT)
        before = c.call("connections")["connections"]
        same(len(before), 1, "connections")
        os.write(give_w, t.vmid.bytes_le + s.getsockname())
        os.close(tell_w)
        same(os.read(tell_r, 100), b"%d %d" % (errno.EINVAL, BAD_REQUEST),
             "the forger's answer")
        os.waitpid(pid, 0)
        same(c.call("connections")["connections"], before, "connections")
        conn = t.wait(lambda: [x for x in t.conns.values() if x.sock])[0]
        s.setblocking(True)
        s.sendall(b"mine")
        conn.sock.setblocking(True)
        same(conn.sock.recv(8), b"mine", "whose it is")
        s.close()
    t.end()
    for fd in (give_r, give_w, tell_r):
        os.close(fd)


every_test_in_a_broker(globals())

if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
