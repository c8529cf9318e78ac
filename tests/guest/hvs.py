# SPDX-License-Identifier: MIT
"""hvs - libhvsocket for tests: the C calls, through ctypes

Descriptors come back as Python sockets (they are AF_UNIX sockets), failures
as Refused with errno, reason code and sentence.
"""
import ctypes
import errno
import os
import socket
import uuid

AF_HYPERV = 34
RAW = 1  # HV_PROTOCOL_RAW
STREAM = socket.SOCK_STREAM
SOL_HVSOCKET = 0x4856
CONNECT_TIMEOUT = 1
ERROR = 0x101

ZERO = WILDCARD = uuid.UUID(int=0)
CHILDREN = uuid.UUID("90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd")
LOOPBACK = uuid.UUID("e0e16197-dd56-4a10-9195-5ee7a155a838")
PARENT = uuid.UUID("a42e7cda-d03f-480c-9cc2-a4de20abb878")


def port(number):
    """The ServiceId of an AF_VSOCK port."""
    return uuid.UUID("%08x-facb-11e6-bd58-64006a7986d3" % number)


class Address(ctypes.Structure):
    _fields_ = [("family", ctypes.c_uint16), ("reserved", ctypes.c_uint16),
                ("vmid", ctypes.c_ubyte * 16), ("service", ctypes.c_ubyte * 16)]

    @classmethod
    def of(cls, vmid, service):
        return cls(AF_HYPERV, 0, (ctypes.c_ubyte * 16)(*vmid.bytes_le),
                   (ctypes.c_ubyte * 16)(*service.bytes_le))

    def get(self):
        return (uuid.UUID(bytes_le=bytes(self.vmid)),
                uuid.UUID(bytes_le=bytes(self.service)))


class Reason(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint32), ("error", ctypes.c_int32),
                ("text", ctypes.c_char * 376), ("broker", ctypes.c_char * 128)]


class Refused(Exception):
    def __init__(self, number, reason, text):
        super().__init__("%s, %s: %s" % (errno.errorcode.get(number, number),
                                         reason, text))
        self.errno, self.reason, self.text = number, reason, text


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path, use_errno=True)
        self.c.hvs_reason_name.restype = ctypes.c_char_p

    def reason(self, fd):
        r = Reason()
        self.c.hvs_reason(fd, ctypes.byref(r))
        return (self.c.hvs_reason_name(r.code).decode(), r.text.decode())

    def check(self, result, fd=-1):
        if result < 0:
            number = ctypes.get_errno()
            raise Refused(number, *self.reason(fd))
        return result

    def socket(self, kind=STREAM):
        return socket.socket(fileno=self.check(
            self.c.hvs_socket(AF_HYPERV, kind | socket.SOCK_CLOEXEC, RAW)))

    def bind(self, s, vmid, service):
        a = Address.of(vmid, service)
        self.check(self.c.hvs_bind(s.fileno(), ctypes.byref(a), 36), s.fileno())

    def listen(self, s, backlog=128):
        self.check(self.c.hvs_listen(s.fileno(), backlog), s.fileno())

    def connect(self, s, vmid, service):
        a = Address.of(vmid, service)
        self.check(self.c.hvs_connect(s.fileno(), ctypes.byref(a), 36),
                   s.fileno())

    def name(self, call, s):
        a, size = Address(), ctypes.c_uint32(36)
        self.check(call(s.fileno(), ctypes.byref(a), ctypes.byref(size)),
                   s.fileno())
        return a.get()

    def peer(self, s):
        return self.name(self.c.hvs_getpeername, s)

    def own(self, s):
        return self.name(self.c.hvs_getsockname, s)

    def set_timeout(self, s, ms):
        v = ctypes.c_uint32(ms)
        self.check(self.c.hvs_setsockopt(s.fileno(), SOL_HVSOCKET,
                                         CONNECT_TIMEOUT, ctypes.byref(v), 4))

    def error(self, s):
        v, size = ctypes.c_int(), ctypes.c_uint32(4)
        self.check(self.c.hvs_getsockopt(s.fileno(), SOL_HVSOCKET, ERROR,
                                         ctypes.byref(v), ctypes.byref(size)))
        return v.value

    # In one call, for most tests.

    def serve(self, vmid, service, kind=STREAM):
        s = self.socket(kind)
        try:
            self.bind(s, vmid, service)
            self.listen(s)
        except Refused:
            s.close()
            raise
        s.settimeout(20)
        return s

    def dial(self, vmid, service, timeout_ms=0, kind=STREAM):
        s = self.socket(kind)
        try:
            if timeout_ms:
                self.set_timeout(s, timeout_ms)
            self.connect(s, vmid, service)
        except Refused:
            s.close()
            raise
        s.settimeout(20)
        return s


def find(build, name):
    """A program or library of a build, wherever its folder is."""
    for base, dirs, files in os.walk(build):
        dirs[:] = [d for d in dirs if not d.endswith(".p")]
        if name in files:
            return os.path.join(base, name)
    raise FileNotFoundError("%s is not in the build %s" % (name, build))


def _rows():
    row = bytes((i * 131) & 255 for i in range(256))
    for high in range(256):
        # (256 * 131) mod 256 is 0, so a row differs by its number only.
        yield bytes((b + high * 17) & 255 for b in row)


PERIOD = b"".join(_rows())


def pattern(n):
    """What vsock-peer sends: byte i is i * 131 + (i >> 8) * 17."""
    return (PERIOD * (n // len(PERIOD) + 1))[:n]


def receive(s, n=None):
    """Exactly n bytes, or until end of file."""
    out = bytearray()
    while n is None or len(out) < n:
        data = s.recv(65536 if n is None else min(65536, n - len(out)))
        if not data:
            break
        out += data
    return bytes(out)
