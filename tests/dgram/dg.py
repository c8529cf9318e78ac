# SPDX-License-Identifier: MIT
"""dg - the datagram calls of libhvsocket, for tests

One process stands for many: before each call the library is told by
HVSOCKET_RUNTIME_DIR whose control socket it is to use.
"""
import contextlib
import ctypes
import json
import os
import signal
import socket

import hvb
import hvs

DGRAM = socket.SOCK_DGRAM
HEADER = 40


class Msg(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
                ("iov", ctypes.c_void_p), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Iov(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Place:
    """A partition, as its programs see it."""

    def __init__(self, lib, broker, vmid=None):
        self.lib, self.broker, self.vmid = lib, broker, vmid
        self.dir = os.path.dirname(broker.control(vmid))
        assert hvb.until(lambda: os.path.exists(self.dir + "/control")), \
            self.dir

    def here(self):
        os.environ["HVSOCKET_RUNTIME_DIR"] = self.dir
        return self.lib

    def socket(self, vmid=None, service=None, timeout=20):
        """One that is bound, or not."""
        s = self.here().socket(DGRAM)
        if vmid is not None:
            try:
                self.bind(s, vmid, service)
            except hvs.Refused:
                s.close()
                raise
        s.settimeout(None)
        if timeout:
            tv = timeout.to_bytes(8, "little") + bytes(8)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, tv)
        return s

    def bind(self, s, vmid, service):
        self.here().bind(s, vmid, service)

    def connect(self, s, vmid, service):
        self.here().connect(s, vmid, service)

    def disconnect(self, s):
        a = hvs.Address()
        self.here().check(self.lib.c.hvs_connect(
            s.fileno(), ctypes.byref(a), 36), s.fileno())

    def send(self, s, data, vmid=None, service=None, flags=0):
        a = hvs.Address.of(vmid, service) if vmid is not None else None
        return self.here().check(self.lib.c.hvs_sendto(
            s.fileno(), data, ctypes.c_size_t(len(data)), flags,
            ctypes.byref(a) if a else None, 36), s.fileno())

    def recv(self, s, room=65536, flags=0):
        """Return: bytes, (VmId, ServiceId); with MSG_TRUNC the length, too."""
        a, n = hvs.Address(), ctypes.c_uint32(36)
        buf = ctypes.create_string_buffer(room or 1)
        r = self.here().check(self.lib.c.hvs_recvfrom(
            s.fileno(), buf, ctypes.c_size_t(room), flags, ctypes.byref(a),
            ctypes.byref(n)), s.fileno())
        if flags & socket.MSG_TRUNC:
            return buf.raw[:min(r, room)], a.get(), r
        return buf.raw[:r], a.get()


def library():
    lib = hvs.Library(os.environ["LIBHVSOCKET"])
    for name in ("sendto", "recvfrom", "sendmsg", "recvmsg"):
        getattr(lib.c, "hvs_" + name).restype = ctypes.c_ssize_t
    return lib


@contextlib.contextmanager
def broker(*options):
    """A broker; its hvsocket-dgram ends with it."""
    with hvb.Broker(*options) as b:
        try:
            yield b
        finally:
            pid = relay(b) if b.alive() else None
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)


def status(b):
    with b.client() as c:
        return c.call("status")["datagrams"]


def relay(b):
    return status(b)["relay"]


def dropped(b, why, n):
    """Waits until it has been told of so many."""
    if hvb.until(lambda: status(b)["dropped"].get(why, 0) == n):
        return
    raise AssertionError("%s: %r, not %d" % (why, json.dumps(status(b)), n))
