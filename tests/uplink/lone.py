# SPDX-License-Identifier: MIT
"""lone - one of the two brokers, with the test in the other's place"""
import os
import shutil
import socket
import tempfile

from hvb import *
from pair import *
from stage import Stage
from tap import check, same
from vmm import read_line

SOURCE = port(0x80000001)
GREETING = b"HVSOCKET/1 "


def line(to="-", service=ODD, kind="stream", ms="2000", source=SOURCE):
    return ("HVSOCKET/1 CONNECT %s %s %s %s %s\n" % (
        kind, to, service, source, ms)).encode()


class Guest(Stage):
    """A host, a VM, and nobody in it."""

    def __enter__(self):
        super().__enter__()
        self.b.service("uplink", UPLINK)
        self.b.put("services.d/odd.conf", "[Service]\nServiceId=%s\n" % ODD)
        check(until(lambda: os.path.exists(self.door())), "the door")
        return self

    def door(self):
        return "%s_%d" % (self.path, UPLINK)

    def dial(self):
        s = socket.socket(socket.AF_UNIX)

        def connected():
            """The door's file is there before it listens."""
            try:
                s.connect(self.door())
                return True
            except ConnectionRefusedError:
                return False
        check(until(connected), "the door is open")
        s.settimeout(20)
        return s

    def says(self, data):
        s = self.dial()
        s.sendall(data)
        return s

    def fine(self):
        """The others are served."""
        check(self.b.alive(), "the broker lives: " + open(self.b.log).read())
        listener = self.c.serve(CHILDREN, ODD)
        s = self.says(line())
        same(read_line(s), b"OK\n", "the answer")
        a, _ = listener.accept()
        through(s, a)
        listener.close()


def hosted(function):
    def run(_):
        with Guest() as g:
            function(g)
            g.fine()
    return run


def ends(s):
    """Without a word."""
    try:
        same(s.recv(1000), b"", "nothing is said")
    except ConnectionResetError:
        pass
    s.close()


class Host:
    """What a guest's broker is connected to, which is no broker."""

    def __init__(self, *options):
        self.dir = tempfile.mkdtemp(prefix="hvs-up-")
        self.path = self.dir + "/v.sock"
        self.s = socket.socket(socket.AF_UNIX)
        self.s.bind("%s_%d" % (self.path, UPLINK))
        self.s.listen(16)
        self.s.settimeout(20)
        self.g = Broker("--uplink", "unix:" + self.path, *options)

    def __enter__(self):
        self.g.start()
        self.c = self.g.client()
        return self

    def __exit__(self, *exc):
        self.c.close()
        self.g.end(check=exc[0] is None)
        self.s.close()
        shutil.rmtree(self.dir)

    def uplink(self):
        return self.c.call("status")["uplink"]

    def hello(self, answer=b"OK %s a vm\n" % str(VM).encode()):
        a, _ = self.s.accept()
        same(read_line(a), GREETING + b"HELLO\n", "it greets")
        try:
            a.sendall(answer)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return a
