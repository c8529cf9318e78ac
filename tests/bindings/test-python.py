#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvsocket for Python: every call, against a broker of the test's own"""
import ctypes
import errno
import os
import pickle
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import uuid

import tap
from hvb import Broker
from tap import check, same

RUN = "HVSOCKET_RUNTIME_DIR"
os.environ[RUN] = "/nonexistent"
import hvsocket  # noqa: E402
from hvsocket import HvSocket, Reason  # noqa: E402

HEADER = os.environ["HEADER"]
NOBODY = "00000000-0000-0000-0000-000000000000"


class Fixture:
    """A broker; a container "box" whose children use its directory."""

    def __init__(self, _work):
        self.b = Broker()

    def __enter__(self):
        self.b.start()
        os.environ[RUN] = self.b.run
        self.box = self.b.partition("box", "Kind=container")
        self.b.service("echo", 5000)
        self.b.client(self.box).close()  # its door is there
        return self

    def __exit__(self, *exc):
        self.b.end(check=exc[0] is None)

    def child(self, program):
        """Python in the container: what it prints."""
        r = subprocess.run(
            [sys.executable, "-c", "import hvsocket\n" + program], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
            env=dict(os.environ, **{RUN: "%s/broker/partitions/%s" % (
                self.b.run, self.box)}))
        same(r.returncode, 0, r.stdout)
        return r.stdout.strip()


def refusal(call, *words, **more):
    try:
        call(*words, **more)
    except OSError as e:
        return e
    raise tap.Failure("was not refused: %r" % (words,))


def pair(kind=socket.SOCK_STREAM):
    with hvsocket.create_server("loopback:0", type=kind) as server:
        c = hvsocket.create_connection(
            ("loopback", server.getsockname().service_id), 20, type=kind)
        s, _ = server.accept()
        s.settimeout(20)
        return c, s


# ---- what needs no broker

def test_numbers_are_those_of_the_header(f):
    with open(HEADER) as header:
        text = header.read()
    found = dict(re.findall(r"HVS_REASON_(\w+) = (\d+)", text))
    same({r.name: str(int(r)) for r in Reason}, found, "reasons")
    names = re.findall(r"^#define ((?:SOL_)?HVSOCKET_\w+|AF_HYPERV|"
                       r"HV_PROTOCOL_RAW)\s+(\w+)$", text, re.M)
    check(len(names) > 8, "the header has numbers")
    for name, value in names:
        if not name.endswith(("_DEFAULT", "_PASSTHRU")) or \
                hasattr(hvsocket, name):
            same(getattr(hvsocket, name, None), int(value, 0), name)
    library = ctypes.CDLL(os.environ["HVSOCKET_LIBRARY"])
    for name in re.findall(r"extern const GUID (\w+);", text):
        raw = (ctypes.c_ubyte * 16).in_dll(library, name)
        same(getattr(hvsocket, name), str(uuid.UUID(bytes_le=bytes(raw))),
             name)
    same(ctypes.sizeof(hvsocket._Reason), 512, "struct hvs_reason")


def test_addresses(f):
    guid = "999E53D4-3D5C-4C3E-8779-BED06EC056E1"
    wanted = (hvsocket.HV_GUID_PARENT, guid.lower())
    for spelling in ("parent:" + guid, ("parent", "{%s}" % guid),
                     ["PARENT", uuid.UUID(guid)], wanted,
                     (uuid.UUID(wanted[0]), guid), hvsocket.Address(*wanted)):
        same(hvsocket.resolve(spelling), wanted, "address %r" % (spelling,))
    a = hvsocket.resolve(("loopback", 5000))
    same((a.port, hvsocket.resolve("parent:" + guid).port), (5000, None),
         "ports")
    same(hvsocket.service_id(5000), a.service_id, "service_id()")
    uuid.UUID(hvsocket.new_guid())


def test_what_is_no_address(f):
    for bad, kind in ((5, TypeError), (None, TypeError), (("a",), ValueError),
                      (("a", 1.5), TypeError), (("a", True), TypeError),
                      ("a\0b:1", ValueError), ("nothing", OSError),
                      ((b"vm", 1), TypeError), (("loopback", -1), OSError),
                      (("loopback", 1 << 32), OSError), ("", OSError),
                      ("x" * 5000 + ":1", OSError)):
        try:
            hvsocket.resolve(bad)
        except kind as e:
            check(str(e), "it says something")
        else:
            raise tap.Failure("%r is an address" % (bad,))
    for bad in -1, 1 << 32:
        try:
            hvsocket.service_id(bad)
        except ValueError:
            continue
        raise tap.Failure("%r is a port" % bad)


