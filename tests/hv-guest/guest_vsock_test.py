# SPDX-License-Identifier: MIT
"""The kernel's own vsock tests in a stock guest, over hv_sock"""
import hv
import vsock_partner
from vsock_suite import *  # noqa: F401,F403


class Suite(hv.HvStack):
    def start_guest(self, name="guest", **more):
        self.service("vsock-test", vsock_partner.PORT)
        return super().start_guest(
            name, initramfs=hv.inner("initramfs-vsock-test"), **more)


STACK = Suite
