#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl cp: both ways, sparse, whole or not at all, and from liars."""
import os
import pty
import random
import shutil
import stat
import subprocess
import sys
import unittest

from broker import LIMIT
from session import HERE, SessionCase

MIB = 1 << 20


def parts(directory):
    return [n for n in os.listdir(directory) if n.startswith(".hvctl-")]


class CpCase(SessionCase):
    def setUp(self):
        for name in "here", "there":
            path = self.path(name)
            subprocess.run(["chmod", "-R", "u+rwX", path],
                           stderr=subprocess.DEVNULL)
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path)

    def here(self, *names):
        return self.path("here", *names)

    def there(self, *names):
        return self.path("there", *names)

    def write(self, path, data, mode=0o644):
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, mode)

    def read(self, path):
        with open(path, "rb") as f:
            return f.read()

    def cp(self, *words, code=0, more=(), **kinds):
        """Return: what it said"""
        out, err = self.run_verb("cp", *more, *words, code=code, **kinds)
        self.assertEqual(out, b"")
        if code == 0:
            self.assertEqual(err, "")
        return err

    def whole(self, *directories):
        """Nothing has been left over."""
        for d in directories or (self.here(), self.there()):
            self.assertEqual(parts(d), [])


class Cp(CpCase):
    def both_ways(self, data, mode=0o644, more=()):
        self.write(self.here("a"), data, mode)
        self.cp(self.here("a"), "vm1:" + self.there("b"), more=more)
        self.assertEqual(self.read(self.there("b")), data)
        self.cp("vm1:" + self.there("b"), self.here("c"), more=more)
        self.assertEqual(self.read(self.here("c")), data)
        for path in self.there("b"), self.here("c"):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode)
        self.whole()

    def test_sizes(self):
        source = random.Random(1)
        for size in 0, 1, 4095, 4096, 261120, 261121, MIB, 5 * MIB + 3:
            self.both_ways(source.randbytes(size))

    def test_modes_and_times(self):
        for mode in 0o600, 0o755, 0o444, 0o640:
            self.both_ways(b"data", mode)
        os.utime(self.here("a"), (1000000000, 1100000000))
        self.cp("-p", self.here("a"), "vm1:" + self.there("t"))
        self.cp("-p", "vm1:" + self.there("t"), self.here("t"))
        for path in self.there("t"), self.here("t"):
            self.assertEqual(int(os.stat(path).st_mtime), 1100000000)

    def test_special_bits_stay_behind(self):
        self.write(self.there("s"), b"data", 0o6755)
        self.cp("vm1:" + self.there("s"), self.here("s"))
        self.assertEqual(os.stat(self.here("s")).st_mode & 0o7777, 0o755)

    def test_sparse(self):
        size = 256 * MIB + 5
        with open(self.here("a"), "wb") as f:
            f.write(b"begin")
            f.seek(100 * MIB)
            f.write(b"middle" * 1000)
            f.truncate(size)
        used = os.stat(self.here("a")).st_blocks * 512
        self.assertLess(used, MIB)
        self.cp(self.here("a"), "vm1:" + self.there("b"))
        self.cp("vm1:" + self.there("b"), self.here("c"))
        for path in self.there("b"), self.here("c"):
            st = os.stat(path)
            self.assertEqual(st.st_size, size)
            # (file systems take more than is asked for, at first)
            self.assertLess(st.st_blocks * 512, 16 * MIB)
            subprocess.run(["cmp", self.here("a"), path], check=True)

    def test_without_verification(self):
        self.both_ways(os.urandom(2 * MIB), more=["--no-verify"])

    def test_odd_names(self):
        for name in ("a b", "it's", "$(id)", "-r", "\u00e9", "x:y", "a\nb",
                     "*", "'", "\\"):
            self.write(self.here(name), os.urandom(2 * MIB))
            self.cp(self.here(name), "vm1:" + self.there(name))
            self.assertEqual(self.read(self.there(name)),
                             self.read(self.here(name)))
            self.cp("vm1:" + self.there(name), self.here("back"))
        self.whole()

    def test_into_a_directory(self):
        for name in "a", "b":
            self.write(self.here(name), name.encode())
        self.cp(self.here("a"), self.here("b"), "vm1:" + self.there())
        self.assertEqual(self.read(self.there("b")), b"b")
        os.mkdir(self.here("d"))
        self.cp("vm1:" + self.there("a"), "vm1:" + self.there("b"),
                self.here("d"))
        self.assertEqual(sorted(os.listdir(self.here("d"))), ["a", "b"])
        # relative to here
        self.cp("vm1:" + self.there("a"), ".", cwd=self.here("d"))
        self.cp("vm1:" + self.there("a"), "new", cwd=self.here("d"))
        self.assertEqual(self.read(self.here("d", "new")), b"a")

    def test_replaces(self):
        for path in self.here("a"), self.there("b"):
            self.write(path, b"old")
        self.write(self.here("a"), b"new")
        with open(self.there("b"), "rb") as still_open:
            self.cp(self.here("a"), "vm1:" + self.there("b"))
            self.assertEqual(still_open.read(), b"old")
        self.assertEqual(self.read(self.there("b")), b"new")
        self.cp("vm1:" + self.there("b"), self.here("a"))
        self.assertEqual(self.read(self.here("a")), b"new")

    def test_progress(self):
        self.write(self.here("a"), os.urandom(MIB))
        leader, follower = pty.openpty()
        p = self.start("cp", self.here("a"), "vm1:" + self.there("a"),
                       stderr=follower)
        os.close(follower)
        said = b""
        try:
            while True:
                more = os.read(leader, 1000)
                if not more:
                    break
                said += more
        except OSError:
            pass
        os.close(leader)
        self.assertEqual(p.wait(LIMIT), 0)
        self.assertIn(b"100%", said)
        self.assertIn(b"MiB/s", said)

    def test_trees(self):
        deep = self.here("d", "x", "y", "z")
        os.makedirs(deep)
        self.write(self.here("d", "f"), b"f", 0o600)
        self.write(os.path.join(deep, "g"), os.urandom(3 * MIB), 0o755)
        os.mkdir(self.here("d", "empty"))
        os.chmod(self.here("d", "empty"), 0o700)
        self.assertIn("-r is for it", self.cp(
            self.here("d"), "vm1:" + self.there("d"), code=1))
        self.cp("-r", self.here("d"), "vm1:" + self.there("d"))
        self.cp("-r", "vm1:" + self.there("d"), self.here("e"))
        for other in self.there("d"), self.here("e"):
            subprocess.run(["diff", "-r", self.here("d"), other], check=True)
            self.assertEqual(os.stat(os.path.join(other, "empty")).st_mode &
                             0o777, 0o700)
        # into one that is there
        self.cp("-r", self.here("d"), "vm1:" + self.there("d"))
        self.assertTrue(os.path.isdir(self.there("d", "d", "x")))
        self.assertIn("-r is for it", self.cp(
            "vm1:" + self.there("d"), self.here("n"), code=1))

    def test_modes_of_directories_that_are_there(self):
        """What was there before is not the other side's to change."""
        for source, target, put in ((self.here(), self.there(), True),
                                    (self.there(), self.here(), False)):
            os.makedirs(os.path.join(source, "s", "sub"))
            os.makedirs(os.path.join(target, "t", "sub"))
            os.makedirs(os.path.join(source, "s", "new"))
            os.chmod(os.path.join(source, "s"), 0o777)
            os.chmod(os.path.join(source, "s", "sub"), 0o777)
            os.chmod(os.path.join(source, "s", "new"), 0o751)
            for d in "t", "t/sub":
                os.chmod(os.path.join(target, d), 0o700)
            for more in [], ["-p"]:
                words = [os.path.join(source, "s", "."),
                         os.path.join(target, "t")]
                words[0 if not put else 1] = "vm1:" + words[0 if not put
                                                            else 1]
                self.cp("-r", *more, *words)
                for d, mode in (("t", 0o700), ("t/sub", 0o700),
                                ("t/new", 0o751)):
                    self.assertEqual(stat.S_IMODE(os.stat(os.path.join(
                        target, d)).st_mode), mode, d)

    def at_once(self, source, target, path):
        """Two to one name: what is there is whole, whoever is first."""
        size = os.stat(self.here("a")).st_size
        first = self.start("cp", source, target)
        while first.poll() is None and not self.arriving(
                os.path.dirname(path)):
            pass
        others = [self.start("cp", *more, source, target)
                  for more in (["--no-resume"], [])]
        while any(p.poll() is None for p in [first, *others]):
            try:
                self.assertEqual(os.stat(path).st_size, size)
            except FileNotFoundError:
                pass
        for p in first, *others:
            out, err = p.communicate(timeout=LIMIT)
            self.assertEqual((p.returncode, err), (0, b""))
        subprocess.run(["cmp", self.here("a"), path], check=True)
        self.whole(os.path.dirname(path))

    def test_two_at_once(self):
        self.write(self.here("a"), os.urandom(48 * MIB))
        self.at_once(self.here("a"), "vm1:" + self.there("b"),
                     self.there("b"))
        self.at_once("vm1:" + self.there("b"), self.here("c"),
                     self.here("c"))

    def test_rest_of_another_source(self):
        """As large and as old, for the same name, and not checked."""
        for name in "a", "other":
            self.write(self.here(name), os.urandom(64 * MIB))
            os.utime(self.here(name), (1000000000, 1100000000))
            shutil.copy2(self.here(name), self.there(name))
        self.interrupted(lambda: self.start(
            "cp", self.here("a"), "vm1:" + self.there("b")), self.there(),
            lambda p: self.door.cut())
        self.cp("--no-verify", self.here("other"), "vm1:" + self.there("b"))
        subprocess.run(["cmp", self.here("other"), self.there("b")],
                       check=True)
        self.interrupted(lambda: self.start(
            "cp", "vm1:" + self.there("a"), self.here("c")), self.here(),
            lambda p: self.door.cut())
        self.cp("--no-verify", "vm1:" + self.there("other"), self.here("c"))
        subprocess.run(["cmp", self.here("other"), self.here("c")],
                       check=True)

    def test_neither_file_nor_directory(self):
        for d in self.here("d"), self.there("d"):
            os.mkdir(d)
            os.symlink("/etc/passwd", os.path.join(d, "link"))
            os.mkfifo(os.path.join(d, "pipe"))
            self.write(os.path.join(d, "f"), b"f")
        err = self.cp("-r", self.here("d"), "vm1:" + self.there("n"), code=1)
        self.assertEqual(err.count("left out"), 2)
        self.assertEqual(os.listdir(self.there("n")), ["f"])
        err = self.cp("-r", "vm1:" + self.there("d"), self.here("n"), code=1)
        self.assertEqual(err.count("left out"), 2)
        self.assertEqual(os.listdir(self.here("n")), ["f"])
        for words in (["vm1:" + self.there("d", "pipe"), self.here("p")],
                      [self.here("d", "pipe"), "vm1:" + self.there("p")]):
            self.assertIn("not a regular file", self.cp(*words, code=1))

    @staticmethod
    def arriving(directory):
        for name in parts(directory):
            try:
                return os.stat(os.path.join(directory, name)).st_size > MIB
            except FileNotFoundError:
                return False
        return False

    def interrupted(self, start, part_in, end):
        """Cut it when some has arrived. Return: what it said"""
        for _ in range(5):
            p = start()
            while p.poll() is None and not self.arriving(part_in):
                pass
            end(p)
            if p.wait(LIMIT):
                break  # else it was faster than we are
        _, err = p.communicate(timeout=LIMIT)
        self.assertNotEqual(p.returncode, 0)
        self.assertEqual(len(parts(part_in)), 1)
        return err.decode()

    def go_on(self, source, target, directory, there):
        old = os.stat(os.path.join(directory, parts(directory)[0])).st_ino
        self.cp(source, target)
        self.whole()
        self.assertEqual(os.stat(there).st_ino, old)  # it was gone on with
        subprocess.run(["cmp", self.here("a"), there], check=True)

    def test_cut_and_gone_on_with(self):
        self.write(self.here("a"), os.urandom(64 * MIB))
        for end in (lambda p: self.door.cut(), lambda p: p.kill(),
                    lambda p: p.terminate()):
            target = "vm1:" + self.there("b")
            self.write(self.there("b"), b"old")
            err = self.interrupted(
                lambda: self.start("cp", self.here("a"), target),
                self.there(), end)
            if err:
                self.assertIn("the connection was cut", err)
                self.assertIn("kept as", err)
            self.assertEqual(self.read(self.there("b")), b"old")
            self.go_on(self.here("a"), target, self.there(), self.there("b"))

            source, target = target, self.here("c")
            err = self.interrupted(
                lambda: self.start("cp", source, target), self.here(), end)
            self.assertFalse(os.path.exists(target))
            self.go_on(source, target, self.here(), target)
            os.unlink(target)

    def test_rest_of_something_else(self):
        """What is begun is damaged: it is seen, and begun anew."""
        self.write(self.here("a"), os.urandom(32 * MIB))
        self.interrupted(lambda: self.start("cp", self.here("a"), "vm1:" +
                                            self.there("b")),
                         self.there(), lambda p: self.door.cut())
        part = self.there(parts(self.there())[0])
        with open(part, "r+b") as f:
            f.write(b"damaged")
        self.cp(self.here("a"), "vm1:" + self.there("b"))
        subprocess.run(["cmp", self.here("a"), self.there("b")], check=True)
        self.whole()

    def test_bad_luck(self):
        self.write(self.here("a"), b"data")
        self.assertIn("the directory does not exist", self.cp(
            self.here("a"), "vm1:" + self.there("no", "b"), code=1))
        self.assertIn("No such file", self.cp(
            "vm1:" + self.there("no"), self.here("b"), code=1))
        self.assertIn("No such file", self.cp(
            self.here("no"), "vm1:" + self.there("b"), code=1))
        self.assertIn("No such file", self.cp(
            "vm1:" + self.there(), self.here("no", "b"), "-r", code=1))
        os.mkdir(self.there("d"))
        self.assertIn("Not a directory", self.cp(
            self.here("a"), self.here("a"), "vm1:" + self.there("b"), code=1)
            if not self.write(self.there("b"), b"") else "")
        self.whole()

    def test_no_session(self):
        self.write(self.here("a"), b"data")
        err = self.cp(self.here("a"), "nobody:b", code=255)
        self.assertIn("partition unknown", err)
        self.door.cut()
        self.end_kept()
        out, err = self.run_verb("cp", self.here("a"), "vm1:b", code=255,
                                 options=self.login("other"))
        self.assertIn("Permission denied", err)

    def test_wrong_words(self):
        for words in (["a"], ["a", "b"], ["vm1:a", "vm1:b"],
                      ["vm1:a", "vm2:b", "c"], ["a", "vm1:b", "c"],
                      ["--via", "pigeon", "a", "vm1:b"],
                      ["--via", "fcopy", "vm1:b", "a"],
                      ["--via", "fcopy", "-r", "a", "vm1:b"]):
            self.fails("cp", *words, code=2)

    def test_fcopy(self):
        self.write(self.here("a"), b"data")
        err = self.fails("cp", "--via", "fcopy", self.here("a"), "vm1:/tmp/b")
        self.assertIn("partition off", err)


