#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The test guest itself: it boots, has vsock, no network, and obeys."""
import os
import sys
import time

import tap
import vm


class Fixture:
    def __init__(self, work):
        programs = os.environ["GUEST_PROGRAMS"]
        self.work = work
        self.kernel = vm.kernel_directory()
        self.initramfs = os.path.join(work, "initramfs")
        vm.make_initramfs(self.kernel, self.initramfs,
                          [os.path.join(programs, "vsock-peer")],
                          os.path.join(programs, "guest-agent"))

    def __enter__(self):
        self.guest = vm.Guest(self.kernel, self.initramfs, self.work,
                              options=["--may-reboot"])
        return self

    def __exit__(self, *_):
        self.guest.kill()

    def diagnose(self):
        return "console:\n" + self.guest.console_text()


def test_kernel_is_the_one_asked_for(f):
    with open(os.path.join(f.kernel, "release")) as release:
        tap.same(f.guest.run("uname -r").ok(), release.read().strip(),
                 "kernel")


def test_vsock_is_there(f):
    tap.check("failed" not in f.guest.run("vsock-peer cid").ok(), "/dev/vsock")


def test_no_network_card(f):
    tap.same(f.guest.run("ls /sys/class/net").ok().split(), ["lo"],
             "network devices")


def test_commands_side_by_side(f):
    server = f.guest.start("vsock-peer listen -n 20 5000 peer echo")
    server.expect("listening")
    out = f.guest.run("vsock-peer connect -c 1 -n 20 5000 swap:3000").ok()
    tap.same(out.count("received=3000"), 20, "connections with all bytes")
    tap.same(out.count("as-sent"), 20, "connections with the right bytes")
    server.ok()


def test_a_command_that_fails(f):
    job = f.guest.run("echo said; exit 7")
    tap.same((job.status, job.said), (7, ["said"]), "status and output")
    out = f.guest.run("vsock-peer connect -c 1 5999").failed()
    tap.check(out.startswith("refused ECONNRESET"), out)


def test_input_and_kill(f):
    job = f.guest.start("cat")
    job.input("one")
    job.expect("^one$")
    job.end_input()
    job.ok()
    job = f.guest.start("cat")
    job.kill()
    job.wait()
    tap.same(job.status, 128 + 9, "status of a killed command")


def test_reboot(f):
    f.guest.run("touch /tmp/before").ok()
    f.guest.reboot()
    f.guest.run("test -e /tmp/before").failed()


def test_status_of_the_guest(f):
    start = time.monotonic()
    tap.same(f.guest.off(42), 42, "status")
    tap.check(time.monotonic() - start < 15, "switched off in time")


tap.main(sys.modules[__name__], Fixture)
