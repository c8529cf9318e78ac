# SPDX-License-Identifier: MIT
"""Programs nobody wrote for this: Python's socket module and socat."""
import socket

import hv
import hvs
import stack
import tap

PORT = 7400
CLIENT = """
import socket, sys
data = bytes(range(256)) * 400
s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
s.connect((socket.VMADDR_CID_HOST, %d))
peer = s.getpeername()
s.sendall(data)
s.shutdown(socket.SHUT_WR)
got = b""
while True:
    b = s.recv(65536)
    if not b:
        break
    got += b
print(got == data, peer)
"""
SERVER = """
import socket
s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
s.bind((socket.VMADDR_CID_ANY, %d))
s.listen()
print("listening", flush=True)
c, who = s.accept()
while True:
    b = c.recv(65536)
    if not b:
        break
    c.sendall(b)
c.close()
print(who[0])
"""


class Programs(hv.HvStack):
    memory = "768M"

    def start_guest(self, name="guest", **more):
        return super().start_guest(
            name, initramfs=hv.inner("initramfs-programs"), **more)


STACK = Programs


def write(f, name, text):
    job = f.guest.start("cat >%s" % name)
    for line in text.strip().splitlines():
        job.input(line)
    job.end_input()
    job.ok()


def echo_of(f, port, data):
    with f.library.dial(f.vmid, hvs.port(port)) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        tap.check(hvs.receive(s) == data, "data back")


def test_python_connects(f):
    f.service("echo", PORT)
    write(f, "/tmp/client.py", CLIENT % PORT)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)):
        out = f.guest.run("python3 /tmp/client.py", 60).ok(60)
    tap.same(out, "True (2, %d)" % PORT, "what the client says")


def test_python_listens(f):
    write(f, "/tmp/server.py", SERVER % (PORT + 1))
    job = f.guest.start("python3 /tmp/server.py")
    job.expect("listening", 60)
    echo_of(f, PORT + 1, hvs.pattern(100000))
    job.ok()
    tap.same(job.said[-1], "2", "the client's CID")


def test_socat_connects(f):
    f.service("echo", PORT)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)):
        out = f.guest.run("seq 1 20000 >/tmp/in; socat -t 10 - "
                          "VSOCK-CONNECT:2:%d </tmp/in >/tmp/out && "
                          "cmp /tmp/in /tmp/out && echo same" % PORT,
                          60).ok(60)
    tap.same(out, "same", "what came back")


def test_socat_listens(f):
    f.guest.start("socat VSOCK-LISTEN:%d,fork EXEC:cat" % (PORT + 2))

    def attempt():
        try:
            echo_of(f, PORT + 2, hvs.pattern(200000))
            return True
        except hvs.Refused:
            return False
    stack.until("socat listens", attempt)
    echo_of(f, PORT + 2, hvs.pattern(10))
