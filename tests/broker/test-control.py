#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""integration: who may ask a guest's transport, what is passed on, and what
becomes of a request when either side goes"""
import errno
import json
import os
import subprocess
import sys
import tempfile

import tap
from hvb import *
from tap import check, same
from transport import Transport
from users import refused_as, several

CONTROL, LEAVE = 30, 31
UNDERSTOOD = 32  # flag of ATTACH


class Place:
    def __init__(self, work):
        self.b = Broker()

    def __enter__(self):
        self.b.start()
        self.vm1 = self.b.partition("vm1", "Kind=vm", "User=4242")
        self.vm2 = self.b.partition("vm2", "Kind=vm")
        return self

    def __exit__(self, *exc):
        self.b.end(check=exc[0] is None)


class Guest(Transport):
    kind = 4  # vmbus
    """say(request) is the answer: an object, bytes, (errno, reason, text), or
    None: silence."""

    def __init__(self, b, name="vm1", say=lambda q: {}, flags=UNDERSTOOD):
        self.say, self.asked, self.left = say, [], []
        super().__init__(b, name, flags=flags)

    def handle(self, data, fds):
        kind, _, serial = struct.unpack_from("<HHI", data)
        if kind == LEAVE:
            self.left += struct.unpack("<Q", data[8:])
        if kind != CONTROL:
            super().handle(data, fds)
            return
        session, = struct.unpack_from("<Q", data, 8)
        q = json.loads(data[16:])
        self.asked.append((session, q))
        said = self.say(q)
        error, reason, body = 0, 0, said
        if isinstance(said, tuple):
            error, reason, body = said
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        if body is not None:
            self.c.raw(struct.pack("<HHIII", CONTROL | REPLY, 0, serial,
                                   error, reason) + body)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end()


def ask(c, verb="list", partition="vm1", **more):
    return c.call("integration", partition=partition, verb=verb, **more)


def refused(c, error, reason, words, **more):
    e = refusal(ask, c, **more)
    same((e.errno, e.reason), (error, reason), e.text)
    check(words in e.text, e.text)


def test_passed_on(place):
    with Guest(place.b, say=lambda q: {"a": [1, "\x1b\u00e9", None]}) as t, \
            place.b.client() as c:
        same(ask(c, "kvp.get", key="\u20ac", more={"x": 1}),
             {"a": [1, "\x1b\u00e9", None]}, "the answer")
        same(t.asked[0][1], {"verb": "kvp.get", "key": "\u20ac",
                             "more": {"x": 1}}, "what is asked")
        with place.b.client() as other:
            ask(other)
        ask(c)
        sessions = [s for s, _ in t.asked]
        check(sessions[0] == sessions[2] != sessions[1], "sessions")


def test_refusals_passed_on(place):
    rows = [
        ((errno.EREMOTEIO, 0, b"it failed there"), errno.EREMOTEIO, 0,
         "it failed there"),
        ((errno.ENOENT, 20, b"no key"), errno.ENOENT, 20, "no key"),
        ((70000, 77, b"strange"), errno.EIO, 0, "strange"),
        ((errno.ENOENT, 20, b"\x1b[2J"), errno.ENOENT, 20, ""),
        (b"[]", errno.EIO, 23, "cannot be understood"),
        (b"{", errno.EIO, 23, "cannot be understood"),
        (b"", errno.EIO, 23, "cannot be understood"),
    ]
    with place.b.client() as c:
        for said, error, reason, words in rows:
            with Guest(place.b, say=lambda q: said):
                refused(c, error, reason, words)
            until(lambda: c.call("partition.show", partition="vm1")[
                "transport"] == "local")


def test_who_cannot_be_asked(place):
    with place.b.client() as c:
        refused(c, errno.EHOSTDOWN, OFF, "no transport")
        refused(c, errno.EPERM, 19, "the host", partition="host")
        refused(c, errno.EHOSTUNREACH, 9, "no partition", partition="x")
        refused(c, errno.EINVAL, 17, "timeout_ms", timeout_ms=300001)
        with Guest(place.b, flags=0):
            refused(c, errno.EPROTONOSUPPORT, 16, "need VMBus")
        with Guest(place.b, say=lambda q: None) as t:
            # what is one byte may be six in JSON
            e = refusal(lambda: c.ask(CALL, json.dumps({
                "method": "integration", "partition": "vm1",
                "verb": "\u00e9" * 30000}, ensure_ascii=False).encode()
            ).check())
            same((e.errno, e.reason), (errno.EINVAL, 17), e.text)
            same(t.asked, [], "nothing came")


@several
def test_who_may_ask(place):
    with Guest(place.b), Guest(place.b, "vm2"):
        for uid, vm, expected in ((4242, "vm1", 0), (4242, "vm2", errno.EPERM),
                                  (4243, "vm1", errno.EPERM)):
            def asks():
                with place.b.client() as c:
                    ask(c, partition=vm)
            same(refused_as(uid, asks), expected, "uid %d, %s" % (uid, vm))


def test_too_much(place):
    with Guest(place.b, say=lambda q: None), place.b.client() as c:
        request = json.dumps({"method": "integration", "partition": "vm1",
                              "verb": "list"}).encode()
        for _ in range(64):
            c.send(CALL, request)
        refused(c, errno.ENOBUFS, 12, "too much")


def test_transport_goes(place):
    t = Guest(place.b, say=lambda q: None)
    with place.b.client() as c:
        serial = c.send(CALL, json.dumps({
            "method": "integration", "partition": "vm1",
            "verb": "list"}).encode())
        check(t.wait(lambda: t.asked), "asked")
        t.end()
        e = refusal(lambda: c.reply(serial).check())
        same((e.errno, e.reason), (errno.EHOSTDOWN, OFF), e.text)


def test_silence(place):
    with Guest(place.b, say=lambda q: None), place.b.client() as c:
        refused(c, errno.ETIMEDOUT, 11, "does not answer", timeout_ms=1)
        same(c.call("names")["partitions"] != {}, True, "it goes on")


def test_leases(place):
    with Guest(place.b, say=lambda q: (errno.EBUSY, 21, b"no") if q.get("no")
               else {}) as t:
        for more, leaves in (({}, False), ({"lease": True}, True),
                             ({"lease": True, "no": 1}, False)):
            n = len(t.left)
            with place.b.client() as c:
                try:
                    ask(c, "freeze", **more)
                except Refused:
                    check("no" in more, "refused")
                session = t.asked[-1][0]
            with place.b.client() as c:
                if leaves:
                    check(t.wait(lambda: len(t.left) > n), "LEAVE")
                    same(t.left[n:], [session], "whose")
                ask(c)  # what was sent before has come
            same(len(t.left), n + leaves, str(more))
    # the transport is late, and may do it yet
    with Guest(place.b, say=lambda q: None if q.get("lease") else {}) as t, \
            place.b.client() as c:
        refused(c, errno.ETIMEDOUT, 11, "does not answer", verb="freeze",
                timeout_ms=1, lease=True)
        check(t.wait(lambda: t.left), "LEAVE")
        same(t.left, [t.asked[0][0]], "whose")


def hvctl(place, *words, stdout=subprocess.PIPE):
    return subprocess.run([os.environ["HVCTL"], *words], text=True,
                          stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, timeout=60,
                          env=dict(os.environ, HVSOCKET_RUNTIME_DIR=place.b.run))


def test_hvctl(place):
    """Many at a time, in their order; what a guest says does no harm."""
    def say(q):
        if q["verb"] == "kvp.list":
            i = q["index"]
            return {"entries": [{"key": "k%d\x1b[2J" % i, "value": "v"}],
                    **({"next": i + 1} if i < 2 else {})}
        if q["verb"] == "heartbeat":
            return {"heartbeat": "ok", "application": "\x1b[31m", "answers": 1}
        return {}
    with Guest(place.b, "vm1", say), Guest(place.b, "vm2", lambda q: (
            errno.ECONNREFUSED, 6, b"no driver there")):
        r = hvctl(place, "heartbeat", "vm1")
        same((r.returncode, r.stdout),
             (0, "vm1: ok, applications \\x1b[31m\n"), r.stderr)
        r = hvctl(place, "heartbeat", "vm*")
        same(r.returncode, 1, "not all are well: " + r.stderr)
        r = hvctl(place, "heartbeat", "--json", "vm2", "vm1")
        o = json.loads(r.stdout)
        same((r.returncode, o["vm1"]["heartbeat"], o["vm2"]["error"]["text"]),
             (1, "ok", "no driver there"), r.stderr)
        r = hvctl(place, "heartbeat", "vm1", "none", "vm2")
        check("there is no partition" in r.stderr and "vm1: ok" in r.stdout,
              r.stderr)
        r = hvctl(place, "heartbeat", b"\xff")
        check(r.returncode == 2 and "UTF-8" in r.stderr, r.stderr)
        r = hvctl(place, "kvp", "list", "vm1", "--pool", "guest")
        same(r.stdout.count("\\x1b[2J"), 3, r.stdout + r.stderr)
        same(r.stdout.count("\x1b"), 0, "escapes")
        for words in (["heartbeat"], ["heartbeat", "--all", "vm1"],
                      ["time", "vm1", "-t", "301"],
                      ["freeze", "vm1", "vm2", "--", "true"],
                      ["freeze", "vm1", "--hold", "901"]):
            same(hvctl(place, *words).returncode, 2, str(words))
        same(hvctl(place, "freeze", "vm1", "--", "sh", "-c",
                   "exit 7").returncode, 7, "the command's status")


def test_copy_that_is_cut(place):
    """hvctl says what may be left in the guest, if anything may."""
    with tempfile.NamedTemporaryFile() as source, place.b.client() as c:
        source.write(bytes(10000))
        source.flush()
        for bad, left in (("copy.start", False), ("copy.write", True),
                          ("copy.end", True)):
            def say(q):
                if q["verb"] == bad:
                    return errno.ECONNRESET, 0, b"its driver has gone"
                return {"fragment": 6144} if q["verb"] == "copy.start" else {}
            with Guest(place.b, "vm1", say):
                r = hvctl(place, "fcopy", "vm1", source.name, "/tmp/file")
            check(r.returncode == 1 and "its driver has gone" in r.stderr,
                  r.stderr)
            same("/tmp/file: the guest removes" in r.stderr, left, r.stderr)
            until(lambda: c.call("partition.show", partition="vm1")[
                "transport"] == "local")


def test_heart_lost(place):
    """The exit status is that of all, whichever form the answer has."""
    states = {"vm1": "ok", "vm2": "lost"}

    def say(name):
        return lambda q: {"heartbeat": states[name], "application": "unknown"}
    with Guest(place.b, "vm1", say("vm1")), Guest(place.b, "vm2", say("vm2")):
        for words in (["--all"], ["vm1", "vm2"], ["vm2"]):
            for form in ([], ["--json"]):
                r = hvctl(place, "heartbeat", *words, *form)
                same(r.returncode, 1, str(words + form))
        for form in ([], ["--json"]):
            same(hvctl(place, "heartbeat", "vm1", *form).returncode, 0,
                 str(form))


def test_on_a_terminal(place):
    """JSON, too, has nothing in it that a terminal obeys."""
    def say(q):
        return {"entries": [{"key": "k\u009b2J", "value": "\x7f\x1b["}]}
    with Guest(place.b, "vm1", say):
        for form in ([], ["--json"]):
            ours, theirs = os.openpty()
            with open(ours, "rb", buffering=0) as terminal:
                r = hvctl(place, "kvp", "list", "vm1", "--pool", "guest", *form,
                          stdout=theirs)
                os.close(theirs)
                said = b""
                while True:
                    try:
                        more = terminal.read(4096)
                    except OSError:
                        break
                    if not more:
                        break
                    said += more
            same(r.returncode, 0, r.stderr)
            check(b"k" in said and not any(
                c in said.decode() for c in "\x1b\x7f\x9b"), repr(said))


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Place)
