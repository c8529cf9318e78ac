#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A VM whose VMM has its vsock at Unix sockets, both ways"""
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import uuid

import tap
from hvb import *
from stage import *
from tap import check, same
from vmm import *

KINDS = ("firecracker", "cloud-hypervisor", "openvmm")
OTHER = uuid.UUID("999e53d4-3d5c-4c3e-8779-bed06ec056e1")


def test_guest_to_host(_):
    for kind in KINDS:
        with Stage() as s:
            s.b.service("x", 5000)
            listener = s.c.serve(CHILDREN, port(5000))
            vmm = Vmm(s.path, kind)
            check(there(s.path + "_5000"), "the service's socket")
            same(stat.S_IMODE(os.stat(s.path + "_5000").st_mode), 0o600,
                 "its mode")
            g = vmm.dial(5000)
            # no preamble: the first byte is the guest's
            g.sendall(b"first")
            a, name = listener.accept()
            same(peer_of(name)[0], s.vmid, "who dials")
            same(a.recv(5), b"first", "what it says")
            exchange(g, a)
            vmm.end()


def test_guest_to_host_by_guid(_):
    for kind in KINDS:
        with Stage() as s:
            s.b.put("services.d/x.conf", "[Service]\nServiceId=%s\n" % OTHER)
            listener = s.c.serve(CHILDREN, OTHER)
            vmm = Vmm(s.path, kind)
            check(there("%s_%s" % (s.path, OTHER)), "the service's socket")
            g = vmm.dial(OTHER)
            a, name = listener.accept()
            same(peer_of(name)[0], s.vmid, "who dials")
            exchange(g, a, 70000)
            vmm.end()


def test_a_user_of_its_own(_):
    """Neither transport nor VMM is root, whoever runs this."""
    uid, wrapper = os.geteuid(), []
    if uid == 0:
        uid = 4242
        wrapper = ["setpriv", "--reuid", str(uid), "--regid", str(uid),
                   "--clear-groups"]
    with Broker() as b, b.client() as c:
        b.service("x", 5000)
        b.partition("vm", "User=%d" % uid)
        path = b.dir + "/vm/v.sock"
        os.mkdir(b.dir + "/vm", 0o700)
        os.chown(b.dir + "/vm", uid, -1)
        listener = c.serve(CHILDREN, port(5000))
        p = Program(b, "--partition", "vm", "--uds-path", path,
                    wrapper=wrapper)
        p.says("attached at")
        check(there(path + "_5000"), "the service's socket")
        g = subprocess.Popen([*wrapper, "socat", "-u",
                              "UNIX-CONNECT:%s_5000" % path, "-"],
                             stdout=subprocess.PIPE)
        a, _ = listener.accept()
        a.sendall(b"hello")
        a.close()
        same(g.communicate(timeout=LIMIT_S)[0], b"hello", "what the VMM gets")
        p.end()


@staged
def test_services_come_and_go(s):
    vmm = Vmm(s.path)
    s.running()
    same(sorted(os.listdir(s.dir)), [LOCK, "v.sock", "v.sock_26743"],
         "nothing is registered, but where guests say that they are ready")
    try:
        vmm.dial(5000)
        check(False, "a dial to nothing")
    except ConnectionResetError:
        pass
    s.b.service("x", 5000)
    check(there(s.path + "_5000"), "a file dropped in")
    s.b.put("services.d/y.conf", "[Service]\nServiceId=%s\nPort=6000\n" % OTHER)
    check(there(s.path + "_6000") and there("%s_%s" % (s.path, OTHER)),
          "both spellings")
    with s.b.client() as c:
        c.call("service.add", name="mine", port=7000, lease="connection")
        check(there(s.path + "_7000"), "a volatile one")
    check(gone(s.path + "_7000"), "with its lease")
    s.b.drop("services.d/x.conf")
    s.b.drop("services.d/y.conf")
    check(gone(s.path + "_5000") and gone(s.path + "_6000") and
          gone("%s_%s" % (s.path, OTHER)), "taken away")
    same(sorted(os.listdir(s.dir)), [LOCK, "v.sock", "v.sock_26743"],
         "the VMM's own stays")
    vmm.end()


