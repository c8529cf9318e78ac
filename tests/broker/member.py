#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""member - a process in a partition that does as it is told

    member.py DIRECTORY|- [COMMAND...]

One JSON object per line on standard input, one answer per line. Started by
Member with a mount, a pid and a network namespace of its own, in which the
partition's directory is mounted read-only at /run/hvsocket.
"""
import json
import os
import select
import socket
import subprocess
import sys
import uuid

import hvs

MOUNT = """
set -e
mount -t tmpfs none /run
mkdir /run/hvsocket
mount --bind "$1" /run/hvsocket
mount -o remount,bind,ro /run/hvsocket
exec "$2" "$3"
"""


class Member:
    """The other side: in the test."""

    def __init__(self, directory=None, runtime_dir=None, profile=None):
        env = dict(os.environ)
        env.pop("HVSOCKET_PROFILE", None)
        if profile:
            env["HVSOCKET_PROFILE"] = profile
        env.pop("HVSOCKET_RUNTIME_DIR", None)
        env.pop("XDG_RUNTIME_DIR", None)
        me = os.path.abspath(__file__)
        if directory:
            user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
            command = ["unshare"] + user + [
                "--mount", "--pid", "--fork", "--net", "--kill-child",
                "sh", "-c", MOUNT, "sh", directory, sys.executable, me]
        else:
            env["HVSOCKET_RUNTIME_DIR"] = runtime_dir
            command = [sys.executable, me]
        self.proc = subprocess.Popen(command, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, env=env,
                                     text=True)
        hello = self.ask("where")
        self.vmid, self.name = uuid.UUID(hello["vmid"]), hello["name"]
        self.namespaces = hello["namespaces"]

    def ask(self, what, **args):
        args["do"] = what
        self.proc.stdin.write(json.dumps(args) + "\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        if not line:
            raise RuntimeError("the member ended: %s" % self.proc.wait())
        return json.loads(line)

    def end(self):
        self.proc.stdin.close()
        self.proc.wait(20)
        self.proc.stdout.close()


class Doer:
    def __init__(self):
        self.lib = hvs.Library(os.environ["LIBHVSOCKET"])
        self.sockets = {}

    def where(self):
        import ctypes
        a = (ctypes.c_ubyte * 16)()
        name = ctypes.create_string_buffer(256)
        self.lib.check(self.lib.c.hvs_partition(a, name, 256))
        return {"vmid": str(uuid.UUID(bytes_le=bytes(a))),
                "name": name.value.decode(),
                "namespaces": [os.readlink("/proc/self/ns/" + n)
                               for n in ("mnt", "pid", "net")]}

    def bind(self, vmid, service, kind=1):
        s = self.lib.socket(kind)
        self.sockets["listener"] = s
        self.lib.bind(s, uuid.UUID(vmid), uuid.UUID(service))
        return {"own": [str(x) for x in self.lib.own(s)]}

    def listen(self):
        self.lib.listen(self.sockets["listener"])
        return {}

    def option(self, kind=1, name=0x100):
        import ctypes
        v = ctypes.c_uint32(1)
        s = self.lib.socket(kind)
        self.lib.check(self.lib.c.hvs_setsockopt(
            s.fileno(), hvs.SOL_HVSOCKET, name, ctypes.byref(v), 4))
        return {}

    def connect(self, vmid, service, passthru=0, timeout=0, kind=1):
        import ctypes
        s = self.lib.socket(kind)
        self.sockets["near"] = s
        if timeout:
            self.lib.set_timeout(s, timeout)
        if passthru:
            v = ctypes.c_uint32(1)
            self.lib.check(self.lib.c.hvs_setsockopt(
                s.fileno(), hvs.SOL_HVSOCKET, 2, ctypes.byref(v), 4))
        self.lib.connect(s, uuid.UUID(vmid), uuid.UUID(service))
        s.sendall(b"over")
        return {"own": [str(x) for x in self.lib.own(s)],
                "peer": [str(x) for x in self.lib.peer(s)]}

    def accept(self):
        listener = self.sockets["listener"]
        if not select.select([listener], [], [], 10)[0]:
            return {"errno": -1, "text": "nobody came"}
        a, _ = listener.accept()
        self.sockets["far"] = a
        a.settimeout(10)
        return {"own": [str(x) for x in self.lib.own(a)],
                "peer": [str(x) for x in self.lib.peer(a)],
                "data": a.recv(16).decode()}

    def close(self):
        for s in self.sockets.values():
            s.close()
        self.sockets.clear()
        return {}


def main():
    doer = Doer()
    for line in sys.stdin:
        args = json.loads(line)
        try:
            r = getattr(doer, args.pop("do"))(**args)
        except hvs.Refused as e:
            r = {"errno": e.errno, "reason": e.reason, "text": e.text}
        print(json.dumps(r), flush=True)


if __name__ == "__main__":
    main()
