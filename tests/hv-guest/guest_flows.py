# SPDX-License-Identifier: MIT
"""Connections both ways between a stock guest and this host over VMBus."""
import hv
import tap
from flows import *  # noqa: F401,F403

STACK = hv.HvStack


def test_what_the_guest_believes(f):
    log = f.guest.run("dmesg | grep -i 'hyper-v\\|vmbus'").ok()
    for text in ("Hypervisor detected: Microsoft Hyper-V",
                 "Vmbus version:5.3"):
        tap.check(text in log, "%s: not in the guest's log" % text)
