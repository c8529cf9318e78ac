# SPDX-License-Identifier: MIT
"""guest - a VM whose every connect is answered by the test

Attaches to the broker as a transport does (docs/protocol.md, section 5) and
holds what programs of the host open until answer() is called.
"""
import os
import socket
import struct


class Guest:
    def __init__(self, runtime_dir, name):
        self.vmid = os.urandom(16)
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(30)
        self.control.connect(runtime_dir + "/control")
        self.control.send(struct.pack("<HHIII", 1, 0, 1, 1, 1))
        self.expect(1)
        self.doors = [socket.socket(socket.AF_UNIX, t) for t in
                      (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)]
        frame = struct.pack("<HHI16sHHI", 16, 0, 2, self.vmid, 1, 3, 0)
        socket.send_fds(self.control, [frame + name.encode()],
                        [d.fileno() for d in self.doors])
        self.expect(16)
        for d in self.doors:
            d.settimeout(30)
            d.listen(8)
        self.control.send(struct.pack("<HHII", 17, 0, 0, 1))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for s in [self.control] + self.doors:
            s.close()

    def expect(self, kind):
        """The reply to a request of ours."""
        frame = self.control.recv(65536)
        got, _, _, error, reason = struct.unpack_from("<HHIII", frame)
        if (got, error) != (kind | 0x8000, 0):
            raise AssertionError(f"type {got:#x}, error {error}, reason "
                                 f"{reason}: {frame[16:]!r}")

    def opened(self):
        """The next connect: it is in progress from here to answer()."""
        frame = self.control.recv(65536)
        kind, _, self.serial, _, self.type, flags = struct.unpack_from(
            "<HHIQHH", frame)
        if (kind, flags) != (19, 1):
            raise AssertionError(f"type {kind}, flags {flags}: not a parked "
                                 "OPEN")
        self.connection, _ = self.doors[self.type == 5].accept()
        frame = self.control.recv(65536)
        kind, _, _, _, self.filler = struct.unpack("<HHIQQ", frame)
        if kind != 20:
            raise AssertionError(f"type {kind}, not PARKED")

    def answer(self, error=0, reason=0):
        """The guest takes the connection, or refuses it."""
        text = b"the test said so" if error else b""
        if error:
            self.connection.close()
        else:
            left = self.filler
            while left:
                left -= len(self.connection.recv(left))
        self.control.send(struct.pack("<HHIII", 19 | 0x8000, 0, self.serial,
                                      error, reason) + text)
