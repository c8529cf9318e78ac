# SPDX-License-Identifier: MIT
"""HvSocket, and what makes one"""
import ctypes
import errno
import os
import re
import select
import socket
import time
from ctypes import byref, c_char, c_uint32
from socket import SOCK_DGRAM, SOCK_STREAM

from ._address import _cooked, _raw
from ._errors import HvError, _check, _error, _make
from ._library import _c, _Sockaddr
from ._numbers import (AF_HYPERV, HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT,
                       HVSOCKET_CONNECT_TIMEOUT_MAX, HVSOCKET_ERROR,
                       HVSOCKET_WAIT_LISTENER, SOL_HVSOCKET, _Level)


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
