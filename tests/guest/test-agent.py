#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl's verbs in a stock guest without VMBus, by its qemu-guest-agent.

The agent is Debian's, listening on vsock; the guest has no network, and a disk
of its own to be frozen.
"""
import json
import os
import subprocess
import sys
import time

import hvs
import stack
import tap
import vm
from freezing import ends_by_itself, thaws, waits, writes

PORT = 5200
SERVICE = "qemu-guest-agent"
MODULES = "virtio_pci,vmw_vsock_virtio_transport,virtio_blk,ext4"
# What an init's package brings along: it returns at once; programs are ended
# in good order, and that takes a moment.
SHUTDOWN = """#!/bin/busybox sh
last="poweroff -f"
case " $*" in
*" -r"*) last="reboot -f" ;;
esac
setsid sh -c "kill $(pidof qemu-ga); sleep 1; $last" >/dev/null 2>&1 &
"""


def agent_package():
    r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-kernel"), "--agent"],
                       stdout=subprocess.PIPE, text=True)
    if r.returncode:
        raise vm.GuestError("no qemu-guest-agent (guest-kernel says why)")
    return r.stdout.strip()


class Agent(stack.Stack):
    def __init__(self, work):
        super().__init__(work)
        shutdown = os.path.join(work, "shutdown")
        with open(shutdown, "w") as f:
            f.write(SHUTDOWN)
        os.chmod(shutdown, 0o755)
        self.disk = os.path.join(work, "disk")
        with open(self.disk, "wb") as f:
            f.truncate(16 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", self.disk], check=True,
                       env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        programs = os.environ["GUEST_PROGRAMS"]
        vm.make_initramfs(
            self.kernel, self.initramfs, [],
            os.path.join(programs, "guest-agent"), modules=MODULES,
            words=["--add", os.path.join(agent_package(), "usr/sbin/qemu-ga") +
                   ":usr/sbin/qemu-ga", "--add", shutdown + ":sbin/shutdown"])
        self.service(SERVICE, PORT)
        self.job = None

    def start_guest(self, *_, **__):
        super().start_guest(options=("--may-reboot", "--disk", self.disk))
        self.prepare()

    def prepare(self):
        self.guest.run("mkdir -p /disk /var/run /etc; "
                       "ln -s /bin/busybox /sbin/hwclock; "
                       "mount -t ext4 /dev/vda /disk; hostname stock1; "
                       "echo ID=stock >/etc/os-release; "
                       "echo 'PRETTY_NAME=\"A stock guest\"' "
                       ">>/etc/os-release").ok()
        self.start_agent()

    def start_agent(self, *options):
        """As its unit would, but on vsock: any CID, for whatever ours is."""
        if self.job:
            self.guest.run("kill -9 $(pidof qemu-ga)")
            self.job.wait()
        self.job = self.guest.start(
            "exec /usr/sbin/qemu-ga -m vsock-listen -p 4294967295:%d %s "
            "2>&1" % (PORT, " ".join(options)))
        self.control("wait", "%s:%s" % (self.name, SERVICE), "-t", "20")

    def json(self, *words):
        return json.loads(self.control(*words, "--json"))

    def refused(self, *words):
        r = subprocess.run([self.hvctl, *words], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True,
                           timeout=stack.WAIT_S)
        tap.check(r.returncode == 1, "%s: status %d: %s" % (
            " ".join(words), r.returncode, r.stdout))
        return r.stdout


def test_heartbeat_and_info(f):
    tap.same(f.json("heartbeat", f.name), {
        "heartbeat": "ok", "application": "unknown", "via": "agent"},
        "heartbeat")
    o = f.json("info", f.name)
    tap.same(o["os"]["name"], "A stock guest", "system")
    tap.same(o["os"]["kernel"], f.guest.run("uname -r").ok(), "kernel")
    tap.same(o["host_name"], "stock1", "name")
    tap.same(o["addresses"], [], "it has no network")
    tap.check(0 < o["uptime_s"] < 600, "uptime %s" % o["uptime_s"])
    tap.same(o["services"][0]["state"], "ok", "agent")
    tap.check("A stock guest" in f.control("info", "vm*"), "for people")


def test_clock_hours_away(f):
    f.guest.run("date -s '@%d'" % (time.time() + 5 * 3600)).ok()
    f.control("time", f.name)
    off = int(f.guest.run("date +%s").ok()) - time.time()
    tap.check(abs(off) < 5, "the clock is %s s off" % off)


def test_freeze_and_thaw(f):
    tap.check("frozen" in f.control("freeze", f.name), "freeze")
    job = writes(f)
    waits(f)
    tap.check("frozen" in f.refused("freeze", f.name), "twice")
    thaws(f, job)
    ends_by_itself(f)
    with subprocess.Popen([f.hvctl, "freeze", f.name, "--", "sh", "-c",
                           "echo; while kill -0 $PPID 2>&-; do sleep 1; done"],
                          stdout=subprocess.PIPE) as p:
        p.stdout.readline()
        p.kill()
    writes(f).ok()


def test_stale_client(f):
    """One that was cut off in a word, and one that had an answer to come."""
    for text in (b'{"execute": "guest-pi',
                 b'{"execute": "guest-get-osinfo"}\n' * 50):
        with f.library.dial(f.vmid, hvs.port(PORT)) as s:
            s.sendall(text)
        f.control("heartbeat", f.name)


def work(f, *words, data=b"", status=0):
    """What hvctl exec and cp will be made of (tests/agent/work.c)."""
    r = subprocess.run([os.path.join(os.environ["BUILD"], "tests", "agent",
                                     "agent-work"), f.name, *words],
                       input=data, capture_output=True, timeout=stack.WAIT_S)
    tap.same(r.returncode, status, "%s: %s" % (words, r.stderr[:500]))
    return r.stdout, r.stderr.decode(errors="replace")


def test_programs(f):
    tap.same(work(f, "exec", "sh", "-c", "echo out; echo err >&2; exit 9",
                  status=9), (b"out\n", "err\n"), "both, and the status")
    data = os.urandom(300000)
    tap.same(work(f, "exec", "-i", "cat", data=data)[0], data, "input")
    tap.same(work(f, "exec", "-e", "X=1 2", "-e", "PATH=/bin", "sh", "-c",
                  "echo $X")[0], b"1 2\n", "environment")
    work(f, "exec", "sh", "-c", "kill -9 $$", status=137)
    tap.same(len(work(f, "exec", "head", "-c", "10485760", "/dev/zero")[0]),
             10 << 20, "10 MiB")
    work(f, "exec", "no-such-program", status=1)


def test_files(f):
    data = os.urandom((5 << 20) + 7)
    work(f, "write", "/tmp-file", data=data)
    tap.same(work(f, "read", "/tmp-file")[0], data, "there and back")
    work(f, "write", "/tmp-file")
    tap.same(work(f, "read", "/tmp-file")[0], b"", "an empty one")
    tap.check("No such file" in work(f, "read", "/none", status=1)[1],
              "one that is not there")


def test_not_allowed(f):
    f.start_agent("-b", "guest-shutdown,guest-get-osinfo")
    tap.check("guest-shutdown is not allowed by the guest" in f.refused(
        "shutdown", f.name), "shutdown")
    o = f.json("info", f.name)
    tap.check("os" not in o and "guest-get-osinfo" in
              o["services"][0]["disabled"], "info: %s" % o)


def test_hung_and_missing(f):
    f.start_agent()
    f.guest.run("kill -STOP $(pidof qemu-ga)").ok()
    said = f.refused("reboot", "-t", "0.5", f.name)
    tap.check("it hangs, or serves somebody else" in said, said)
    f.guest.run("kill -CONT $(pidof qemu-ga)").ok()
    f.control("heartbeat", f.name)  # it has not rebooted late
    f.guest.run("kill -9 $(pidof qemu-ga)").ok()
    f.job.wait()
    said = f.refused("heartbeat", f.name)
    tap.check("no agent listens in the guest" in said, said)


def test_reboot_and_shutdown(f):
    f.start_agent()
    f.guest.begin_again()
    f.control("reboot", f.name)
    f.guest.ready.expect("^ready$", vm.BOOT_S)
    f.guest.jobs.clear()
    f.job = None
    f.prepare()
    f.control("shutdown", f.name)
    f.guest.process.wait(stack.WAIT_S)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Agent)
