# SPDX-License-Identifier: MIT
"""A Debian on VMBus tells when it has started, over hv_sock.

Its systemd is stock (13, "trixie"); hvvm --notify tells it where to. hv_sock has
streams only, where virtio has messages too.

Runs where KVM works (run.py); $DEBIAN is the image that scripts/guest-debian
made, or a disk with it.
"""
import json
import os
import subprocess

import backends
import hv
import stack
import tap

# Emulation within emulation: one processor, little to print, much time.
BOOT_S = 1200
OPTIONS = "root=/dev/vda rw quiet systemd.show_status=false " \
    "systemd.default_timeout_start_sec=600s"


class STACK(hv.HvStack):
    def __enter__(self):
        self.disk = backends.Disk(self.work, "disk", os.environ["DEBIAN"])
        self.machine = None
        self.start_broker()
        return self

    def start(self):
        self.console = os.path.join(self.work, "console")
        append = " ".join((OPTIONS, os.environ.get("GUEST_APPEND", "")))
        self.machine = subprocess.Popen(
            [self.hvvm, "run", "--name", self.name, "--notify", "--vhost-user",
             "blk:" + self.disk.path, "--kernel", hv.inner("vmlinuz"),
             "--initrd", hv.inner("root-initramfs"), "--memory", "512M",
             "--console", "file:" + self.console, "--append", append,
             "--timeout", str(BOOT_S + 60)], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, env=self.environment())

    def __exit__(self, *what):
        self.stop(self.machine)
        self.disk.kill()
        super().__exit__(*what)

    def diagnose(self):
        text = super().diagnose()
        with open(self.console, errors="replace") as f:
            return text + "console:\n" + f.read()[-3000:]


def test_ready(f):
    # waited for before there is a machine, or its partition's guest
    wait = subprocess.Popen([f.hvctl, "wait", f.name, "--via=ready", "--json",
                             "--timeout", str(BOOT_S)],
                            stdout=subprocess.PIPE, text=True)
    f.start()
    stack.until("the end of the wait", lambda: wait.poll() is not None or
                f.machine.poll() is not None, BOOT_S + 10)
    tap.same(f.machine.poll(), None, "hvvm's end: " + f.diagnose())
    out, _ = wait.communicate()
    tap.same(wait.returncode, 0, f.diagnose())
    answer = json.loads(out)
    tap.same((answer["way"], answer["ready"], answer["status"]),
             ("ready", "ready", "Ready."), "answer")
