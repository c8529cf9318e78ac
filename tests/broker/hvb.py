# SPDX-License-Identifier: MIT
"""hvb - a broker of the test's own, and the protocol spoken to it by hand

Frames are put together here, not by the library, so that a test can send
what the library never would. docs/protocol.md has the layouts.
"""
import array
import contextlib
import errno
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid

AF_HYPERV = 34
HELLO, BIND, CONNECT, LISTEN, RESULT, CALL, RESOLVE, NAMES = range(1, 9)
KEEP = 10
ATTACH, STATE, DIAL, OPEN, PARKED, CLOSE, CLOSED, LIVE, COUNTERS, STALL = \
    range(16, 26)
ATTACH, STATE, DIAL, OPEN, PARKED, CLOSE, CLOSED, LIVE, COUNTERS = range(16, 25)
SERVICES = 28
REPLY = 0x8000
NONBLOCK, WAIT, PASSTHRU, SUSPEND, HIGH_VTL, NATIVE = 1, 2, 4, 8, 16, 32

(NONE, NOT_REGISTERED, BIND_DENIED, CONNECT_DENIED, SECURITY_MODULE, DISABLED,
 NO_LISTENER, WILDCARD_NOT, BACKLOG, UNKNOWN, OFF, NO_ANSWER, QUOTA, NO_BROKER,
 TAKEN, NOT_DESTINATION, TYPE, BAD_REQUEST, NO_LONGER, NOT_PERMITTED,
 NOT_FOUND, EXISTS, GUEST_RESET, BROKER_FAILED) = range(24)

# Section 4 of the design, section 7 of the protocol: reason -> errno.
ERRNO = {
    NONE: 0, NOT_REGISTERED: errno.EACCES, BIND_DENIED: errno.EACCES,
    CONNECT_DENIED: errno.EACCES, SECURITY_MODULE: errno.EACCES,
    DISABLED: errno.EINVAL, NO_LISTENER: errno.ECONNREFUSED,
    WILDCARD_NOT: errno.ECONNREFUSED, BACKLOG: errno.ECONNREFUSED,
    UNKNOWN: errno.EHOSTUNREACH, OFF: errno.EHOSTDOWN,
    NO_ANSWER: errno.ETIMEDOUT, QUOTA: errno.ENOBUFS,
    NO_BROKER: errno.ENETDOWN, TAKEN: errno.EADDRINUSE,
    NOT_DESTINATION: errno.EADDRNOTAVAIL, TYPE: errno.EPROTONOSUPPORT,
    NO_LONGER: errno.ECONNRESET, NOT_PERMITTED: errno.EPERM,
    NOT_FOUND: errno.ENOENT, EXISTS: errno.EEXIST,
    GUEST_RESET: errno.ECONNRESET,
}

ZERO = WILDCARD = uuid.UUID(int=0)
BROADCAST = uuid.UUID(int=(1 << 128) - 1)
CHILDREN = uuid.UUID("90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd")
LOOPBACK = uuid.UUID("e0e16197-dd56-4a10-9195-5ee7a155a838")
PARENT = uuid.UUID("a42e7cda-d03f-480c-9cc2-a4de20abb878")
SILOHOST = uuid.UUID("36bd0c5c-7276-4223-88ba-7d03b654c568")


def port(number):
    return uuid.UUID("%08x-facb-11e6-bd58-64006a7986d3" % number)


def address(vmid, service, family=AF_HYPERV, reserved=0):
    return struct.pack("<HH", family, reserved) + vmid.bytes_le + \
        service.bytes_le


def guid(data):
    return uuid.UUID(bytes_le=bytes(data))


class Refused(Exception):
    def __init__(self, number, reason, text):
        super().__init__("%s, reason %d: %s" % (
            errno.errorcode.get(number, number), reason, text))
        self.errno, self.reason, self.text = number, reason, text


class Reply:
    def __init__(self, data, fds):
        kind, self.flags, self.serial, self.errno, self.reason = \
            struct.unpack_from("<HHIII", data)
        self.type = kind & ~REPLY
        self.payload, self.fds = data[16:], fds

    def check(self):
        if self.errno:
            raise Refused(self.errno, self.reason, self.payload.decode())
        return self


def send_fds(s, data, fds=()):
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
            array.array("i", [f if isinstance(f, int) else f.fileno()
                              for f in fds]))] if fds else []
    s.sendmsg([data], anc)


