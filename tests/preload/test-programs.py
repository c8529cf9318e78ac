#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that nobody recompiled, and the examples, against a broker.

    test-programs.py HVSOCKETD PRELOAD EXAMPLES-DIRECTORY WINSOCK-PARKED [TEST...]

Stock socat, perl and python3 under the preload library; TAP. A program that
is missing is a failure. Every wait is for an event (a line, an exit).
"""
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from broker import Broker
from guest import Guest

HVSOCKETD, PRELOAD, EXAMPLES, WINSOCK_PARKED = sys.argv[1:5]
FIRST = os.environ.get("TEST_PRELOAD_FIRST", "")
LOOPBACK = "9761e1e056dd104a91955ee7a155a838"
TEMPLATE = "cbfae611bd5864006a7986d3"
LIMIT = 30
ports = iter(range(0x1000, 0x8000))


class Failure(AssertionError):
    pass


def same(got, wanted, what):
    if got != wanted:
        raise Failure(f"{what}: {got!r}, not {wanted!r}")


def has(text, part, what):
    if part not in text:
        raise Failure(f"{what}: {part!r} is not in {text!r}")


def address():
    """The 34 bytes after the family, in hexadecimal: what socat wants."""
    port = next(ports)
    return "0000" + LOOPBACK + port.to_bytes(4, "little").hex() + TEMPLATE


def guid_of(hexadecimal):
    b = bytes.fromhex(hexadecimal[36:])
    return "%s-%s-%s-%s-%s" % (b[3::-1].hex(), b[5:3:-1].hex(),
                               b[7:5:-1].hex(), b[8:10].hex(), b[10:].hex())


def env(preload=True, **more):
    e = dict(os.environ, LC_ALL="C", **more)
    e.pop("LD_PRELOAD", None)
    if preload:
        e["LD_PRELOAD"] = (FIRST + " " + PRELOAD).strip()
        # socat and perl leave memory to the end of the process
        e["ASAN_OPTIONS"] = "detect_leaks=0"
    return e


def run(*command, preload=True, stdin=b"", **more):
    p = subprocess.run(command, input=stdin, capture_output=True,
                       env=env(preload, **more), timeout=LIMIT)
    return (p.returncode, p.stdout.decode(errors="replace"),
            p.stderr.decode(errors="replace"))


class Server:
    """A program in the background that says when it is ready."""

    def __init__(self, *command, ready, stream="stdout", preload=True):
        self.p = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=env(preload), bufsize=0)
        self.seen = b""
        self.await_text(ready, getattr(self.p, stream))

    def await_text(self, text, f=None):
        f = f or self.p.stdout
        end = time.monotonic() + LIMIT
        while text.encode() not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([f], [], [], left)[0]:
                raise Failure(f"{text!r} does not come: {self.seen!r}")
            piece = os.read(f.fileno(), 4096)
            if not piece:
                raise Failure(f"it ended: {self.seen + self.p.stderr.read()}")
            self.seen += piece

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.p.stdout.close()
        self.p.stderr.close()

    def status(self):
        return self.p.wait(LIMIT)


def socat_listen(a, *options):
    return Server("socat", "-d", "-d",
                  f"SOCKET-LISTEN:34:1:x{a}" + "".join(options), "EXEC:cat",
                  ready="listening on", stream="stderr")


def socat_call(a, text):
    return run("socat", "-t", str(LIMIT), "-",
               f"SOCKET-CONNECT:34:1:x{a}", stdin=text)


# ---- Stock programs ----------------------------------------------------------

def test_socat_both_ways():
    a = address()
    with socat_listen(a) as s:
        same(socat_call(a, b"hello"), (0, "hello", ""), "the client")
        same(s.status(), 0, "the server")


def test_socat_fork():
    a = address()
    with socat_listen(a, ",fork", ",reuseaddr"):
        for i in range(5):
            text = b"%d " % i * 1000
            same(socat_call(a, text), (0, text.decode(), ""), "one by one")
        clients = [subprocess.Popen(
            ["socat", "-t", str(LIMIT), "-", f"SOCKET-CONNECT:34:1:x{a}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env())
            for _ in range(4)]
        for i, c in enumerate(clients):
            c.stdin.write(b"%d" % i)
            c.stdin.flush()
        for i, c in enumerate(clients):
            same(c.stdout.read(1), b"%d" % i, "all at once")
        for c in clients:
            same(c.communicate(timeout=LIMIT)[0], b"", "the rest")
            same(c.returncode, 0, "a client's status")


def test_socat_messages():
    a = address()
    with Server("socat", "-d", "-d",
                f"SOCKET-LISTEN:34:1:x{a},type=5", "EXEC:cat",
                ready="listening on", stream="stderr"):
        got = run("socat", "-t", str(LIMIT), "-",
                  f"SOCKET-CONNECT:34:1:x{a},type=3", stdin=b"message")
        same(got, (0, "message", ""), "RAW and SEQPACKET are one")


def test_socat_is_refused_with_a_reason():
    status, _, err = socat_call(address(), b"x")
    same(status, 1, "status")
    has(err, "Connection refused", "its message")
    # a VM nobody knows
    status, _, err = socat_call("0000" + "11" * 16 + "22" * 16, b"x")
    same(status, 1, "status")
    has(err, "No route to host", "its message")


PERL_SERVER = r"""
use strict; use Socket;
my $a = pack('S', 34) . pack('H*', $ARGV[0]);
socket(my $l, 34, SOCK_STREAM, 1) or die "socket: $!";
setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1) or die "setsockopt: $!";
bind($l, $a) or die "bind: $!";
listen($l, 5) or die "listen: $!";
getsockname($l) eq $a or die "getsockname";
$| = 1; print "ready\n";
my $peer = accept(my $c, $l) or die "accept: $!";
length($peer) == 36 or die "length " . length($peer);
unpack('S', $peer) == 34 or die "family";
getpeername($c) eq $peer or die "getpeername";
my $bits = ''; vec($bits, fileno($c), 1) = 1;
select($bits, undef, undef, 20) == 1 or die "select";
while (my $line = <$c>) { syswrite($c, uc $line); }
print unpack('H*', substr($peer, 4, 16)), "\n";
"""

PERL_CLIENT = r"""
use strict; use Socket;
my $a = pack('S', 34) . pack('H*', $ARGV[0]);
socket(my $s, 34, SOCK_STREAM, 1) or die "socket: $!";
connect($s, $a) or die "connect: $!\n";
getpeername($s) eq $a or die "getpeername";
unpack('i', getsockopt($s, SOL_SOCKET, SO_ERROR)) == 0 or die "SO_ERROR";
unpack('i', getsockopt($s, SOL_SOCKET, SO_TYPE)) == SOCK_STREAM or die;
syswrite($s, "one\ntwo\n"); shutdown($s, 1);
print while <$s>;
"""


def test_perl():
    a = address()
    with Server("perl", "-e", PERL_SERVER, a, ready="ready\n") as s:
        same(run("perl", "-e", PERL_CLIENT, a), (0, "ONE\nTWO\n", ""),
             "the client")
        s.await_text(LOOPBACK)
        same(s.status(), 0, "the server")
    status, _, err = run("perl", "-e", PERL_CLIENT, a)
    same(status, 111, "perl's $! is its status")
    has(err, "connect: Connection refused", "its message")


def test_perl_and_socat():
    a = address()
    with socat_listen(a):
        same(run("perl", "-e", PERL_CLIENT, a), (0, "one\ntwo\n", ""),
             "perl calls socat")
    a = address()
    with Server("perl", "-e", PERL_SERVER, a, ready="ready\n"):
        same(socat_call(a, b"abc\n"), (0, "ABC\n", ""), "socat calls perl")


# Python writes and reads addresses by family and has none for 34: it can make
# the socket and cannot say where to. Through ctypes it is libc's connect().
PYTHON_CLIENT = r"""
import ctypes, socket, struct, sys
s = socket.socket(34, socket.SOCK_STREAM, 1)
assert (s.family, s.type, s.proto) == (34, socket.SOCK_STREAM, 1), s
detected = socket.socket(fileno=s.detach())
s = detected
assert (s.family, s.type, s.proto) == (34, socket.SOCK_STREAM, 1), s
a = struct.pack("H", 34) + bytes.fromhex(sys.argv[1])
for call in (lambda: s.connect(a)), (lambda: s.bind(a)), s.getsockname:
    try:
        call()
        sys.exit("python knows the address after all: tell the manual page")
    except (OSError, TypeError) as e:
        assert "bad family" in str(e), e
