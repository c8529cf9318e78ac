# SPDX-License-Identifier: MIT
"""kernel - a broker, hvsocket-vsock, and the kernel's own vsock

    with Kernel(work) as f:
        f.dial_native(6000)

The guest is this machine itself, CID 1, by vsock_loopback; kernel_guest.py has
one under QEMU.
"""
import ctypes
import json
import os
import socket
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import hvs  # noqa: E402
import stack  # noqa: E402
from tap import check  # noqa: E402

NATIVE = 8  # HVS_NATIVE
LOCAL = 1
LIMIT_S = 60


class Kernel(stack.Host):
    kind = "vsock"
    cid = LOCAL

    def __init__(self, work, name="vm1"):
        super().__init__(work, name)
        self.program = hvs.find(self.daemons, "hvsocket-vsock")
        self.transport = None

    def start_transport(self):
        command = [self.program, "--verbose"]
        if os.environ.get("DAEMON_BUILD"):
            # The leak sanitizer needs more than the sandbox allows.
            command += ["--sandbox", "none"]
        self.transport = self.spawn(command)
        stack.until("it serves", lambda: self.alive(self.transport) and
                    "serving the kernel's vsock" in self.said())

    def said(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()

    def running(self, wanted="running"):
        stack.until("the partition is " + wanted,
                    lambda: self.state() == wanted)

    def state(self):
        return json.loads(self.control("partition", "show", self.name,
                                       "--json"))["state"]

    def connections(self):
        return json.loads(self.control("connections", "--json"))["connections"]

    def port(self, number):
        stack.until("port %d is listened on" % number,
                    lambda: "port %d: listening" % number in self.said())

    def __enter__(self):
        try:
            self.start_broker()
            self.partition(self.name, self.vmid, Cid=str(self.cid))
            self.start_transport()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop(self.transport, self.broker)
        self.log.close()

    # natives, by libhvsocket

    def dial_native(self, service):
        fd = self.library.check(self.library.c.hvs_dial(
            ("%s:%s" % (self.vmid, service)).encode(), 0, NATIVE))
        return self.timed(socket.socket(fileno=fd))

    def serve_native(self, address):
        fd = self.library.check(self.library.c.hvs_serve(address.encode(), 16,
                                                         NATIVE))
        return socket.socket(fileno=fd)

    def accept(self, listener):
        """hvs_accept(). Return: the socket, who it is"""
        a, size = hvs.Address(), ctypes.c_uint32(36)
        fd = self.library.check(self.library.c.hvs_accept(
            listener.fileno(), ctypes.byref(a), ctypes.byref(size),
            socket.SOCK_CLOEXEC))
        return self.timed(socket.socket(fileno=fd)), a.get()

    @staticmethod
    def timed(s):
        s.settimeout(LIMIT_S)
        return s


def exchange(a, b, n=4 << 20):
    """Much both ways at the same time, then the ends, one by one."""
    data = hvs.pattern(n)
    got = {}

    def send(s):
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)

    def take(key, s):
        got[key] = hvs.receive(s)

    for s in (a, b):
        s.settimeout(LIMIT_S)
    threads = [threading.Thread(target=f, args=x) for f, x in (
        (send, (a,)), (send, (b,)), (take, (1, a)), (take, (2, b)))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(2 * LIMIT_S)
    for key in (1, 2):
        check(got.get(key) == data, "the bytes of %d: %s" % (
            key, len(got[key]) if key in got else "none"))
