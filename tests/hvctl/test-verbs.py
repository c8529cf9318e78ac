#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl partition, vm, container, the verbs that show, and wrong words."""
import json
import os
import shutil
import socket
import stat
import subprocess
import unittest
import uuid

from broker import CLEAN, HVCTL, LIMIT, Case


class Verbs(Case):
    def partition_file(self, stem):
        return self.broker.file(self.broker.admin, "partitions", stem)

    def test_partition_permanent(self):
        out = self.hvctl("partition", "add", "Perm")
        path = self.partition_file("perm")
        p = self.json("partition", "show", "Perm")
        self.assertEqual((p["id"] + "\n", p["path"]), (out, path))
        self.assertEqual(self.hvctl("partition", "id", "perm"), out)
        self.assertIn("is taken by", self.fails("partition", "add", "Perm"))
        self.hvctl("partition", "set", "Perm", "--enabled", "no")
        self.assertFalse(self.json("partition", "show", "Perm")["enabled"])
        p = self.json("partition", "set", "Perm", "--name", "Renamed",
                      "--enabled", "yes")
        self.assertEqual((p["name"], p["enabled"], p["path"]),
                         ("Renamed", True, path))
        self.hvctl("partition", "remove", "Renamed")
        self.assertFalse(os.path.exists(path))
        self.fails("partition", "show", "Renamed")

    def test_partition_set_keeps_the_rest(self):
        vmid = str(uuid.uuid4())
        text = ("# by hand\n[Partition]\nVmId=%s\n\n[Defaults]\n"
                "Policy=enabled\n" % vmid)
        self.broker.put(self.broker.package, "partitions", "hand", text)
        self.hvctl("partition", "set", "hand", "--name", "byhand")
        with open(self.partition_file("hand")) as f:
            self.assertEqual(f.read(), text.replace(
                "[Partition]\n", "[Partition]\nName=byhand\n"))
        self.hvctl("partition", "remove", "byhand")
        self.assertEqual(os.path.getsize(self.partition_file("hand")), 0)
        self.fails("partition", "show", vmid)

    def test_partition_sibling_cid(self):
        for name, how in (("file", []), ("volatile", ["--ephemeral"])):
            self.hvctl("container", "add", name, "--sibling-cid", "77", *how)
            p = self.json("partition", "show", name)
            self.assertEqual(p["sibling_cid"], 77)
            p = self.json("partition", "set", name, "--sibling-cid", "78")
            self.assertEqual((p["sibling_cid"], p["name"]), (78, name))
            p = self.json("partition", "set", name, "--sibling-cid", "none")
            self.assertNotIn("sibling_cid", p)
            self.fails("partition", "set", name, "--sibling-cid", "2",
                       code=2)
            self.hvctl("partition", "remove", name)
        self.fails("container", "add", "x", "--sibling-cid", "4294967295",
                   code=2)

    def test_partition_ephemeral(self):
        vmid = str(uuid.uuid4())
        self.hvctl("vm", "add", "eph", "--ephemeral", "--id",
                   "{%s}" % vmid.upper())
        self.hvctl("container", "add", "box", "--ephemeral", "--parent",
                   "eph")
        self.assertEqual(self.hvctl("vm", "id", "eph"), vmid + "\n")
        self.assertEqual(self.json("partition", "show", "box")["parent"],
                         "eph")
        kinds = {name: {p["name"] for p in
                        self.json(name, "list")["partitions"]}
                 for name in ("vm", "container", "partition")}
        self.assertIn("eph", kinds["vm"])
        self.assertNotIn("box", kinds["vm"])
        self.assertEqual(kinds["container"], {"box"})
        self.assertLessEqual({"host", "eph", "box"}, kinds["partition"])
        self.assertIn("this is a container, not a vm",
                      self.fails("vm", "show", "box"))
        self.assertRegex(self.hvctl("container", "list"),
                         r"\ANAME .*\nbox .*container +eph .*\n\Z")
        self.hvctl("partition", "set", "box", "--enabled", "no")
        self.assertIn(" disabled ", self.hvctl("container", "list"))
        self.hvctl("container", "remove", "box")
        self.hvctl("vm", "remove", "eph")
        self.fails("partition", "remove", "eph")

    def test_partition_id_from_container(self):
        text = "3f1c9e0b7d"
        ns = uuid.UUID("cab70344-facb-41e4-b5e5-ab6592283e6e")
        # uuid5() wants text in UTF-8: take it apart
        import hashlib
        h = hashlib.sha1(ns.bytes + text.upper().encode("utf-16-le"))
        want = uuid.UUID(bytes=h.digest()[:16], version=5)
        self.assertEqual(self.hvctl("partition", "id", "--from-container",
                                    text), "%s\n" % want)

    def test_host_stays(self):
        self.fails("partition", "remove", "host")
        self.fails("partition", "set", "host", "--name", "x")

    def test_status(self):
        s = self.json("status")
        self.assertEqual(s["runtime_dir"], self.broker.runtime)
        self.assertEqual(s["services_dir"],
                         os.path.join(self.broker.admin, "services.d"))
        out = self.hvctl("status")
        self.assertIn("pid %d" % s["pid"], out)
        self.assertIn(self.broker.admin, out)
        self.broker.put(self.broker.admin, "services", "broken",
                        "[Service]\nNonsense=\x01\n")
        out = self.hvctl("status")
        self.assertRegex(out, r"(?m)^problem: .*/broken\.conf:2: ")
        self.assertNotIn("\x01", out)
        os.unlink(self.broker.file(self.broker.admin, "services", "broken"))

    def test_counters_have_names(self):
        self.hvctl("service", "add", "counted", "--ephemeral")
        self.fails("nc", "host:counted", stdin=subprocess.DEVNULL)
        out = self.hvctl("status")
        self.assertRegex(out, r"(?m)^counted +0 +no listener [1-9]")
        self.assertRegex(self.hvctl("service", "show", "counted"),
                         r"(?m)^refused +.*[1-9]")

    def test_listeners_and_connections(self):
        self.hvctl("service", "add", "busy", "--ephemeral")
        server = self.popen("nc", "-l", "host:busy", stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
        self.hvctl("wait", "host:busy", "-t", str(LIMIT))
        found = self.json("listeners")["listeners"]
        self.assertEqual([l["service_name"] for l in found], ["busy"])
        self.assertRegex(self.hvctl("listeners"),
                         r"(?m)^host +\S+ +busy +stream ")
        client = self.popen("nc", "host:busy", stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
        server.stdin.write(b"x")
        server.stdin.flush()
        self.assertEqual(client.stdout.read(1), b"x")
        found = [c for c in self.json("connections")["connections"]
                 if c.get("service_name") == "busy"]
        self.assertEqual([c["state"] for c in found], ["connected"])
        self.assertRegex(self.hvctl("connections"),
                         r"(?m)^\S+ +\S+ +busy +stream +connected ")
        for p in client, server:
            p.stdin.close()
        for p in client, server:
            self.assertEqual(p.wait(LIMIT), 0)

    def test_explain(self):
        self.hvctl("service", "add", "why", "--ephemeral", "--connect",
                   "none")
        self.hvctl("partition", "add", "asker", "--ephemeral")
        out = self.hvctl("explain", "--from", "asker", "host:why", code=1)
        self.assertRegex(out, r"\Ano: .+ \(connect denied, EACCES\)\n")
        self.assertIn("decided by: ", out)
        self.assertIn("what would change it: ", out)
        self.assertIn("broker: " + self.broker.runtime, out)
        r = self.run_hvctl("explain", "--json", "--from", "asker",
                           "host:why")
        self.assertEqual((r.returncode, json.loads(r.stdout)["allowed"]),
                         (1, False))
        out = self.hvctl("explain", "--bind", "wildcard:why")
        self.assertTrue(out.startswith("yes"), out)
        self.hvctl("explain", "--bind", "--uid", "0", "--raw",
                   "wildcard:why")
        self.fails("explain", "--from", "nobody-here", "host:why")

    def test_wait_gives_up(self):
        self.hvctl("service", "add", "never", "--ephemeral")
        err = self.fails("wait", "host:never", "--timeout", "0.05")
        self.assertIn("host:never", err)

    def test_attach(self):
        name = "hvsocket-test-transport"
        path = os.path.join(self.broker.top, name)
        with open(path, "w") as f:
            f.write("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 5\n")
        os.chmod(path, stat.S_IRWXU)
        env = self.broker.env(HVSOCKET_LIBEXECDIR=self.broker.top)
        out = self.hvctl("attach", "test-transport", "--partition", "a b",
                         "--json", "--", "-h", code=5, env=env)
        self.assertEqual(out, "--partition\na b\n--json\n--\n-h\n")
        self.assertIn("no such transport",
                      self.fails("attach", "other", env=env))
        self.assertIn("not the name",
                      self.fails("attach", "../x", env=env, code=2))

    def test_attach_from_a_build_tree(self):
        """Beside hvctl's own directory, without being told."""
        top = os.path.join(self.broker.top, "tree")
        for sub in "hvctl", "transport":
            os.makedirs(os.path.join(top, "src", sub))
        hvctl = shutil.copy(HVCTL, os.path.join(top, "src", "hvctl"))
        path = os.path.join(top, "src", "transport", "hvsocket-beside")
        with open(path, "w") as f:
            f.write("#!/bin/sh\necho it is $1\n")
        os.chmod(path, stat.S_IRWXU)
        lib = os.path.join(os.path.dirname(HVCTL), "..", "lib")
        out = subprocess.run([hvctl, "attach", "beside", "this"],
                             env={**CLEAN, "LD_LIBRARY_PATH": lib},
                             capture_output=True, timeout=LIMIT, check=True)
        self.assertEqual(out.stdout, b"it is this\n")

    def test_no_broker(self):
        env = self.broker.env(HVSOCKET_RUNTIME_DIR="/nonexistent/dir")
        for words in (["status"], ["service", "list"], ["wait", "host:x"],
                      ["explain", "host:x"], ["as", "host", "--", "true"],
                      ["service", "add", "x"]):
            self.assertIn("(no broker; broker /nonexistent/dir)",
                          self.fails(*words, env=env))
        self.assertIn("(no broker", self.fails(
            "nc", "host:x", env=env, stdin=subprocess.DEVNULL))

    def test_long_runtime_directory(self):
        """Longer than a socket's address may be."""
        deep = os.path.join(self.broker.top, *["d" * 50] * 3)
        os.makedirs(deep)
        link = os.path.join(deep, "r")
        os.symlink(self.broker.runtime, link)
        self.json("status", env=self.broker.env(HVSOCKET_RUNTIME_DIR=link))

    def test_closed_output(self):
        for target, message in (("/dev/full", b"No space left"),):
            with open(target, "wb") as out:
                r = subprocess.run([os.environ["HVCTL"], "status"],
                                   env=self.broker.env(), stdout=out,
                                   stderr=subprocess.PIPE, timeout=LIMIT)
            self.assertEqual(r.returncode, 1)
            self.assertIn(message, r.stderr)

    def test_hostile_broker(self):
        """Answers that are none are told, and end nothing."""
        top = os.path.join(self.broker.top, "hostile")
        os.makedirs(top)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(LIMIT)
        s.bind(os.path.join(top, "control"))
        s.listen(8)
        self.addCleanup(s.close)
        env = {**CLEAN, "HVSOCKET_RUNTIME_DIR": top}
        hello = (b"\0" * 8 + (1).to_bytes(4, "little")
                 + (65536).to_bytes(4, "little") + b"\1" * 16 + b"\0" * 16)
        for answer in (b"", b"x", b"\6\x80\0\0\0\0\0\0",
                       b"\6\x80\0\0SSSS" + b"\0" * 8 + b"[1]",
                       b"\6\x80\0\0SSSS" + b"\0" * 8 + b"{" * 3000,
                       b"\6\x80\1\0SSSS" + b"\0" * 8,
                       b"\6\x80\0\0SSSS\x05\0\0\0\x13\0\0\0\x1b[2Jno\xff"):
            p = self.popen("status", env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
            conn, _ = s.accept()
            with conn:
                conn.settimeout(LIMIT)
                ask = conn.recv(65536)
                conn.send(b"\1\x80\0\0" + ask[4:8] + hello)
                ask = conn.recv(65536)
                self.assertEqual(json.loads(ask[8:]), {"method": "status"})
                if answer:
                    conn.send(answer.replace(b"SSSS", ask[4:8]))
            out, err = p.communicate(timeout=LIMIT)
            self.assertEqual((p.returncode, out), (1, b""), answer)
            self.assertTrue(err.startswith(b"hvctl: status: "), err)
            self.assertNotIn(b"\x1b", err)

    WRONG = (
        ([], "a verb is missing"),
        (["frob"], "frob: unknown verb"),
        (["service"], "service: a verb is missing"),
        (["vm", "frob"], "vm frob: unknown verb"),
        (["service", "add"], "too few words"),
        (["service", "add", "a", "b"], "one word too many: b"),
        (["service", "add", "a", "--id", "xyz"], "--id xyz: not a GUID"),
        (["service", "add", "a", "--port", "-1"], "--port -1: not a number"),
        (["service", "add", "a", "--lease", "1"], "--ephemeral only"),
        (["service", "add", "a", "--ephemeral", "--lease", "0"],
         "not a process id"),
        (["service", "add", "a", "--target", "/x"], "not unix:PATH"),
        (["service", "add", ""], "a name is not empty"),
        (["service", "list", "--jso"], "--jso: unknown option"),
        (["service", "list", "--json=1"], "takes no argument"),
        (["partition", "add", "a", "--kind", "host"], "not vm or container"),
        (["vm", "add", "a", "--kind", "container"], "vm is another kind"),
        (["partition", "id"], "either a name or"),
        (["partition", "id", "a", "--from-container", "b"],
         "either a name or"),
        (["partition", "id", "--from-container", "\x07"], "\\x07"),
        (["partition", "set", "a"], "nothing to set"),
        (["partition", "set", "a", "--enabled", "maybe"], "not yes or no"),
        (["nc"], "too few words"),
        (["nc", "web1"], "not PARTITION:SERVICE"),
        (["nc", "a:b", "--timeout", "301"], "up to 300"),
        (["nc", "-l", "--wait", "a:b"], "--listen goes with neither"),
        (["nc", "-lz", "a:b"], "-lz: unknown option"),
        (["forward", "tcp:1", "a:b"], "HOST:PORT"),
        (["forward", "a:b", "tcp:h:0"], "port 0"),
        (["forward", "a:b", "unix:" + "x" * 108], "107 bytes"),
        (["wait", "a:b", "-t", "0"], "--timeout 0"),
        (["explain", "a"], "not PARTITION:SERVICE"),
        (["explain", "a:b", "--uid", "root"], "--uid root: not a number"),
        (["as", "host"], "a command is missing after --"),
        (["as", "host", "--"], "a command is missing after --"),
        (["as", "--partition", "x", "host", "--", "true"],
         "--private only"),
        (["as", "--profile", "x", "host", "--", "true"],
         "--profile x: there are default and windows"),
        (["help", "frob"], "frob: unknown verb"),
    )

    def test_wrong_words(self):
        for words, part in self.WRONG:
            with self.subTest(words=words):
                self.assertIn(part, self.fails(*words, code=2))


if __name__ == "__main__":
    unittest.main()
