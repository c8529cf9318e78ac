#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stock guest and this host: connections both ways over vhost-user."""
import errno
import os
import select
import socket
import sys

import hvs
import stack
import tap
from flows import *  # noqa: F401,F403
from flows import again, crc, raises

# What refuses a connect has to do so at once: the guest's own limit is 2 s.
AT_ONCE_MS = 1000


def refused(job):
    """A guest's connect that was refused: errno and milliseconds."""
    out = job.failed()
    words = out.split()
    tap.same(words[0], "refused", out)
    return words[1], int(words[2])


def refused_at_once(f, port):
    name, ms = refused(f.guest.run("vsock-peer connect %d" % port))
    tap.same(name, "ECONNRESET", "errno in the guest")
    tap.check(ms < AT_ONCE_MS, "refused only after %d ms" % ms)


def test_transport_is_attached(f):
    out = f.control("partition", "show", f.name)
    tap.check("vhost-user" in out and "running" in out, out)


def test_refused_not_registered(f):
    refused_at_once(f, 5990)


def test_refused_no_listener(f):
    f.service("nobody", 5991)
    refused_at_once(f, 5991)


def test_refused_disabled(f):
    f.service("off", 5992)
    with f.library.serve(hvs.WILDCARD, hvs.port(5992)):
        f.guest.run("vsock-peer connect 5992").ok()
        f.service("off", 5992, Policy="disabled")
        refused_at_once(f, 5992)
        f.service("off", 5992, Policy="enabled")
        f.guest.run("vsock-peer connect 5992").ok()


def test_refused_connect_denied(f):
    f.service("closed", 5993)
    with f.library.serve(hvs.WILDCARD, hvs.port(5993)):
        f.service("closed", 5993, Connect="partition:someone-else")
        refused_at_once(f, 5993)
        f.service("closed", 5993, Connect="partition:" + f.name)
        f.guest.run("vsock-peer connect 5993").ok()


def test_refusals_are_counted_by_reason(f):
    out = f.control("status", "--json")
    tap.check("not registered" in out and "disabled" in out, out)


def test_no_listener_in_the_guest(f):
    raises(errno.ECONNREFUSED, "no listener", f.library.dial, f.vmid,
           hvs.port(6990))


def nonblocking(f, port):
    """A connect that is under way while the whole machine stands still."""
    s = f.library.socket()
    s.setblocking(False)
    ep = select.epoll()
    ep.register(s.fileno(), select.EPOLLOUT)
    f.pause_guest()
    try:
        raises(errno.EINPROGRESS, None, f.library.connect, s, f.vmid,
               hvs.port(port))
        # Nothing yet, and whoever asks is told so.
        tap.same(ep.poll(0.05), [], "events before the guest has answered")
        raises(errno.ENOTCONN, None, f.library.peer, s)
        raises(errno.EALREADY, None, f.library.connect, s, f.vmid,
               hvs.port(port))
    finally:
        f.resume_guest()
    return s, ep


def test_nonblocking_connect(f):
    job = f.guest.start("vsock-peer listen 6002 echo")
    job.expect("listening")
    s, ep = nonblocking(f, 6002)
    with s:
        events = ep.poll(20)
        tap.same(events, [(s.fileno(), select.EPOLLOUT)], "events")
        tap.same(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0,
                 "SO_ERROR")
        tap.same(f.library.error(s), 0, "HVSOCKET_ERROR")
        tap.same(f.library.peer(s), (f.vmid, hvs.port(6002)), "peer")
        s.setblocking(True)
        s.settimeout(20)
        s.sendall(hvs.pattern(5000))
        s.shutdown(socket.SHUT_WR)
        tap.check(hvs.receive(s) == hvs.pattern(5000), "data back")
    out = job.ok()
    tap.check("received=5000 crc=%s as-sent eof" % crc(5000) in out,
              "no byte of the filler reaches the guest: " + out)


def test_nonblocking_connect_refused(f):
    s, ep = nonblocking(f, 6991)
    with s:
        events = ep.poll(20)
        tap.check(events and events[0][1] & (select.EPOLLERR |
                                             select.EPOLLHUP), str(events))
        tap.same(errno.errorcode.get(f.library.error(s)), "ECONNREFUSED",
                 "HVSOCKET_ERROR")
        tap.same(f.library.reason(s.fileno())[0], "no listener", "reason")


