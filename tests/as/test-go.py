#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Go programs, static and linked with libc. The compiler is large: this is
for scripts/check full, and fails without it; test_many of test-programs.py is
what stands for it elsewhere."""
import os
import shutil
import subprocess
import tempfile
import unittest

from case import ROOM, Private

HERE = os.path.dirname(os.path.abspath(__file__))


class Go(Private):
    def test_go(self):
        go = shutil.which("go")
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


if __name__ == "__main__":
    unittest.main()
