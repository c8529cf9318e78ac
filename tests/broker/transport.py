# SPDX-License-Identifier: MIT
"""transport - a guest's transport for tests (docs/protocol.md, section 5)

A thread that attaches a partition, keeps its rendezvous over the broker's
death, attaches again and tells its connections by LIVE. The guest's answers
are what the test says: answer(conn) returns None (yes), a reason, or, where
it is not parked, "silence".
"""
import array
import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import uuid

from hvb import *


class Conn:
    def __init__(self, token, kind, service, source, uid):
        self.token, self.kind, self.service = token, kind, service
        self.source, self.uid = source, uid
        self.sock = None
        self.filler = None
        self.parked = False
        self.partition = ZERO
        self.cid = 0
        self.dialled = None  # by the guest: a sibling's VmId
        self.native = False  # may be answered with a descriptor
        self.serial = None
        self.closed = None  # CLOSE's reason


class Transport(threading.Thread):
    kind = 1  # vhost-user

    def __init__(self, broker, name, answer=lambda conn: None, types=1,
                 vmid=ZERO, running=1, flags=0):
        super().__init__(daemon=True)
        self.broker, self.name_, self.answer = broker, name, answer
        self.types, self.vmid, self.running = types, vmid, running
        self.flags, self.stalls = flags, []
        self.rendezvous = [socket.socket(socket.AF_UNIX, kind)
                           for bit, kind in ((1, socket.SOCK_STREAM),
                                             (2, socket.SOCK_SEQPACKET))
                           if types & bit]
        self.conns = {}
        self.early = {}
        self.attached = 0
        self.dials = {}
        self.lock = threading.Condition()
        self.stop_r, self.stop_w = os.pipe()
        self.attach()
        self.start()

    def attach(self):
        c = self.broker.client()
        r = c.ask(ATTACH, self.vmid.bytes_le +
                  struct.pack("<HHI", self.kind, self.types, self.flags) +
                  self.name_.encode(),
                  self.rendezvous).check()
        self.vmid = guid(r.payload[:16])
        for s in self.rendezvous:
            s.listen(1024)
            s.setblocking(False)
        for conn in self.conns.values():
            if conn.sock:
                beyond = conn.dialled or conn.partition
                c.send(LIVE, struct.pack("<QHHI", conn.token, conn.kind,
                                         not conn.dialled, conn.uid) +
                       conn.service.bytes_le + conn.source.bytes_le +
                       (beyond.bytes_le if self.flags & 4 else b""))
        c.send(STATE, struct.pack("<I", self.running))
        self.c = c
        barrier = c.send(99)  # answered: what came before was seen
        while True:
            data, fds = c.receive()
            if struct.unpack_from("<HHI", data) == (99 | REPLY, 0, barrier):
                break
            self.handle(data, fds)
        with self.lock:
            self.attached += 1
            self.lock.notify_all()

    def state(self, running):
        self.c.send(STATE, struct.pack("<I", running))

    def start_dial(self, vmid, service, kind=socket.SOCK_STREAM, source=None,
                   flags=0):
        return self.c.send(DIAL, struct.pack("<HHI", kind, flags, 0) +
                           vmid.bytes_le + service.bytes_le +
                           (source or port(1024)).bytes_le)

    def end_dial(self, serial):
        return self.wait(lambda: self.dials.get(serial)).check()

    def dial(self, vmid, service, kind=socket.SOCK_STREAM, source=None):
        r = self.end_dial(self.start_dial(vmid, service, kind, source))
        return struct.unpack_from("<Q", r.payload)[0], socket.socket(
            fileno=r.fds[0])

    def dial_sibling(self, to, service, kind=socket.SOCK_STREAM):
        """By VmId or, a number, by CID. Return: a Conn, kept as live"""
        by_cid = isinstance(to, int)
        vmid = uuid.UUID(bytes_le=struct.pack("<I12x", to)) if by_cid else to
        r = self.end_dial(self.start_dial(vmid, service, kind, flags=by_cid))
        conn = Conn(struct.unpack_from("<Q", r.payload)[0], kind, service,
                    port(1024), 0xffffffff)
        conn.dialled = guid(r.payload[12:28]) if self.flags & 16 else vmid
        conn.sock = socket.socket(fileno=r.fds[0])
        conn.sock.settimeout(20)
        with self.lock:
            self.conns[conn.token] = conn
        return conn

    def wait(self, true, seconds=20):
        with self.lock:
            if not self.lock.wait_for(true, seconds):
                raise AssertionError("the transport saw nothing of it")
            return true()

    def end(self):
        os.write(self.stop_w, b"x")
        self.join(20)
        self.c.close()
        for s in self.rendezvous + [c.sock for c in self.conns.values()
                                    if c.sock]:
            s.close()
        os.close(self.stop_r)
        os.close(self.stop_w)

    # The thread.

    def run(self):
        while True:
            p = select.poll()
            if self.c:
                p.register(self.c.s, select.POLLIN)
            for s in self.rendezvous:
                p.register(s, select.POLLIN)
            p.register(self.stop_r, select.POLLIN)
            ready = {fd for fd, _ in p.poll(20 if not self.c else None)}
            if self.stop_r in ready:
                return
            with self.lock:
                for s in self.rendezvous:
                    self.arrivals(s)
                if not self.c:
                    pass
                elif self.c.s.fileno() in ready:
                    self.message()
                self.lock.notify_all()
            if not self.c:
                try:
                    self.attach()
                except OSError:
                    pass  # no broker yet

    def arrivals(self, listener):
        while True:
            try:
                s, name = listener.accept()
            except BlockingIOError:
                return
            token = struct.unpack_from("<Q", name, 75)[0]
            conn = self.conns.get(token)
            if not conn:
                self.early[token] = s  # its OPEN has not been read yet
                continue
            conn.sock = s
            self.progress(conn)

    def message(self):
        try:
            data, fds = self.c.receive()
        except OSError:
            self.orphaned()
            return
        self.handle(data, fds)

    def handle(self, data, fds):
        kind, _, serial = struct.unpack_from("<HHI", data)
        body = data[8:]
        if kind == DIAL | REPLY:
            self.dials[serial] = Reply(data, fds)
        elif kind == OPEN:
            token, stype, flags, _ = struct.unpack_from("<QHHI", body)
            conn = Conn(token, stype, guid(body[16:32]), guid(body[32:48]),
                        struct.unpack_from("<I", body, 48)[0])
            conn.serial, conn.parked = serial, bool(flags & 1)
            conn.native = bool(flags & 2)
            if self.flags & 4:
                conn.partition = guid(body[52:68])
            if self.flags & 16:
                conn.cid = struct.unpack_from("<I", body, 68)[0]
            self.conns[token] = conn
            conn.sock = self.early.pop(token, None)
            if not conn.parked:
                reason = self.answer(conn)
                if reason != "silence":
                    self.say(conn, reason)
        elif kind == PARKED:
            token, n = struct.unpack("<QQ", body)
            conn = self.conns.get(token)
            if conn:
                conn.filler = n
                # it came in before this notice
                for s in self.rendezvous:
                    self.arrivals(s)
                self.progress(conn)
        elif kind == CLOSE:
            token, reason = struct.unpack("<QI", body)
            conn = self.conns.get(token)
            if conn:
                conn.closed = reason
                if conn.sock:
                    conn.sock.close()
                    conn.sock = None
        elif kind == STALL:
            self.stalls.append(struct.unpack("<I", body)[0])
        elif kind == COUNTERS:
            # (as in say(): it may have asked, and died)
            with contextlib.suppress(OSError):
                self.c.raw(struct.pack("<HHIII", COUNTERS | REPLY, 0, serial,
                                       0, 0))

    def orphaned(self):
        """The broker ended: what it had begun is judged by what is there."""
        self.c.close()
        self.c = None
        for s in self.early.values():
            s.close()
        self.early = {}
        for s in self.rendezvous:
            self.arrivals(s)
        for conn in list(self.conns.values()):
            if conn.serial is None:
                continue
            if not conn.sock:
                del self.conns[conn.token]  # given up
            elif conn.parked and conn.filler is None:
                n = array.array("i", [0])
                fcntl.ioctl(conn.sock, termios.FIONREAD, n)
                conn.filler = n[0]
                self.progress(conn)

    def progress(self, conn):
        """Parked: the guest answers when the socket and its filler are in."""
        if not conn.parked or conn.sock is None or conn.filler is None or \
                conn.serial is None:
            return
        reason = self.answer(conn)
        if reason is None:
            left = conn.filler
            conn.sock.setblocking(True)
            while left:
                left -= len(conn.sock.recv(min(left, 1 << 20)))
        else:
            conn.sock.close()
            conn.sock = None
        self.say(conn, reason)

    def say(self, conn, reason):
        serial, conn.serial = conn.serial, None
        # A broker that has just died is noticed when it is read from.
        with contextlib.suppress(OSError):
            if self.c:
                self.c.raw(struct.pack("<HHIII", OPEN | REPLY, 0, serial,
                                       ERRNO[reason] if reason else 0,
                                       reason or 0) +
                           (b"the guest says no" if reason else b""))
        if reason:
            self.conns.pop(conn.token, None)