libc = ctypes.CDLL(None, use_errno=True)
assert libc.connect(s.fileno(), a, len(a)) == 0, ctypes.get_errno()
got = ctypes.create_string_buffer(36)
size = ctypes.c_uint(36)
assert libc.getpeername(s.fileno(), got, ctypes.byref(size)) == 0
assert (got.raw, size.value) == (a, 36), got.raw
s.sendall(b"hello")
s.shutdown(socket.SHUT_WR)
sys.stdout.write(s.makefile().read())
"""


def test_python():
    a = address()
    with socat_listen(a):
        same(run(sys.executable, "-c", PYTHON_CLIENT, a), (0, "hello", ""),
             "the client")


# A non-blocking connect to a guest that takes its time.
PARKED_CLIENT = r"""
import ctypes, errno, os, select, socket, struct, sys
SO_ERROR, SOL_OURS = socket.SO_ERROR, 0x4856
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket(34, int(sys.argv[2]) | socket.SOCK_NONBLOCK, 1)
a = struct.pack("HH", 34, 0) + bytes.fromhex(sys.argv[1]) + bytes.fromhex(
    "07000000cbfae611bd5864006a7986d3")
def call(f, *args):
    return 0 if f(s.fileno(), *args) == 0 else ctypes.get_errno()
