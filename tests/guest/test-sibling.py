#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Two stock guests beside each other, and a container, on one broker

Guest to guest by CID: the guests' kernels have a virtio-vsock device and
nothing of ours.
"""
import os
import subprocess
import sys
import threading
import uuid

import hvs
import stack
import tap
import vm

BOX = uuid.UUID("00000006-1111-4111-8111-111111111111")
A, B, BOX_CID = 11, 12, 13
PORT = 6100


class One(stack.Stack):
    """A second machine: the broker is the first one's."""

    def __init__(self, first, name, cid):
        # (all but the broker's part of it)
        self.__dict__.update(first.__dict__)
        self.name, self.cid, self.vmid = name, cid, uuid.uuid4()
        self.device = os.path.join(first.work, "vsock-" + name)
        self.transport = self.guest = None

    def transport_command(self):
        return super().transport_command() + ["--guest-cid", str(self.cid)]

    def stop_both(self):
        if self.guest:
            self.guest.kill()
        self.stop(self.transport)


class Siblings(stack.Stack):
    def __enter__(self):
        self.forget("partitions.d", self.name)
        self.a, self.b = One(self, "a", A), One(self, "b", B)
        self.table()
        self.partition("box", BOX, Kind="container", SiblingCid=BOX_CID)
        self.allow()
        try:
            self.start_broker()
            both = [threading.Thread(target=self.start_one, args=(one,))
                    for one in (self.a, self.b)]
            for t in both:
                t.start()
            for t in both:
                t.join()
            tap.check(self.a.guest and self.b.guest, "a guest did not start")
        except BaseException:
            self.__exit__()
            raise
        return self

    @staticmethod
    def start_one(one):
        one.start_transport()
        one.start_guest("guest-" + one.name)

    def __exit__(self, *_):
        self.a.stop_both()
        self.b.stop_both()
        self.stop(self.broker)
        self.log.close()

    def partition(self, stem, vmid, table="", **more):
        lines = ["[Partition]", "VmId=%s" % vmid]
        more.setdefault("Kind", "vm")
        lines += ["%s=%s" % item for item in more.items()]
        self.put("partitions.d", stem, "\n".join(lines) + "\n" + table)

    def table(self, text=""):
        self.partition("a", self.a.vmid, SiblingCid=A)
        self.partition("b", self.b.vmid, text, SiblingCid=B)

    def allow(self, *names):
        more = {"Siblings": " ".join(names)} if names else {}
        self.service("beside", PORT, **more)

    def in_box(self, words):
        return subprocess.Popen(
            [self.hvctl] + words.split(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, env=dict(
                os.environ, HVSOCKET_RUNTIME_DIR=os.path.join(
                    self.runtime, "broker/partitions", str(BOX))))

    def diagnose(self):
        self.guest = None
        return super().diagnose() + "".join(
            one.guest.console_text()[-2000:] for one in (self.a, self.b)
            if one.guest)


def refused(f, cid=B):
    out = f.a.guest.run("vsock-peer connect -c %d %d" % (cid, PORT)).failed()
    tap.check("refused ECONNRESET" in out, out)


def listening(one, actions, options=""):
    job = one.guest.start("vsock-peer listen %s %d %s" % (options, PORT,
                                                          actions))
    job.expect("listening")
    return job


def test_off_unless_granted(f):
    job = listening(f.b, "peer echo")
    refused(f)
    out = f.control("explain", "--from", "a", "b:beside", check=False)
    tap.check("Siblings=" in out and "partition unknown" in out, out)
    f.allow("b")
    refused(f)
    out = f.control("explain", "--from", "a", "b:beside", check=False)
    tap.check("does not name it" in out and "connect denied" in out, out)
    f.allow("a")
    f.table("[Service beside]\nSiblings=none\n")
    refused(f)
    f.table()
    # the listener has heard of none of these
    f.a.guest.run("vsock-peer connect -c %d %d swap:1000" % (B, PORT)).ok()
    tap.check("peer %d " % A in job.ok(), "\n".join(job.said))


def test_data(f):
    """Who each sees, 2 MiB each way at once, and the ends."""
    f.allow("a")
    n = 2 << 20
    job = listening(f.b, "peer swap:%d eof" % n)
    out = f.a.guest.run("vsock-peer connect -c %d %d peer swap:%d shut eof"
                        % (B, PORT, n), 60).ok()
    tap.check("peer %d %d" % (B, PORT) in out, out)
    there = job.ok()
    tap.check("peer %d " % A in there, there)
    for said in (out, there):
        tap.check("swap" in said and str(n) in said, said)


def test_messages(f):
    """SOCK_SEQPACKET: each arrives as it was sent, both ways."""
    f.allow("a")
    job = listening(f.b, "peer hear:500 tell:300 eof", "-m")
    out = f.a.guest.run("vsock-peer connect -m -c %d %d tell:500 hear:300 shut"
                        % (B, PORT), 60).ok()
    there = job.ok()
    tap.check("peer %d " % A in there and "eof sent=0 received=0" in there,
              there)
    for text, messages in ((there, 500), (out, 300)):
        total = sum(1 + i * i * 37 % 60000 for i in range(messages))
        tap.check("heard %d bytes=%d" % (messages, total) in text, text)


def test_nobody_between(f):
    """The broker stands still, and bytes go on; then it is another one."""
    f.allow("a")
    job = listening(f.b, "echo")
    near = f.a.guest.start("vsock-peer connect -c %d %d swap:100 wait "
                           "swap:200000 wait swap:100" % (B, PORT))
    near.expect("swap")
    out = f.control("connections")
    rows = [x for x in out.splitlines() if "beside" in x]
    tap.check(len(rows) == 1 and rows[0].split()[:2] == ["a", "b"], out)
    f.broker.send_signal(stack.signal.SIGSTOP)
    near.input()
    near.expect("swap")
    f.broker.send_signal(stack.signal.SIGCONT)
    f.kill_broker()
    f.start_broker()
    stack.until("both have told the broker what lives",
                lambda: [x for x in f.control("connections").splitlines()
                         if "beside" in x and "a " in x and "b " in x])
    near.input()
    near.ok()
    job.ok()


def test_revoked(f):
    f.allow("a")
    job = listening(f.b, "reset")
    near = f.a.guest.start("vsock-peer connect -c %d %d swap:0 reset"
                           % (B, PORT))
    near.expect("swap")
    f.allow()
    for end in (near, job):
        end.wait()
        tap.check(end.said and "reset" in "\n".join(end.said), str(end.said))
    refused(f)


def test_container_beside_guests(f):
    f.allow("a", "box")
    box = f.in_box("nc -l wildcard:%d" % PORT)
    stack.until("the container listens",
                lambda: "box" in f.control("listeners"))
    f.a.guest.run("vsock-peer connect -c %d %d send:5 shut" % (BOX_CID,
                                                               PORT)).ok()
    tap.same(len(box.communicate(timeout=stack.WAIT_S)[0]), 5, "from a")
    job = listening(f.b, "peer echo")
    box = f.in_box("nc %s:%d" % (f.b.vmid, PORT))
    tap.same(box.communicate(b"from the container\n", stack.WAIT_S)[0],
             b"from the container\n", "echoed by b")
    tap.check("peer %d " % BOX_CID in job.ok(), "\n".join(job.said))


def test_names_of_nobody(f):
    """Itself, and CIDs that nobody has."""
    f.allow("a", "b")
    for cid in (3, 99, 4294967294):
        refused(f, cid)
    out = f.a.guest.run("vsock-peer connect -c %d %d" % (A, PORT)).failed()
    tap.check("refused" in out, out)
    # one that is not up
    f.b.guest.kill()
    stack.until("b is off", lambda: "off" in f.control(
        "partition", "show", "b"))
    refused(f)


tap.main(sys.modules[__name__], Siblings)
