# SPDX-License-Identifier: MIT
"""Hyper-V sockets on Linux, in the shape of the socket module.

    import hvsocket

    with hvsocket.create_connection("web1:echo") as s:      # VM, service
        s.sendall(b"hello")
        print(s.recv(100))

    with hvsocket.create_server("children:echo") as listener:
        s, peer = listener.accept()
        print(peer.vm_id, peer.text())

An address is "PARTITION:SERVICE" or a pair of the two. Each part is a name, a
GUID (as text or uuid.UUID) or a word ("wildcard", "children", "parent",
"loopback", "silohost", "host"); a service may be a port number of VSOCK, too.
What comes back is an Address, a pair of GUIDs as text, as CPython has it on
Windows.

HvSocket is a socket.socket: it goes where those go (select, selectors,
asyncio's loop.sock_*). A refusal is an HvError, which is also the OSError that
fits (ConnectionRefusedError and so on), and says why. hvsocket-python(7) has
the details; all the work is done by libhvsocket, called through ctypes.
"""
import ctypes
import enum
import errno
import os
import re
import select
import socket
import time
import uuid
from ctypes import (POINTER, byref, c_char, c_char_p, c_int, c_int32, c_size_t,
                    c_ssize_t, c_uint, c_uint16, c_uint32, c_ubyte, c_void_p)
from socket import SOCK_DGRAM, SOCK_STREAM
from typing import NamedTuple

__all__ = ["HvSocket", "HvError", "Reason", "Address", "create_connection",
           "create_server", "open_connection", "start_server", "partition",
           "new_guid", "service_id", "resolve"]

AF_HYPERV = 34
SOL_HVSOCKET = 0x4856


class _Level(int):
    """HV_PROTOCOL_RAW is the number of SOL_SOCKET here: its type tells."""


HV_PROTOCOL_RAW = _Level(1)
HVSOCKET_CONNECT_TIMEOUT = 0x01
HVSOCKET_CONNECT_TIMEOUT_MAX = 300000
HVSOCKET_CONTAINER_PASSTHRU = 0x02
HVSOCKET_CONNECTED_SUSPEND = 0x04
HVSOCKET_HIGH_VTL = 0x08
HVSOCKET_WAIT_LISTENER = 0x100  # this one and the next: SOL_HVSOCKET only
HVSOCKET_ERROR = 0x101

HV_GUID_ZERO = HV_GUID_WILDCARD = "00000000-0000-0000-0000-000000000000"
HV_GUID_BROADCAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
HV_GUID_CHILDREN = "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd"
HV_GUID_LOOPBACK = "e0e16197-dd56-4a10-9195-5ee7a155a838"
HV_GUID_PARENT = "a42e7cda-d03f-480c-9cc2-a4de20abb878"
HV_GUID_SILOHOST = "36bd0c5c-7276-4223-88ba-7d03b654c568"
HV_GUID_VSOCK_TEMPLATE = "00000000-facb-11e6-bd58-64006a7986d3"


# ---- the library

class _Sockaddr(ctypes.Structure):
    _fields_ = [("family", c_uint16), ("reserved", c_uint16),
                ("vm_id", c_ubyte * 16), ("service_id", c_ubyte * 16)]


class _Reason(ctypes.Structure):
    _fields_ = [("code", c_uint32), ("error", c_int32),
                ("text", c_char * 376), ("broker", c_char * 128)]


_Where, _Length = POINTER(_Sockaddr), POINTER(c_uint32)
_CALLS = {
    "hvs_socket": (c_int, c_int, c_int, c_int),
    "hvs_bind": (c_int, c_int, _Where, c_uint32),
    "hvs_listen": (c_int, c_int, c_int),
    "hvs_connect": (c_int, c_int, _Where, c_uint32),
    "hvs_sendto": (c_ssize_t, c_int, c_void_p, c_size_t, c_int, _Where,
                   c_uint32),
    "hvs_recvfrom": (c_ssize_t, c_int, c_void_p, c_size_t, c_int, _Where,
                     _Length),
    "hvs_getsockname": (c_int, c_int, _Where, _Length),
    "hvs_getpeername": (c_int, c_int, _Where, _Length),
    "hvs_setsockopt": (c_int, c_int, c_int, c_int, c_void_p, c_uint32),
    "hvs_getsockopt": (c_int, c_int, c_int, c_int, c_void_p, _Length),
    "hvs_reason": (c_int, c_int, POINTER(_Reason)),
    "hvs_reason_name": (c_char_p, c_uint32),
    "hvs_address_parse": (c_int, c_char_p, _Where),
    "hvs_address_format": (c_int, _Where, c_char_p, c_size_t, c_uint),
    "hvs_partition": (c_int, c_void_p, c_char_p, c_size_t),
}
_INSTALLED = "@LIBRARY@"  # by the build


