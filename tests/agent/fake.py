# SPDX-License-Identifier: MIT
"""fake - VMs without a VM, and agents in them that may misbehave

A Vm is what a VMM's side of the Unix-socket convention looks like
(hvsocket-hybrid(8)); its guest has one listener, an Agent, which serves one
client after another as the real one does. What it does with a command can be
set in agent.does: a function of (agent, request) that sends what it likes.
"""
import base64
import json
import os
import socket
import subprocess
import tempfile
import threading

PORT = 5200
LIMIT = 30
HYBRID = os.environ["HYBRID"]
SANDBOX = os.environ["HYBRID_SANDBOX"]


class Agent:
    def __init__(self):
        self.does = {}
        self.asked = []  # names of commands
        self.changed = threading.Condition()
        self.frozen = False
        self.conn = None
        self.hangs = threading.Event()  # clear: it takes nothing
        self.hangs.set()
        self.holds = 0  # lines that must have come before it begins
        self.prefix = b""  # before the answer to a sync
        self.files = {}
        self.handles = {}
        self.next = 1000
        self.runs = {}

    # what a test does

    def wait(self, what, function=None, timeout=LIMIT):
        """Until it was asked WHAT, or until FUNCTION() is true."""
        with self.changed:
            if not self.changed.wait_for(
                    function or (lambda: what in self.asked), timeout):
                raise RuntimeError("not within %s s: %s; it was asked %s" % (
                    timeout, what, self.asked))

    # what the agent does

    def serve(self, conn):
        self.conn = conn
        buf = b""
        try:
            while True:
                self.hangs.wait()
                data = conn.recv(1 << 20)
                if not data:
                    return
                buf += data
                if buf.count(b"\n") < self.holds:
                    continue
                self.holds = 0
                while b"\n" in buf:
                    line, buf = buf.split(b"\n", 1)
                    self.take(line)
        except OSError:
            pass
        finally:
            conn.close()

    def take(self, line):
        mark, _, rest = line.rpartition(b"\xff")
        if mark or line[:1] == b"\xff":
            self.send({"error": {"class": "GenericError",
                                 "desc": "JSON parse error"}})
        request = json.loads(rest)
        name = request["execute"]
        if name == "guest-sync-delimited":
            self.raw(self.prefix + b"\xff")
            self.send({"return": request["arguments"]["id"]})
            return
        does = self.does.get(name) or getattr(
            self, "do_" + name[6:].replace("-", "_"), None)
        if does is None:
            self.refuse(request, "CommandNotFound",
                        "The command %s has not been found" % name)
        elif name in self.does:
            does(self, request)
        else:
            does(request)
        with self.changed:
            self.asked.append(name)
            self.changed.notify_all()

    def raw(self, data):
        self.conn.sendall(data)

    def send(self, o):
        self.raw(json.dumps(o).encode() + b"\n")

    def answer(self, request, value):
        o = {"return": value}
        if "id" in request:
            o["id"] = request["id"]
        self.send(o)

    def refuse(self, request, kind, text):
        self.send({"id": request.get("id"),
                   "error": {"class": kind, "desc": text}})

    def do_ping(self, q):
        self.answer(q, {})

    def do_shutdown(self, q):
        self.mode = q["arguments"]["mode"]

    def do_set_time(self, q):
        self.time = q["arguments"]["time"]
        self.answer(q, {})

    def do_get_time(self, q):
        self.answer(q, self.time)

    def do_fsfreeze_freeze(self, q):
        self.frozen = True
        self.answer(q, 2)

    def do_fsfreeze_thaw(self, q):
        self.answer(q, 2 if self.frozen else 0)
        self.frozen = False

    def do_get_osinfo(self, q):
        self.answer(q, {"pretty-name": "Fake \x1b[31mOS", "version-id": "7",
                        "kernel-release": "1.2.3", "machine": "x86_64"})

    def do_get_host_name(self, q):
        self.answer(q, {"host-name": "fake1"})

    def do_network_get_interfaces(self, q):
        self.answer(q, [
            {"name": "lo", "ip-addresses": [
                {"ip-address": "127.0.0.1", "prefix": 8}]},
            {"name": "eth0", "ip-addresses": [
                {"ip-address": "192.0.2.7", "prefix": 24},
                {"ip-address": "2001:db8::7", "prefix": 64}]}])

    def do_info(self, q):
        self.answer(q, {"version": "9.9", "supported_commands": [
            {"name": "guest-ping", "enabled": True},
            {"name": "guest-exec", "enabled": False}]})

    def do_file_open(self, q):
        path, mode = q["arguments"]["path"], q["arguments"].get("mode", "r")
        if path == "/proc/uptime":
            self.files[path] = bytearray(b"93784.55 1.00\n")
        if mode[0] == "w":
            self.files[path] = bytearray()
        if path not in self.files:
            self.refuse(q, "GenericError", "failed to open file '%s': "
                        "No such file or directory" % path)
            return
        self.next += 1
        n = self.next
        self.handles[n] = [path, 0]
        self.answer(q, n)

    def do_file_read(self, q):
        at = self.handles[q["arguments"]["handle"]]
        data = self.files[at[0]][at[1]:at[1] + q["arguments"].get(
            "count", 4096)]
        at[1] += len(data)
        self.answer(q, {"count": len(data),
                        "buf-b64": base64.b64encode(data).decode(),
                        "eof": at[1] >= len(self.files[at[0]])})

    def do_file_write(self, q):
        data = base64.b64decode(q["arguments"]["buf-b64"])
        data = data[:500000]  # not all at once
        self.files[self.handles[q["arguments"]["handle"]][0]] += data
        self.answer(q, {"count": len(data), "eof": False})

    def do_file_close(self, q):
        del self.handles[q["arguments"]["handle"]]
        self.answer(q, {})

    def do_exec(self, q):
        a = q["arguments"]
        p = subprocess.Popen(
            [a["path"], *a["arg"]], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(v.split("=", 1) for v in a["env"]) if "env" in a
            else None)
        self.runs[p.pid] = (p, p.communicate(base64.b64decode(
            a.get("input-data", ""))))
        self.answer(q, {"pid": p.pid})

    def do_exec_status(self, q):
        pid = q["arguments"]["pid"]
        if pid not in self.runs:
            self.refuse(q, "GenericError", "PID %d does not exist" % pid)
            return
        p, (out, err) = self.runs.pop(pid)
        o = {"exited": True, "out-data": base64.b64encode(out).decode(),
             "err-data": base64.b64encode(err).decode()}
        o["exitcode" if p.returncode >= 0 else "signal"] = abs(p.returncode)
        self.answer(q, o)


