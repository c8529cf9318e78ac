#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Programs that no preload library reaches, by seccomp; and those it does."""
import os
import unittest

from case import STATIC, WITHOUT, Private

PLAIN, PLAIN_STATIC = os.environ["PLAIN"], os.environ["PLAIN_STATIC"]
WINSOCK = os.environ["WINSOCK"]


class Programs(Private):
    def test_the_preload_librarys_own_suite(self):
        """Statically linked, and linked as ever: the same rules."""
        marks = {"TEST_PRELOADED": "1", "TEST_BY_SECCOMP": "1"}
        self.runs("host", "--", PLAIN_STATIC, "none", **marks)
        self.runs("--via=seccomp", "host", "--", PLAIN, "none", **marks)

    def test_programs_of_the_library(self):
        """They see their sockets as they are, whoever looks on."""
        self.runs("--via=seccomp", "host", "--", WINSOCK)

    def test_signals(self):
        self.runs("host", "--", STATIC, "signals")

    def test_hostile(self):
        self.runs("host", "--", STATIC, "hostile")

    def test_many(self):
        self.runs("host", "--", STATIC, "many")


class OlderKernel(Programs):
    """One that knows pidfds of processes only (before 6.9)."""
    before = (WITHOUT, "PIDFD_THREAD")

    test_programs_of_the_library = None


if __name__ == "__main__":
    unittest.main()
