# SPDX-License-Identifier: MIT
"""vmm - a VMM's side of the Unix-socket convention, without a VM

Does what the VMMs do, byte by byte:

    firecracker, cloud-hypervisor
        read the request once, at most 32 bytes; one that is not whole, or not
        "CONNECT " (any case) and a port, is closed without a word; the answer
        has a number of the VMM's choice from 2^30 on
    openvmm
        takes a GUID as well, up to 45 bytes; the answer repeats what was asked
        for; a guest's dial tries P_PORT, then P_GUID
"""
import os
import re
import socket
import subprocess
import threading
import uuid

from hvb import program_env, until

LIMIT_S = 20
HYBRID = os.environ.get("HYBRID", "")
SANDBOX = os.environ.get("HYBRID_SANDBOX", "seccomp")
LOCK = ".hvsocket-hybrid.lock"  # in the VM's directory
TEMPLATE = "-facb-11e6-bd58-64006a7986d3"


class Vmm:
    def __init__(self, path, kind="firecracker"):
        self.path, self.kind = path, kind
        self.next = 1 << 30
        self.guest = {}  # port or GUID -> function(socket), in the guest
        self.requests = []  # as they were read
        self.held = []
        # bound first, then listened at, as every program does it
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(128)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[s], daemon=True).start()

    def asked(self, line):
        """What a request is for, or None."""
        m = re.fullmatch(rb"CONNECT (\d+)\n", line, re.I)
        if m and int(m.group(1)) < 1 << 32:
            return int(m.group(1))
        if self.kind == "openvmm":
            m = re.fullmatch(rb"CONNECT ([0-9a-f-]{36})\n", line, re.I)
            return uuid.UUID(m.group(1).decode()) if m else None
        return None

    def serve(self, s):
        line = s.recv(45 if self.kind == "openvmm" else 32)
        self.requests.append(line)
        what = self.asked(line)
        handler = self.guest.get(what)
        if not handler:
            s.close()
            return
        if self.kind == "openvmm":
            number = line.split()[1]
        else:
            number = b"%d" % self.next
            self.next += 1
        handler(s, b"OK " + number + b"\n")

    def dial(self, service):
        """The guest connects to the host. Return: the VMM's socket"""
        names = []
        if isinstance(service, int):
            names.append(str(service))
            if self.kind == "openvmm":
                names.append("%08x" % service + TEMPLATE)
        else:
            names.append(str(service))
        for name in names:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(LIMIT_S)
            try:
                s.connect(self.path + "_" + name)
                return s
            except (FileNotFoundError, ConnectionRefusedError):
                s.close()
        raise ConnectionResetError("RST for the guest: %s" % names)

    def crash(self):
        """As by SIGKILL: the file stays."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(LIMIT_S)

    def end(self):
        self.crash()
        os.unlink(self.path)


def echo(s, ok):
    """A listener in the guest that sends back what comes."""
    try:
        s.sendall(ok)
        while True:
            data = s.recv(65536)
            if not data:
                break
            s.sendall(data)
    except OSError:
        pass  # the other end is gone
    s.close()


class Program:
    """hvsocket-hybrid"""

    def __init__(self, broker, *options, files=None, wrapper=()):
        self.log = open(broker.dir + "/hybrid-log", "ab+")
        self.at = self.log.seek(0, os.SEEK_END)
        self.p = subprocess.Popen(
            [*wrapper, "setpriv", "--pdeathsig", "KILL",
             *(["prlimit", "--nofile=%d:%d" % (files, files)] if files else []),
             HYBRID, "--sandbox", SANDBOX, *options],
            stdin=subprocess.DEVNULL, stderr=self.log,
            env=program_env(dict(os.environ,
                                 HVSOCKET_RUNTIME_DIR=broker.run)))

    def said(self):
        with open(self.log.name, encoding="utf-8") as f:
            f.seek(self.at)
            return f.read()

    def says(self, words, seconds=LIMIT_S):
        if not until(lambda: words in self.said() or
                     self.p.poll() is not None, seconds) or \
                words not in self.said():
            raise AssertionError("%r is not in: %s" % (words, self.said()))

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.p.pid))

    def ends(self, status):
        got = self.p.wait(LIMIT_S)
        assert got == status, "status %s: %s" % (got, self.said())

    def end(self):
        if self.p.poll() is None:
            self.p.terminate()
            self.ends(0)
        self.log.close()

    def kill(self):
        self.p.kill()
        self.p.wait()
        self.log.close()


def attach(broker, path, name="vm", *options, **more):
    p = Program(broker, "--partition", name, "--uds-path", path, *options,
                **more)
    p.says("attached at")
    return p


def front(broker, path, name, *options, **more):
    p = Program(broker, "--front", "--partition", name, "--uds-path", path,
                *options, **more)
    p.says("listening at")
    return p


def read_all(s):
    s.settimeout(LIMIT_S)
    data = b""
    while True:
        part = s.recv(65536)
        if not part:
            return data
        data += part


def read_line(s):
    s.settimeout(LIMIT_S)
    line = b""
    while not line.endswith(b"\n"):
        c = s.recv(1)
        if not c:
            break
        line += c
    return line


def there(path):
    """A socket is made when the transport has been told."""
    return until(lambda: os.path.exists(path))


def gone(path):
    return until(lambda: not os.path.lexists(path))
