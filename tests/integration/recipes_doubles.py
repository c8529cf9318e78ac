# SPDX-License-Identifier: MIT
"""The recipes for VMMs that cannot run without KVM: vmm-double.py takes their
words, and says what they say."""
import os

import recipes

NAMES = ("cloud-hypervisor", "crosvm", "firecracker")


class Doubles(recipes.Kitchen):
    def __enter__(self):
        # nobody boots it
        guest = os.path.join(self.work, "guest")
        os.makedirs(guest)
        for name in ("vmlinuz", "initrd"):
            with open(os.path.join(guest, name), "w") as f:
                f.write("nothing\n")
        self.env["GUEST"] = guest
        folder = os.path.join(self.work, "doubles")
        os.makedirs(folder)
        self.doubles.append(folder)
        self.env["VHOST_USER_FRONT"] = recipes.hvs.find(
            os.environ["BUILD"], "vhost-user-front")
        self.env["PYTHONPATH"] = ":".join(os.path.join(
            recipes.TOP, "tests", name) for name in ("hybrid", "broker"))
        for name in NAMES:
            with open(os.path.join(folder, name), "w") as f:
                f.write("#!/bin/sh\nexec /usr/bin/python3 %s %s \"$@\"\n" % (
                    os.path.join(recipes.HERE, "vmm-double.py"), name))
            os.chmod(f.name, 0o755)
        return self


STACK = Doubles


def test_cloud_hypervisor_vhost_user(kitchen):
    kitchen.cook("cloud-hypervisor: vhost-user")


def test_cloud_hypervisor_unix_sockets(kitchen):
    kitchen.cook("cloud-hypervisor: Unix sockets")


def test_crosvm(kitchen):
    kitchen.cook("crosvm")


def test_firecracker(kitchen):
    kitchen.cook("Firecracker")