@staged
def test_refusals_are_counted(s):
    s.b.service("x", 5000, "Connect=user:4242")
    listener = s.c.serve(CHILDREN, port(5000))
    s.b.service("y", 5001)
    vmm = Vmm(s.path)
    check(there(s.path + "_5000") and there(s.path + "_5001"), "registered")
    for number, word in ((5000, "connect denied"), (5001, "no listener")):
        g = vmm.dial(number)
        same(g.recv(1), b"", "closed")
        g.close()
        same(s.refused().get(word), 1, word)
    s.b.service("x", 5000)
    g = vmm.dial(5000)
    listener.accept()[0].close()
    same(g.recv(1), b"", "allowed, and ended by the program")
    g.close()
    vmm.end()


def test_host_to_guest(_):
    for kind in KINDS:
        with Stage() as s:
            vmm = Vmm(s.path, kind)
            vmm.guest[5000] = echo
            s.running()
            p = s.c.dial(s.vmid, port(5000))
            same(vmm.requests, [b"CONNECT 5000\n"], "in one piece")
            data = pattern(2 << 20, 3)
            threading.Thread(target=lambda: (
                p.sendall(data), p.shutdown(socket.SHUT_WR))).start()
            check(read_all(p) == data, "the echo")
            p.close()
            e = refusal(s.c.dial, s.vmid, port(5001))
            same(e.reason, NO_LISTENER, str(e))
            vmm.end()


@staged
def test_gone_before_the_answer(s):
    """A guest that writes and closes while the broker is asked is heard."""
    s.b.service("x", 5000)
    listener = s.c.serve(CHILDREN, port(5000))
    vmm = Vmm(s.path)
    check(there(s.path + "_5000"), "registered")
    n = s.t.fds()
    with s.b.stopped():
        g = vmm.dial(5000)
        g.sendall(b"all of it")
        g.close()
        quiet = vmm.dial(5000)  # who gives up has said nothing
        quiet.close()
        last = vmm.dial(5000)
        more = vmm.dial(5000)
        # all accepted, and all that they did seen: one has gone again
        check(until(lambda: all(s.t.fds() == n + 3 for _ in range(200))),
              "accepted")
    for what in (b"all of it", b"", b""):
        a, _ = listener.accept()
        a.settimeout(LIMIT_S)
        if not what:
            last.close()
            more.close()
        same(read_all(a), what, "what the guest wrote, and the end")
        a.close()
    # one whose program never writes is over, all the same
    check(until(lambda: not [c for c in s.c.call("connections")["connections"]
                             if c["via"] == "hybrid"]), "all are over")
    vmm.end()


@staged
def test_host_to_guest_by_guid(s):
    vmm = Vmm(s.path, "openvmm")
    vmm.guest[OTHER] = echo
    s.running()
    p = s.c.dial(s.vmid, OTHER)
    same(vmm.requests, [b"CONNECT %s\n" % str(OTHER).encode()], "the GUID")
    p.sendall(b"hello")
    same(p.recv(5), b"hello", "the echo")
    p.close()
    vmm.end()
    # of one that knows no GUIDs
    vmm = Vmm(s.path)
    s.running()
    same(refusal(s.c.dial, s.vmid, OTHER).reason, NO_LISTENER, "closed")
    vmm.end()


@staged
def test_answers_in_fragments(s):
    step = threading.Event()

    def bytewise(sock, ok):
        for i in range(len(ok)):
            sock.sendall(ok[i:i + 1])
            # seen before the next one comes
            until(lambda: unread(sock) == 0)
        step.wait(LIMIT_S)
        sock.sendall(b"hello")
        sock.close()

    def at_once(sock, ok):
        sock.sendall(ok + b"OK 7\nhello")
        sock.close()

    vmm = Vmm(s.path)
    vmm.guest.update({1: bytewise, 2: at_once})
    s.running()
    p = s.c.dial(s.vmid, port(1))
    step.set()
    same(read_all(p), b"hello", "after OK byte by byte")
    p.close()
    p = s.c.dial(s.vmid, port(2))
    same(read_all(p), b"OK 7\nhello", "data in one piece with OK")
    p.close()
    vmm.end()


