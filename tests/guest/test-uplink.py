#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stock guest with a broker of its own, its host as its uplink

hvsocketd, hvsocket-uplink, hvsocket-dgram and hvctl are put into the guest, which has a
virtio-vsock device and nothing else. Also Hyper-V sockets in a guest without a
broker (HVSOCKET_TRANSPORT=vsock).
"""
import os
import sys
import uuid

import hvs
import stack
import tap
import vm
from uplinked import *


class Guest(Uplinked, stack.Stack):
    def __init__(self, work):
        super().__init__(work)
        vm.make_initramfs(self.kernel, self.initramfs,
                          programs(self.daemons, os.environ["BUILD"]),
                          os.path.join(os.environ["GUEST_PROGRAMS"],
                                       "guest-agent"))


def test_host_to_guest(f):
    for service in (ODD, hvs.port(5100)):
        job = f.listen("parent:%s" % service)
        talk(f, f.dial(f.vmid, service), job)


def test_guest_to_host(f):
    for bound in (f.vmid, hvs.CHILDREN, hvs.WILDCARD):
        guest_to_host(f, bound)


def test_messages(f):
    job = f.listen("parent:%s" % ODD, "--raw")
    s = f.dial(f.vmid, ODD, int(RAW))
    s.sendall(b"one\n")
    s.sendall(b"two\n")
    job.expect("^one$", SLOW_S)
    job.expect("^two$", SLOW_S)
    job.input("three")
    tap.same(s.recv(100), b"three\n", "a message")
    job.end_input()
    tap.same(s.recv(100), b"", "the end")
    s.close()
    job.ok(SLOW_S)


def test_refusals_have_reasons(f):
    out = f.hvctl_in_guest("nc parent:%s" % uuid.uuid4()).failed(SLOW_S)
    tap.check("is not registered with the host" in out, out)
    out = f.hvctl_in_guest("nc parent:%s" % ODD).failed(SLOW_S)
    tap.check("nobody in partition" in out, out)
    out = f.hvctl_in_guest("status").ok(SLOW_S)
    tap.check("vsock, up" in out and "as vm1 (%s)" % f.vmid in out, out)
    tap.check("uplink" in f.control("partition", "show", f.name), "show")
    out = f.control("explain", "%s:%s" % (f.name, ODD))
    tap.check("asked" in out, out)


def test_row_16_parent_of_a_container_is_the_guest(f):
    hears = f.listen("children:%s" % ODD)
    job = f.hvctl_in_guest("nc -w -t 20 parent:%s" % ODD, box=True)
    job.input("hello")
    hears.expect("^hello$", SLOW_S)
    job.end_input()
    hears.end_input()
    hears.ok(SLOW_S)
    job.ok(SLOW_S)


def test_row_19_the_host_reaches_a_container_in_the_guest(f):
    for options, kind in (((), 1), (("--raw",), int(RAW))):
        job = f.listen("wildcard:%s" % ODD, *options, box=True)
        talk(f, f.dial(BOX, ODD, kind), job)


def test_row_20_not_if_it_listens_for_its_parent(f):
    job = f.listen("parent:%s" % ODD, box=True)
    # the guest, which is its parent, would reach it
    f.hvctl_in_guest("wait -t 20 vmbox:%s" % ODD).ok(SLOW_S)
    try:
        f.library.dial(BOX, ODD, 10000).close()
        raise tap.Failure("connected")
    except hvs.Refused as e:
        tap.same(e.reason, "no listener", str(e))
    job.kill()
    job.wait(SLOW_S)


def test_what_the_guests_kernel_has_is_reached_as_ever(f):
    job = f.guest.start("vsock-peer listen 6100 peer echo")
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(6100), 10000) as s:
        s.sendall(b"x")
        s.shutdown(1)
        tap.same(hvs.receive(s), b"x", "data")
    job.ok(SLOW_S)


def test_much_data(f):
    n = 8 << 20
    job = f.listen("parent:%s </dev/null | md5sum" % ODD)
    s = f.dial(f.vmid, ODD)
    data = hvs.pattern(n)
    s.sendall(data)
    s.shutdown(1)
    import hashlib
    tap.check(hashlib.md5(data).hexdigest() in job.ok(SLOW_S), "the sum")
    s.close()


def test_datagrams(f):
    datagrams(f)
    out = f.guest.start("echo x | hvctl nc --dgram parent:%s" % ODD).failed(
        SLOW_S)
    tap.check("nobody in partition" in out, out)


def test_brokers_end(f):
    job = f.listen("parent:%s" % ODD)
    s = f.dial(f.vmid, ODD)
    f.kill_guests_broker()
    f.start_guests_broker()
    datagrams(f)
    f.kill_broker()
    f.job.expect("the uplink is down", SLOW_S)
    out = f.hvctl_in_guest("nc parent:%s" % ODD).failed(SLOW_S)
    tap.check("the uplink is down" in out, out)
    f.start_broker()
    f.up()
    talk(f, s, job)
    job = f.listen("parent:%s" % ODD)
    talk(f, f.dial(f.vmid, ODD), job)


def test_without_a_broker(f):
    """The library uses AF_VSOCK itself, if that is said."""
    f.kill_guests_broker()
    vsock = "HVSOCKET_TRANSPORT=vsock"
    with stack.Echo(f.library, f.vmid, hvs.port(5000)) as e:
        out = f.hvctl_in_guest("nc parent:5000 </dev/null", env=vsock)
        out.ok(SLOW_S)
        tap.same(e.peers[0][0], f.vmid, "who it is")
    out = f.hvctl_in_guest("nc parent:5000 </dev/null").failed(SLOW_S)
    tap.check("no broker" in out, out)
    out = f.hvctl_in_guest("nc parent:%s </dev/null" % ODD,
                           env=vsock).failed(SLOW_S)
    tap.check("only ports of the VSOCK template" in out, out)
    out = f.hvctl_in_guest("nc parent:5001 </dev/null", env=vsock).failed(
        SLOW_S)
    tap.check("refuses port 5001" in out, out)
    job = f.listening = f.hvctl_in_guest("nc -l parent:5200", env=vsock)
    talk(f, f.dial(f.vmid, hvs.port(5200)), job)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Guest)
