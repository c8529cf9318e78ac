# SPDX-License-Identifier: MIT
"""The host's part in the kernel's vsock tests: SOCK_SEQPACKET, our RAW

Names are the tests' own; vsock_partner.py runs them. What streams and messages
have in common is in vsock_streams.py.
"""
import ctypes
import errno
import mmap
import random
import socket
import struct

from tap import check, same
from vsock_partner import RAW, djb2, fails, part, read_to

PAGE = mmap.PAGESIZE
SUM = 0xffffffffffffffff


@part("client", "SOCK_SEQPACKET msg bounds")
def bounds(p):
    """All without MSG_EOR: which messages have it is a matter of chance."""
    total = 0
    with p.connect(RAW) as s:
        p.expect("SRVREADY")
        for i in range(128):
            size = random.randrange(PAGE, 4 * PAGE) if i & 1 else \
                random.randrange(1, PAGE + 1)
            data = bytes((random.randrange(256),)) * size
            s.send(data)
            total += djb2(data)
        p.say("SENDDONE")
        p.say(total & SUM)


@part("server", "SOCK_SEQPACKET msg bounds")
def bounds_served(p):
    with p.accept(RAW) as s:
        if p.old:
            p.expect("SENDDONE")
            for _ in range(7):
                same(s.recv(16), b"A", "a message")
            return
        # Read at once: the host's buffers are not as large as the guest
        # makes its own for this.
        p.say("SRVREADY")
        total = 0
        while True:
            data = s.recv(4 * PAGE)
            if not data:
                break
            total += djb2(data)
        p.expect("SENDDONE")
        # The rest is how many messages had MSG_EOR, which is not seen here.
        marks = (int(p.hear()) - total) & SUM
        check(1 <= marks <= 128, "the sums differ by %d" % marks)


@part("client", "SOCK_SEQPACKET MSG_TRUNC flag")
def truncated(p):
    with p.connect(RAW) as s:
        s.send(bytes(32))
        p.say("SENDDONE")


@part("server", "SOCK_SEQPACKET MSG_TRUNC flag")
def truncated_served(p):
    with p.accept(RAW) as s:
        p.expect("SENDDONE")
        _, _, flags, _ = s.recvmsg(16, 0, socket.MSG_PEEK)
        check(flags & socket.MSG_TRUNC, "MSG_TRUNC is not set")
        n = s.recv_into(bytearray(16), 16, socket.MSG_TRUNC)
        same(n, 32, "the message's length")


@part("client", "SOCK_SEQPACKET timeout")
def timeout(p):
    with p.connect(RAW) as s:
        s.setblocking(True)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO,
                     struct.pack("@ll", 1, 0))
        fails(errno.EAGAIN, s.recv, 1)
        p.say("WAITDONE")


@part("server", "SOCK_SEQPACKET timeout")
def timeout_served(p):
    with p.accept(RAW):
        p.expect("WAITDONE")


@part("client", "SOCK_SEQPACKET invalid receive buffer")
def two_messages(p):
    with p.connect(RAW) as s:
        s.send(b"a" * 3 * PAGE)
        s.send(b"b" * 3 * PAGE)


@part("server", "SOCK_SEQPACKET invalid receive buffer")
def buffer_with_hole(p):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with p.accept(RAW) as s:
        memory = mmap.mmap(-1, 3 * PAGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        same(libc.mprotect(address + PAGE, PAGE, 0), 0, "mprotect")
        fails(errno.EFAULT, read_to, s, address, 3 * PAGE)
        check(s.recv(3 * PAGE) == b"b" * 3 * PAGE, "the second message")


@part("client", "SOCK_SEQPACKET big message")
def too_big(p):
    with p.connect(RAW) as s:
        size = s.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) + 1
        fails(errno.EMSGSIZE, s.send, bytes(size))
        p.say("CLISENT")


@part("server", "SOCK_SEQPACKET big message")
def too_big_served(p):
    with p.accept(RAW):
        p.expect("CLISENT")
