# SPDX-License-Identifier: MIT
"""stage - a broker, a VM's directory, hvsocket-hybrid; bytes to be moved"""
import array
import fcntl
import hashlib
import os
import random
import socket
import termios
import threading

from hvb import *
from tap import check
from vmm import *


class Stage:
    """A broker, a VM's directory, and the transport."""

    def __init__(self, name="vm"):
        self.name = name

    def __enter__(self):
        self.b = Broker().start()
        self.dir = self.b.dir + "/vm"
        os.mkdir(self.dir, 0o700)
        self.path = self.dir + "/v.sock"
        self.vmid = self.b.partition(self.name)
        self.t = attach(self.b, self.path, self.name)
        self.c = self.b.client()
        return self

    def __exit__(self, *exc):
        self.c.close()
        if self.t:
            self.t.end()
        self.b.end(check=exc[0] is None)

    def state(self):
        return self.c.call("partition.show", partition="vm")["state"]

    def running(self):
        check(until(lambda: self.state() == "running"), "the VMM is seen")

    def refused(self):
        return self.c.call("partition.show", partition="vm")["refused"]


def staged(function):
    def run(_):
        with Stage() as s:
            function(s)
    return run


def pattern(n, seed):
    return random.Random(seed).randbytes(n)


def exchange(a, b, n=3 << 20):
    """Much both ways at the same time, then the ends, one by one."""
    for s in (a, b):
        s.settimeout(LIMIT_S)
    sums = {}

    def send(s, seed):
        s.sendall(pattern(n, seed))
        s.shutdown(socket.SHUT_WR)

    def receive(s, seed):
        sums[seed] = hashlib.sha256(read_all(s)).digest()

    threads = [threading.Thread(target=f, args=x) for f, x in (
        (send, (a, 1)), (send, (b, 2)), (receive, (b, 1)), (receive, (a, 2)))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    for seed in (1, 2):
        check(sums.get(seed) == hashlib.sha256(pattern(n, seed)).digest(),
              "the bytes of %d" % seed)


def unread(sock):
    """Bytes of ours that the other side has not taken."""
    n = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, n)
    return n[0]