@staged
def test_answers_that_are_none(s):
    texts = [b"", b"OK\n", b"OK \n", b"ok 5\n", b"NO\n", b"OK 4294967296\n",
             b"OK 5 \n", b"OK 5\r\n", b"OK 00000000005\n", b"\n",
             b"OK " + b"1" * 5000, b"OK 12345"]
    vmm = Vmm(s.path)
    for i, text in enumerate(texts):
        vmm.guest[i] = lambda sock, ok, text=text: (
            sock.sendall(text), sock.close())
    # one that says nothing and stays
    vmm.guest[99] = lambda sock, ok: vmm.held.append(sock)
    s.running()
    for i, text in enumerate(texts):
        e = refusal(s.c.dial, s.vmid, port(i), timeout=10000)
        same(e.reason, NO_LISTENER, "%r: %s" % (text[:20], e))
    e = refusal(s.c.dial, s.vmid, port(99), timeout=200)
    same(e.reason, NO_ANSWER, str(e))
    same(vmm.held[0].recv(1), b"", "given up")
    vmm.end()


@staged
def test_parked(s):
    """A non-blocking connect: no POLLOUT before OK."""
    go = threading.Event()

    def late(sock, ok):
        go.wait(LIMIT_S)
        echo(sock, ok)

    vmm = Vmm(s.path)
    vmm.guest[5] = late
    s.running()
    p = socket.socket(socket.AF_UNIX)
    same(s.c.connect(p, s.vmid, port(5), flags=NONBLOCK)[0], 1, "parked")
    poll = select.poll()
    poll.register(p, select.POLLOUT)
    same(poll.poll(0), [], "the guest has not answered")
    go.set()
    same(poll.poll(LIMIT_S * 1000), [(p.fileno(), select.POLLOUT)], "it has")
    p.settimeout(LIMIT_S)
    p.sendall(b"hello")
    same(p.recv(100), b"hello", "and no filler")
    p.close()
    p = socket.socket(socket.AF_UNIX)
    state, token = s.c.connect(p, s.vmid, port(6), flags=NONBLOCK)
    poll = select.poll()
    poll.register(p, select.POLLOUT)
    # POLLHUP alone where it was refused before the broker had filled it; the
    # library asks the broker in both cases
    check(poll.poll(LIMIT_S * 1000)[0][1] & (select.POLLERR | select.POLLHUP),
          "refused")
    p.close()
    vmm.end()


@staged
def test_half_close_and_back_pressure(s):
    s.b.service("x", 5000)
    listener = s.c.serve(CHILDREN, port(5000))
    vmm = Vmm(s.path)
    check(there(s.path + "_5000"), "registered")
    g = vmm.dial(5000)
    a, _ = listener.accept()
    # what nobody reads stays where it is: neither side sends without end
    g.setblocking(False)
    sent = 0
    block = pattern(65536, 9)
    while select.select([], [g], [], 0.2)[1]:
        try:
            sent += g.send(block)
        except BlockingIOError:
            pass
        check(sent < 8 << 20, "bounded")
    g.setblocking(True)
    g.shutdown(socket.SHUT_WR)
    # the other direction goes on
    a.sendall(b"still here")
    same(g.recv(100), b"still here", "host to guest")
    same(len(read_all(a)), sent, "all that was sent, and its end")
    a.shutdown(socket.SHUT_WR)
    same(g.recv(1), b"", "the other end")
    # a program that stops reading is told to the guest
    g2 = vmm.dial(5000)
    a2, _ = listener.accept()
    a2.shutdown(socket.SHUT_RD)

    def unheard():
        try:
            g2.send(b"x")
        except BrokenPipeError:
            return True
        return False
    check(until(unheard), "EPIPE")
    for x in (g, a, g2, a2):
        x.close()
    vmm.end()


@staged
def test_vmm_comes_and_goes(s):
    same(s.state(), "off", "before there is one")
    same(refusal(s.c.dial, s.vmid, port(1)).reason, OFF, "a dial")
    for kind in KINDS:
        vmm = Vmm(s.path, kind)
        vmm.guest[1] = echo
        s.running()
        p = s.c.dial(s.vmid, port(1))
        vmm.crash()
        # its file is there still, and the next dial finds out
        check(until(lambda: refusal(s.c.dial, s.vmid, port(1)).reason == OFF),
              "it has crashed")
        check(until(lambda: s.state() == "off"), "seen")
        os.unlink(s.path)
        p.close()
    # bound, but not listened at yet
    l = socket.socket(socket.AF_UNIX)
    l.bind(s.path)
    same(refusal(s.c.dial, s.vmid, port(1)).reason, OFF, "bound only")
    l.listen(1)
    s.running()
    l.close()
    os.unlink(s.path)
    check(until(lambda: s.state() == "off"), "removed")