def recv_fds(s, size=65536):
    data, anc, flags, _ = s.recvmsg(size, socket.CMSG_SPACE(253 * 4),
                                    socket.MSG_CMSG_CLOEXEC)
    fds = []
    for level, kind, body in anc:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            a = array.array("i")
            a.frombytes(body[:len(body) - len(body) % 4])
            fds += a.tolist()
    return data, fds


class Client:
    """One control connection."""

    def __init__(self, path, hello=True, timeout=20):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.connect(path)
        self.s.settimeout(timeout)
        self.serial = 0
        self.others = []
        if hello:
            r = self.ask(HELLO, struct.pack("<II", 1, 1)).check()
            self.epoch = guid(r.payload[8:24])
            self.partition = guid(r.payload[24:40])
            self.name = r.payload[40:].decode()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.s.close()

    def send(self, kind, payload=b"", fds=(), flags=0):
        self.serial += 1
        send_fds(self.s, struct.pack("<HHI", kind, flags, self.serial) +
                 payload, fds)
        return self.serial

    def raw(self, data, fds=()):
        send_fds(self.s, data, fds)

    def receive(self):
        data, fds = recv_fds(self.s)
        if not data:
            raise ConnectionResetError("the broker closed the connection")
        return data, fds

    def reply(self, serial):
        for r in self.others:
            if r.serial == serial:
                self.others.remove(r)
                return r
        while True:
            data, fds = self.receive()
            r = Reply(data, fds)
            if r.serial == serial:
                return r
            self.others.append(r)

    def ask(self, kind, payload=b"", fds=()):
        return self.reply(self.send(kind, payload, fds))

    # The requests, well formed.

    def bind(self, s, vmid, service):
        r = self.ask(BIND, address(vmid, service) + bytes(4), [s]).check()
        return guid(r.payload[20:36]), struct.unpack("<I", r.payload[36:])[0]

    def listening(self, s, vmid, service, notice=False):
        return self.ask(LISTEN, struct.pack("<HH", s.type & 15, 0) +
                        address(vmid, service) + bytes(4)).check()

    def notice(self, kind, vmid, service):
        self.send(LISTEN, struct.pack("<HH", kind, 0) +
                  address(vmid, service) + struct.pack("<I", 1))

    def start_connect(self, s, vmid, service, timeout=0, flags=0):
        return self.send(CONNECT, address(vmid, service) + address(ZERO, ZERO) +
                         struct.pack("<II", timeout, flags), [s])

    def end_connect(self, serial):
        return struct.unpack("<IQ", self.reply(serial).check().payload)

    def connect(self, s, vmid, service, timeout=0, flags=0):
        s.setblocking(False)
        return self.end_connect(
            self.start_connect(s, vmid, service, timeout, flags))

    def call(self, method, **args):
        args["method"] = method
        r = self.ask(CALL, json.dumps(args).encode()).check()
        if r.flags & 1:
            with os.fdopen(r.fds.pop(), "rb") as f:
                return json.load(f)
        return json.loads(r.payload)

    # In one.

    def serve(self, vmid, service, kind=socket.SOCK_STREAM, backlog=128):
        s = socket.socket(socket.AF_UNIX, kind)
        try:
            self.bind(s, vmid, service)
            s.listen(backlog)
        except BaseException:
            s.close()
            raise
        s.settimeout(20)
        return s

    def dial(self, vmid, service, timeout=0, flags=0, kind=socket.SOCK_STREAM):
        s = socket.socket(socket.AF_UNIX, kind)
        try:
            self.connect(s, vmid, service, timeout, flags)
        except BaseException:
            s.close()
            raise
        s.settimeout(20)
        return s


def peer_of(name):
    """What an accepted socket's peer name says: (VmId, ServiceId, uid)."""
    body = name[1:]
    if len(name) != 83 or body[:4] != b"hvs1":
        raise ValueError("%r is no connector's name" % name)
    return guid(body[6:22]), guid(body[22:38]), \
        struct.unpack_from("<I", body, 70)[0]


# The broker may be another build's, with another sanitizer than Python bears.
PROGRAM = os.environ.get("HVSOCKETD", "")
if os.environ.get("DAEMON_BUILD"):
    PROGRAM = os.environ["DAEMON_BUILD"] + "/src/broker/hvsocketd"


def program_env(env=None):
    """What a program of ours is started with: without what a sanitizer's
    library in this Python needs (meson.build)."""
    env = dict(os.environ if env is None else env)
    env.pop("LD_PRELOAD", None)
    env["ASAN_OPTIONS"] = ""
    return env


