#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run - hvsocket-vsock and the kernel's vsock, in a machine that has them

    run.py MODULE... [-- TEST...]

Always in a machine of its own (tests/nested): the AF_VSOCK of whoever runs the
tests is left alone. A guest in it is booted from what is made here; its kernel
is $KERNEL's.
"""
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NESTED = os.path.join(os.path.dirname(HERE), "nested")
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "guest"), NESTED]
import inner  # noqa: E402
import uplinked  # noqa: E402
import vm  # noqa: E402


def make(work):
    """For kernel_guest.py: a guest that QEMU boots with virtio-mmio."""
    kernel = vm.kernel_directory()
    programs = os.environ["GUEST_PROGRAMS"]
    shutil.copy(os.path.join(kernel, "vmlinuz"), work)
    vm.make_initramfs(kernel, os.path.join(work, "initramfs"),
                      [os.path.join(programs, "vsock-peer")],
                      os.path.join(programs, "guest-agent"),
                      "virtio_mmio,vmw_vsock_virtio_transport")
    if "kernel_uplink" in sys.argv:
        build = os.environ["BUILD"]
        vm.make_initramfs(kernel, os.path.join(work, "initramfs-uplink"),
                          uplinked.programs(
                              os.environ.get("DAEMON_BUILD") or build, build),
                          os.path.join(programs, "guest-agent"),
                          "virtio_mmio,vmw_vsock_virtio_transport")


with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
    make(work)
    sys.exit(inner.run(os.path.join(NESTED, "inside.py"), sys.argv[1:], work,
                       {"PYTHONPATH": HERE}, here=False, qemu=True))
