#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Types the recipes that need KVM in a machine that has it (tests/nested)

    test-recipes-kernel.py MODULE... [-- TEST...]

It is always a machine of its own: the AF_VSOCK of whoever runs the tests is
left alone.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NESTED = os.path.join(os.path.dirname(HERE), "nested")
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "guest"), NESTED]
import inner  # noqa: E402
import recipes  # noqa: E402


def libvirt():
    """For the machine: what root's libvirtd needs, and its user names"""
    folder = "/usr/lib/" + subprocess.run(
        ["dpkg-architecture", "-qDEB_HOST_MULTIARCH"], check=True,
        stdout=subprocess.PIPE, text=True).stdout.strip()
    found = [shutil.which(name, path="/usr/sbin:/usr/bin") or
             sys.exit("%s is not installed (scripts/deps full)" % name)
             for name in ("libvirtd", "virsh")]
    found += glob.glob(folder + "/libvirt/connection-driver/*.so")
    # it has QEMU tell what it can do with software emulation, too
    found += glob.glob(folder + "/qemu/accel-*.so")
    return found + ["/usr/share/libvirt", "/etc/passwd", "/etc/group",
                    "/etc/nsswitch.conf"]


with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
    recipes.make_guest(work)
    sys.exit(inner.run(os.path.join(NESTED, "inside.py"), sys.argv[1:], work,
                       {"PYTHONPATH": HERE}, here=False, qemu=True,
                       more=[recipes.PAGE] + (
                           libvirt() if "recipes_system" in sys.argv else [])))