def _load():
    soname = "libhvsocket.so.0"
    chosen = os.environ.get("HVSOCKET_LIBRARY")
    tried = []
    for path in [chosen] if chosen else [_INSTALLED, soname]:
        try:
            library = ctypes.CDLL(path, use_errno=True)
            for name, (result, *arguments) in _CALLS.items():
                call = getattr(library, name)
                call.restype, call.argtypes = result, arguments
            return library
        except (OSError, AttributeError) as e:
            tried.append(str(e))
    raise ImportError("hvsocket needs %s (HVSOCKET_LIBRARY says which): %s" % (
        soname, "; ".join(tried[-1:])))


_c = _load()


# ---- errors

class Reason(enum.IntEnum):
    """Why something was refused: enum hvs_reason_code of <hvsocket.h>."""
    NONE = 0
    NOT_REGISTERED = 1
    BIND_DENIED = 2
    CONNECT_DENIED = 3
    SECURITY_MODULE = 4
    DISABLED = 5
    NO_LISTENER = 6
    WILDCARD = 7
    BACKLOG = 8
    PARTITION_UNKNOWN = 9
    PARTITION_OFF = 10
    NO_ANSWER = 11
    QUOTA = 12
    NO_BROKER = 13
    ADDRESS_TAKEN = 14
    NOT_A_DESTINATION = 15
    TYPE = 16
    BAD_REQUEST = 17
    NO_LONGER_ALLOWED = 18
    NOT_PERMITTED = 19
    NOT_FOUND = 20
    EXISTS = 21
    GUEST_RESET = 22
    BROKER_FAILED = 23


class HvError(OSError):
    """errno, strerror (one sentence); reason (Reason, or a newer library's
    number), reason_name, and broker, the directory of the broker asked."""
    reason = Reason.NONE
    reason_name = "none"
    broker = ""

    def __str__(self):
        if not self.reason:
            return super().__str__()
        return "%s (%s; broker %s)" % (self.strerror, self.reason_name,
                                       self.broker)

    def __reduce__(self):  # the class is found by the errno
        return _make, (*self.args, self.__dict__)


def _kind(number, kinds={}):  # one class for each errno, kept for ever
    """The class that is an HvError and what Python has for this errno."""
    plain = type(OSError(number, ""))
    if plain not in kinds:
        kinds[plain] = HvError if plain is OSError else type(
            "Hv" + plain.__name__, (HvError, plain), {"__module__": __name__})
    return kinds[plain]


def _make(number, text, more={}):
    e = _kind(number)(number, text)
    e.__dict__.update(more)
    return e


def _error(number, fd=-1):
    why = _Reason()
    if _c.hvs_reason(fd, byref(why)) < 0 or not why.code:
        return _make(number, os.strerror(number))
    return _make(number, why.text.decode(errors="replace"), {
        "reason": Reason._value2member_map_.get(why.code, why.code),
        "reason_name": _c.hvs_reason_name(why.code).decode(),
        "broker": os.fsdecode(why.broker)})


def _check(result):
    if result < 0:
        raise _error(ctypes.get_errno())
    return result


# ---- addresses

class Address(NamedTuple):
    """Who and what, as GUIDs in lower case."""
    vm_id: str
    service_id: str

    @property
    def port(self):
        """The VSOCK port that the service is, or None."""
        if self.service_id[8:] != HV_GUID_VSOCK_TEMPLATE[8:]:
            return None
        return int(self.service_id[:8], 16)

    def text(self):
        """"web1:echo": names, where the broker knows them."""
        out = ctypes.create_string_buffer(256)
        _check(_c.hvs_address_format(byref(_raw(self)), out, len(out), 0))
        return out.value.decode(errors="replace")


def _cooked(raw):
    return Address(*(str(uuid.UUID(bytes_le=bytes(part)))
                     for part in (raw.vm_id, raw.service_id)))