def test_no_broker(f):
    before, os.environ[RUN] = os.environ[RUN], "/nonexistent"
    try:
        out = subprocess.run(
            [sys.executable, "-c", "import hvsocket\n"
             "try: hvsocket.create_connection('loopback:5')\n"
             "except hvsocket.HvError as e:\n"
             " print(e.errno, e.reason.name, e.broker, e)"],
            stdout=subprocess.PIPE, text=True, timeout=60).stdout
    finally:
        os.environ[RUN] = before
    check(out.startswith("%d NO_BROKER /nonexistent" % errno.ENETDOWN), out)


def test_no_library(f):
    r = subprocess.run([sys.executable, "-c", "import hvsocket"], text=True,
                       env=dict(os.environ, HVSOCKET_LIBRARY="/nonexistent"),
                       stderr=subprocess.PIPE, timeout=60)
    check("ImportError: hvsocket needs libhvsocket.so.0" in r.stderr and
          "/nonexistent" in r.stderr, r.stderr)


# ---- streams

def test_echo_and_who_called(f):
    with hvsocket.create_server("wildcard:echo") as server:
        same(server.getsockname(), (NOBODY, hvsocket.service_id(5000)),
             "own name")
        done = []

        def serve():
            s, peer = server.accept()
            with s, s.makefile("rw") as lines:
                done.extend([peer, peer.text(), s.getpeername()])
                for line in lines:
                    lines.write(line.upper())
                    lines.flush()
        t = threading.Thread(target=serve)
        t.start()
        out = f.child(
            "with hvsocket.create_connection('parent:echo', 20) as s:\n"
            " s.sendall(b'from the box\\n')\n"
            " s.shutdown(1)\n"
            " print(s.recv(100).decode(), s.getpeername().vm_id,\n"
            "       hvsocket.partition().name)")
        t.join(20)
    same(out, "FROM THE BOX\n %s box" % hvsocket.HV_GUID_PARENT, "the box")
    same(done[0].vm_id, str(f.box), "who called")
    check(done[1].startswith("box:"), "by name: %s" % done[1])
    same(done[2], done[0], "getpeername()")
    same(hvsocket.partition(), (NOBODY, "host"), "partition()")


def test_refusals(f):
    e = refusal(hvsocket.create_connection, "loopback:5001")
    check(isinstance(e, ConnectionRefusedError), type(e).__mro__)
    check(isinstance(e, hvsocket.HvError), type(e).__mro__)
    same((e.reason, e.reason_name, e.broker),
         (Reason.NO_LISTENER, "no listener", f.b.run), "reason")
    check("no listener; broker" in str(e) and "nobody" in e.strerror, str(e))
    again = pickle.loads(pickle.dumps(e))  # of a process pool
    same((type(again), again.args, again.reason, str(again)),
         (type(e), e.args, e.reason, str(e)), "pickled")
    e = refusal(hvsocket.create_connection, "nobody:1")
    same((e.errno, e.reason), (errno.EHOSTUNREACH, Reason.PARTITION_UNKNOWN),
         "partition")
    e = refusal(hvsocket.create_connection, "box:1", 20)
    same((e.errno, e.reason), (errno.EHOSTDOWN, Reason.PARTITION_OFF), "box")
    e = refusal(hvsocket.create_server, "children:5999")
    check(isinstance(e, PermissionError), "not registered: %s" % e)
    same(e.reason, Reason.NOT_REGISTERED, "reason")
    with hvsocket.create_server("loopback:5002"):
        e = refusal(hvsocket.create_server, "loopback:5002")
        same((e.errno, e.reason), (errno.EADDRINUSE, Reason.ADDRESS_TAKEN),
             "taken")
    s = HvSocket()
    same(s.connect_ex("loopback:5001"), errno.ECONNREFUSED, "connect_ex()")
    same(refusal(s.getpeername).errno, errno.ENOTCONN, "getpeername()")
    s.close()
    same(refusal(s.bind, "loopback:1").errno, errno.EBADF, "closed")
    e = refusal(HvSocket, 2)
    same(e.errno, errno.EAFNOSUPPORT, "another family")


