# SPDX-License-Identifier: MIT
"""images - what the guests of the tests boot from

    vmlinuz             $KERNEL's
    initramfs           for most: the agent, vsock-peer, hv_vmbus and hv_sock
    initramfs-kexec     the same, with a second kernel to start
    initramfs-programs  the same, with Python, socat and a module of ours
"""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import vm  # noqa: E402

MODULES = "hv_vmbus,hv_sock"


def make(directory, modules):
    """What the test modules of these names need, there."""
    kernel = vm.kernel_directory()
    programs = os.environ["GUEST_PROGRAMS"]

    def image(name, more=()):
        path = os.path.join(directory, name)
        vm.make_initramfs(kernel, path,
                          [os.path.join(programs, "vsock-peer")] + list(more),
                          os.path.join(programs, "guest-agent"), MODULES)
        return path

    vmlinuz = os.path.join(directory, "vmlinuz")
    shutil.copy(os.path.join(kernel, "vmlinuz"), vmlinuz)
    base = image("initramfs")
    if "guest_life" in modules:
        image("initramfs-kexec", [os.path.join(programs, "kexec-into"),
                                  vmlinuz + ":kexec/vmlinuz",
                                  base + ":kexec/initramfs"])
