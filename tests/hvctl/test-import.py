#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""partition import libvirt: libvirt's own test driver, by virsh

The test driver keeps its domains within each virsh, and reads them from a
file, so that a changed file is what changed domains are; it tells no other
process of events. For --watch a script stands in front of virsh: it makes
events of what is written to a pipe, and gives all else to virsh.
"""
import json
import os
import shutil
import signal
import stat
import subprocess
import time
import unittest

from broker import Case, HVCTL, LIMIT

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db18%02d"


def domain(number, name, vsock="<vsock model='virtio'><cid auto='no' "
           "address='%d'/></vsock>", cid=None, running=True):
    return """
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>%s</name><uuid>%s</uuid>
    <memory>1024</memory>
    <os><type>hvm</type></os>
    <devices>%s</devices>
    <test:runstate>%d</test:runstate>
  </domain>""" % (name, UUID % number,
                  vsock % (cid or number) if "%d" in vsock else vsock,
                  1 if running else 5)


class Import(Case):
    def setUp(self):
        self.assertTrue(shutil.which("virsh"), "virsh is not installed "
                        "(Debian: libvirt-clients)")
        self.file = os.path.join(self.broker.top, "host.xml")
        self.uri = "test://" + self.file

    def tearDown(self):
        for p in json.loads(self.hvctl("partition", "list",
                                       "--json"))["partitions"]:
            if p["name"] != "host":
                self.hvctl("partition", "remove", p["id"])

    def domains(self, *texts):
        with open(self.file + "~", "w") as f:
            f.write("<node>%s\n</node>\n" % "".join(texts))
        os.rename(self.file + "~", self.file)

    def run_import(self, *words, code=0):
        return self.hvctl("partition", "import", "libvirt", "--connect",
                          self.uri, *words, code=code)

    def cids(self):
        """name -> CID, or None"""
        return {p["name"]: p.get("cid") for p in json.loads(
            self.hvctl("vm", "list", "--json"))["partitions"]}

    def test_domains(self):
        self.domains(domain(3, "web1"), domain(4, "web 2", cid=77),
                     domain(5, "off", running=False),
                     domain(6, "none", vsock=""),
                     domain(7, "auto", vsock="<vsock><cid auto='yes'/>"
                            "</vsock>"))
        said = self.run_import()
        self.assertEqual(sorted(said.splitlines()), sorted([
            "web1 %s 3" % (UUID % 3), "web 2 %s 77" % (UUID % 4),
            "off %s \u2013" % (UUID % 5), "auto %s \u2013" % (UUID % 7)]))
        self.assertEqual(self.cids(), {"web1": 3, "web 2": 77, "off": None,
                                       "auto": None})
        p = json.loads(self.hvctl("vm", "show", "web1", "--json"))
        self.assertEqual((p["id"], p["kind"], p["origin"]),
                         (UUID % 3, "vm", "volatile"))
        # again: as it was; and what has changed
        self.assertEqual(self.run_import(), said)
        self.domains(domain(3, "web1", running=False),
                     domain(4, "renamed", cid=3))
        self.run_import()
        self.assertEqual(self.cids(), {"web1": None, "renamed": 3,
                                       "off": None, "auto": None})

    def test_a_partition_that_has_a_file(self):
        self.broker.put(self.broker.admin, "partitions", "mine",
                        "# kept\n[Partition]\nVmId=%s\n[Service x]\n"
                        "Policy=disabled\n" % (UUID % 3))
        try:
            self.domains(domain(3, "web1"))
            self.run_import()
            self.assertEqual(self.cids(), {"mine": 3})
            with open(self.broker.file(self.broker.admin, "partitions",
                                       "mine")) as f:
                text = f.read()
            self.assertIn("# kept", text)
            self.assertIn("Cid=3", text)
            self.domains(domain(3, "web1", running=False))
            self.run_import()
            self.assertEqual(self.cids(), {"mine": None})
        finally:
            self.hvctl("partition", "remove", "mine")

    def test_names_that_are_taken_or_none(self):
        self.hvctl("vm", "add", "web1", "--ephemeral")
        self.domains(domain(3, "web1"), domain(4, "a:b"), domain(5, "good"))
        r = self.run_hvctl("partition", "import", "libvirt", "-c", self.uri)
        self.assertEqual(r.returncode, 1)
        errors = r.stderr.decode()
        self.assertIn("web1", errors)
        self.assertIn("a:b", errors)
        self.assertEqual(r.stdout.decode(), "good %s 5\n" % (UUID % 5))

    def test_words(self):
        for words, text in ((("xen",), "xen"), ((), ""),
                            (("libvirt", "more"), "more")):
            r = self.run_hvctl("partition", "import", *words)
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn(text, r.stderr.decode())

    def test_no_virsh_and_no_libvirt(self):
        r = self.run_hvctl("partition", "import", "libvirt",
                           env=self.broker.env(PATH="/nowhere"))
        self.assertEqual((r.returncode, r.stdout), (1, b""))
        self.assertIn(b"there is no virsh", r.stderr)
        r = self.run_hvctl("partition", "import", "libvirt", "--connect",
                           "test:///nowhere/x.xml")
        self.assertEqual((r.returncode, r.stdout), (1, b""))
        self.assertIn(b"virsh: it has failed", r.stderr)

    def test_many(self):
        """More than one virsh is asked about."""
        self.domains(*(domain(n, "vm%d" % n, cid=100 + n)
                       for n in range(10, 90)))
        self.run_import()
        self.assertEqual(self.cids(), {"vm%d" % n: 100 + n
                                       for n in range(10, 90)})

    def test_hostile_virsh(self):
        """Whatever it prints."""
        folder = os.path.join(self.broker.top, "bin")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "virsh")
        good = domain(3, "web1").strip().replace("<domain ", "<domain id='1' ")
        for number, (text, wrong) in enumerate((
                ("<!DOCTYPE domain [<!ENTITY a 'b'>]>" + good, "document type"),
                (good.replace("<name>", "<name>\x1b[31m"), "well-formed"),
                (good.replace("<name>", "<name>&#10;"), "control char"),
                (good.replace("<name>", "<name>\u0085"), "control char"),
                (good + "<domain/>", "no name"),
                ("<domain>" * 100000, "too deep"),
                ("\0" * 100, "line 1"),
                (good.replace("'3'", "'99999999999999999999'"), "CID"))):
            with open(os.path.join(folder, "text"), "w") as f:
                f.write(text)
            with open(path, "w") as f:
                f.write("#!/bin/sh\ncase \"$*\" in\n*list*) "
                        "echo '%s'; echo 'x; quit'; echo;;\n"
                        "*) cat %s/text;;\nesac\n" % (UUID % 3, folder))
            os.chmod(path, 0o755)
            r = self.run_hvctl("partition", "import", "libvirt", env=dict(
                self.broker.env(), PATH=folder + ":" + os.environ["PATH"]))
            self.assertEqual(r.returncode, 1, text[:100])
            self.assertIn(wrong, r.stderr.decode(), text[:100])
            self.assertNotIn(b"\x1b", r.stderr + r.stdout)

    def wait_for(self, cids):
        end = time.monotonic() + LIMIT
        while self.cids() != cids:
            self.assertLess(time.monotonic(), end, self.cids())
            time.sleep(0.02)  # between two looks

    def test_watch(self):
        real = shutil.which("virsh")
        folder = os.path.join(self.broker.top, "watch")
        os.makedirs(folder)
        pipe = os.path.join(folder, "events")
        os.mkfifo(pipe)
        path = os.path.join(folder, "virsh")
        with open(path, "w") as f:
            f.write("#!/bin/sh\ncase \"$*\" in\n"
                    "*event*) echo >>%s-starts; exec cat %s;;\n"
                    "*) exec %s \"$@\";;\nesac\n" % (pipe, pipe, real))
        os.chmod(path, 0o755)
        self.domains(domain(3, "one"), domain(4, "two", running=False))
        env = dict(self.broker.env(),
                   PATH=folder + ":" + os.environ["PATH"])
        p = subprocess.Popen([HVCTL, "partition", "import", "libvirt",
                              "--connect", self.uri, "--watch"], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            with open(pipe, "w") as events:
                def happens(*texts):
                    self.domains(*texts)
                    events.write("event 'lifecycle' for domain 'x'\n")
                    events.flush()
                self.wait_for({"one": 3, "two": None})
                # the CID of one that has stopped is another's
                happens(domain(3, "one", running=False),
                        domain(4, "two", cid=3))
                self.wait_for({"one": None, "two": 3})
                happens(domain(3, "one"), domain(4, "two"),
                        domain(5, "three"))
                self.wait_for({"one": 3, "two": 4, "three": 5})
                # undefined
                happens(domain(4, "two"), domain(5, "three"))
                self.wait_for({"two": 4, "three": 5})
                # libvirt is not there for a while: nothing is forgotten
                os.rename(self.file, self.file + "-away")
                events.write("event\n")
                events.flush()
                while b"virsh: it has failed" not in p.stderr.readline():
                    pass
                self.assertEqual(self.cids(), {"two": 4, "three": 5})
                happens(domain(4, "two", cid=44))
                self.wait_for({"two": 44})
            # virsh has ended, and is started again
            end = time.monotonic() + LIMIT
            while os.path.getsize(pipe + "-starts") < 2:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.02)  # between two looks
            with open(pipe, "w") as events:
                self.domains(domain(4, "two", cid=45))
                self.wait_for({"two": 45})
        finally:
            p.send_signal(signal.SIGTERM)
            said = p.communicate(timeout=LIMIT)[0].decode()
        self.assertEqual(p.returncode, 0)
        self.assertEqual(said.splitlines()[:2],
                         ["two %s \u2013" % (UUID % 4), "one %s 3" % (UUID % 3)])


if __name__ == "__main__":
    unittest.main()
