# SPDX-License-Identifier: MIT
"""The recipes for QEMU with vhost-user, with software emulation"""
from recipes import Kitchen as STACK  # noqa: F401


def test_qemu(kitchen):
    kitchen.cook("QEMU")


def test_qemu_hot_plug(kitchen):
    kitchen.cook("QEMU: hot plug")
