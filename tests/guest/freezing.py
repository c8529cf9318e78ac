# SPDX-License-Identifier: MIT
"""freezing - of a guest's file systems, whoever does it there

The fixture has control(), refused() and guest; a file system is at /disk.
"""
import stack
import tap


def writes(f):
    """Can a program in the guest write to its disk?"""
    return f.guest.start("touch /disk/file && sync")


def waits(f):
    """As a program that cannot does."""
    stack.until("the writer waits", lambda: f.guest.run(
        "grep -l '^State:.D' /proc/[0-9]*/status").status == 0)


def thaws(f, job):
    f.control("thaw", f.name)
    job.ok()
    tap.check("not frozen" in f.refused("thaw", f.name), "thawed twice")


def ends_by_itself(f):
    """With a command, and when its time is over."""
    f.control("freeze", f.name, "--", "true")
    writes(f).ok()
    f.control("freeze", f.name, "--hold", "1")
    writes(f).ok()
