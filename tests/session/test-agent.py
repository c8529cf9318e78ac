#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl exec, cp and ssh --install-key without sshd, by qemu-guest-agent."""
import os
import subprocess
import sys
import unittest

from broker import Case
from session import HERE, Door

MIB = 1 << 20


class Agent(Case):
    lie = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.broker.close)
        cls.path = lambda self, *n: os.path.join(self.broker.top, *n)
        subprocess.run([os.environ["HVCTL"], "vm", "add", "vm1",
                        "--ephemeral"], env=cls.broker.env(), check=True,
                       stdout=subprocess.DEVNULL)
        cls.broker.put(cls.broker.admin, "services", "agent",
                       "[Service]\nElementName=qemu-guest-agent\nPort=5200\n")
        cls.log = open(os.path.join(cls.broker.top, "agent.log"), "w")
        cls.addClassCleanup(cls.log.close)
        command = [sys.executable, os.path.join(HERE, "agent.py"),
                   os.path.join(cls.broker.top, "keys")]
        if cls.lie:
            command = ["env", "LIE=1"] + command
        cls.door = Door(cls.broker, os.environ["HVCTL"], "vm1", command,
                        cls.log, port=5200)
        cls.addClassCleanup(cls.door.close)

    @classmethod
    def tearDownClass(cls):
        pass  # by the clean-ups, in their order

    def write(self, name, data, mode=0o644):
        with open(self.path(name), "wb") as f:
            f.write(data)
        os.chmod(self.path(name), mode)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def parts(self):
        return [n for n in os.listdir(self.broker.top)
                if n.startswith(".hvctl-")]


class Ways(Agent):
    def test_exec(self):
        r = self.run_hvctl("exec", "--via", "agent", "vm1", "--", "sh", "-c",
                           "cat; echo err >&2; exit 7", input=b"hello")
        self.assertEqual((r.stdout, r.stderr, r.returncode),
                         (b"hello", b"err\n", 7))
        r = self.run_hvctl("exec", "--via=agent", "vm1", "--", "sh", "-c",
                           "kill -9 $$", input=b"")
        self.assertEqual(r.returncode, 137)
        words = ["", "a  b", "$x", "it's"]
        r = self.run_hvctl("exec", "--via=agent", "vm1", "--", "printf",
                           "%s|", *words, input=b"")
        self.assertEqual(r.stdout.decode(), "".join(w + "|" for w in words))
        self.fails("exec", "--via=agent", "vm1", "--", "/no/such", code=255,
                   input=b"")

    def test_cp(self):
        for size in 0, 1, 3 * MIB + 5:
            data = os.urandom(size)
            self.write("a", data, 0o640)
            self.hvctl("cp", "--via=agent", self.path("a"),
                       "vm1:" + self.path("b"))
            self.assertEqual(self.read("b"), data)
            self.hvctl("cp", "--via=agent", "vm1:" + self.path("b"),
                       self.path("c"))
            self.assertEqual(self.read("c"), data)
            for name in "b", "c":
                self.assertEqual(os.stat(self.path(name)).st_mode & 0o777,
                                 0o640)
            self.assertEqual(self.parts(), [])

    def test_cp_refusals(self):
        self.write("a", b"data")
        os.makedirs(self.path("d"), exist_ok=True)
        self.assertIn("Is a directory", self.fails(
            "cp", "--via=agent", self.path("a"), "vm1:" + self.path("d")))
        self.fails("cp", "--via=agent", self.path("a"), "vm1:/no/such/a")
        self.fails("cp", "--via=agent", "vm1:/no/such/a", self.path("x"))
        self.assertFalse(os.path.exists(self.path("x")))
        self.assertEqual(self.parts(), [])
        for words in (["a", "vm1:b"], ["vm1:b", "a"], ["-r", "a", "vm1:/b"],
                      ["a", "root@vm1:/b"], ["a", "vm1:/b/"]):
            self.write("a", b"data")
            self.fails("cp", "--via=agent", *words, code=2,
                       cwd=self.broker.top)

    def test_key(self):
        self.write("k.pub", b"ssh-ed25519 AAAAC3 me\n")
        self.hvctl("ssh", "--install-key", self.path("k.pub"), "--via=agent",
                   "me@vm1")
        self.assertEqual(self.read("keys"), b"me: ssh-ed25519 AAAAC3 me\n")


class Lies(Agent):
    lie = True

    def test_what_was_written_is_checked(self):
        self.write("a", b"data")
        self.write("b", b"old")
        self.assertIn("checksums differ", self.fails(
            "cp", "--via=agent", self.path("a"), "vm1:" + self.path("b")))
        self.assertEqual(self.read("b"), b"old")
        self.assertEqual(self.parts(), [])


if __name__ == "__main__":
    unittest.main()