class Vm:
    """A partition, its hvsocket-hybrid, and the VMM's socket."""

    def __init__(self, broker, hvctl, name, agent=True):
        self.name = name
        self.agent = Agent() if agent else None
        subprocess.run([hvctl, "vm", "add", name, "--ephemeral"],
                       env=broker.env(), check=True,
                       stdout=subprocess.DEVNULL)
        self.path = path = os.path.join(tempfile.mkdtemp(dir=broker.top), "v")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.queue = []
        self.turn = threading.Condition()
        for target in (self.accept, self.serve):
            threading.Thread(target=target, daemon=True).start()
        self.transport = subprocess.Popen(
            [HYBRID, "--partition", name, "--uds-path", path, "--sandbox",
             SANDBOX], env=broker.env(), stderr=subprocess.PIPE)

    def ready(self):
        for line in self.transport.stderr:
            if b"attached at" in line:
                threading.Thread(target=self.transport.stderr.read,
                                 daemon=True).start()
                return self
        raise RuntimeError("hvsocket-hybrid ended")

    def say(self, text):
        """As its systemd does, which was told where."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.path + "_26743")
            s.sendall(text)
            s.shutdown(socket.SHUT_WR)
            return s.recv(1)

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            line = b""
            while not line.endswith(b"\n"):
                part = s.recv(64)
                if not part:
                    break
                line += part
            if line != b"CONNECT %d\n" % PORT or not self.agent:
                s.close()
                continue
            s.sendall(b"OK 1073741824\n")
            with self.turn:
                self.queue.append(s)
                self.turn.notify()

    def serve(self):
        while True:
            with self.turn:
                self.turn.wait_for(lambda: self.queue)
                s = self.queue.pop(0)
            if s is None:
                return
            self.agent.serve(s)

    def close(self):
        if self.agent:
            self.agent.hangs.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.turn:
            self.queue.append(None)
            self.turn.notify()
        self.transport.terminate()
        self.transport.wait(LIMIT)
        self.transport.stderr.close()
