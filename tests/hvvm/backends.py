# SPDX-License-Identifier: MIT
"""backends - the programs that serve disks and shared folders, for the tests

They are Debian's qemu-storage-daemon and virtiofsd, each on a socket in the
test's own directory.
"""
import json
import os
import shutil
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for _folder in ("guest", "hv-guest"):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), _folder))
import stack  # noqa: E402
import vm  # noqa: E402

# The older one, written in C, and the newer one.
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")


def programs():
    """Where they are; both are needed."""
    disk = shutil.which("qemu-storage-daemon")
    share = next((p for p in VIRTIOFSD if os.path.exists(p)), None)
    if not disk or not share:
        raise vm.GuestError("no qemu-storage-daemon or no virtiofsd here "
                            "(Debian: qemu-system-common, virtiofsd)")
    return [disk, share]


class BackEnd:
    def __init__(self, work, name, command):
        self.path = os.path.join(work, name + ".sock")
        self.log = os.path.join(work, name + ".log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        stack.until("%s listens" % name, lambda: self.alive() and
                    stack.listens(self.path))

    def alive(self):
        if self.process.poll() is not None:
            raise vm.GuestError("%s: status %d\n%s" % (
                self.process.args[0], self.process.returncode, self.text()))
        return True

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Disk(BackEnd):
    def __init__(self, work, name, image, queues=1):
        path = os.path.join(work, name + ".sock")
        driver = "file" if os.path.isfile(image) else "host_device"
        self.monitor = os.path.join(work, name + ".qmp")
        super().__init__(work, name, [
            programs()[0],
            "--chardev", "socket,id=m,server=on,wait=off,path=" + self.monitor,
            "--monitor", "chardev=m",
            "--blockdev", "driver=%s,node-name=file,filename=%s" % (
                driver, image),
            "--blockdev", "driver=raw,node-name=disk,file=file",
            "--export", "type=vhost-user-blk,id=e,node-name=disk,writable=on,"
            "num-queues=%d,addr.type=unix,addr.path=%s" % (queues, path)])

    def ask(self, command, **arguments):
        """One command of its monitor's protocol."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(vm.WAIT_S)
            s.connect(self.monitor)
            with s.makefile("rw") as f:
                f.readline()
                for what in ({"execute": "qmp_capabilities"},
                             {"execute": command, "arguments": arguments}):
                    f.write(json.dumps(what) + "\n")
                    f.flush()
                    answer = json.loads(f.readline())
                    while "event" in answer:
                        answer = json.loads(f.readline())
                    if "return" not in answer:
                        raise vm.GuestError("%s: %s" % (what, answer))


class Share(BackEnd):
    def __init__(self, work, name, folder, cache="auto"):
        path = os.path.join(work, name + ".sock")
        program = programs()[1]
        if "libexec" in program:
            command = ["--socket-path", path, "--shared-dir", folder,
                       "--sandbox", "chroot", "--cache", cache]
        else:
            command = ["--socket-path=" + path, "-o", "source=" + folder,
                       "-o", "sandbox=chroot", "-o", "cache=" + cache]
            os.makedirs("/var/run/virtiofsd", exist_ok=True)
        super().__init__(work, name, [program] + command)
