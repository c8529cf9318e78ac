# SPDX-License-Identifier: MIT
"""Connections both ways between a stock guest and this host over VMBus."""
import os

import hv
import tap
from flows import *  # noqa: F401,F403

STACK = hv.HvStack


def test_what_the_guest_believes(f):
    log = f.guest.run("dmesg | grep -i 'hyper-v\\|vmbus'").ok()
    for text in ("Hypervisor detected: Microsoft Hyper-V",
                 "Vmbus version:5.3"):
        tap.check(text in log, "%s: not in the guest's log" % text)


def mapped_huge(pid):
    """KiB of shared memory that are mapped in huge pages"""
    with open("/proc/%d/smaps" % pid) as maps:
        return sum(int(line.split()[1]) for line in maps
                   if line.startswith("ShmemPmdMapped"))


def test_memory_comes_in_huge_pages(f):
    """Root may have a tmpfs of its own everywhere, and tests run as root
    in an outer machine."""
    with open("/sys/kernel/mm/transparent_hugepage/enabled") as chosen:
        if os.geteuid() != 0 or "[never]" in chosen.read():
            return
    found = mapped_huge(f.guest.pid)
    tap.check(found >= 16 << 10, "%d KiB in huge pages" % found)