class Full(CpCase):
    """File systems that are full, and that cannot be written to."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in "full", "readonly":
            os.mkdir(cls.path(name))
        with open(cls.subsystem, "w") as f:
            f.write("#!/bin/sh\n"
                    "exec unshare %s --mount sh -c '"
                    "mount -t tmpfs -o size=1m t %s && "
                    "mount -t tmpfs -o ro t %s && "
                    "exec /usr/lib/openssh/sftp-server'\n" % (
                        "" if os.geteuid() == 0 else "--map-root-user",
                        cls.path("full"), cls.path("readonly")))
        os.chmod(cls.subsystem, 0o755)

    @classmethod
    def know(cls, key):
        super().know(key)
        cls.subsystem = cls.path("sftp")
        with open(cls.path("config"), "a") as f:
            f.write("")
        with open(cls.path("config")) as f:
            text = f.read()
        with open(cls.path("config"), "w") as f:
            f.write(text.replace("/usr/lib/openssh/sftp-server",
                                 cls.subsystem))

    def test_full(self):
        self.write(self.here("a"), os.urandom(4 * MIB))
        err = self.cp(self.here("a"), "vm1:" + self.path("full", "a"), code=1)
        self.assertIn("No space left on device", err)

    def test_read_only(self):
        self.write(self.here("a"), b"data")
        err = self.cp(self.here("a"), "vm1:" + self.path("readonly", "a"),
                      code=1)
        self.assertIn("Read-only file system", err)

    def test_full_here(self):
        self.write(self.there("a"), os.urandom(MIB))
        import resource
        p = self.start("cp", "vm1:" + self.there("a"), self.here("a"),
                       preexec_fn=lambda: resource.setrlimit(
                           resource.RLIMIT_FSIZE, (4096, 4096)))
        _, err = p.communicate(timeout=LIMIT)
        self.assertEqual(p.returncode, 1)
        self.assertIn(b"File too large", err)
        self.assertEqual(os.listdir(self.here()), [])


class Liars(CpCase):
    @classmethod
    def setUpClass(cls):
        cls.subsystem = "/bin/false"
        super().setUpClass()

    @classmethod
    def know(cls, key):
        super().know(key)
        with open(cls.path("config")) as f:
            text = f.read()
        with open(cls.path("config"), "w") as f:
            f.write(text.replace("/bin/false", "%s %s %s" % (
                sys.executable, os.path.join(HERE, "liar.py"),
                cls.path("scenario"))))

    def lie(self, scenario, *words, code=1):
        with open(self.path("scenario"), "w") as f:
            f.write(scenario)
        err = self.cp(*words, code=code)
        self.assertNotIn("\x1b", err)
        return err

    def test_honest(self):
        self.lie("none", "vm1:/d/f", self.here("f"), code=0)
        self.assertEqual(self.read(self.here("f")), b"\0" * 4)

    def test_names(self):
        for scenario, refused in (("dotdot", 1), ("slash", 2), ("newline", 1),
                                  ("nul", 2), ("long", 1), ("escape", 1)):
            err = self.lie(scenario, "-r", "vm1:/d", self.here("d"))
            self.assertEqual(err.count("refused, and left out"), refused,
                             scenario + ": " + err)
            self.assertEqual([n for n in os.listdir(self.here("d"))
                              if "evil" in n.replace("..evil", "")], [])
            self.assertEqual(os.listdir(self.here()), ["d"])
            shutil.rmtree(self.here("d"))

    def test_depth(self):
        err = self.lie("endless", "-r", "vm1:/d", self.here("d"))
        self.assertIn("Too many levels", err)

    def test_link_in_the_way(self):
        """A link of ours is not followed where the guest says directory."""
        os.mkdir(self.here("d"))
        os.mkdir(self.here("target"))
        os.symlink(self.here("target"), self.here("d", "planted"))
        self.lie("planted", "-r", "vm1:/d", self.here())
        self.assertEqual(os.listdir(self.here("target")), [])

    def test_answers(self):
        for scenario in ("version", "banner", "frame", "wrong-id",
                         "wrong-type"):
            err = self.lie(scenario, "vm1:/d/f", self.here("f"),
                           code=1 if "wrong" in scenario else 255)
            self.assertIn("no sftp server's answer", err, scenario)
        for scenario in ("no-size", "huge", "handle", "too-much", "nothing",
                         "lying-length"):
            err = self.lie(scenario, "vm1:/d/f", self.here("f"))
            self.assertIn("no sftp server's answer", err, scenario)
        for scenario in "empty-answers", "many-names":
            err = self.lie(scenario, "-r", "vm1:/d", self.here("d"))
            self.assertIn("no sftp server's answer", err, scenario)
        self.assertIn("cut", self.lie("cut", "vm1:/d/f", self.here("f")))
        self.assertIn("regular", self.lie("pipe", "vm1:/d/f",
                                          self.here("f")))
        self.assertFalse(os.path.exists(self.here("f")))

    def test_more_than_it_said(self):
        err = self.lie("flood", "vm1:/d/f", self.here("f"))
        self.assertIn("it has changed while it was copied", err)
        err = self.lie("unsized", "vm1:/d/f", self.here("f"))
        self.assertIn("File too large", err)
        self.assertEqual(os.listdir(self.here()), [])

    def test_refusals_without_end(self):
        err = self.lie("refusals", "-r", "vm1:/d", self.here("d"))
        self.assertIn("no sftp server's answer", err)
        self.assertLess(err.count("\n"), 1500)

    def test_part_of_somebody_else(self):
        """What lies where ours would, and is another user's, is left."""
        self.write(self.here("a"), b"\0" * 4)
        self.lie("planted-part", self.here("a"), "vm1:/d/new", code=0)

    def test_damage(self):
        self.write(self.here("a"), b"abcd")
        err = self.lie("forget", self.here("a"), "vm1:/d/new")
        self.assertIn("checksums differ", err)


if __name__ == "__main__":
    unittest.main()