def _raw(address):
    if not isinstance(address, (str, tuple, list)):
        raise TypeError("an address is \"PARTITION:SERVICE\" or a pair, not "
                        + type(address).__name__)
    if not isinstance(address, str):
        if len(address) != 2:
            raise ValueError("%r: an address has two parts" % (address,))
        for part in address:
            if isinstance(part, bool) or not isinstance(
                    part, (str, int, uuid.UUID)):
                raise TypeError("%r: no name, GUID or port" % (part,))
        address = "%s:%s" % tuple(address)
    if "\0" in address:
        raise ValueError("%r: a zero byte in an address" % address)
    raw = _Sockaddr()
    _check(_c.hvs_address_parse(address.encode(), byref(raw)))
    return raw


def resolve(address):
    """The Address of whatever stands for one; names are the broker's."""
    return _cooked(_raw(address))


def service_id(port):
    """The ServiceId of a VSOCK port."""
    if not 0 <= port <= 0xffffffff:
        raise ValueError("%r: a port has 32 bits" % port)
    return "%08x%s" % (port, HV_GUID_VSOCK_TEMPLATE[8:])


def new_guid():
    """A GUID for a service of one's own."""
    return str(uuid.uuid4())


class Partition(NamedTuple):
    vm_id: str
    name: str


def partition():
    """The partition that this process is in: of the host, vm_id is zero."""
    vm_id, name = (c_ubyte * 16)(), ctypes.create_string_buffer(512)
    _check(_c.hvs_partition(vm_id, name, len(name)))
    return Partition(str(uuid.UUID(bytes_le=bytes(vm_id))),
                     name.value.decode(errors="replace"))


# ---- sockets

def _type_of(fd):
    """DGRAM is SEQPACKET to the kernel; its own name says what it is."""
    with socket.socket(fileno=os.dup(fd)) as s:
        name = s.getsockname() if s.family == socket.AF_UNIX else b""
        dgram = isinstance(name, bytes) and re.match(rb"\0hvs1\x02", name)
        return SOCK_DGRAM if dgram else s.type


def _ms(seconds):
    """A timeout, as the broker has them."""
    return min(HVSOCKET_CONNECT_TIMEOUT_MAX, max(1, int(seconds * 1000)))


