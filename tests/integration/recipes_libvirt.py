# SPDX-License-Identifier: MIT
"""The recipe for libvirt with vhost-user: a user's own daemon, which is
started here, so that it ends here. It takes root for the system's: a user
namespace makes another user of that."""
import os
import shutil
import socket
import subprocess
import tempfile

import stack
from recipes import Kitchen
from tap import check


class Libvirt(Kitchen):
    def __enter__(self):
        super().__enter__()
        # its sockets' paths are to be short
        self.own = tempfile.mkdtemp(prefix="hvs-")
        for name in ("libvirtd", "virsh"):
            check(shutil.which(name), name + " is not installed (Debian: "
                  "libvirt-daemon, libvirt-daemon-driver-qemu, "
                  "libvirt-clients)")
        folder = os.path.join(self.own, "config", "libvirt")
        os.makedirs(folder)
        with open(os.path.join(folder, "qemu.conf"), "w") as f:
            # no virtlogd, which would outlive us
            f.write('stdio_handler = "file"\n')
        with open(os.path.join(folder, "libvirtd.conf"), "w") as f:
            f.write('log_outputs = "2:stderr"\n')
        self.env.update(
            XDG_RUNTIME_DIR=self.own, LIBVIRT_AUTOSTART="0", TYPE="qemu",
            XDG_CONFIG_HOME=os.path.join(self.own, "config"),
            XDG_CACHE_HOME=os.path.join(self.own, "cache"),
            XDG_DATA_HOME=os.path.join(self.own, "data"))
        self.log = open(os.path.join(self.work, "libvirtd.log"), "w+")
        self.process = subprocess.Popen(
            self.another() + ["libvirtd"], env=dict(os.environ, **self.env),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        path = os.path.join(self.own, "libvirt", "libvirt-sock")
        stack.until("libvirtd listens", lambda: self.process.poll() is not None
                    or stack.listens(path))
        check(self.process.poll() is None, self.diagnose())
        # virsh, too, goes by the caller's uid
        with open(os.path.join(self.own, "virsh"), "w") as f:
            f.write("#!/bin/sh\nexec %s %s \"$@\"\n" % (
                " ".join(self.another()), shutil.which("virsh")))
        os.chmod(f.name, 0o755)
        self.doubles.append(self.own)
        return self

    @staticmethod
    def another():
        if os.geteuid():
            return []
        return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]

    def diagnose(self):
        self.log.flush()
        with open(self.log.name) as f:
            return f.read()[-4000:]

    def __exit__(self, *_):
        # QEMU goes on without it
        subprocess.run([os.path.join(self.own, "virsh"), "--quiet", "-c",
                        "qemu:///session", "destroy", "web1"],
                       env=dict(os.environ, **self.env), timeout=20,
                       stdout=self.log, stderr=self.log)
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self.log.close()
        shutil.rmtree(self.own, ignore_errors=True)


STACK = Libvirt


def test_libvirt_vhost_user(kitchen):
    kitchen.cook("libvirt: vhost-user")
