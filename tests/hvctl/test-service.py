#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl service: files, overrides, masks, volatile registrations, .reg."""
import os
import re
import resource
import shutil
import subprocess
import unittest
import uuid

from broker import HVCTL, LIMIT, Case

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n\Z")
KEY = ("HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
       "\\Virtualization\\GuestCommunicationServices")


def read(path):
    with open(path) as f:
        return f.read()


def reg(*entries):
    text = "Windows Registry Editor Version 5.00\r\n\r\n"
    for guid, name in entries:
        text += "[%s\\%s]\r\n" % (KEY, guid)
        if name:
            text += '"ElementName"="%s"\r\n' % name
        text += "\r\n"
    return text


class Service(Case):
    def path(self, stem):
        return self.broker.file(self.broker.admin, "services", stem)

    def effective(self, name):
        return self.json("service", "show", name)["effective"]

    def test_add_prints_the_id_alone(self):
        out = self.hvctl("service", "add", "alone")
        self.assertRegex(out, GUID)
        self.assertTrue(os.path.exists(self.path("alone")))
        shown = self.json("service", "show", "alone")
        self.assertEqual(shown["id"], out.strip())
        self.assertEqual(shown["path"], self.path("alone"))
        # by GUID in any spelling
        for spelling in (out.strip().upper(), "{%s}" % out.strip()):
            self.assertEqual(self.json("service", "show", spelling), shown)

    def test_add_with_everything(self):
        guid = str(uuid.uuid4())
        out = self.hvctl("service", "add", "My Vault", "--id", guid.upper(),
                         "--port", "5005", "--policy", "enabled",
                         "--bind", "user:0 user:1000", "--connect", "any",
                         "--no-wildcard")
        self.assertEqual(out.strip(), guid)
        s = self.json("service", "show", "5005")
        self.assertEqual((s["name"], s["id"], s["port"], s["policy"],
                          s["wildcard"]),
                         ("My Vault", guid, 5005, "enabled", False))
        self.assertIn("user:1000", s["bind"])

    def test_add_with_port_only(self):
        out = self.hvctl("service", "add", "ported", "--port", "6001")
        self.assertEqual(out, "00001771-facb-11e6-bd58-64006a7986d3\n")

    def test_add_target(self):
        self.hvctl("service", "add", "tgt", "--target", "unix:/run/x.sock")
        self.assertIn("/run/x.sock",
                      self.json("service", "show", "tgt")["target"])

    def test_siblings(self):
        self.hvctl("service", "add", "beside", "--port", "6002", "--siblings",
                   "web1 \"web 2\"")
        self.assertIn("Siblings=web1 \"web 2\"", read(self.path("beside")))
        self.assertEqual(self.json("service", "show", "beside")["siblings"],
                         "web1 \"web 2\"")
        self.assertRegex(self.hvctl("service", "show", "beside"),
                         'siblings +web1 "web 2"')
        # kept by whatever else is changed
        self.hvctl("service", "disable", "beside")
        self.assertIn("Siblings=web1", read(self.path("beside")))
        self.hvctl("service", "add", "now", "--port", "6003", "--siblings",
                   "none", "--ephemeral")
        self.assertEqual(self.json("service", "show", "now")["siblings"],
                         "none")

    def test_taken(self):
        guid = self.hvctl("service", "add", "taken").strip()
        before = read(self.path("taken"))
        self.assertIn("is taken by", self.fails("service", "add", "taken"))
        self.assertIn("is taken by", self.fails("service", "add", "other",
                                                "--id", guid))
        self.assertEqual(read(self.path("taken")), before)
        self.assertFalse(os.path.exists(self.path("other")))

    def test_wrong_values_leave_nothing(self):
        for words, part in (
                (["--bind", "nonsense:1"], "nonsense:1"),
                (["--policy", "perhaps"], "perhaps"),
                (["--siblings", "any"], "named one by one"),
                (["--siblings", "group:x"], "group:x"),
                (["--target", "unix:relative"], "relative")):
            err = self.fails("service", "add", "bad", *words)
            self.assertIn(part, err)
            self.assertFalse(os.path.exists(self.path("bad")))
        err = self.fails("service", "add", "a\x1b[2Jb")
        self.assertNotIn("\x1b", err)
        self.assertEqual(self.json("status")["problems"], [])

    def test_ephemeral(self):
        out = self.hvctl("service", "add", "gone", "--ephemeral")
        self.assertRegex(out, GUID)
        self.assertFalse(os.path.exists(self.path("gone")))
        self.assertEqual(self.json("service", "show", "gone")["origin"],
                         "volatile")
        self.hvctl("service", "disable", "gone")
        self.assertEqual(self.effective("gone"), "disabled")
        self.hvctl("service", "enable", "gone")
        self.assertEqual(self.effective("gone"), "enabled")
        self.hvctl("service", "revert", "gone")
        self.assertEqual(self.json("service", "show", "gone")["policy"],
                         "default")
        self.hvctl("service", "remove", "gone")
        self.assertIn("(not found", self.fails("service", "show", "gone"))

    def test_lease_ends_with_its_process(self):
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL) as owner:
            self.hvctl("service", "add", "leased", "--ephemeral", "--lease",
                       str(owner.pid))
            self.json("service", "show", "leased")
            owner.stdin.close()
            owner.wait(LIMIT)
        # it is gone at the next look: the broker asks for the process
        self.fails("service", "show", "leased")

    def copied(self, program):
        """The environment for a copy of it, with our library beside it."""
        where = self.broker.top
        shutil.copy(program, where)
        for line in subprocess.run(["ldd", program], capture_output=True,
                                   text=True, check=True).stdout.split("\n"):
            if "libhvsocket" in line:
                shutil.copy(line.split()[2], where)
        return self.broker.env(LD_LIBRARY_PATH=where)

    def test_no_right_to_write(self):
        if os.geteuid() != 0:
            os.chmod(os.path.dirname(self.path("x")), 0o555)
            self.addCleanup(os.chmod, os.path.dirname(self.path("x")), 0o755)
            err = self.fails("service", "add", "denied")
        else:  # root may write anywhere: be somebody else
            for d in (self.broker.top, self.broker.runtime):
                os.chmod(d, 0o755)
            os.chmod(os.path.join(self.broker.runtime, "control"), 0o666)
            # which may not reach the build's directory: bring things along
            env = self.copied(HVCTL)
            r = subprocess.run(
                [os.path.join(self.broker.top, "hvctl"), "service", "add",
                 "denied"], env=env, user=65534, group=65534,
                extra_groups=[], capture_output=True, timeout=LIMIT,
                cwd="/")
            self.assertEqual((r.returncode, r.stdout), (1, b""))
            err = r.stderr.decode()
        self.assertIn("services.d/denied.conf", err)
        self.assertIn("--ephemeral works without root", err)

    def test_package_file_is_overridden_and_masked(self):
        lower = self.broker.file(self.broker.package, "services", "pack")
        text = "[Service]\nElementName=Pack\nServiceId=%s\n" % uuid.uuid4()
        self.broker.put(self.broker.package, "services", "pack", text)
        self.assertEqual(self.effective("pack"), "enabled")
        self.hvctl("service", "disable", "Pack")
        self.assertEqual(self.effective("Pack"), "disabled")
        self.assertTrue(os.path.exists(self.path("pack")))
        self.assertEqual(read(lower), text)
        self.hvctl("service", "enable", "Pack")
        self.assertEqual(self.effective("Pack"), "enabled")
        self.hvctl("service", "revert", "Pack")
        self.assertFalse(os.path.exists(self.path("pack")))
        self.assertEqual(self.json("service", "show", "Pack")["path"], lower)
        self.hvctl("service", "revert", "Pack")  # nothing left to do
        self.hvctl("service", "remove", "Pack")
        self.assertEqual(os.path.getsize(self.path("pack")), 0)
        self.fails("service", "show", "Pack")
        self.hvctl("service", "revert", "pack")
        self.assertEqual(self.json("service", "show", "Pack")["path"], lower)
        # an override is removed as a mask: the package's would come back
        self.hvctl("service", "disable", "Pack")
        self.hvctl("service", "remove", "Pack")
        self.assertEqual(os.path.getsize(self.path("pack")), 0)

    def test_own_file(self):
        self.hvctl("service", "add", "own", "--bind", "user:7")
        self.hvctl("service", "disable", "own")
        s = self.json("service", "show", "own")
        self.assertEqual((s["policy"], s["effective"]),
                         ("disabled", "disabled"))
        self.assertIn("user:7", s["bind"])
        self.hvctl("service", "revert", "own")
        self.assertEqual(self.json("service", "show", "own")["policy"],
                         "default")
        self.hvctl("service", "remove", "own")
        self.assertFalse(os.path.exists(self.path("own")))
        self.fails("service", "remove", "own")

    def test_full_disk(self):
        """Nothing of a file fits: the old one survives, with no litter."""
        self.hvctl("service", "add", "full", "--bind", "user:1")
        before = read(self.path("full"))
        names = sorted(os.listdir(os.path.dirname(self.path("full"))))

        def no_space():
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        for words in (["service", "disable", "full"],
                      ["service", "add", "fuller"]):
            r = subprocess.run([HVCTL, *words], env=self.broker.env(),
                               preexec_fn=no_space, capture_output=True,
                               timeout=LIMIT)
            # the signal that goes with the limit must not end it either
            self.assertEqual(r.returncode, 1, r)
            self.assertIn(b".conf: ", r.stderr)
        self.assertEqual(read(self.path("full")), before)
        self.assertEqual(
            sorted(os.listdir(os.path.dirname(self.path("full")))), names)
        self.assertEqual(self.effective("full"), "enabled")

    def test_list(self):
        self.hvctl("service", "add", "breit-ö")
        self.hvctl("service", "add", "narrow")
        lines = self.hvctl("service", "list").splitlines()
        self.assertTrue(lines[0].startswith("SERVICE "))
        at = lines[0].index("ID")
        for line in lines[1:]:
            self.assertRegex(line[at:], r"\A[0-9a-f]{8}-")
        names = [s["name"] for s in self.json("service", "list")["services"]]
        self.assertIn("breit-ö", names)

    def test_show_for_people(self):
        self.hvctl("service", "add", "people", "--ephemeral")
        out = self.hvctl("service", "show", "people")
        self.assertRegex(out, r"(?m)^name +people$")
        self.assertRegex(out, r"(?m)^effective +enabled$")

    def test_import_utf16(self):
        one, two, no_name = (str(uuid.uuid4()) for _ in range(3))
        path = os.path.join(self.broker.top, "in.reg")
        data = reg((one, "Import Öne"), (two.upper(), "Import Two"),
                   (no_name, None))
        with open(path, "wb") as f:
            f.write(b"\xff\xfe" + data.encode("utf-16-le"))
        out = self.hvctl("service", "import", path)
        self.assertEqual(out.count("added "), 3, out)
        self.assertEqual(self.json("service", "show", one)["name"],
                         "Import Öne")
        self.assertEqual(self.json("service", "show", no_name)["name"],
                         "service-" + no_name[:8])
        again = self.hvctl("service", "import", path)
        self.assertEqual(again.count("kept "), 3, again)
        # and out again: what was read comes back
        out = os.path.join(self.broker.top, "out.reg")
        self.hvctl("service", "export", out, one, two)
        with open(out, "rb") as f:
            written = f.read()
        self.assertEqual(written[:2], b"\xff\xfe")
        text = written.decode("utf-16")
        self.assertTrue(text.startswith(
            "Windows Registry Editor Version 5.00\r\n"))
        self.assertIn('"ElementName"="Import Öne"', text)
        self.assertIn(KEY + "\\" + two, text)
        self.assertNotIn(no_name, text)
        utf8 = self.hvctl("service", "export", "--utf8", "-")
        self.assertIn(no_name, utf8)
        # deletes
        gone = data.replace("[HKEY", "[-HKEY")
        out = self.hvctl("service", "import", "-", input=gone)
        self.assertEqual(out.count("removed "), 3, out)
        # and what was written is read: the round is closed
        path = os.path.join(self.broker.top, "out.reg")
        self.assertEqual(self.hvctl("service", "import",
                                    path).count("added "), 2)
        self.assertEqual(self.json("service", "show", one)["name"],
                         "Import Öne")
        self.hvctl("service", "export", path + "2", one, two)
        with open(path + "2", "rb") as f:
            self.assertEqual(f.read(), written)
        for service in one, two:
            self.hvctl("service", "remove", service)
        self.fails("service", "show", one)

    def test_import_same_name(self):
        one, two = str(uuid.uuid4()), str(uuid.uuid4())
        out = self.json("service", "import", "-",
                        input=reg((one, "Twin"), (two, "Twin")))
        self.assertEqual([s["name"] for s in out["services"]],
                         ["Twin", "Twin-" + two[:8]])

    def test_import_broken_changes_nothing(self):
        guid = str(uuid.uuid4())
        err = self.fails("service", "import", "-",
                         input=(reg((guid, "Half"))
                                + '"ElementName"="x').encode())
        self.assertRegex(err, r"hvctl: service import: -:\d+: ")
        self.fails("service", "show", guid)
        self.assertIn("No such file",
                      self.fails("service", "import", "/nonexistent.reg"))

    def test_export_full_disk(self):
        r = subprocess.run("exec '%s' service export - > /dev/full" % HVCTL,
                           shell=True, env=self.broker.env(),
                           capture_output=True, timeout=LIMIT)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"No space left on device", r.stderr)

    def test_conflicting_file_is_reported(self):
        """A change that the broker does not take is told with its reason."""
        guid = str(uuid.uuid4())
        self.broker.put(self.broker.admin, "services", "conflict-a",
                        "[Service]\nServiceId=%s\n" % guid)
        self.broker.put(self.broker.admin, "services", "conflict-b",
                        "[Service]\nServiceId=%s\n" % guid)
        problems = self.json("reload")["problems"]
        self.assertEqual(len(problems), 2)
        self.assertIn("problem: ", self.hvctl("reload"))
        self.assertIn("conflict-a.conf", self.hvctl("status"))
        err = self.fails("service", "add", "third", "--id", guid)
        self.assertIn("third", err)
        self.assertFalse(os.path.exists(self.path("third")))
        for stem in "conflict-a", "conflict-b":
            os.unlink(self.path(stem))


if __name__ == "__main__":
    unittest.main()
