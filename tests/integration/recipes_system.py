# SPDX-License-Identifier: MIT
"""The recipe for libvirt's vsock element: root's libvirtd, in an outer machine"""
import os
import subprocess

import recipes_kernel
import stack
from tap import check

QEMU_CONF = """stdio_handler = "file"
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
"""


class System(recipes_kernel.Kernel):
    def __enter__(self):
        super().__enter__()
        os.makedirs("/etc/libvirt", exist_ok=True)
        # it wants these to be there, though it is told of others
        for name, line in (("passwd", "libvirt-qemu:x:64055:64055::/:/bin/sh"),
                           ("group", "libvirt-qemu:x:64055:\nkvm:x:64056:")):
            with open("/etc/" + name, "a") as f:
                f.write(line + "\n")
        with open("/etc/libvirt/qemu.conf", "w") as f:
            f.write(QEMU_CONF)
        with open("/etc/libvirt/libvirtd.conf", "w") as f:
            f.write('log_outputs = "2:stderr"\nauth_unix_rw = "none"\n')
        if not os.path.lexists("/var/run"):
            os.makedirs("/var", exist_ok=True)
            os.symlink("/run", "/var/run")
        self.env.update(LIBVIRT_AUTOSTART="0", TYPE="kvm", LC_ALL="C")
        self.log = open(os.path.join(self.work, "libvirtd.log"), "w+")
        self.process = subprocess.Popen(
            ["libvirtd"], stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log)
        path = "/run/libvirt/libvirt-sock"
        stack.until("libvirtd listens", lambda: self.process.poll() is not None
                    or stack.listens(path) or
                    stack.listens("/var" + path), 60)
        check(self.process.poll() is None, self.diagnose())
        return self

    def diagnose(self):
        self.log.flush()
        with open(self.log.name) as f:
            return f.read()[-4000:]

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


STACK = System


def test_libvirt_the_vsock_element(kitchen):
    kitchen.cook("libvirt: the vsock element")
