# SPDX-License-Identifier: MIT
"""The kernel's vsock with this machine as its own guest: CID 1"""
import errno
import os
import signal
import socket

import hvs
import kernel
import stack
from kernel import LIMIT_S, LOCAL, exchange
from tap import check, same

STACK = kernel.Kernel


def guest_dials(number, source=None):
    s = socket.socket(socket.AF_VSOCK)
    s.settimeout(LIMIT_S)
    if source:
        s.bind((socket.VMADDR_CID_ANY, source))
    s.connect((LOCAL, number))
    return s


def guest_listens(number):
    s = socket.socket(socket.AF_VSOCK)
    s.settimeout(LIMIT_S)
    s.bind((socket.VMADDR_CID_ANY, number))
    s.listen(16)
    return s


def test_it_is_sandboxed(f):
    f.running()
    if os.environ.get("DAEMON_BUILD"):
        return
    for task in os.listdir("/proc/%d/task" % f.transport.pid):
        with open("/proc/%d/task/%s/status" % (f.transport.pid, task)) as x:
            status = dict(line.split(":\t", 1) for line in x if ":\t" in line)
        same(status["Seccomp"].strip(), "2", "seccomp")
        same(status["NoNewPrivs"].strip(), "1", "no new privileges")


def test_guest_to_host(f):
    f.service("x", 5000)
    listener = f.library.serve(hvs.CHILDREN, hvs.port(5000))
    f.port(5000)
    g = guest_dials(5000, source=4321)
    g.sendall(b"first")
    a, _ = listener.accept()
    same(f.library.peer(a), (f.vmid, hvs.port(4321)), "who dials")
    same(hvs.receive(a, 5), b"first", "what it says")
    same([(c["via"], c["from"], c["to"]) for c in f.connections()],
         [("vsock", "vm1", "host")], "connections")
    exchange(g, a)
    listener.close()


def test_host_to_guest(f):
    guest = guest_listens(6000)
    p = f.library.dial(f.vmid, hvs.port(6000))
    g, peer = guest.accept()
    exchange(p, g)
    guest.close()
    try:
        f.library.dial(f.vmid, hvs.port(6000))
    except hvs.Refused as e:
        same((e.errno, e.reason), (errno.ECONNREFUSED, "no listener"), str(e))
    else:
        raise AssertionError("nobody listens, and it was connected")


def test_parked(f):
    guest = guest_listens(6001)
    s = f.library.socket()
    s.setblocking(False)
    try:
        f.library.connect(s, f.vmid, hvs.port(6001))
    except hvs.Refused as e:
        same(e.errno, errno.EINPROGRESS, str(e))
    g, _ = guest.accept()
    stack.until("it is connected", lambda: f.library.error(s) == 0)
    exchange(s, g, 70000)
    guest.close()


def test_half_closed(f):
    f.service("h", 5003)
    listener = f.library.serve(hvs.CHILDREN, hvs.port(5003))
    f.port(5003)
    g = guest_dials(5003)
    a, _ = listener.accept()
    a.settimeout(LIMIT_S)
    a.sendall(b"all of it")
    a.shutdown(socket.SHUT_WR)
    same(hvs.receive(g), b"all of it", "until the end")
    g.sendall(b"and back")
    g.shutdown(socket.SHUT_WR)
    same(hvs.receive(a), b"and back", "the other way goes on")
    # a program that reads no more is seen by the guest
    g = guest_dials(5003)
    a, _ = listener.accept()
    a.close()
    try:
        for _ in range(1000):
            g.sendall(b"x" * 65536)
    except OSError as e:
        check(e.errno in (errno.EPIPE, errno.ECONNRESET), str(e))
    else:
        raise AssertionError("nobody reads, and all was sent")
    listener.close()


def test_gone_before_it_is_accepted(f):
    f.service("g", 5005)
    listener = f.library.serve(hvs.CHILDREN, hvs.port(5005))
    f.port(5005)
    os.kill(f.transport.pid, signal.SIGSTOP)
    g = guest_dials(5005)
    g.sendall(b"all that there is")
    g.close()
    os.kill(f.transport.pid, signal.SIGCONT)
    a, _ = listener.accept()
    same(hvs.receive(a), b"all that there is", "what comes")
    listener.close()


def test_refused(f):
    f.service("no", 5001, Connect="none")
    listener = f.library.serve(hvs.WILDCARD, hvs.port(5001))
    f.port(5001)
    g = guest_dials(5001)
    same(hvs.receive(g), b"", "closed as soon as it was made")
    check("connect denied" in f.control("partition", "show", "vm1"),
          "it is counted")
    listener.close()


def test_explain(f):
    for words in (("vm1:22",), ("--from", "vm1", "host:5000")):
        text = f.control("explain", *words, check=False)
        check("not decided here" in text and "AF_VSOCK itself" in text, text)


def test_native_dial(f):
    """The program has the kernel's socket, and nobody is in between."""
    guest = guest_listens(6002)
    p = f.dial_native(6002)
    same(p.family, socket.AF_VSOCK, "what it is")
    same(p.getpeername(), (LOCAL, 6002), "whose")
    g, _ = guest.accept()
    same(f.connections(), [], "not relayed")
    os.kill(f.transport.pid, signal.SIGSTOP)
    try:
        exchange(p, g)
    finally:
        os.kill(f.transport.pid, signal.SIGCONT)
    guest.close()


def test_native_accept(f):
    f.service("n", 5002)
    listener = f.serve_native("children:5002")
    f.port(5002)
    g = guest_dials(5002, source=4322)
    g.sendall(b"at once")
    a, who = f.accept(listener)
    same(a.family, socket.AF_VSOCK, "what it is")
    same(who, (f.vmid, hvs.port(4322)), "who dials")
    same(a.getpeername(), (LOCAL, 4322), "in the kernel's word")
    same(hvs.receive(a, 7), b"at once", "what was sent before")
    same(f.connections(), [], "not relayed")
    os.kill(f.transport.pid, signal.SIGSTOP)
    try:
        exchange(g, a)
    finally:
        os.kill(f.transport.pid, signal.SIGCONT)
    # a program of the host is accepted as ever
    listener.close()
    listener = f.serve_native("loopback:5002")
    p = f.library.dial(hvs.LOOPBACK, hvs.port(5002))
    a, _ = f.accept(listener)
    same(a.family, socket.AF_UNIX, "what it is")
    exchange(p, a, 70000)
    listener.close()


def test_broker_restarts(f):
    f.service("b", 5004)
    listener = f.library.serve(hvs.CHILDREN, hvs.port(5004))
    f.port(5004)
    g = guest_dials(5004)
    a, _ = listener.accept()
    # the transport has been told
    g.sendall(b"x")
    same(hvs.receive(a, 1), b"x", "a byte")
    f.kill_broker()
    g.sendall(b"on")
    same(hvs.receive(a, 2), b"on", "goes on")
    f.start_broker()
    f.running()
    exchange(g, a, 70000)
    listener.close()
