# SPDX-License-Identifier: MIT
"""The host's part in the kernel's vsock tests: SOCK_STREAM

Names are the tests' own; vsock_partner.py runs them.
"""
import errno
import fcntl
import os
import select
import socket
import struct
import termios

import hvs
from tap import check, same
from vsock_partner import (PARTS, RAW, STREAM, djb2, fails, now, part, read_to)

PAGE = 4096
# The guest's messages in its tests of MSG_ZEROCOPY: the lengths, and whether
# the call fails there, so that nothing is sent. The last is for streams only.
ZEROCOPY = ((2 * PAGE + 200, False), (6 * PAGE, False), (48 * PAGE, False),
            (2 * PAGE + 100, False), (3 * PAGE, True), (PAGE, False),
            (100 * PAGE, False))
RING = ((6 * PAGE, False), (4 * PAGE + 200, False))
CREDIT = 128 * 1024  # the guest's buffer in the tests of credit

# Only the guest has something to do; vsock_diag_test's look at its own sockets.
for _name in ("SOCK_STREAM connection reset", "No sockets", "Listen socket"):
    PARTS.setdefault(_name, {})


# Connections that do not come about

@part("client", "SOCK_STREAM connection reset")
def nobody_listens(p):
    p.refused()


@part("client", "SOCK_STREAM bind only")
def only_bound(p):
    p.expect("BIND")
    p.refused()
    p.say("DONE")


@part("server", "SOCK_STREAM bind only")
def bind_only(p):
    with p.f.library.socket() as s:
        p.f.library.bind(s, hvs.WILDCARD, p.service)
        p.say("BIND")
        p.expect("DONE")


# Ends

@part("client", "SOCK_STREAM client close")
@part("server", "SOCK_STREAM server close")
def send_and_close(p):
    with p.joined() as s:
        s.sendall(b"A")


@part("client", "SOCK_STREAM server close")
@part("server", "SOCK_STREAM client close")
def see_the_end(p):
    with p.joined() as s:
        p.ended(s)
        same(s.recv(1), b"A", "what came before the end")
        same(s.recv(1), b"", "end of file")


@part("client", "SOCK_STREAM SHUT_WR")
def shut_wr(p):
    with p.connect() as s:
        s.shutdown(socket.SHUT_WR)
        fails(errno.EPIPE, s.send, b"A")
        p.say("CLIENTDONE")


@part("server", "SOCK_STREAM SHUT_WR")
def the_guest_shuts(p):
    with p.accept():
        p.expect("CLIENTDONE")


@part("client", "SOCK_STREAM SHUT_RD")
def the_guest_shuts_reading(p):
    with p.connect() as s:
        p.expect("SHUTRDDONE")
        # The word may be here before the packet, which no event tells of.
        nothing = select.poll()
        while True:
            try:
                s.send(b"A")
            except BrokenPipeError:
                break
            nothing.poll(10)
        p.say("CLIENTDONE")


@part("server", "SOCK_STREAM SHUT_RD")
def shut_rd(p):
    with p.accept() as s:
        s.shutdown(socket.SHUT_RD)
        p.say("SHUTRDDONE")
        p.expect("CLIENTDONE")


# Many, and again

@part("client", "SOCK_STREAM multiple connections")
@part("server", "SOCK_STREAM multiple connections")
def many(p):
    sockets = [p.joined() for _ in range(100)]
    for i, s in enumerate(sockets):
        if i % 2 == (p.role == "server"):
            s.sendall(b"A")
        else:
            same(s.recv(1), b"A", "connection %d" % i)
    for s in sockets:
        s.close()


@part("client", "SOCK_STREAM double bind connect")
def twice(p):
    # A host program does not choose the port that the guest sees.
    for _ in range(2):
        p.connect().close()


