# SPDX-License-Identifier: MIT
"""Programs nobody wrote for this, in a guest: Python's socket module and socat

`from programs import *` makes them tests of a module. The guest has python3 and
socat (python_and_socat()).
"""
import os
import shutil
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "nested"))
import hvs  # noqa: E402
import machine  # noqa: E402
import stack  # noqa: E402
import tap  # noqa: E402
import vm  # noqa: E402

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
s = socket.socket(socket.AF_VSOCK, socket.%s)
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


def python_and_socat():
    """For guest-initramfs: files, other words."""
    socat = shutil.which("socat")
    if not socat:
        raise vm.GuestError("socat is not installed here")
    return (["%s:/usr/bin/python3" % os.path.realpath("/usr/bin/python3"),
             socat], machine.python_files())


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


def when_it_listens(f, what, attempt):
    """It does not say when: again until a connect is taken."""
    def taken():
        try:
            attempt()
            return True
        except hvs.Refused:
            return False
    stack.until(what + " listens", taken)


def test_python_connects(f):
    f.service("echo", PORT)
    write(f, "/tmp/client.py", CLIENT % PORT)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)):
        out = f.guest.run("python3 /tmp/client.py", 60).ok(60)
    tap.same(out, "True (2, %d)" % PORT, "what the client says")


def test_python_listens(f):
    write(f, "/tmp/server.py", SERVER % ("SOCK_STREAM", PORT + 1))
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
    when_it_listens(f, "socat", lambda: echo_of(f, PORT + 2,
                                                hvs.pattern(200000)))
    echo_of(f, PORT + 2, hvs.pattern(10))
