#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that takes the VMM's socket for its own"""
import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import threading

import tap
from hvb import *
from stage import *
from tap import check, same
from vmm import *


def dial_native(c, vmid, service):
    """Return: what is to be used, and the state"""
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    r = c.reply(c.start_connect(s, vmid, service, flags=NATIVE)).check()
    state, _ = struct.unpack("<IQ", r.payload)
    same(len(r.fds), int(state == 2), "descriptors")
    if r.fds:
        s.close()
        s = socket.socket(fileno=r.fds[0])
    s.settimeout(LIMIT_S)
    return s, state


@staged
def test_native(s):
    """Nobody stands between: neither the transport nor the broker."""
    vmm = Vmm(s.path)
    vmm.guest[1] = echo
    vmm.guest[2] = lambda sock, ok: (sock.sendall(ok + b"at once"),
                                     sock.close())
    s.running()
    p, state = dial_native(s.c, s.vmid, port(1))
    same(state, 2, "the guest's connection itself")
    same(p.getpeername(), s.path, "the VMM's socket")
    s.t.p.send_signal(signal.SIGSTOP)
    with s.b.stopped():
        data = pattern(1 << 20, 4)
        t = threading.Thread(target=lambda: (p.sendall(data),
                                             p.shutdown(socket.SHUT_WR)))
        t.start()
        check(read_all(p) == data, "the echo")
        t.join()
    s.t.p.send_signal(signal.SIGCONT)
    same(s.c.call("connections")["connections"], [], "nobody's table")
    p.close()
    p, state = dial_native(s.c, s.vmid, port(2))
    same((state, read_all(p)), (2, b"at once"), "data in one piece with OK")
    p.close()
    e = refusal(dial_native, s.c, s.vmid, port(3))
    same(e.reason, NO_LISTENER, str(e))
    # a listener of the host has nothing else to give
    listener = s.c.serve(LOOPBACK, port(4))
    p, state = dial_native(s.c, LOOPBACK, port(4))
    same(state, 0, "as ever")
    p.close()
    listener.close()
    # the rules are the same
    s.b.partition("vm", "[Service 1]", "Policy=disabled", vmid=s.vmid)
    s.b.service("one", 1, "Connect=user:4242")
    check(refusal(dial_native, s.c, s.vmid, port(1)).reason in (
        CONNECT_DENIED, DISABLED), "denied")
    vmm.end()


@staged
def test_native_by_the_library(s):
    lib = ctypes.CDLL(os.environ["LIBHVSOCKET"], use_errno=True)
    os.environ["HVSOCKET_RUNTIME_DIR"] = s.b.run
    vmm = Vmm(s.path)
    vmm.guest[1] = echo
    s.running()
    try:
        for flags, blocks in ((8, True), (8 | 2, False)):
            fd = lib.hvs_dial(b"vm:1", 5000, flags)
            check(fd >= 0, os.strerror(ctypes.get_errno()))
            same(os.get_blocking(fd), blocks, "blocking")
            check(not os.get_inheritable(fd), "close-on-exec")
            p = socket.socket(fileno=fd)
            same(p.getpeername(), s.path, "the VMM's socket")
            p.settimeout(LIMIT_S)
            p.sendall(b"hello")
            same(p.recv(100), b"hello", "the echo")
            size = ctypes.c_uint32(36)
            same(lib.hvs_getpeername(fd, bytes(36), ctypes.byref(size)), -1,
                 "no Hyper-V address")
            p.close()
        same(lib.hvs_dial(b"vm:2", 5000, 8), -1, "nothing listens")
        same(ctypes.get_errno(), errno.ECONNREFUSED, "why")
    finally:
        del os.environ["HVSOCKET_RUNTIME_DIR"]
    vmm.end()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
