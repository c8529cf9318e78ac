# SPDX-License-Identifier: MIT
"""pair - the broker of a host, a VM's transport, and the broker in that VM

The VM is a directory: hvsocket-hybrid attaches it to the host's broker, and
the guest's broker is at its socket, where otherwise a VMM would be.
"""
import os
import socket
import sys

from hvb import *
from tap import Nothing, check, same
from vmm import attach

UPLINK = 26742
VM = uuid.UUID("00000001-1111-4111-8111-111111111111")
BOX = uuid.UUID("00000006-1111-4111-8111-111111111111")
ODD = uuid.UUID("999e53d4-3d5c-4c3e-8779-bed06ec056e1")  # no port
RAW = socket.SOCK_SEQPACKET


class Pair:
    """@guest: name of the partition on the host; @box: a container in it"""

    def __init__(self, name="vm1", vmid=VM, box=BOX, host=None, guest=()):
        self.name, self.vmid, self.box = name, vmid, box
        self.h, self.own = host or Broker(), host is None
        self.options = guest

    def __enter__(self):
        h = self.h
        if self.own:
            h.start()
            h.service("uplink", UPLINK)
        h.partition(self.name, "Kind=vm", vmid=self.vmid)
        if self.box:
            h.partition("vmbox", "Kind=container", "Parent=" + self.name,
                        vmid=self.box)
        self.dir = "%s/%s" % (h.dir, self.name)
        os.mkdir(self.dir, 0o700)
        self.path = self.dir + "/v.sock"
        self.t = attach(h, self.path, self.name)
        self.g = Broker("--uplink", "unix:" + self.path, *self.options)
        self.g.start()
        if self.box:
            self.g.partition("vmbox", "Kind=container", vmid=self.box)
        self.hc, self.gc = h.client(), self.g.client()
        self.up()
        return self

    def __exit__(self, *exc):
        good = exc[0] is None
        for text in self.said():
            check("AddressSanitizer" not in text and "runtime error" not in text,
                  text)
        for c in (self.hc, self.gc):
            c.close()
        self.g.end(check=good)
        if self.t:
            self.t.end()
        if self.own:
            self.h.end(check=good)

    def uplink(self):
        """What the guest's broker says of it."""
        with self.g.client() as c:
            return c.call("status")["uplink"]

    def has_broker(self):
        """Does the host know that the guest has one?"""
        with self.h.client() as c:
            return c.call("partition.show", partition=self.name)["uplink"]

    def up(self):
        """With its connection for datagrams."""
        check(until(lambda: self.uplink()["state"] == "up" and
                    self.has_broker() and
                    self.uplink().get("datagrams") == "up"),
              "up: %s" % self.uplink())

    def said(self):
        return [open(b.log).read() for b in (self.h, self.g)]


def paired(function):
    def run(_):
        with Pair() as p:
            try:
                function(p)
            except BaseException:
                for text in p.said():
                    print("# " + text.replace("\n", "\n# "), file=sys.stderr)
                raise
    return run


def through(a, b, data=b"through"):
    """Both ways, and their ends."""
    for x in (a, b):
        x.settimeout(20)
    a.sendall(data)
    same(b.recv(100), data, "one way")
    b.sendall(data[::-1])
    same(a.recv(100), data[::-1], "the other")
    a.shutdown(socket.SHUT_WR)
    same(b.recv(100), b"", "its end")
    b.sendall(b"after")
    same(a.recv(100), b"after", "and still the other")
    b.close()
    same(a.recv(100), b"", "the end")
    a.close()