@part("server", "SOCK_STREAM double bind connect")
def twice_served(p):
    kept = []  # closed by the guest only: its port has to be free all the same
    with p.listen() as listener:
        for _ in range(2):
            p.say("LISTENING")
            s, _ = listener.accept()
            kept.append(s)
            p.ended(s)
    for s in kept:
        s.close()


# Reading in unusual ways; messages too where the test is the same

@part("server", "SOCK_STREAM MSG_PEEK")
@part("server", "SOCK_SEQPACKET MSG_PEEK", kind=RAW)
def peek(p, kind=STREAM):
    with p.accept(kind) as s:
        if p.old:
            same(s.recv(1, socket.MSG_PEEK), b"A", "peeked")
            same(s.recv(1), b"A", "read")
            return
        fails(errno.EAGAIN, now, s, 64)
        p.say("SRVREADY")
        half = s.recv(32, socket.MSG_PEEK)
        same(len(half), 32, "bytes, of a part")
        whole = s.recv(64, socket.MSG_PEEK)
        check(len(whole) == 64 and whole[:32] == half, "peeked twice")
        if kind == RAW:
            same(s.recv_into(bytearray(32), 32, socket.MSG_PEEK |
                             socket.MSG_TRUNC), 64, "the message's length")
        check(s.recv(64) == whole, "read what was peeked")


@part("client", "SOCK_STREAM MSG_PEEK")
@part("client", "SOCK_SEQPACKET MSG_PEEK", kind=RAW)
def to_be_peeked(p, kind=STREAM):
    with p.connect(kind) as s:
        if p.old:
            s.sendall(b"A")
            return
        p.expect("SRVREADY")
        s.sendall(os.urandom(64))


@part("client", "SOCK_STREAM poll() + SO_RCVLOWAT")
def low_water(p):
    """poll() of a Unix socket knows no SO_RCVLOWAT: recv() does."""
    with p.connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 128)
        p.expect("SRVSENT")
        p.say("CLNSENT")
        s.setblocking(True)
        same(len(s.recv(128, socket.MSG_WAITALL)), 128, "bytes")
        p.say("POLLDONE")


@part("server", "SOCK_STREAM poll() + SO_RCVLOWAT")
def low_water_served(p):
    with p.accept() as s:
        s.sendall(b"A")
        p.say("SRVSENT")
        p.expect("CLNSENT")
        for _ in range(127):
            s.sendall(b"A")
        p.expect("POLLDONE")


@part("client", "SOCK_STREAM test invalid buffer")
@part("client", "SOCK_SEQPACKET test invalid buffer", kind=RAW)
def bad_buffer(p, kind=STREAM):
    with p.connect(kind) as s:
        p.expect("SENDDONE")
        fails(errno.EFAULT, read_to, s, None, 512)
        if kind == STREAM:
            same(len(now(s, 512)), 512, "bytes, still there")
        else:
            fails(errno.EAGAIN, now, s, 512)
        p.say("DONE")


@part("server", "SOCK_STREAM test invalid buffer")
@part("server", "SOCK_SEQPACKET test invalid buffer", kind=RAW)
def bad_buffer_served(p, kind=STREAM):
    with p.accept(kind) as s:
        s.sendall(bytes(512))
        p.say("SENDDONE")
        p.expect("DONE")


@part("client", "SOCK_STREAM virtio skb merge")
def merge(p):
    with p.connect() as s:
        s.sendall(b"HELLO")
        p.say("SEND0")
        p.expect("REPLY0")
        s.sendall(b"WORLD")
        p.say("SEND1")
        p.expect("REPLY1")


@part("server", "SOCK_STREAM virtio skb merge")
def merged(p):
    with p.accept() as s:
        p.expect("SEND0")
        got = hvs.receive(s, 2)
        p.say("REPLY0")
        p.expect("SEND1")
        same(got + hvs.receive(s, 8), b"HELLOWORLD", "both")
        fails(errno.EAGAIN, now, s, 64)
        p.say("REPLY1")


# Much, and how it is counted

