# SPDX-License-Identifier: MIT
"""What a guest's kernel goes through: drivers that come and go, other
processors, kexec, reboot, panic, standing still."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import corefile
import hv
import hvs
import stack
import tap
from flows import crc

PORT = 7100
STILL_S = 10 if hv.LONG else 3
VERSIONS = ((0x40000, "4.0"), (0x40001, "4.1"), (0x50000, "5.0"),
            (0x50001, "5.1"), (0x50002, "5.2"))
DEVICES = "/sys/bus/vmbus/devices"


class Life(hv.HvStack):
    """The broker only: each test has guests of its own."""

    def __enter__(self):
        self.start_broker()
        self.service("echo", PORT)
        return self


STACK = Life


@contextlib.contextmanager
def guest(f, **more):
    f.start_guest(**more)
    try:
        yield f.guest
    finally:
        f.guest.kill()


def works(f, wait=False):
    """Both ways."""
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)):
        out = f.guest.run("vsock-peer connect %d swap:70000 shut eof" %
                          PORT).ok()
        tap.check("received=70000 crc=%s as-sent" % crc(70000) in out, out)
    job = f.guest.start("vsock-peer listen %d echo" % (PORT + 1))
    job.expect("listening")

    def dial():
        return f.library.dial(f.vmid, hvs.port(PORT + 1))

    def attempt():
        try:
            return dial()
        except hvs.Refused:
            return None
    with (stack.until("a connection", attempt) if wait else dial()) as s:
        s.sendall(hvs.pattern(5000))
        s.shutdown(socket.SHUT_WR)
        tap.check(hvs.receive(s) == hvs.pattern(5000), "data back")
    job.ok()


@contextlib.contextmanager
def in_flight(f, n=1 << 30):
    """A connection that carries data without end."""
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)):
        job = f.guest.start("vsock-peer connect %d wait swap:%d shut eof" %
                            (PORT, n))
        job.expect("waiting")
        before = f.guest.counters()["doorbells_in"]
        job.input()
        stack.until("data", lambda: f.guest.counters()["doorbells_in"] >
                    before + 10)
        yield job


def versions(g):
    return re.findall(r"Vmbus version:(\S+)", g.run(
        "dmesg | grep 'Vmbus version'").ok())


def reload(g, words=""):
    g.run("rmmod hv_sock && rmmod hv_vmbus && insmod /lib/modules/hv_vmbus.ko "
          "%s && insmod /lib/modules/hv_sock.ko" % words).ok()


def test_older_protocols_and_reload(f):
    with guest(f) as g:
        for number, text in VERSIONS if hv.LONG else VERSIONS[:1]:
            reload(g, "max_version=%d" % number)
            tap.same(versions(g)[-1], text, "version")
            works(f)
            g.nothing_left()
        reload(g)
        tap.same(versions(g)[-1], "5.3", "version")
        works(f)
        g.nothing_left()


def test_no_reload_with_a_connection_open(f):
    with guest(f) as g, in_flight(f) as job:
        out = g.run("rmmod hv_sock").failed()
        tap.check("busy" in out or "temporarily" in out, out)
        tap.same(job.status, None, "the connection's status")


def test_unbound_with_data_in_flight(f):
    """A stock kernel does not survive this: its hv_sock frees the ring on
    unbind and looks into it on RESCIND, or ten seconds after close() if none
    comes. What the host must: end the program's connection, and serve the
    guest that comes after the reset."""
    with guest(f) as g:
        with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)) as e:
            job = g.start("vsock-peer connect %d wait swap:%d" % (PORT,
                                                                 1 << 30))
            job.expect("waiting")
            job.input()
            stack.until("data", lambda: g.counters()["doorbells_in"] > 10)
            g.start("cd %s; for d in *; do echo $d "
                    ">/sys/bus/vmbus/drivers/hv_sock/unbind; done" % DEVICES)
            stack.until("the service sees the end",
                        lambda: e.ended.is_set())
        tap.same(g.counters()["open"], 0, "channels open at the host")
        g.begin_again()
        g.start("echo b >/proc/sysrq-trigger")
        g.ready.expect("^ready$", 60)
        g.jobs.clear()
        works(f, wait=True)
        g.nothing_left()


def test_channel_moved_to_another_processor(f):
    n = 8 << 20
    with guest(f, cpus=4) as g:
        with in_flight(f, n) as job:
            out = g.run("cd %s/*/channels/*/ && for c in 3 1 2 0 3; do echo "
                        "$c >cpu || exit 1; cat cpu; done" % DEVICES).ok()
            tap.same(out.split(), list("31203"), "processors")
            said = job.ok(60)
            tap.check("received=%d" % n in said and "as-sent" in said, said)
        g.nothing_left()


def test_many_processors(f):
    with guest(f, cpus=8) as g:
        tap.same(g.run("nproc").ok().strip(), "8", "processors")
        works(f)


def test_reboot(f):
    with guest(f) as g:
        with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)) as e:
            g.start("vsock-peer connect %d swap:10 wait" % PORT).expect(
                "waiting")
            g.reboot()
            e.open[0].settimeout(10)
            try:
                tap.same(e.open[0].recv(1), b"", "old connection")
            except ConnectionResetError:
                pass
        works(f, wait=True)


def test_off_and_reboot_told_apart(f):
    for command, status in (("poweroff -f", 0), ("reboot -f", 3)):
        with guest(f, options=("--no-reboot",)) as g:
            g.start(command)
            tap.same(g.wait(), status, "status after " + command)


def test_partition_goes_with_the_machine(f):
    with guest(f) as g:
        tap.check("vmbus" in f.control("partition", "show", f.name), "there")
        g.start("poweroff -f")
        tap.same(g.wait(), 0, "status")
        stack.until("detached", lambda: "vmbus" not in f.control(
            "partition", "show", f.name))


def test_kexec(f):
    with guest(f, initramfs=hv.inner("initramfs-kexec"), memory="512M") as g:
        works(f)
        with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)):
            g.start("vsock-peer connect %d swap:10 wait" % PORT).expect(
                "waiting")
            g.begin_again()
            g.start("kexec-into /kexec/vmlinuz /kexec/initramfs "
                    "\"$(cat /proc/cmdline) second=1\"")
            g.ready.expect("^ready$", 60)
            g.jobs.clear()
        tap.check("second=1" in g.run("cat /proc/cmdline").ok(), "kernel")
        tap.same(versions(g), ["5.3"], "version")
        works(f, wait=True)
        g.nothing_left()


def test_panic_and_its_core(f):
    core = os.path.join(f.work, "core")
    with guest(f, cpus=2, options=("--vmcore", core)) as g:
        symbols = g.run("grep -w 'linux_banner\\|init_task\\|sysrq_handle_crash'"
                        " /proc/kallsyms").ok()
        at = {line.split()[2]: int(line.split()[0], 16)
              for line in symbols.splitlines()}
        version = g.run("cat /proc/version").ok().strip()
        release = g.run("uname -r").ok().strip()
        g.start("echo c >/proc/sysrq-trigger")
        tap.same(g.wait(60), 126, "status")
        with open(g.log) as log:
            text = log.read()
        tap.check("Kernel panic - not syncing: sysrq triggered crash" in text,
                  text)
    c = corefile.Core(core)
    tap.check("OSRELEASE=%s\n" % release in c.info, c.info)
    tap.same(len(c.cpus), 2, "processors")
    tap.same(os.stat(core).st_mode & 0o777, 0o600, "mode")
    tap.check(c.at(at["linux_banner"], len(version)).decode() == version,
              "linux_banner through the kernel's image")
    # the direct map: where the image is, at its other address
    physical = c.physical(at["linux_banner"])
    tap.check(c.at(c.direct + physical, len(version)).decode() == version,
              "linux_banner through the direct map")
    tap.check(os.stat(core).st_blocks * 512 < os.stat(core).st_size,
              "no holes")
    out = subprocess.run(
        ["gdb", "-nx", "-q", "-batch", "-ex", "info threads", "-ex",
         "x/s 0x%x" % at["linux_banner"], "-ex", "info registers rip",
         "-core", core], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True, timeout=60).stdout
    tap.check(version.split(" (")[0] in out, out)
    tap.same(len(re.findall(r"^[* ] +\d+ +", out, re.M)), 2, "threads: " + out)


def stand_still(pid):
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STILL_S)
    os.kill(pid, signal.SIGCONT)


def test_vmm_and_transport_stand_still(f):
    n = 4 << 20
    for which in ("vmm", "transport"):
        with guest(f) as g:
            with in_flight(f, n) as job:
                stand_still(g.pid if which == "vmm" else g.transport())
                said = job.ok(60)
                tap.check("received=%d" % n in said and "as-sent" in said,
                          said)
            works(f)
            g.nothing_left()
