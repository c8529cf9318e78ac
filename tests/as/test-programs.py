#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Programs that no preload library reaches, by seccomp; and those it does."""
import os
import shutil
import subprocess
import tempfile
import unittest

from case import CLEAN, HVCTL, STATIC, WITHOUT

PLAIN, PLAIN_STATIC = os.environ["PLAIN"], os.environ["PLAIN_STATIC"]
WINSOCK = os.environ["WINSOCK"]
HERE = os.path.dirname(os.path.abspath(__file__))
ROOM = 200  # seconds, for a whole suite


class Programs(unittest.TestCase):
    before = ()

    def runs(self, *words, **more):
        r = subprocess.run([*self.before, HVCTL, "as", "--private", *words],
                           env=dict(CLEAN, **more), timeout=ROOM, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(r.returncode, 0, r.stdout)
        return r.stdout

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

    def test_go(self):
        """Static, and linked with libc. The compiler is large: it is asked for
        by check-full; test_many is what stands for it elsewhere."""
        go = shutil.which("go")
        if not go and "HVSOCKET_TEST_LONG" not in os.environ:
            return
        self.assertTrue(go, "there is no go (Debian's golang-go)")
        with tempfile.TemporaryDirectory() as tmp:
            env = dict(os.environ, GOCACHE=os.path.join(tmp, "cache"),
                       GOPATH=os.path.join(tmp, "path"), GO111MODULE="off",
                       GOPROXY="off")
            for cgo in "0", "1":
                program = os.path.join(tmp, "go" + cgo)
                subprocess.run(
                    [go, "build", "-o", program,
                     os.path.join(HERE, "program.go")],
                    env=dict(env, CGO_ENABLED=cgo), check=True, timeout=ROOM)
                out = self.runs("--verbose", "host", "--", program)
                self.assertIn("all have answered", out)
                self.assertIn("a Go program" if cgo == "1" else
                              "statically linked", out)


class OlderKernel(Programs):
    """One that knows pidfds of processes only (before 6.9)."""
    before = (WITHOUT, "PIDFD_THREAD")

    test_programs_of_the_library = test_go = None


if __name__ == "__main__":
    unittest.main()
