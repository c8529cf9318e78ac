#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Programs nobody wrote for this, in a stock guest, over vhost-user

Besides streams there are messages: SOCK_SEQPACKET in the guest is RAW here.
"""
import os
import socket
import sys

import hvs
import programs
import stack
import tap
import vm
from programs import *  # noqa: F401,F403
from programs import PORT, SERVER, write

RAW = socket.SOCK_SEQPACKET
SIZES = (1, 2, 4096, 10000, 65536)
CLIENT = """
import socket
s = socket.socket(socket.AF_VSOCK, socket.SOCK_SEQPACKET)
s.connect((socket.VMADDR_CID_HOST, %d))
for size in %r:
    s.send(bytes(size - 1) + b"x")
for size in %r:
    print(s.recv(70000) == bytes(size - 1) + b"x")
s.shutdown(socket.SHUT_WR)
print(s.recv(1))
"""


class Programs(stack.Stack):
    def __init__(self, work):
        super().__init__(work)
        files, words = programs.python_and_socat()
        vm.make_initramfs(self.kernel, self.initramfs, files + self.more(),
                          os.path.join(os.environ["GUEST_PROGRAMS"],
                                       "guest-agent"), words=words)

    def more(self):
        return []

    def start_guest(self, name="guest", options=("--memory", "768")):
        super().start_guest(name, options)


def test_messages_to_the_host(f):
    f.service("messages", PORT + 3)
    write(f, "/tmp/messages.py", CLIENT % (PORT + 3, SIZES, SIZES))
    with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 3), kind=RAW) as s:
        s.settimeout(60)
        job = f.guest.start("python3 /tmp/messages.py")
        c, _ = s.accept()
        with c:
            c.settimeout(60)
            for size in SIZES:
                got = c.recv(70000)
                tap.same(len(got), size, "a message's length")
                c.send(got)
            tap.same(c.recv(1), b"", "the end")
    out = job.ok(60)
    tap.same(out.splitlines(), ["True"] * len(SIZES) + ["b''"],
             "what the client says")


def test_messages_to_the_guest(f):
    write(f, "/tmp/server.py", SERVER % ("SOCK_SEQPACKET", PORT + 4))
    job = f.guest.start("python3 /tmp/server.py")
    job.expect("listening", 60)
    with f.library.dial(f.vmid, hvs.port(PORT + 4), kind=RAW) as s:
        for size in SIZES:
            s.send(hvs.pattern(size))
        for size in SIZES:
            tap.check(s.recv(70000) == hvs.pattern(size),
                      "the message of %d bytes" % size)
        s.shutdown(socket.SHUT_WR)
        tap.same(s.recv(1), b"", "the end")
    job.ok()
    tap.same(job.said[-1], "2", "the client's CID")


def test_the_types_do_not_meet(f):
    f.service("messages", PORT + 3)
    with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 3), kind=RAW):
        out = f.guest.run("socat - VSOCK-CONNECT:2:%d" % (PORT + 3)).failed()
        tap.check("Connection reset by peer" in out, out)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Programs)
