#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The kernel's own vsock tests in a stock guest, over vhost-user"""
import os
import sys

import stack
import tap
import vm
import vsock_partner
from vsock_suite import *  # noqa: F401,F403

MODULES = "virtio_pci,vmw_vsock_virtio_transport,vsock_diag"


class Suite(stack.Stack):
    def __init__(self, work):
        super().__init__(work)
        vm.make_initramfs(self.kernel, self.initramfs, vsock_partner.programs(),
                          os.path.join(os.environ["GUEST_PROGRAMS"],
                                       "guest-agent"), MODULES)
        self.service("vsock-test", vsock_partner.PORT)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Suite)