def peer():
    got, size = ctypes.create_string_buffer(36), ctypes.c_uint(36)
    return call(libc.getpeername, got, ctypes.byref(size)), got.raw
poll = select.epoll()
r = call(libc.connect, a, 36)
assert r == errno.EINPROGRESS, os.strerror(r)
poll.register(s, select.EPOLLOUT)
early = poll.poll(0)
assert early == [], early
assert call(libc.connect, a, 36) == errno.EALREADY
assert peer()[0] == errno.ENOTCONN
assert s.getsockopt(socket.SOL_SOCKET, SO_ERROR) == 0
print("waiting", flush=True)
assert len(poll.poll(30)) == 1
e = s.getsockopt(socket.SOL_SOCKET, SO_ERROR)
assert s.getsockopt(socket.SOL_SOCKET, SO_ERROR) == 0, "once is enough"
if e:
    print("failed", e, flush=True)
else:
    assert peer() == (0, a)
    s.setblocking(True)
    s.sendall(b"hello")
    print("connected", flush=True)
"""


def outcome(guest, command, preload, **answer):
    with Server(*command, ready="waiting\n", preload=preload) as s:
        guest.opened()
        guest.answer(**answer)
        if not answer:
            same(guest.connection.recv(100), b"hello", "what it sent")
        status = s.status()
        s.seen += s.p.stdout.read()
        same((status, s.p.stderr.read()), (0, b""), "the client")
        return s.seen.decode().split("\n")[1]


def parked(guest, command, preload, number):
    same(outcome(guest, command, preload), "connected", "taken")
    for error, reason in (111, 6), (110, 11), (112, 10):
        same(outcome(guest, command, preload, error=error, reason=reason),
             f"failed {number(error)}", "refused")


def test_connect_in_progress():
    """SO_ERROR has the true errno after a connect has failed."""
    with Guest(os.environ["HVSOCKET_RUNTIME_DIR"], "plain") as g:
        for kind in "1", "3", "5":
            try:
                parked(g, [sys.executable, "-c", PARKED_CLIENT, g.vmid.hex(),
                           kind], True, lambda e: e)
            except Failure as e:
                raise Failure(f"type {kind}: {e}")


def test_connect_in_progress_winsock():
    numbers = {111: 10061, 110: 10060, 112: 10064}
    with Guest(os.environ["HVSOCKET_RUNTIME_DIR"], "winsock") as g:
        for preload in False, True:
            parked(g, [WINSOCK_PARKED, g.vmid.hex()], preload, numbers.get)


# ---- Strangers ------------------------------------------------------------------

TCP = r"""
use strict; use Socket;
socket(my $l, AF_INET, SOCK_STREAM, 0) or die;
setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1) or die;
bind($l, pack_sockaddr_in(0, INADDR_LOOPBACK)) or die;
listen($l, 5) or die;
my $a = getsockname($l);
socket(my $c, AF_INET, SOCK_STREAM, 0) or die;
connect($c, $a) or die;
unpack('i', getsockopt($c, SOL_SOCKET, SO_ERROR)) == 0 or die;
getsockopt($c, SOL_SOCKET, SO_TYPE) or die;
accept(my $s, $l) or die;
getpeername($s) or die;
send($s, "x", 0); recv($c, my $b, 1, 0);
socket(my $i, 34, SOCK_DGRAM, 1); socket($i, 34, SOCK_RAW, 0);
"""


def traced(preload):
    with tempfile.NamedTemporaryFile("r") as f:
        status, _, err = run("strace", "-E",
                             "LD_PRELOAD=" + env(preload).get("LD_PRELOAD", ""),
                             "-f", "-o", f.name, "-e", "trace=%network",
                             "perl", "-e", TCP, preload=False)
        same((status, err), (0, ""), "strace")
        text = f.read()
    # process ids, ports and the kernel's unread padding differ
    text = re.sub(r"^\d+ ", "", text, flags=re.M)
    text = re.sub(r"htons\(\d+\)", "PORT", text)
    text = re.sub(r"0x7f[0-9a-f]+", "POINTER", text)
    return text


def test_others_make_the_same_calls():
    plain = traced(False)
    has(plain, "connect(", "the trace")
    has(plain, "socket(AF_ISDN", "the trace")
    if FIRST:
        return  # a sanitizer makes calls of its own
    same(traced(True), plain, "under the preload library")


def test_without_it_there_is_no_such_family():
    status, _, err = run("perl", "-e", PERL_CLIENT, address(), preload=False)
    has(err, "not supported by protocol", "perl's message")
    same(status != 0, True, "status")


def test_no_broker():
    status, _, err = run("perl", "-e", PERL_CLIENT, address(),
                         HVSOCKET_RUNTIME_DIR="/nonexistent")
    has(err, "connect: Network is down", "perl's message")


# ---- Examples ----------------------------------------------------------------------

def example(name):
    return os.path.join(EXAMPLES, name)


def test_hvecho():
    guid = guid_of(address())
    for preload in False, True:
        with Server(example("hvecho-server"), guid, "loopback",
                    ready="listening\n", preload=preload) as s:
            for text in "hello", "x" * 100000:
                same(run(example("hvecho-client"), guid, "loopback", text,
                         preload=preload), (0, text + "\n", ""), "the client")
            s.await_text("from e0e16197-dd56-4a10-9195-5ee7a155a838")
            status, _, err = run(example("hvecho-server"), guid, "loopback",
                                 preload=preload)
            same(status, 1, "a second server's status")
            has(err, "bind: error 10048:", "a second server")
        status, _, err = run(example("hvecho-client"), guid, "loopback", "x",
                             preload=preload)
        same(status, 1, "status")
        has(err, "connect: error 10061:", "nobody listens")


def test_hvecho_says_what_is_wrong():
    client, guid = example("hvecho-client"), guid_of(address())
    for args, status, text in (
            (["wildcard", "x"], 1, "connect: error 10049:"),
            (["parent", "x"], 1, "connect: error 10049:"),
            ([guid, "x"], 1, "connect: error 10065:"),
            (["{guid}", "x"], 2, "not a GUID"),
            ([guid + "0", "x"], 2, "not a GUID"),
            ([], 2, "usage:")):
        got = run(client, guid, *args, preload=False)
        same(got[0], status, f"{args}")
        has(got[2], text, f"{args}")
    got = run(client, guid, "loopback", "x", preload=False,
              HVSOCKET_RUNTIME_DIR="/nonexistent")
    has(got[2], "error 10050:", "no broker")


def test_plain_socket():
    with Server(example("plain-socket"), "serve",
                ready="listening\n") as s:
        same(run(example("plain-socket"), "call", "some text"),
             (0, "some text\n", ""), "the client")
        same(s.status(), 0, "the server")
    status, _, err = run(example("plain-socket"), "call")
    same((status, err), (1, "connect: Connection refused\n"), "nobody there")
    status, _, err = run(example("plain-socket"), "call", preload=False)
    same((status, err),
         (1, "socket: Address family not supported by protocol\n"),
         "without the preload library")


def test_dial():
    a = address()
    port = str(int.from_bytes(bytes.fromhex(a[36:44]), "little"))
    with socat_listen(a):
        same(run(example("dial"), "loopback:" + port, preload=False,
                 stdin=b"dialled"), (0, "dialled", ""), "by port number")
    a = address()
    with socat_listen(a):
        same(run(example("dial"), "loopback:" + guid_of(a), preload=False,
                 stdin=b"dialled"), (0, "dialled", ""), "by GUID")
    status, _, err = run(example("dial"), "loopback:" + port, preload=False)
    same(status, 1, "status")
    has(err, "loopback:" + port + ": ", "nobody there")
    has(err, "asked the broker in " + os.environ["HVSOCKET_RUNTIME_DIR"],
        "nobody there")


def test_programs_of_the_library_under_the_preload():
    """libhvsocket's own socket calls do not come back to us."""
    a = address()
    with socat_listen(a):
        same(run(example("dial"), "loopback:" + guid_of(a),
                 stdin=b"both"), (0, "both", ""), "dial")


def main():
    tests = [(k, v) for k, v in globals().items() if k.startswith("test_")]
    chosen = sys.argv[5:]
    failed = 0
    missing = [p for p in ("socat", "perl", "strace") if not shutil.which(p)]
    print(f"1..{len(tests)}", flush=True)
    for i, (name, fn) in enumerate(tests, 1):
        if chosen and name not in chosen:
            continue
        try:
            if missing:
                raise Failure("missing: " + " ".join(missing))
            fn()
            print(f"ok {i} - {name}", flush=True)
        except Exception:
            failed = 1
            print(f"not ok {i} - {name}")
            for line in traceback.format_exc().splitlines():
                print("# " + line, flush=True)
    return failed


if __name__ == "__main__":
    with Broker(HVSOCKETD) as directory:
        os.environ["HVSOCKET_RUNTIME_DIR"] = directory
        status = main()
    sys.exit(status)
