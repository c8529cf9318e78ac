#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A whole Debian tells when it has started, and takes credentials.

Its systemd is stock (13, "trixie": 12's is too old to say so), its kernel is
the tests'; the machine is QEMU's with hvsocket-vhost-user. What it says comes
to hvctl wait, which has waited since before there was a machine.
"""
import base64
import json
import os
import subprocess
import sys

import stack
import tap
import vm

BOOT_S = 600
MODULES = "virtio_pci,vmw_vsock_virtio_transport,virtio_blk,ext4"
GREETING = "a line\nand \u00fc"
UNIT = """[Unit]
Before=multi-user.target
[Service]
Type=oneshot
LoadCredential=greeting
StandardOutput=tty
TTYPath=/dev/ttyS0
ExecStart=sh -c 'echo "=$(base64 -w 0 $CREDENTIALS_DIRECTORY/greeting)="'
"""
OPTIONS = "root=/dev/vda rw quiet systemd.show_status=false " \
    "systemd.default_timeout_start_sec=300s systemd.wants=greeting.service"


def credential(name, text):
    """As docs/recipes.md has it, and hvvm's --credential."""
    if text.isascii() and text.isprintable():
        return "io.systemd.credential:%s=%s" % (name, text)
    return "io.systemd.credential.binary:%s=%s" % (
        name, base64.b64encode(text.encode()).decode())


class Debian(stack.Stack):
    def __enter__(self):
        r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-debian"),
                            "trixie"], stdout=subprocess.PIPE, text=True)
        if r.returncode:
            raise vm.GuestError("no Debian tree (guest-debian says why above)")
        self.disk = os.path.join(self.work, "disk")
        subprocess.run(["cp", "--sparse=always", r.stdout.strip(), self.disk],
                       check=True)
        subprocess.run([os.path.join(vm.SCRIPTS, "guest-initramfs"),
                        "--kernel", self.kernel, "--modules", MODULES,
                        "--root", "--output", self.initramfs], check=True)
        self.console = os.path.join(self.work, "console")
        self.machine = None
        self.start_broker()
        self.start_transport()
        return self

    def start_guest(self, *oem):
        command = [os.path.join(vm.SCRIPTS, "guest-run"), "--kernel",
                   self.kernel, "--initramfs", self.initramfs, "--vsock",
                   self.device, "--disk", self.disk, "--console", self.console,
                   "--memory", "512", "--timeout", str(BOOT_S + 60),
                   "--append", OPTIONS]
        for s in oem:
            command += ["--oem", s]
        self.machine = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def __exit__(self, *what):
        if self.machine:
            self.machine.kill()
            self.machine.wait()
        super().__exit__(*what)

    def said(self):
        with open(self.console, errors="replace") as f:
            return f.read()


def test_ready(f):
    wait = subprocess.Popen([f.hvctl, "wait", "vm1", "--via=ready", "--json",
                             "--timeout", str(BOOT_S)],
                            stdout=subprocess.PIPE, text=True)
    f.start_guest(
        credential("vmm.notify_socket", "vsock:2:26743"),
        credential("greeting", GREETING),
        credential("systemd.extra-unit.greeting.service", UNIT))
    # its driver is there long before, and is no answer to that question
    f.control("wait", "vm1", "--via=driver")
    tap.check(wait.poll() is None, "driver is not ready")
    out, _ = wait.communicate(timeout=BOOT_S + 10)
    tap.same(wait.returncode, 0, f.said()[-3000:])
    answer = json.loads(out)
    tap.same((answer["way"], answer["ready"]), ("ready", "ready"), "answer")
    tap.same(answer["status"], "Ready.", "what it said")
    tap.same(json.loads(f.control("vm", "show", "vm1", "--json"))["ready"],
             "ready", "as it is shown")
    # that it is known now helps whoever comes late
    tap.check("vm1: ready: Ready." in f.control("wait", "vm1"), "late")
    tap.check("=%s=" % base64.b64encode(GREETING.encode()).decode() in f.said(),
              "a unit and its credential: " + f.said()[-3000:])


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Debian)
