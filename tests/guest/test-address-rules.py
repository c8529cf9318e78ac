#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The rows of the address rules that need a VM (hvsocket(7), "Addresses").

Each row: where a listener is bound, who connects whereto, and what comes of
it. Rows with containers and without VMs are tested without a guest.
"""
import errno
import sys
import uuid

import hvs
import stack
import tap

# Another VM: it exists, and is off.
OTHER = uuid.UUID("5ac0f8a1-6ff1-4f7d-9b0b-5d4e3c2b1a01")


class Rules(stack.Stack):
    def __enter__(self):
        self.partition("other", OTHER)
        return super().__enter__()


def guest_reaches(f, bound, port):
    """Does a listener bound there hear the guest, and as whom?"""
    with stack.Echo(f.library, bound, hvs.port(port)) as e:
        job = f.guest.run("vsock-peer connect %d peer swap:100" % port)
        if job.status:
            tap.check("refused ECONNRESET" in job.said[0], str(job.said))
            tap.same(e.peers, [], "peers of a listener that hears nobody")
            return False
        tap.same(e.peers[0][0], f.vmid, "the peer's VmId")
        tap.check("peer 2 %d" % port in "\n".join(job.said), str(job.said))
        return True


def bind_refused(f, bound, port, number, reason):
    try:
        f.library.serve(bound, hvs.port(port)).close()
    except hvs.Refused as e:
        tap.same((errno.errorcode[e.errno], e.reason),
                 (errno.errorcode[number], reason), "refusal")
        return
    raise tap.Failure("bound")


def test_row_1_exact_vmid(f):
    f.service("row", 5100)
    tap.check(guest_reaches(f, f.vmid, 5100), "refused")


def test_row_2_exact_vmid_of_another_vm(f):
    f.service("row", 5100)
    tap.check(not guest_reaches(f, OTHER, 5100), "connected")


def test_row_3_children(f):
    f.service("row", 5100)
    tap.check(guest_reaches(f, hvs.CHILDREN, 5100), "refused")


def test_row_4_wildcard(f):
    f.service("row", 5100)
    tap.check(guest_reaches(f, hvs.WILDCARD, 5100), "refused")


def test_row_5_wildcard_not_allowed_to_match(f):
    f.service("row", 5100)
    f.partition(f.name, f.vmid, "[Service row]\nAllowWildcardBinds=no\n")
    tap.check(not guest_reaches(f, hvs.WILDCARD, 5100), "connected: wildcard")
    tap.check(not guest_reaches(f, hvs.CHILDREN, 5100), "connected: children")
    tap.check(guest_reaches(f, f.vmid, 5100), "refused: exact")


def test_row_6_wildcard_allowed_by_the_partition(f):
    f.service("row", 5100, AllowWildcardBinds="no")
    f.partition(f.name, f.vmid, "[Service row]\nAllowWildcardBinds=yes\n")
    tap.check(guest_reaches(f, hvs.WILDCARD, 5100), "refused: wildcard")
    tap.check(guest_reaches(f, hvs.CHILDREN, 5100), "refused: children")


def test_row_9_loopback_hears_no_guest(f):
    f.service("row", 5100)
    f.partition(f.name, f.vmid)
    tap.check(not guest_reaches(f, hvs.LOOPBACK, 5100), "connected")


def test_row_12_guest_listens_host_connects(f):
    """Needs no registration; the guest sees CID 2, which is its parent."""
    job = f.guest.start("vsock-peer listen 6100 peer echo")
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(6100)) as s:
        tap.same(f.library.peer(s), (f.vmid, hvs.port(6100)), "peer")
        s.sendall(b"x")
        s.shutdown(1)
        tap.same(hvs.receive(s), b"x", "data")
    tap.check("peer 2 " in job.ok(), "the guest's view")


def test_row_15_no_sibling(f):
    """Another VM is off, and no CID but the host's leads anywhere."""
    try:
        f.library.dial(OTHER, hvs.port(6100))
        raise tap.Failure("connected")
    except hvs.Refused as e:
        tap.same(e.reason, "partition off", "reason")
    for cid in (3, 4, 1000):
        out = f.guest.run("vsock-peer connect -c %d -t 500 6100" % cid).failed()
        tap.check("refused" in out, out)


def test_row_23_bind_denied(f):
    f.service("row", 5100)
    f.partition(f.name, f.vmid, "[Service row]\nBind=none\n")
    bind_refused(f, f.vmid, 5100, errno.EACCES, "bind denied")
    # A wildcard binds, and this guest is refused.
    tap.check(not guest_reaches(f, hvs.WILDCARD, 5100), "connected")
    f.partition(f.name, f.vmid)


def test_row_25_not_registered(f):
    bind_refused(f, f.vmid, 5199, errno.EACCES, "not registered")


tap.main(sys.modules[__name__], Rules)
