#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What explain says is what happens

Random registries, partitions and listeners; each bind and each connect is
explained first and done then, and must end with the errno and the reason that
were foretold. SEED=N repeats a run, ROUNDS=N makes it longer.
"""
import contextlib
import errno
import os
import random
import socket
import sys
import uuid

import tap
from hvb import *
from tap import check, same

PORTS = range(100, 106)
TYPES = {"stream": socket.SOCK_STREAM, "raw": socket.SOCK_SEQPACKET}
UIDS = [0, 4242] if os.geteuid() == 0 else [os.geteuid()]


class World:
    def __init__(self, b, r, host):
        self.b, self.r, self.host = b, r, host
        self.clients = {}
        self.listeners = []
        for kind in ("services.d", "partitions.d"):
            for f in os.listdir("%s/%s" % (b.config, kind)):
                b.drop(kind + "/" + f)
        self.parts = {"host": ZERO}
        for i in range(r.randint(1, 6)):
            name = "p%d" % i
            lines = ["Kind=" + r.choice(["vm", "container"]),
                     "Parent=" + r.choice(list(self.parts))]
            if r.random() < 0.1:
                lines.append("Enabled=no")
            if r.random() < 0.4:
                lines += ["[Defaults]"] + self.rules()
            for p in PORTS:
                if r.random() < 0.15:
                    lines += ["[Service %d]" % p] + self.rules()
            # forward references are no trouble: ACLs name partitions later
            self.parts[name] = b.partition(name, *lines)
        for p in PORTS:
            if r.random() < 0.7:
                b.service("s%d" % p, p, *self.rules())
        problems = host.call("status")["problems"]
        same(problems, [], "problems")

    def rules(self):
        r, out = self.r, []
        acl = ["none", "any", "user:0", "user:4242", "user:%d" % UIDS[-1],
               "partition:host"] + ["partition:%s" % n for n in self.parts]
        if r.random() < 0.3:
            out.append("Policy=" + r.choice(["enabled", "enabled", "default",
                                             "disabled"]))
        for key in ("Bind", "Connect"):
            if r.random() < 0.3:
                out.append("%s=%s" % (key, r.choice(acl)))
        if r.random() < 0.3:
            out.append("AllowWildcardBinds=" + r.choice(["yes", "no"]))
        return out

    def client(self, name, uid):
        if (name, uid) not in self.clients:
            path = os.path.dirname(self.b.control(self.parts[name]))
            check(until(lambda: os.path.exists(path + "/control")), "a door")
            os.chdir(path)
            if os.geteuid() == 0:
                os.seteuid(uid)
            try:
                self.clients[name, uid] = Client("control")
            finally:
                if os.getuid() == 0:
                    os.seteuid(0)
                os.chdir("/")
        return self.clients[name, uid]

    def vmid(self):
        r = self.r
        return r.choice([WILDCARD, CHILDREN, PARENT, LOOPBACK, SILOHOST,
                         BROADCAST] + [uuid.UUID(int=77)] +
                        2 * list(self.parts.values()))

    def case(self):
        r = self.r
        return (r.choice(list(self.parts)), r.choice(UIDS), self.vmid(),
                r.choice(list(PORTS)), r.choice(["stream"] * 4 + ["raw"]))

    def explain(self, name, uid, vmid, p, kind, **more):
        x = self.host.call("explain", to="%s:%d" % (vmid, p), uid=uid,
                           type=kind, **{"from": name}, **more)
        same(x["allowed"], x["errno"] == 0, "allowed and errno")
        check(x["rule"], "a rule: %r" % x)
        return x

    def bind(self):
        name, uid, vmid, p, kind = self.case()
        c = self.client(name, uid)
        x = self.explain(name, uid, vmid, p, kind, verb="bind")
        s = socket.socket(socket.AF_UNIX, TYPES[kind])
        try:
            _, flags = c.bind(s, vmid, port(p))
            got = (0, "none")
            if flags & 1:
                try:
                    c.listening(s, vmid, port(p))
                except Refused as e:
                    got = (e.errno, e)
            s.listen(64)
            s.setblocking(False)
            self.listeners.append(s)
        except Refused as e:
            got = (e.errno, e)
            s.close()
        self.compare("bind", (name, uid, vmid, p, kind), x, got)

    def connect(self):
        name, uid, vmid, p, kind = self.case()
        passthru = self.r.random() < 0.2
        c = self.client(name, uid)
        x = self.explain(name, uid, vmid, p, kind, passthru=passthru)
        with socket.socket(socket.AF_UNIX, TYPES[kind]) as s:
            try:
                c.connect(s, vmid, port(p), 0, NONBLOCK |
                          (PASSTHRU if passthru else 0))
                got = (0, "none")
            except Refused as e:
                got = (e.errno, e)
        for a in self.listeners:
            with contextlib.suppress(BlockingIOError):
                a.accept()[0].close()
        self.compare("connect", (name, uid, vmid, p, kind, passthru), x, got)
        return got[0]

    def compare(self, what, case, x, got):
        reason = 0 if not got[0] else got[1].reason
        if got[0]:
            same(got[0], ERRNO[reason], "errno and reason of %r" % (got,))
        if (x["errno"], x["reason"]) != (got[0], NAMES_OF[reason]) or (
                got[0] and x["text"] != got[1].text and
                reason != DISABLED):
            raise tap.Failure("%s %r: explained %r, happened %r" % (
                what, case, x, got))

    def end(self):
        for s in self.listeners + list(self.clients.values()):
            s.close()


NAMES_OF = dict(enumerate((
    "none", "not registered", "bind denied", "connect denied",
    "blocked by the security module", "disabled", "no listener",
    "wildcard bind not allowed to match", "backlog full",
    "partition unknown", "partition off", "no answer", "over quota",
    "no broker", "address taken", "not a destination", "type not carried",
    "bad request")))


def test_explain_is_what_happens(b):
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    rounds = int(os.environ.get("ROUNDS", 60))
    print("# SEED=%d ROUNDS=%d" % (seed, rounds), flush=True)
    seen = {}
    cases = 0
    for n in range(rounds):
        w = World(b, random.Random(seed + n), b.host)
        try:
            for _ in range(20):
                w.bind()
            for _ in range(60):
                got = w.connect()
                seen[got] = seen.get(got, 0) + 1
        except BaseException:
            print("# again: SEED=%d ROUNDS=1" % (seed + n))
            raise
        finally:
            w.end()
        cases += 80
    print("# %d cases; connects by errno: %r" % (cases, {
        errno.errorcode.get(k, "connected"): v for k, v in seen.items()}))
    if rounds >= 30:
        for number in (0, errno.EACCES, errno.EINVAL, errno.ECONNREFUSED,
                       errno.EHOSTUNREACH, errno.EHOSTDOWN,
                       errno.EADDRNOTAVAIL):
            check(number in seen, "no case came to %s" %
                  errno.errorcode.get(number, "a connection"))


@contextlib.contextmanager
def one_broker(work):
    with Broker() as b:
        os.chmod(b.run, 0o755)
        with b.client() as b.host:
            yield b


if __name__ == "__main__":
    tap.main(sys.modules[__name__], one_broker)
