# SPDX-License-Identifier: MIT
"""Connects that are refused: what the guest's program sees and when, and which
reason the broker counts.

Linux's hv_sock tells its program nothing: every refusal is ETIMEDOUT after the
socket's own connect timeout, 2 s if it has set none.
"""
import json
import errno

import hv
import hvs
import stack
import tap
from flows import raises

STACK = hv.HvStack
PORT = 7200


def counted(f, reason):
    refused = json.loads(f.control("status", "--json"))["counters"]["refused"]
    return refused.get(reason, 0)


def times_out(f, port, reason, ms=None):
    """The guest's connect ends in time, and the broker names the reason."""
    before = counted(f, reason)
    out = f.guest.run("vsock-peer connect %s %d" % (
        "-t %d" % ms if ms else "", port)).failed()
    words = out.split()
    tap.same(words[:2], ["refused", "ETIMEDOUT"], out)
    least = ms or 2000
    tap.check(least - 20 <= int(words[2]) < least + 3000, out)
    tap.same(counted(f, reason), before + 1, "counted as " + reason)


def connects(f, port):
    f.guest.run("vsock-peer connect %d" % port).ok()


def test_not_registered(f):
    times_out(f, PORT, "not registered")


def test_own_timeout(f):
    times_out(f, PORT, "not registered", 300)


def test_no_listener(f):
    f.service("nobody", PORT + 1)
    times_out(f, PORT + 1, "no listener")


def test_disabled(f):
    f.service("off", PORT + 2)
    with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 2)):
        connects(f, PORT + 2)
        f.service("off", PORT + 2, Policy="disabled")
        times_out(f, PORT + 2, "disabled")
        f.service("off", PORT + 2, Policy="enabled")
        connects(f, PORT + 2)


def test_denied(f):
    f.service("closed", PORT + 3)
    with f.library.serve(hvs.WILDCARD, hvs.port(PORT + 3)):
        f.service("closed", PORT + 3, Connect="partition:someone-else")
        times_out(f, PORT + 3, "connect denied")
        f.service("closed", PORT + 3, Connect="partition:" + f.name)
        connects(f, PORT + 3)


def test_backlog_full(f):
    f.service("busy", PORT + 4)
    s = f.library.socket()
    with s:
        f.library.bind(s, hvs.WILDCARD, hvs.port(PORT + 4))
        f.library.listen(s, 1)
        before = counted(f, "backlog full")
        jobs = [f.guest.start("vsock-peer connect %d wait" % (PORT + 4))
                for _ in range(8)]
        ends = [job.expect("waiting|refused ETIMEDOUT").group()
                for job in jobs]
        tap.check("waiting" in ends and "refused ETIMEDOUT" in ends, str(ends))
        stack.until("counted", lambda: counted(f, "backlog full") > before)
        for job, end in zip(jobs, ends):
            if end == "waiting":
                job.kill()


def test_nobody_listens_in_the_guest(f):
    """The guest says nothing either: the host gives up after its own time."""
    raises(errno.ETIMEDOUT, "no answer", f.library.dial, f.vmid,
           hvs.port(PORT + 5))


def test_backlog_full_in_the_guest(f):
    job = f.guest.start("vsock-peer listen -n 1 %d wait" % (PORT + 6))
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(PORT + 6)):
        job.expect("waiting")
        f.guest.run("true").ok()
        # it has one connection, and takes no other
        raises(errno.ETIMEDOUT, "no answer", f.library.dial, f.vmid,
               hvs.port(PORT + 6), 500)
        job.input()
    job.ok()


def test_nothing_is_left(f):
    f.guest.nothing_left()