@staged
def test_broker_ends_and_returns(s):
    s.b.service("x", 5000)
    listener = s.c.serve(CHILDREN, port(5000))
    vmm = Vmm(s.path)
    vmm.guest[1] = echo
    s.running()
    check(there(s.path + "_5000"), "registered")
    g = vmm.dial(5000)
    a, _ = listener.accept()
    p = s.c.dial(s.vmid, port(1))
    s.c.close()
    s.b.kill()
    s.b.service("y", 5001)
    s.b.drop("services.d/x.conf")
    for left, right in ((g, a), (a, g), (p, p)):
        left.sendall(b"without a broker")
        same(right.recv(100), b"without a broker", "bytes")
    check(os.path.exists(s.path + "_5000"), "what was registered")
    s.b.service("x", 5000)
    # a guest's dial waits for the next one
    late = vmm.dial(5000)
    s.b.start()
    s.c = s.b.client()
    check(until(lambda: s.state() == "running"), "attached again")
    b, _ = listener.accept()
    late.sendall(b"late")
    same(b.recv(10), b"late", "the dial that waited")
    check(there(s.path + "_5001"), "and what came meanwhile")
    # (told one by one)
    check(until(lambda: sorted(
        (x["via"], x["from"], x["to"])
        for x in s.c.call("connections")["connections"]
        if x["via"] == "hybrid") == [
            ("hybrid", "host", "vm"), ("hybrid", "vm", "host"),
            ("hybrid", "vm", "host")]), "told again")
    for x in (g, a, p, b, late):
        x.close()
    vmm.end()


@staged
def test_policy_withdrawn(s):
    s.b.service("x", 5000)
    listener = s.c.serve(CHILDREN, port(5000))
    vmm = Vmm(s.path)
    check(there(s.path + "_5000"), "registered")
    g = vmm.dial(5000)
    a, _ = listener.accept()
    s.b.service("x", 5000, "Policy=disabled")
    s.c.call("status")
    same(g.recv(1), b"", "closed for the guest")
    same(a.recv(1), b"", "and for the program")
    vmm.end()


@staged
def test_strangers_descriptors(s):
    """What comes with bytes, or with OK, reaches nobody and is not kept."""
    s.b.service("x", 5000)
    listener = s.c.serve(CHILDREN, port(5000))
    r, w = os.pipe()

    def ok_with(sock, ok):
        try:
            send_fds(sock, ok, [w])
        except OSError:
            sock.sendall(ok)
        sock.sendall(b"hello")
        sock.close()

    vmm = Vmm(s.path)
    vmm.guest[1] = ok_with
    s.running()
    check(there(s.path + "_5000"), "registered")
    p = s.c.dial(s.vmid, port(1))
    same(read_all(p), b"hello", "the bytes")
    g = vmm.dial(5000)
    a, _ = listener.accept()
    try:
        send_fds(g, b"x", [w])
    except OSError:
        g.send(b"x")  # the kernel keeps them out
    data, fds = recv_fds(a)
    same((data, fds), (b"x", []), "the byte alone")
    os.close(w)
    os.set_blocking(r, True)
    same(select.select([r], [], [], LIMIT_S)[0], [r], "closed")
    same(os.read(r, 1), b"", "everywhere")
    vmm.end()


@staged
def test_many_connections(s):
    s.b.service("x", 5000)
    listener = s.c.serve(CHILDREN, port(5000), backlog=512)
    vmm = Vmm(s.path)
    vmm.guest[1] = echo
    s.running()
    check(there(s.path + "_5000"), "registered")
    pairs = []
    for i in range(200):
        g = vmm.dial(5000)
        g.sendall(b"%d" % i)
        pairs.append((g, listener.accept()[0], b"%d" % i))
        p = s.c.dial(s.vmid, port(1))
        p.sendall(b"to %d" % i)
        pairs.append((p, p, b"to %d" % i))
    for g, a, text in pairs:
        same(a.recv(100), text, "its own bytes")
    for g, a, _ in pairs:
        g.close()
        a.close()
    check(until(lambda: not [c for c in s.c.call("connections")["connections"]
                             if c["via"] == "hybrid"]), "all are over")
    vmm.end()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