def test_timeouts(f):
    c, s = pair()
    c.settimeout(0.01)
    check(isinstance(refusal(c.recv, 1), TimeoutError), "recv")
    with hvsocket.create_server("loopback:0") as server:
        server.settimeout(0.01)
        check(isinstance(refusal(server.accept), TimeoutError), "accept")
        server.settimeout(0)
        check(isinstance(refusal(server.accept), BlockingIOError), "accept")
    c.close()
    s.close()
    with HvSocket() as c:
        c.setsockopt(hvsocket.SOL_HVSOCKET,
                     hvsocket.HVSOCKET_WAIT_LISTENER, 1)
        c.settimeout(0.05)
        e = refusal(c.connect, "loopback:5003")
        check(isinstance(e, (TimeoutError, ConnectionRefusedError)), repr(e))
        same(c.getsockopt(hvsocket.HV_PROTOCOL_RAW,
                          hvsocket.HVSOCKET_CONNECT_TIMEOUT), 2000,
             "the option is as it was")
        same(os.get_blocking(c.fileno()), False, "so is the descriptor")


def test_waits_for_a_listener(f):
    got = []
    t = threading.Thread(target=lambda: got.append(
        hvsocket.create_connection("loopback:5004", 20, wait=True)))
    t.start()
    with hvsocket.create_server("loopback:5004") as server:
        server.settimeout(20)
        s, _ = server.accept()
        t.join(20)
        with s, got[0] as c:
            same(c.gettimeout(), 20, "the timeout stays")
            c.sendall(b"there")
            same(s.recv(10), b"there", "data")


def test_a_signal_ends_a_connect(f):
    class Enough(Exception):
        pass

    def enough(*_):
        raise Enough

    before = signal.signal(signal.SIGALRM, enough)
    try:
        for timeout in None, 60:
            with HvSocket() as s:
                s.setsockopt(hvsocket.SOL_HVSOCKET,
                             hvsocket.HVSOCKET_WAIT_LISTENER, 1)
                s.setsockopt(hvsocket.SOL_HVSOCKET,
                             hvsocket.HVSOCKET_CONNECT_TIMEOUT, 60000)
                s.settimeout(timeout)
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                try:
                    s.connect("loopback:5007")
                except Enough:
                    pass
                same(s.gettimeout(), timeout, "as before")
                same(os.get_blocking(s.fileno()), timeout is None, "too")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_signals_do_not_stretch_a_timeout(f):
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        for timeout, option in (0.2, 2000), (None, 200):
            with HvSocket() as s:
                s.setsockopt(hvsocket.SOL_HVSOCKET,
                             hvsocket.HVSOCKET_WAIT_LISTENER, 1)
                s.setsockopt(hvsocket.SOL_HVSOCKET,
                             hvsocket.HVSOCKET_CONNECT_TIMEOUT, option)
                s.settimeout(timeout)
                refusal(s.connect, "loopback:5007")
                same(s.getsockopt(hvsocket.SOL_HVSOCKET,
                                  hvsocket.HVSOCKET_CONNECT_TIMEOUT), option,
                     "the option stays")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_options(f):
    raw, ours = hvsocket.HV_PROTOCOL_RAW, hvsocket.SOL_HVSOCKET
    with HvSocket() as s:
        for level in raw, ours:
            s.setsockopt(level, hvsocket.HVSOCKET_CONNECT_TIMEOUT, 7)
            same(s.getsockopt(level, hvsocket.HVSOCKET_CONNECT_TIMEOUT), 7,
                 "timeout")
        s.setsockopt(ours, hvsocket.HVSOCKET_CONNECTED_SUSPEND,
                     b"\1\0\0\0")
        same(s.getsockopt(raw, hvsocket.HVSOCKET_CONNECTED_SUSPEND), 1,
             "suspend")
        # the same number as HV_PROTOCOL_RAW, and not that level
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        check(s.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 65536,
              "SO_SNDBUF")
        same(s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), 1, "SO_TYPE")
        same(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0, "SO_ERROR")
        for name, value, number in ((hvsocket.HVSOCKET_CONNECT_TIMEOUT,
                                     300001, errno.EINVAL),
                                    (hvsocket.HVSOCKET_HIGH_VTL, -1,
                                     errno.EINVAL),
                                    (0x4000, 1, errno.ENOPROTOOPT)):
            same(refusal(s.setsockopt, ours, name, value).errno, number,
                 "option %#x = %d" % (name, value))


