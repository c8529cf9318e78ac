# SPDX-License-Identifier: MIT
"""The recipes that need KVM, or the kernel's vhost-vsock: in an outer machine"""
import os

import recipes


class Kernel(recipes.Kitchen):
    def __enter__(self):
        self.env["APPEND"] = os.environ.get("GUEST_APPEND", "")
        return super().__enter__()


STACK = Kernel


def test_qemu_the_kernels_vhost_vsock(kitchen):
    kitchen.cook("QEMU: the kernel's vhost-vsock")


def test_hvvm(kitchen):
    kitchen.cook("hvvm")
