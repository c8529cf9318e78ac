# SPDX-License-Identifier: MIT
"""hostile - what the tests of hostile clients share

After each of them the broker serves, is the same process, and has as many
descriptors as before.
"""
import contextlib
import errno
import select
import socket
import struct

from hvb import *
from tap import check

STREAM, RAW, DGRAM = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET,
                      socket.SOCK_DGRAM)
PORT = port(5000)

# A well-formed payload of each request, and how many descriptors it takes.
VALID = {
    HELLO: struct.pack("<II", 1, 1),
    BIND: address(WILDCARD, PORT) + bytes(4),
    CONNECT: address(LOOPBACK, PORT) + address(ZERO, ZERO) + bytes(8),
    LISTEN: struct.pack("<HH", 1, 0) + address(WILDCARD, PORT) + bytes(4),
    RESULT: bytes(8),
    CALL: b'{"method":"status"}',
    RESOLVE: b"host\0" b"5000\0",
    NAMES: address(ZERO, PORT),
    ATTACH: bytes(16) + struct.pack("<HHI", 1, 1, 0) + b"guest",
}
FDS = {BIND: 1, CONNECT: 1, ATTACH: 1}


def unix(kind=STREAM, nonblock=True):
    s = socket.socket(socket.AF_UNIX, kind)
    s.setblocking(not nonblock)
    return s


@contextlib.contextmanager
def unharmed(b):
    """What the block does leaves no trace in the broker."""
    b.serves()
    check(b.settled(b.base), "descriptors at first: %d, not %d" % (
        b.fds(), b.base))
    pid = b.proc.pid
    yield
    check(b.alive() and b.proc.pid == pid, "the broker ended: " +
          open(b.log).read()[-3000:])
    b.serves()
    check(b.settled(b.base), "descriptors afterwards: %d, not %d" % (
        b.fds(), b.base))


def gone(c):
    """Has the broker closed, whatever lies unread in the queue?"""
    p = select.poll()
    p.register(c.s, select.POLLHUP)
    return any(e & select.POLLHUP for _, e in p.poll(0))


def in_a_broker(function):
    """Each test has a broker of its own."""
    def run(_):
        with Broker() as b:
            b.base = b.fds()
            function(b)
    return run


def every_test_in_a_broker(names):
    """Wraps the functions test_* of a module."""
    for name, function in list(names.items()):
        if name.startswith("test_"):
            names[name] = in_a_broker(function)