class HvSocket(socket.socket):
    """A socket.socket of the family AF_HYPERV. The methods are those of
    socket.socket; the family's own options are set with level HV_PROTOCOL_RAW
    or SOL_HVSOCKET."""

    def __init__(self, family=AF_HYPERV, type=-1, proto=HV_PROTOCOL_RAW,
                 fileno=None):
        fd = fileno
        if fd is not None:
            type = _type_of(fd) if type == -1 else type
        else:
            type = SOCK_STREAM if type == -1 else type
            fd = _check(_c.hvs_socket(family, type | socket.SOCK_CLOEXEC,
                                      proto))
        try:
            super().__init__(socket.AF_UNIX, type & ~socket.SOCK_CLOEXEC, 0,
                             fd)
        except BaseException:
            if fileno is None:
                os.close(fd)
            raise
        timeout = self.gettimeout()
        if timeout is not None:
            self.settimeout(timeout)  # or the descriptor does not know

    @property
    def family(self):
        return AF_HYPERV

    @property
    def proto(self):
        return HV_PROTOCOL_RAW

    def _waiting(self, event, call, *arguments):
        """A call of the library's, repeated as the socket module does it."""
        timeout = self.gettimeout()
        until = time.monotonic() + (timeout or 0)
        while True:
            n = call(self.fileno(), *arguments)
            if n >= 0:
                return n
            number = ctypes.get_errno()
            if number == errno.EINTR:
                continue  # a handler that raises has done so
            if number != errno.EAGAIN or not timeout:
                raise _error(number)
            p = select.poll()
            p.register(self, event)
            if not p.poll(max(0, until - time.monotonic()) * 1000):
                raise TimeoutError("timed out")

    def bind(self, address):
        raw = _raw(address)
        _check(_c.hvs_bind(self.fileno(), byref(raw), ctypes.sizeof(raw)))

    def listen(self, backlog=128):
        _check(_c.hvs_listen(self.fileno(), max(0, backlog)))

    def accept(self):
        s, _ = super().accept()
        s = HvSocket(AF_HYPERV, self.type, fileno=s.detach())
        try:
            return s, s.getpeername()
        except BaseException:
            s.close()
            raise

    def connect(self, address):
        """A timeout of settimeout() counts in place of the option
        HVSOCKET_CONNECT_TIMEOUT; with setblocking(False) a connect to a guest
        is a BlockingIOError, and goes on."""
        raw = _raw(address)
        timeout = self.gettimeout()
        if timeout == 0:
            return self._connect(raw)
        # the broker waits, not poll(): so a listener can be waited for, too
        level, name = SOL_HVSOCKET, HVSOCKET_CONNECT_TIMEOUT
        before = self.getsockopt(level, name)
        until = time.monotonic() + (timeout or before / 1000)
        try:
            if timeout:
                self.setsockopt(level, name, _ms(timeout))
                os.set_blocking(self.fileno(), True)
            self._connect(raw, until)
        finally:
            if timeout:
                os.set_blocking(self.fileno(), False)
            self.setsockopt(level, name, before)

    def _connect(self, raw, until=None):
        while _c.hvs_connect(self.fileno(), byref(raw),
                             ctypes.sizeof(raw)) < 0:
            number = ctypes.get_errno()
            if number != errno.EINTR:
                raise _error(number)
            if until is not None:  # the next try has what is left
                self.setsockopt(SOL_HVSOCKET, HVSOCKET_CONNECT_TIMEOUT,
                                _ms(until - time.monotonic()))

    def connect_ex(self, address):
        try:
            self.connect(address)
        except OSError as e:
            return e.errno
        return 0

    def why(self):
        """The HvError of a non-blocking connect() that has failed, or None."""
        number = self.getsockopt(SOL_HVSOCKET, HVSOCKET_ERROR)
        return _error(number, self.fileno()) if number else None

    def _name(self, call):
        raw = _Sockaddr()
        _check(call(self.fileno(), byref(raw),
                    byref(c_uint32(ctypes.sizeof(raw)))))
        return _cooked(raw)

    def getsockname(self):
        return self._name(_c.hvs_getsockname)

    def getpeername(self):
        return self._name(_c.hvs_getpeername)

    def setsockopt(self, level, name, value, *length):
        if not isinstance(level, _Level) and level != SOL_HVSOCKET:
            return super().setsockopt(level, name, value, *length)
        if not isinstance(value, int):
            value = int.from_bytes(value, "little")
        if not 0 <= value <= 0xffffffff:
            raise HvError(errno.EINVAL, "option %#x: %d" % (name, value))
        _check(_c.hvs_setsockopt(self.fileno(), level, name,
                                 byref(c_uint32(value)), 4))

    def getsockopt(self, level, name, *length):
        # asyncio reads SO_ERROR: the kernel's is ECONNRESET after any refusal
        if level == socket.SOL_SOCKET and name == socket.SO_ERROR and \
                not isinstance(level, _Level):
            level, name = SOL_HVSOCKET, HVSOCKET_ERROR
        if not isinstance(level, _Level) and level != SOL_HVSOCKET:
            return super().getsockopt(level, name, *length)
        value = c_uint32()
        _check(_c.hvs_getsockopt(self.fileno(), level, name, byref(value),
                                 byref(c_uint32(4))))
        return value.value

    # Of datagrams the kernel's calls would show the headers.

    def sendto(self, data, *flags_address):
        *flags, address = flags_address
        return self._send(data, flags[0] if flags else 0, address)

    def send(self, data, flags=0):
        if self.type != SOCK_DGRAM:
            return super().send(data, flags)
        return self._send(data, flags)

    def sendall(self, data, flags=0):
        if self.type != SOCK_DGRAM:
            return super().sendall(data, flags)
        self._send(data, flags)

    def sendmsg(self, buffers, ancdata=(), flags=0, address=None):
        if self.type != SOCK_DGRAM:
            return super().sendmsg(buffers, ancdata, flags)
        if ancdata:
            raise _make(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return self._send(b"".join(buffers), flags, address)

    def _send(self, data, flags, address=None):
        data = bytes(memoryview(data))  # of a number bytes() makes zeros
        to = None if address is None else _raw(address)
        return self._waiting(select.POLLOUT, _c.hvs_sendto, data, len(data),
                             flags, to, ctypes.sizeof(_Sockaddr) if to else 0)

    def recv(self, size, flags=0):
        if self.type != SOCK_DGRAM:
            return super().recv(size, flags)
        return self.recvfrom(size, flags)[0]

    def recvfrom(self, size, flags=0):
        if self.type != SOCK_DGRAM:
            return super().recv(size, flags), None
        data = bytearray(size)
        n, address = self.recvfrom_into(data, 0, flags)
        return bytes(data[:n]), address

    def recv_into(self, buffer, nbytes=0, flags=0):
        if self.type != SOCK_DGRAM:
            return super().recv_into(buffer, nbytes, flags)
        return self.recvfrom_into(buffer, nbytes, flags)[0]

    def recvfrom_into(self, buffer, nbytes=0, flags=0):
        if self.type != SOCK_DGRAM:
            return super().recv_into(buffer, nbytes, flags), None
        view = memoryview(buffer).cast("B")
        size = nbytes or len(view)
        if not 0 <= size <= len(view):
            raise ValueError("%d bytes into %d" % (size, len(view)))
        raw = _Sockaddr()
        room = (c_char * size).from_buffer(view) if size else None
        n = self._waiting(select.POLLIN, _c.hvs_recvfrom, room, size, flags,
                          byref(raw), byref(c_uint32(ctypes.sizeof(raw))))
        return n, _cooked(raw)

    def recvmsg(self, bufsize, ancbufsize=0, flags=0):
        if self.type != SOCK_DGRAM:
            return super().recvmsg(bufsize, ancbufsize, flags)
        data = bytearray(bufsize)
        n, address = self.recvfrom_into(data, 0, flags | socket.MSG_TRUNC)
        return bytes(data[:n]), [], socket.MSG_TRUNC * (n > bufsize), address

    def recvmsg_into(self, buffers, ancbufsize=0, flags=0):
        if self.type != SOCK_DGRAM:
            return super().recvmsg_into(buffers, ancbufsize, flags)
        views = [memoryview(b).cast("B") for b in buffers]
        data, *rest = self.recvmsg(sum(map(len, views)), 0, flags)
        left = data
        for view in views:
            part, left = left[:len(view)], left[len(view):]
            view[:len(part)] = part
        return len(data), *rest


def create_connection(address, timeout=None, *, type=SOCK_STREAM, wait=False):
    """A connected HvSocket. wait: for a listener, within the timeout (without
    one: 2 s, as for every connect). The timeout stays with the socket."""
    s = HvSocket(AF_HYPERV, type)
    try:
        s.settimeout(timeout)
        if wait:
            s.setsockopt(SOL_HVSOCKET, HVSOCKET_WAIT_LISTENER, 1)
        s.connect(address)
        return s
    except BaseException:
        s.close()
        raise


def create_server(address, *, backlog=128, type=SOCK_STREAM):
    """An HvSocket that listens (of type SOCK_DGRAM: that is bound)."""
    s = HvSocket(AF_HYPERV, type)
    try:
        s.bind(address)
        if s.type != SOCK_DGRAM:
            s.listen(backlog)
        return s
    except BaseException:
        s.close()
        raise


# ---- asyncio

async def open_connection(address, *, timeout=None, wait=False, **streams):
    """As asyncio.open_connection(); timeout in seconds, and wait for a
    listener, are the broker's business. Other arguments go to asyncio."""
    import asyncio
    loop = asyncio.get_running_loop()
    s = HvSocket()
    try:
        if timeout is not None:
            s.setsockopt(SOL_HVSOCKET, HVSOCKET_CONNECT_TIMEOUT, _ms(timeout))
        if wait:
            s.setsockopt(SOL_HVSOCKET, HVSOCKET_WAIT_LISTENER, 1)
            s = await _wait_in_thread(loop, s, address)
        else:
            s.setblocking(False)
            try:
                await loop.sock_connect(s, address)
            except HvError:
                raise
            except OSError as e:  # asyncio's own, of SO_ERROR
                raise _error(e.errno, s.fileno()) from None
        return await asyncio.open_connection(sock=s, **streams)
    except BaseException:
        s.close()
        raise


async def _wait_in_thread(loop, s, address):
    """Only blocking connects wait. The thread has a descriptor of its own, as
    whoever cancels this closes s."""
    import asyncio
    own = s.dup()  # here: there s may be closed, and its number another's
    own.settimeout(None)
    future = loop.run_in_executor(None, own.connect, address)
    try:
        await asyncio.shield(future)
    except BaseException:
        future.add_done_callback(
            lambda f: (own.close(), f.cancelled() or f.exception()))
        raise
    s.close()
    own.setblocking(False)
    return own


async def start_server(client_connected_cb, address, **streams):
    """As asyncio.start_server()."""
    import asyncio
    s = HvSocket()
    try:
        s.bind(address)
        return await asyncio.start_server(client_connected_cb, sock=s,
                                          **streams)
    except BaseException:
        s.close()
        raise