def test_policy_change_ends_a_connection(f):
    f.service("revoked", 5006)
    f.service("kept", 5007)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5006)) as e, \
            stack.Echo(f.library, hvs.WILDCARD, hvs.port(5007)):
        kept = f.guest.start("vsock-peer connect 5007 swap:10 wait swap:10")
        job = f.guest.start("vsock-peer connect 5006 swap:10 reset")
        kept.expect("waiting")
        job.expect("swap sent=10")
        f.service("revoked", 5006, Policy="disabled")
        job.wait(10)
        tap.check(job.said[-1].startswith("reset "), str(job.said))
        e.open[0].settimeout(10)
        try:
            tap.same(e.open[0].recv(1), b"", "at the host")
        except OSError as error:
            tap.same(errno.errorcode[error.errno], "ECONNRESET", "at the host")
        kept.input()
        kept.ok()


def test_policy_change_after_a_restart(f):
    """A connection that the new broker learned of is still under its rules."""
    f.service("revoked", 5006)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5006)):
        job = f.guest.start("vsock-peer connect 5006 swap:10 reset")
        job.expect("swap sent=10")
        f.kill_broker()
        f.start_broker()
        again(f, "attached again", lambda: f.kind in f.control(
            "partition", "show", f.name))
        f.service("revoked", 5006, Policy="disabled")
        job.wait(10)
        tap.check(job.said[-1].startswith("reset "), str(job.said))


def test_guest_reboots(f):
    f.service("echo", 5000)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5000)) as e:
        f.guest.start("vsock-peer connect 5000 swap:10 wait").expect("waiting")
        job = f.guest.start("vsock-peer listen 6007 wait")
        job.expect("listening")
        with f.library.dial(f.vmid, hvs.port(6007)) as s:
            job.expect("waiting")
            f.guest.reboot()
            for c in (e.open[0], s):
                c.settimeout(10)
                try:
                    tap.same(c.recv(1), b"", "old connection")
                except OSError as error:
                    tap.same(errno.errorcode[error.errno], "ECONNRESET",
                             "old connection")
        out = f.guest.run("vsock-peer connect 5000 swap:70000").ok()
        tap.check("received=70000 crc=%s as-sent" % crc(70000) in out, out)
    job = f.guest.start("vsock-peer listen 6007 echo")
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(6007)) as s:
        s.sendall(b"after")
        s.shutdown(socket.SHUT_WR)
        tap.same(hvs.receive(s), b"after", "host to guest")
    job.ok()


def test_vmm_restarts(f):
    f.service("echo", 5000)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(5000)) as e:
        f.guest.start("vsock-peer connect 5000 swap:10 wait").expect("waiting")
        f.guest.kill()
        e.open[0].settimeout(10)
        try:
            tap.same(e.open[0].recv(1), b"", "old connection")
        except OSError as error:
            tap.same(errno.errorcode[error.errno], "ECONNRESET",
                     "old connection")
        raises(errno.EHOSTDOWN, "partition off", f.library.dial, f.vmid,
               hvs.port(6000))
        stack.until("the transport listens again",
                    lambda: f.alive(f.transport) and stack.listens(f.device))
        f.start_guest("second")
        out = f.guest.run("vsock-peer connect 5000 swap:70000").ok()
        tap.check("received=70000 crc=%s as-sent" % crc(70000) in out, out)
    job = f.guest.start("vsock-peer listen 6008 echo")
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(6008)) as s:
        s.sendall(b"again")
        s.shutdown(socket.SHUT_WR)
        tap.same(hvs.receive(s), b"again", "host to guest")
    job.ok()


def test_daemons_end_well(f):
    """They live until they are told to end; then nothing is left behind."""
    f.alive(f.broker)
    f.alive(f.transport)
    for process in (f.transport, f.broker):
        process.terminate()
        tap.same(process.wait(20), 0, "status of " + process.args[0])
    tap.check(not os.path.exists(f.device), "the transport's socket is left")
    tap.check("ERROR: " not in f.diagnose(), "sanitizer")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], stack.Stack)
