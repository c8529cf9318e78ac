# SPDX-License-Identifier: MIT
"""vsock_partner - the other side of the kernel's vsock tests, on this host

tools/testing/vsock of the kernel's source has programs that test AF_VSOCK
between two machines: one is the client of each test and one the server, and
they keep in step by lines over a control connection. The guest runs those
programs as they are (scripts/guest-vsock-test); the host's part of each test is
in vsock_streams.py and vsock_messages.py, over libhvsocket's sockets, which are
Unix sockets. The lines go by the serial port and a TCP connection within the
guest, so that the device under test carries nothing but the tests.

A test is known by its name, and has up to two parts, by what the host is in it.
"""
import ctypes
import errno
import fnmatch
import functools
import os
import re
import select
import socket
import subprocess

import hvs
import tap
import vm

STREAM, RAW = socket.SOCK_STREAM, socket.SOCK_SEQPACKET
PROGRAMS = ("vsock_test", "vsock_diag_test", "vsock_uring_test", "vsock_perf")
PORT = 1234  # the programs' default; 6.1's know no other
CONTROL_PORT = 5678
WAIT_S = 60  # emulation is slow; the programs themselves wait for 10 s
PARTS = {}
# What cannot be, and why: who carries it, what the guest is (None: whoever),
# the tests' names (a pattern), whether in the tests of 6.1 only, the reason.
CANNOT = (
    (None, "server", "SOCK_SEQPACKET msg bounds", True,
     "a Unix socket carries no MSG_EOR"),
    ("vmbus", None, "SOCK_SEQPACKET *", False, "hv_sock carries streams only"),
    ("vmbus", "client", "SOCK_STREAM connection reset", False,
     "hv_sock does not hear of a refusal: its connect times out"),
    ("vmbus", "client", "SOCK_STREAM bind only", False,
     "hv_sock does not hear of a refusal: its connect times out"),
    ("vmbus", "server", "SOCK_STREAM MSG_PEEK", False,
     "hv_sock has no MSG_PEEK"),
    ("vmbus", "server", "SOCK_STREAM virtio credit update *", False,
     "hv_sock has no MSG_PEEK"),
    ("vmbus", "client", "SOCK_STREAM poll() + SO_RCVLOWAT", False,
     "hv_sock has no SO_RCVLOWAT"),
    ("vmbus", None, "SOCK_STREAM SHUT_RD", False,
     "hv_sock does not tell the other side of SHUT_RD"),
    ("vmbus", "client", "SOCK_STREAM MSG_ZEROCOPY", False,
     "hv_sock has no SO_ZEROCOPY"),
    ("vmbus", "client", "SOCK_STREAM io_uring MSG_ZEROCOPY test", False,
     "hv_sock has no SO_ZEROCOPY"),
    ("vmbus", "client", "SOCK_STREAM io_uring test", False,
     "more than a ring holds, by a call whose result is not looked at"),
    ("vmbus", "client", "SOCK_STREAM double bind connect", False,
     "a port of hv_sock is in use until both sides have closed"),
)
# The guest gives these 0.25 s and 0.1 s by the clock, and an emulated one on a
# busy machine may need more: they have a second try.
TIMED = ("SOCK_SEQPACKET timeout", "SOCK_STREAM MSG_ZEROCOPY",
         "SOCK_SEQPACKET MSG_ZEROCOPY")
# vsock_uring_test has no --list.
URING = ("SOCK_STREAM io_uring test", "SOCK_STREAM io_uring MSG_ZEROCOPY test")


def part(role, *names, **settings):
    """The host's part in the tests of these names."""
    def put(function):
        for name in names:
            PARTS.setdefault(name, {})[role] = functools.partial(
                function, **settings)
        return function
    return put


class Ended(tap.Failure):
    pass


class Partner:
    """The host's end of one test: its sockets, and the lines."""

    def __init__(self, f, control, name, role, old):
        self.f, self.control = f, control
        self.name, self.role, self.old = name, role, old
        self.service = hvs.port(PORT)

    # lines

    def say(self, text):
        self.control.input(str(text))

    def hear(self):
        line = self.control.next(WAIT_S)
        if line is None:
            raise Ended("the control connection has ended")
        return line

    def expect(self, text):
        tap.same(self.hear(), text, "the guest's word")

    # sockets

    def listen(self, kind=STREAM):
        s = self.f.library.serve(hvs.WILDCARD, self.service, kind=kind)
        s.settimeout(WAIT_S)
        return s

    def accept(self, kind=STREAM):
        with self.listen(kind) as listener:
            self.say("LISTENING")
            s, _ = listener.accept()
        s.settimeout(WAIT_S)
        return s

    def dial(self, kind=STREAM):
        s = self.f.library.dial(self.f.vmid, self.service, kind=kind)
        s.settimeout(WAIT_S)
        return s

    def connect(self, kind=STREAM):
        self.expect("LISTENING")
        return self.dial(kind)

    def joined(self, kind=STREAM):
        """A connection, as what the host is in this test."""
        return (self.connect if self.role == "client" else self.accept)(kind)

    def refused(self):
        # hv_sock in the guest does not answer where nobody listens.
        wanted = ("ETIMEDOUT", "no answer") if self.f.kind == "vmbus" else \
            ("ECONNREFUSED", "no listener")
        try:
            self.dial().close()
        except hvs.Refused as e:
            tap.same((errno.errorcode[e.errno], e.reason), wanted,
                     "the refusal")
            return
        raise tap.Failure("connected where nobody listens")

    def ended(self, s):
        """Wait until the other side has closed: nothing can be sent any more.
        What hv_sock says when it is closed says no more than its SHUT_WR."""
        p = select.poll()
        p.register(s.fileno(), select.POLLRDHUP)
        tap.check(p.poll(WAIT_S * 1000), "the end was not seen")
        if self.f.kind != "vmbus":
            fails(errno.EPIPE, s.send, b"A")


