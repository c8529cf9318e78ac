#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Which way hvctl as takes, and what it says where it cannot."""
import os
import struct
import subprocess
import tempfile
import unittest

from case import HVCTL, TOOL, WITHOUT, Case


class Way(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tmp = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.tmp.cleanup()
        super().tearDownClass()

    def file(self, name, data, mode=0o755):
        path = os.path.join(self.tmp.name, name)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)
        return path

    def says(self, *words, code=0):
        """What -v says."""
        r = self.run_hvctl("as", "-v", *words,
                           env=self.broker.env(PATH="/usr/bin:/bin"))
        err = r.stderr.decode()
        self.assertEqual(r.returncode, code, err)
        self.assertTrue(err.startswith("hvctl: as: "), err)
        return err.split("\n")[0][len("hvctl: as: "):]

    def test_by_the_file(self):
        self.assertEqual(self.says("host", "--", TOOL, "exit", "0"),
                         TOOL + " is statically linked: by seccomp")
        self.assertEqual(self.says("host", "--", "/bin/true"),
                         "/bin/true is dynamically linked: by preload")
        found = self.says("host", "--", "true")
        self.assertRegex(found, r"^/.*/true is dynamically linked: by preload")

    def test_as_asked_for(self):
        self.assertEqual(
            self.says("--via", "preload", "host", "--", TOOL, "exit", "0"),
            TOOL + " is statically linked: by preload, as asked for")
        self.assertEqual(
            self.says("--via=seccomp", "host", "--", "/bin/true"),
            "/bin/true is dynamically linked: by seccomp, as asked for")
        self.assertIn("there are preload and seccomp", self.fails(
            "as", "--via=ptrace", "host", "--", "true", code=2))

    def test_scripts(self):
        script = self.file("script", b"#! " + TOOL.encode() + b" exit\n")
        self.assertEqual(self.says("host", "--", script, code=0),
                         TOOL + " is statically linked: by seccomp")
        nested = self.file("nested", b"#!" + script.encode() + b"\n")
        self.assertEqual(self.says("host", "--", nested),
                         TOOL + " is statically linked: by seccomp")
        shell = self.file("shell", b"#!/bin/sh\nexit 3\n")
        self.assertEqual(self.says("host", "--", shell, code=3),
                         "/bin/sh is dynamically linked: by preload")
        # it goes round in a circle: the kernel has a word for it
        loop = os.path.join(self.tmp.name, "loop")
        self.file("loop", b"#!" + loop.encode() + b"\n")
        self.assertIn("by preload", self.says("host", "--", loop, code=126))

    def test_what_is_no_program(self):
        self.assertIn("not to be found", self.says(
            "host", "--", "no-such-command-anywhere", code=127))
        self.assertIn("by preload", self.says("host", "--", "/etc", code=126))
        for via in "preload", "seccomp":
            self.says("--via", via, "host", "--", "/no/such", code=127)
            self.says("--via", via, "host", "--", "/etc/passwd", code=126)

    def test_odd_files(self):
        with open(TOOL, "rb") as f:
            whole = f.read()
        for name, data, says in (
                ("empty", b"", "of no known format"),
                ("short", whole[:20], "of no known format"),
                ("cut", whole[:100], "of no known format"),
                ("headers", whole[:32] + struct.pack("<Q", 2 ** 63) +
                 whole[40:], "of no known format"),
                ("machine", whole[:18] + b"\xff\x7f" + whole[20:],
                 "for another kind of machine than hvctl"),
                ("class", whole[:4] + b"\x01" + whole[5:],
                 "for another kind of machine than hvctl")):
            path = self.file(name, data)
            r = self.run_hvctl("as", "-v", "host", "--", path)
            self.assertIn("%s is %s: by preload\n" % (path, says),
                          r.stderr.decode(errors="replace"))

    def without(self, call):
        r = subprocess.run([WITHOUT, call, HVCTL, "as", "host", "--", TOOL,
                            "exit", "0"], env=self.broker.env(),
                           capture_output=True, timeout=30)
        err = r.stderr.decode()
        self.assertEqual(r.returncode, 1, err)
        self.assertEqual(err.count("\n"), 1, err)
        return err

    def test_a_kernel_without(self):
        self.assertIn("this kernel has no seccomp user notification",
                      self.without("seccomp"))
        self.assertIn("the program's descriptors: Function not implemented",
                      self.without("pidfd_getfd"))
        self.assertIn("the program's descriptors: Function not implemented",
                      self.without("pidfd_open"))
        self.assertIn("the program's memory: Function not implemented",
                      self.without("process_vm_readv"))
        self.assertIn("the program's memory: Function not implemented",
                      self.without("process_vm_writev"))

    def test_one_within_another(self):
        err = self.fails("as", "--via=seccomp", "host", "--", HVCTL, "as",
                         "host", "--", TOOL, "exit", "0")
        self.assertIn("somebody listens to this program's system calls "
                      "already", err)
        # the other way round, and with the preload library inside
        self.hvctl("as", "--via=preload", "host", "--", HVCTL, "as", "host",
                   "--", TOOL, "exit", "5", code=5)
        self.hvctl("as", "--via=seccomp", "host", "--", HVCTL, "as", "host",
                   "--", "sh", "-c", "exit 6", code=6)

    def test_no_supervisor(self):
        err = self.fails("as", "host", "--", TOOL, "exit", "0",
                         env=self.broker.env(HVSOCKET_AS="/no/such"))
        self.assertIn("/no/such", err)

    def test_environment(self):
        out = self.hvctl("as", "--via=seccomp", "host", "--", "env")
        self.assertIn("HVSOCKET_RUNTIME_DIR=" + self.broker.runtime, out)
        self.assertNotIn("LD_PRELOAD", out)

    def test_no_new_privileges(self):
        self.assertEqual(self.hvctl("as", "host", "--", TOOL, "privileges"),
                         "1\n")
        self.assertEqual(self.hvctl("as", "--via=preload", "host", "--", TOOL,
                                    "privileges"), "0\n")


if __name__ == "__main__":
    unittest.main()
