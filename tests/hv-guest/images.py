# SPDX-License-Identifier: MIT
"""images - what the guest of the tests boots from"""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import vm  # noqa: E402

MODULES = "hv_vmbus,hv_sock"


def make(directory):
    """vmlinuz and initramfs there."""
    kernel = vm.kernel_directory()
    programs = os.environ["GUEST_PROGRAMS"]
    shutil.copy(os.path.join(kernel, "vmlinuz"), directory)
    vm.make_initramfs(kernel, os.path.join(directory, "initramfs"),
                      [os.path.join(programs, "vsock-peer")],
                      os.path.join(programs, "guest-agent"), MODULES)