class Broker:
    """hvsocketd in a directory of its own."""

    def __init__(self, *options, program=None, directory=None, env=None):
        self.dir = directory or tempfile.mkdtemp(prefix="hvs-broker-")
        self.own_dir = directory is None
        self.program = program or PROGRAM
        self.run = self.dir + "/run"
        self.config = self.dir + "/config"
        self.options = list(options)
        self.env = env
        self.proc = None
        self.log = self.dir + "/log"
        os.makedirs(self.run, exist_ok=True)
        os.makedirs(self.config + "/services.d", exist_ok=True)
        os.makedirs(self.config + "/partitions.d", exist_ok=True)
        for d in (self.dir, self.run):
            os.chmod(d, 0o755)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.end(check=exc[0] is None)

    def command(self, *options):
        # e.g. "valgrind -q --error-exitcode=97 --leak-check=full"
        wrapper = os.environ.get("HVSOCKETD_WRAPPER", "").split()
        # and it ends with the test, whatever ends that
        wrapper = ["setpriv", "--pdeathsig", "KILL"] + wrapper
        return wrapper + [self.program, "--runtime-dir", self.run,
                          "--config-dir", self.config] + self.options + \
            list(options)

    def start(self, check=True, wait=True):
        ready, told = os.pipe()
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                self.command("--ready-fd", str(told)), pass_fds=[told],
                stdin=subprocess.DEVNULL, stderr=log,
                env=program_env(self.env))
        os.close(told)
        with os.fdopen(ready, "rb") as f:
            self.ready = bool(f.read())  # to its end: closed there too
        if check and not self.ready:
            raise RuntimeError("the broker did not start: %s" %
                               open(self.log).read())
        return self

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def restart(self):
        self.kill()
        self.start()

    def stop(self):
        """SIGTERM. Return: exit status"""
        self.proc.terminate()
        return self.proc.wait(30)

    def end(self, check=True):
        status = None
        if self.proc:
            status = self.proc.poll()
            early = status is not None
            if not early:
                status = self.stop()
        if check and status not in (None, 0):
            raise RuntimeError("the broker ended with %s: %s" % (
                status, open(self.log).read()[-3000:]))
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    @contextlib.contextmanager
    def stopped(self):
        """The broker does nothing meanwhile."""
        self.proc.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.proc.send_signal(signal.SIGCONT)

    def control(self, partition=None):
        if partition is None or partition == ZERO:
            return self.run + "/control"
        return "%s/broker/partitions/%s/control" % (self.run, partition)

    def client(self, partition=None, **more):
        # a file dropped in a moment ago makes its door in a moment
        check = until(lambda: os.path.exists(self.control(partition)))
        assert check, "there is no door for %s" % partition
        return Client(self.control(partition), **more)

    def put(self, path, text):
        """A file of the configuration, in one piece."""
        full = os.path.join(self.config, path)
        with open(full + "~", "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.rename(full + "~", full)

    def drop(self, path):
        os.unlink(os.path.join(self.config, path))

    def service(self, name, number, *lines):
        self.put("services.d/%s.conf" % name, "[Service]\nPort=%d\n%s" % (
            number, "".join(line + "\n" for line in lines)))

    def partition(self, name, *lines, vmid=None):
        vmid = vmid or uuid.uuid4()
        self.put("partitions.d/%s.conf" % name,
                 "[Partition]\nVmId=%s\n%s" % (
                     vmid, "".join(line + "\n" for line in lines)))
        return vmid

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))

    def alive(self):
        return self.proc.poll() is None

    def serves(self):
        """A service made, bound, listened on, connected to, data through."""
        with self.client() as c:
            listener = c.serve(WILDCARD, port(0x7fffffff))
            s = c.dial(LOOPBACK, port(0x7fffffff))
            a, name = listener.accept()
            s.sendall(b"serves")
            assert a.recv(16) == b"serves"
            for x in (s, a, listener):
                x.close()

    def settled(self, wanted, seconds=10):
        """Its descriptors are back to what they were."""
        return until(lambda: self.fds() <= wanted, seconds)


def until(true, seconds=20):
    """Looks again until it holds. Return: did it?"""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)  # between two looks, not instead of one
    return True


def refusal(function, *args, **more):
    """Return: the Refused that the call must raise."""
    try:
        function(*args, **more)
    except Refused as e:
        return e
    raise AssertionError("was not refused: %s%r" % (function.__name__, args))


def build_program(name):
    return os.environ[name]
