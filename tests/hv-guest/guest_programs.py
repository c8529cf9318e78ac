# SPDX-License-Identifier: MIT
"""Programs nobody wrote for this, in a stock guest, over hv_sock"""
import hv
from programs import *  # noqa: F401,F403


class Programs(hv.HvStack):
    memory = "768M"

    def start_guest(self, name="guest", **more):
        return super().start_guest(
            name, initramfs=hv.inner("initramfs-programs"), **more)


STACK = Programs
