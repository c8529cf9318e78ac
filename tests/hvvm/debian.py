# SPDX-License-Identifier: MIT
"""A Debian boots from a disk and from a shared folder, and is content.

Runs where KVM works (run.py); $DEBIAN is the image that scripts/guest-debian
made, or a disk with it.
"""
import contextlib
import os
import re
import socket
import subprocess
import time

import backends
import hv
import hvs
import stack
import tap
import vm

# Emulation within emulation: one processor, little to print, much time.
BOOT_S = 900
WAIT_S = 300
OPTIONS = "rw quiet systemd.show_status=false " \
    "systemd.default_timeout_start_sec=600s"


class Terminal:
    """What a person at the guest's console sees and types."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.text = ""
        self.at = 0

    def expect(self, pattern, timeout=WAIT_S):
        """Wait for a short piece of text; where it stands."""
        deadline = time.monotonic() + timeout
        start = self.at
        while True:
            m = re.compile(pattern).search(self.text, start)
            if m:
                self.at = m.end()
                return m
            # The guest writes by the byte: what has been looked at is not
            # looked at again, or the guest would wait for us.
            start = max(self.at, len(self.text) - 100)
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(4096)
            except socket.timeout:
                data = b""
            if not data:
                raise vm.GuestError("no '%s' on the console, but:\n%s" % (
                    pattern, self.text[-6000:]))
            self.text += data.decode(errors="replace").replace("\r", "")

    def drain(self, timeout=WAIT_S):
        """Read until hvvm has ended."""
        self.socket.settimeout(timeout)
        while True:
            try:
                data = self.socket.recv(4096)
            except (socket.timeout, ConnectionResetError):
                return
            if not data:
                return
            self.text += data.decode(errors="replace")

    def type(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def run(self, command):
        """Its output. The echo of what is typed has another form."""
        self.type("echo =beg''in=; %s; echo =e''nd=" % command)
        start = self.expect("=begin=\n").end()
        end = self.expect("=end=\n").start()
        return self.text[start:end].strip()


class STACK:
    def __init__(self, work):
        self.work = work
        self.root = os.path.join(work, "root")
        self.image = os.environ["DEBIAN"]
        os.mkdir(self.root)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @contextlib.contextmanager
    def mounted(self):
        loop = ["-o", "loop"] if os.path.isfile(self.image) else []
        subprocess.run(["mount", "-t", "ext4"] + loop +
                       [self.image, self.root], check=True)
        try:
            yield self.root
        finally:
            subprocess.run(["umount", self.root], check=True)

    def boot(self, device, append):
        """Use it, switch it off."""
        port = os.path.join(self.work, "console")
        command = [hvs.find(os.environ["BUILD"], "hvvm"), "run", "--no-vmbus",
                   "--vhost-user", device, "--kernel", hv.inner("vmlinuz"),
                   "--initrd", hv.inner("root-initramfs"), "--memory", "512M",
                   "--console", "unix:" + port, "--append",
                   append + " " + OPTIONS, "--timeout", "1400"]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(port)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            stack.until("hvvm listens", lambda: stack.listens(port))
            terminal = Terminal(port)
            self.use(terminal)
            terminal.type("systemctl poweroff")
            terminal.drain()
            tap.same(process.wait(vm.WAIT_S), 0, "status of hvvm")
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def use(self, terminal):
        """Log in, look round, write a file."""
        terminal.expect("login: ", BOOT_S)
        terminal.type("root")
        terminal.expect("# ")
        state = terminal.run("systemctl is-system-running --wait")
        failed = terminal.run("systemctl --failed --plain --no-legend "
                              "--no-pager")
        tap.same((state.split("\n")[-1], failed), ("running", ""),
                 "state and failed units")
        tap.same(terminal.run("systemctl is-active systemd-udevd dbus "
                              "systemd-journald | sort -u"), "active",
                 "services")
        terminal.run("dd if=/dev/urandom of=/root/data bs=64k count=32; "
                     "md5sum /root/data >/root/sum; sync")

    def check_files(self, root):
        path = os.path.join(root, "root")
        with open(os.path.join(path, "sum")) as f:
            wanted = f.read().split()[0]
        got = subprocess.run(["md5sum", os.path.join(path, "data")],
                             stdout=subprocess.PIPE, text=True, check=True)
        tap.same(got.stdout.split()[0], wanted, "checksum of the guest's file")
        for name in ("sum", "data"):
            os.unlink(os.path.join(path, name))


def test_debian_on_a_shared_folder(f):
    with f.mounted() as root:
        share = backends.Share(f.work, "share", root, "always")
        try:
            f.boot("fs:%s,tag=myfs" % share.path,
                   "rootfstype=virtiofs root=myfs")
        finally:
            share.kill()
        f.check_files(root)


def test_debian_on_a_disk(f):
    disk = backends.Disk(f.work, "disk", f.image)
    try:
        f.boot("blk:" + disk.path, "root=/dev/vda")
    finally:
        disk.kill()
    with f.mounted() as root:
        f.check_files(root)