def test_it_is_a_socket(f):
    c, s = pair()
    with c, s:
        check(isinstance(c, socket.socket), "isinstance")
        same((c.family, c.type, c.proto), (34, socket.SOCK_STREAM, 1), "what")
        check("HvSocket" in repr(c) and "raddr=Address" in repr(c), repr(c))
        same(select.select([s], [], [], 0)[0], [], "nothing to read")
        c.send(b"abc")
        same(select.select([s], [], [], 20)[0], [s], "select()")
        same(s.recv(10, socket.MSG_PEEK), b"abc", "MSG_PEEK")
        room = bytearray(2)
        same((s.recv_into(room), bytes(room)), (2, b"ab"), "recv_into()")
        same(s.recvfrom(10), (b"c", None), "recvfrom() of a stream")
        with c.dup() as d:
            same((type(d), d.getpeername()), (HvSocket, c.getpeername()),
                 "dup()")
        again = HvSocket(fileno=c.detach())
        with again:
            same(again.type, socket.SOCK_STREAM, "by descriptor")
            with open("/proc/self/cmdline", "rb") as file:
                n = again.sendfile(file)
        same(len(s.recv(1 << 16)), n, "sendfile()")
        same(s.recv(1), b"", "the end")
    same(c.fileno(), -1, "closed by the context")


def test_messages_keep_their_bounds(f):
    for kind in socket.SOCK_RAW, socket.SOCK_SEQPACKET:
        c, s = pair(kind)
        with c, s:
            c.send(b"one")
            c.sendmsg([b"tw", b"o"])
            same((s.recv(10), s.recv(10)), (b"one", b"two"), "messages")


def test_non_blocking(f):
    with HvSocket(hvsocket.AF_HYPERV,
                  socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as s:
        same((s.gettimeout(), s.type), (0, socket.SOCK_STREAM), "as made")
        same(refusal(s.connect, "loopback:5001").reason, Reason.NO_LISTENER,
             "decided at once")
        same(s.why(), None, "nothing to add")


def test_default_timeout(f):
    socket.setdefaulttimeout(0.02)
    try:
        with hvsocket.create_server("loopback:0") as server:
            check(isinstance(refusal(server.accept), TimeoutError), "accept")
    finally:
        socket.setdefaulttimeout(None)


def test_a_child_of_fork_has_it(f):
    c, s = pair()
    with c, s:
        pid = os.fork()
        if not pid:
            c.sendall(c.getpeername().vm_id.encode())
            os._exit(0)
        os.waitpid(pid, 0)
        same(s.recv(100).decode(), hvsocket.HV_GUID_LOOPBACK, "from it")


# ---- datagrams

def test_datagrams(f):
    kind = socket.SOCK_DGRAM
    with hvsocket.create_server("wildcard:5005", type=kind) as server, \
            HvSocket(type=kind) as c:
        server.settimeout(20)
        same(refusal(c.send, b"x").errno, errno.EDESTADDRREQ, "no address")
        same(c.sendto(b"first", "loopback:5005"), 5, "sendto()")
        data, who = server.recvfrom(100)
        same(data, b"first", "recvfrom()")
        server.sendto(b"", 0, who)
        c.settimeout(20)
        same(c.recv(10), b"", "an empty answer")
        c.connect("loopback:5005")
        c.sendmsg([b"se", b"cond"])
        room = bytearray(b"......")
        n, who = server.recvfrom_into(room, 3)
        same((n, bytes(room)), (3, b"sec..."), "recvfrom_into()")
        c.sendall(bytearray(b"third"))
        same(server.recvmsg(100)[0], b"third", "recvmsg()")
        c.send(b"fourth")
        same(server.recvmsg(3)[:3], (b"fou", [], socket.MSG_TRUNC), "cut")
        c.send(b"fifth")
        rooms = [bytearray(3), bytearray(3)]
        same(server.recvmsg_into(rooms)[0], 5, "recvmsg_into()")
        same([bytes(r) for r in rooms], [b"fif", b"th\0"], "in two parts")
        with server.dup() as d:
            same(d.type, kind, "dup()")
        with HvSocket(fileno=os.dup(server.fileno())) as d:
            same(d.type, kind, "by descriptor")
        server.settimeout(0.01)
        check(isinstance(refusal(server.recv, 1), TimeoutError), "timeout")
        server.setblocking(False)
        check(isinstance(refusal(server.recv, 1), BlockingIOError), "at once")
        for bad in 5, "text":
            try:
                c.send(bad)
            except TypeError:
                continue
            raise tap.Failure("%r was sent" % (bad,))
        hvsocket.create_server("loopback:5006", type=kind |
                               socket.SOCK_NONBLOCK).close()
        same(refusal(c.sendto, b"x" * 65537, "loopback:5005").errno,
             errno.EMSGSIZE, "too long")
        e = refusal(c.sendmsg, [b"x"], [(1, 1, b"")])
        same(e.errno, errno.EOPNOTSUPP, "ancillary data")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Fixture)