@part("client", "SOCK_STREAM MSG_ZEROCOPY", sizes=ZEROCOPY)
@part("client", "SOCK_SEQPACKET MSG_ZEROCOPY", sizes=ZEROCOPY[:-1], kind=RAW)
@part("client", "SOCK_STREAM io_uring test",
      "SOCK_STREAM io_uring MSG_ZEROCOPY test", sizes=RING)
def hashed(p, sizes, kind=STREAM):
    """The same sizes: Unix sockets have no MSG_ZEROCOPY."""
    for size, nothing in sizes:
        with p.connect(kind) as s:
            data = os.urandom(size)
            if nothing:
                s.shutdown(socket.SHUT_WR)
            else:
                s.sendall(data)
            p.say(0 if nothing else djb2(data))
            p.say("DONE")


@part("server", "SOCK_STREAM MSG_ZEROCOPY", sizes=ZEROCOPY)
@part("server", "SOCK_SEQPACKET MSG_ZEROCOPY", sizes=ZEROCOPY[:-1], kind=RAW)
@part("server", "SOCK_STREAM io_uring test",
      "SOCK_STREAM io_uring MSG_ZEROCOPY test", sizes=RING)
def hashed_served(p, sizes, kind=STREAM):
    for size, nothing in sizes:
        with p.accept(kind) as s:
            data = b""
            while len(data) < size:
                some = s.recv(size)
                if not some:
                    break
                data += some
            wanted = int(p.hear())
            check(bool(wanted) != nothing, "whether a call was to fail")
            same(len(data) if wanted else size, size, "bytes that came")
            same(djb2(data) if wanted else 0, wanted, "the sum")
            p.expect("DONE")


@part("client", "SOCK_STREAM MSG_ZEROCOPY empty MSG_ERRQUEUE")
def no_error_queue(p):
    with p.connect():
        p.say("DONE")


@part("server", "SOCK_STREAM MSG_ZEROCOPY empty MSG_ERRQUEUE")
def no_error_queue_served(p):
    with p.accept():
        p.expect("DONE")


@part("client", "SOCK_STREAM virtio credit update + SO_RCVLOWAT",
      "SOCK_STREAM virtio credit update + low rx_bytes")
def one_too_many(p):
    with p.connect() as s:
        same(s.recv(1), b"A", "the guest is ready")
        s.sendall(bytes(CREDIT + 1))


@part("server", "SOCK_STREAM virtio credit update + SO_RCVLOWAT",
      "SOCK_STREAM virtio credit update + low rx_bytes")
def one_too_many_served(p):
    with p.accept() as s:
        s.sendall(b"A")
        same(len(hvs.receive(s)), CREDIT + 1, "bytes")


@part("client", "SOCK_STREAM ioctl(SIOCOUTQ) 0 unsent bytes")
@part("client", "SOCK_SEQPACKET ioctl(SIOCOUTQ) 0 unsent bytes", kind=RAW)
def unsent(p, kind=STREAM):
    with p.connect(kind) as s:
        s.sendall(os.urandom(64))
        p.expect("RECEIVED")
        left = fcntl.ioctl(s.fileno(), termios.TIOCOUTQ, bytes(4))
        same(struct.unpack("@i", left)[0], 0, "bytes unsent")


@part("server", "SOCK_STREAM ioctl(SIOCOUTQ) 0 unsent bytes")
@part("server", "SOCK_SEQPACKET ioctl(SIOCOUTQ) 0 unsent bytes", kind=RAW)
def unsent_served(p, kind=STREAM):
    with p.accept(kind) as s:
        same(len(hvs.receive(s, 64)), 64, "bytes")
        p.say("RECEIVED")


# vsock_diag_test

@part("client", "Connect")
def be_seen(p):
    with p.connect():
        p.expect("DONE")
        p.say("DONE")


@part("server", "Connect")
def be_seen_served(p):
    with p.accept():
        p.say("DONE")
        p.expect("DONE")
