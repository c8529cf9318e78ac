# SPDX-License-Identifier: MIT
"""proxy - stands between a front end and a back end of vhost-user

It passes on messages and descriptors as they are, until a test wants another
disk size told, a change announced, or replies spoilt.
"""
import array
import os
import selectors
import socket
import struct
import threading

import stack

GET_CONFIG, SET_BACKEND_REQ_FD = 24, 21
HEADER = struct.Struct("<III")
CONFIG_HEAD = 12


class Proxy:
    """One connection from @path to @target."""

    def __init__(self, path, target):
        self.path = path
        self.target = target
        self.capacity = None  # sectors
        self.spoil = False
        self.requests = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def announce(self):
        """The back end's own request: the configuration has changed."""
        stack.until("the front end takes requests", lambda: self.requests)
        self.requests.sendall(HEADER.pack(2, 1, 0))

    def _run(self):
        front, _ = self.listener.accept()
        back = socket.socket(socket.AF_UNIX)
        back.connect(self.target)
        with front, back, selectors.DefaultSelector() as s:
            s.register(front, selectors.EVENT_READ, back)
            s.register(back, selectors.EVENT_READ, front)
            try:
                while all(self._pass(key.fileobj, key.data, key.data is front)
                          for key, _ in s.select()):
                    pass
            except OSError:
                pass

    def _pass(self, source, target, reply):
        head, ancillary, _, _ = source.recvmsg(
            HEADER.size, socket.CMSG_SPACE(32), socket.MSG_WAITALL)
        if len(head) < HEADER.size:
            return False
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        request, _, size = HEADER.unpack(head)
        body = source.recv(size, socket.MSG_WAITALL) if size else b""
        if request == SET_BACKEND_REQ_FD and not reply:
            self.requests = socket.socket(fileno=os.dup(fds[0]))
        if reply and request == GET_CONFIG and self.capacity is not None:
            body = body[:CONFIG_HEAD] + struct.pack("<Q", self.capacity) + \
                body[CONFIG_HEAD + 8:]
        if reply and self.spoil:
            head = bytes(b ^ 0xff for b in head)
        target.sendmsg([head + body], [(
            socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])
        for fd in fds:
            os.close(fd)
        return True