# For the parts

def fails(number, function, *args):
    try:
        got = function(*args)
    except OSError as e:
        tap.same(errno.errorcode[e.errno], errno.errorcode[number], "errno")
        return
    raise tap.Failure("%s did not fail, but gave %r" % (function, got))


def now(s, size):
    """What is there, without waiting."""
    s.setblocking(False)
    try:
        return s.recv(size)
    finally:
        s.settimeout(WAIT_S)


def read_to(s, address, size):
    """read(2) to an address that need not be good."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    libc.read.restype = ctypes.c_ssize_t
    s.setblocking(True)
    n = libc.read(s.fileno(), address, size)
    s.settimeout(WAIT_S)
    if n < 0:
        raise OSError(ctypes.get_errno(), "read")
    return n


def djb2(data):
    h = 5381
    for byte in data:
        h = (h * 33 + byte) & 0xffffffffffffffff
    return h


# Running them

class Run:
    """One program in the guest, from its first test to its last, or to one
    that fails."""

    number = 0

    def __init__(self, f, program, mode):
        Run.number += 1
        port = CONTROL_PORT + Run.number
        words = "%s --mode %s --control-port %d --peer-cid 2" % (
            program, mode, port)
        if mode == "server":
            self.job = f.guest.start("exec %s 2>&1" % words)
            self.job.expect("Control socket listening")
            self.control = f.guest.start("exec nc 127.0.0.1 %d" % port)
        else:
            self.control = f.guest.start("exec nc -l -p %d" % port)
            self.job = f.guest.start(
                "until grep -q ':%04X .* 0A ' /proc/net/tcp /proc/net/tcp6; do "
                "usleep 20000; done; exec %s --control-host 127.0.0.1 2>&1" % (
                    port, words))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        for job in (self.job, self.control):
            if job.status is None:
                job.kill()
            try:
                job.wait()  # with all that it has said
            except vm.GuestError:
                pass


def has(f, program):
    """vsock_uring_test and vsock_perf are not in the source of 6.1."""
    if f.guest.run("test -x /bin/" + program).wait().status == 0:
        return True
    release = f.guest.run("uname -r").ok()
    tap.check(release.startswith("6.1."), "no %s for %s" % (program, release))
    tap.note("%s: not in the source of %s" % (program, release))
    return False


def names_of(f, program):
    if program == "vsock_uring_test":
        return list(URING)
    said = f.guest.run(program + " --list").failed()
    return [line.split("\t")[1] for line in said.splitlines()
            if line[:1].isdigit()]


def why_not(f, mode, name, old):
    """Why a test cannot be, or None."""
    for kind, guest, text, only_old, reason in CANNOT:
        if kind in (None, f.kind) and guest in (None, mode) and \
                fnmatch.fnmatchcase(name, text) and (old or not only_old):
            return reason
    return None


def attempt(f, program, mode, names, results):
    """Go on behind the tests that have results already."""
    role = "server" if mode == "client" else "client"
    old = "SOCK_SEQPACKET big message" not in names
    with Run(f, program, mode) as r:
        for name in names:
            p = Partner(f, r.control, name, role, old)
            cannot = why_not(f, mode, name, old)
            try:
                if name not in PARTS:
                    raise tap.Failure("no partner for this test")
                p.say("SKIP" if cannot or name in results else "NEXT")
                p.expect("NEXT")
                if cannot or name in results:
                    results.setdefault(name, "cannot: %s" % cannot)
                    continue
                if role in PARTS[name]:
                    PARTS[name][role](p)
                results[name] = "ok"
            except (tap.Failure, OSError, hvs.Refused, vm.GuestError) as e:
                r.end()
                said = [line for line in r.job.said
                        if re.match(r"\d+ - ", line)]
                if said and isinstance(e, Ended):
                    # The guest was not content, and may be a test behind.
                    name = names[int(said[-1].split()[0])]
                results[name] = "failed: %s: %s; the guest: %s" % (
                    type(e).__name__, e, "\n".join(r.job.said[-4:]))
                return
        p.say("COMPLETED")
        p.expect("COMPLETED")
        r.job.ok(WAIT_S)


def run(f, program, mode):
    """All of a program's tests, the guest being client or server."""
    names, results, again = names_of(f, program), {}, {}
    tap.check(names, "%s has no tests" % program)
    for _ in range(2 * len(names)):
        if len(results) == len(names):
            break
        attempt(f, program, mode, names, results)
        for name in TIMED:
            if results.get(name, "").startswith("failed") and \
                    name not in again:
                again[name] = results.pop(name)
    for name, why in again.items():
        tap.note("%s: had a second try, after: %s" % (name, why))
    for name in names:
        tap.note("%s, guest is %s: %s: %s" % (
            program, mode, name, results.setdefault(name, "failed: not run")))
    bad = [n for n in names if results[n].startswith("failed")]
    tap.check(not bad, "%d of %d failed: %s" % (len(bad), len(names),
                                                ", ".join(bad)))


def programs():
    """Those of $KERNEL's line, as files."""
    r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-vsock-test"),
                        os.environ.get("KERNEL", "")], stdout=subprocess.PIPE,
                       text=True)
    if r.returncode:
        raise vm.GuestError("no vsock_test (guest-vsock-test says why above)")
    directory = r.stdout.strip().splitlines()[-1]
    paths = [os.path.join(directory, p) for p in PROGRAMS]
    return [p for p in paths if os.path.exists(p)]
