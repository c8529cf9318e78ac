#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run - tests of a guest's disks and shared folders, where KVM works

    run.py MODULE [-- TEST...]

Makes what the guest boots from (its kernel is $KERNEL's) and an image for its
disk, or has scripts/guest-debian make one for those modules that boot from it,
then runs the module there, in an outer machine if KVM does not work here, or if
virtiofsd may not (it wants to be root).
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
NESTED = os.path.join(TESTS, "nested")
sys.path[:0] = [os.path.join(TESTS, "guest"), NESTED]
import backends  # noqa: E402
import inner  # noqa: E402
import machine  # noqa: E402
import vm  # noqa: E402

MODULES = "virtio_mmio,virtio_blk,ext4,virtiofs"
# Modules of this test's that boot a Debian, which one, and with what more.
DEBIANS = {"debian": ((), ""), "ready": (("trixie",), ",hv_vmbus,hv_sock")}


def tool(name):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        raise vm.GuestError("%s is not installed here" % name)
    return path


def debian(kernel, directory, suite, more):
    """An image that the guest may change, and what leads to it."""
    subprocess.run([os.path.join(vm.SCRIPTS, "guest-initramfs"), "--kernel",
                    kernel, "--modules", MODULES + more, "--root", "--output",
                    os.path.join(directory, "root-initramfs")], check=True)
    r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-debian"), *suite],
                       stdout=subprocess.PIPE, text=True)
    if r.returncode:
        raise vm.GuestError("no Debian tree (guest-debian says why above)")
    image = os.path.join(directory, "debian")
    subprocess.run(["cp", "--sparse=always", r.stdout.strip(), image],
                   check=True)
    return image


def make(directory):
    kernel = vm.kernel_directory()
    shutil.copy(os.path.join(kernel, "vmlinuz"), directory)
    if sys.argv[1] in DEBIANS:
        return debian(kernel, directory, *DEBIANS[sys.argv[1]])
    vm.make_initramfs(kernel, os.path.join(directory, "initramfs"), [],
                      os.path.join(os.environ["GUEST_PROGRAMS"],
                                   "guest-agent"), MODULES)
    image = os.path.join(directory, "image")
    with open(image, "wb") as f:
        f.truncate(48 << 20)
    subprocess.run([tool("mkfs.ext4"), "-q", image], check=True)
    return None


def main():
    with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
        files = os.path.join(work, "inner")
        os.mkdir(files)
        disk = make(files)
        here = os.geteuid() == 0 and machine.works_here()
        env = {"PYTHONPATH": HERE + ":" + os.path.join(TESTS, "hv-guest")}
        if disk:
            os.rename(disk, os.path.join(work, "disk"))
            disk = os.path.join(work, "disk")
            env["DEBIAN"] = disk if here else "/dev/vda"
        return inner.run(os.path.join(NESTED, "inside.py"), sys.argv[1:], files,
                         env, here=here, quiet=1500, more=backends.programs(),
                         disk=disk)


sys.exit(main())
