#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl ssh, shell and exec: statuses, streams, signals, refusals."""
import hashlib
import os
import pty
import signal
import subprocess
import time
import unittest

from broker import LIMIT
from session import HERE, USER, SessionCase

BIG = os.urandom(2 << 20)


class Exec(SessionCase):
    def test_status_and_streams(self):
        out, err = self.exec("sh", "-c", "echo out; echo err >&2; exit 7",
                             code=7)
        self.assertEqual((out, err), (b"out\n", "err\n"))
        self.assertEqual(self.exec("true"), (b"", ""))

    def test_no_such_command(self):
        _, err = self.exec("/no/such", code=127)
        self.assertIn("/no/such", err)

    def test_words_arrive_as_they_are(self):
        words = ["", " a  b ", "$HOME", "it's", '"', "\\", "*", "a\nb", "-n",
                 "`id`", ";", "!!", "~", "\u00e9", "%s%n", "'\\''"]
        out, _ = self.exec("printf", "%s\\0", *words)
        self.assertEqual(out.decode().split("\0")[:-1], words)

    def test_input(self):
        out, _ = self.exec("cat", data=BIG)
        self.assertEqual(out, BIG)
        # the end of what is sent is no end of what comes
        out, _ = self.exec("sh", "-c", "sha256sum; echo still", data=BIG)
        self.assertEqual(out.decode(), "%s  -\nstill\n" %
                         hashlib.sha256(BIG).hexdigest())

    def test_the_second_call_shares_a_connection(self):
        out, _ = self.exec("sh", "-c", "echo $SSH_CONNECTION; echo $PPID")
        self.assertEqual(len(self.kept()), 1)
        self.assertEqual(self.exec("true"), (b"", ""))
        self.assertEqual(len(self.kept()), 1)
        self.exec("true", options=self.login() + ["--fresh"])
        self.assertEqual(len(self.kept()), 1)

    def kept_processes(self):
        """ssh that stays behind for our calls."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    line = f.read()
            except OSError:
                continue
            if self.path("x", "hvsocket").encode() in line and \
                    b"\0-fNM\0" in line:
                found.append(pid)
        return found

    def test_two_first_calls_at_once(self):
        self.end_kept()
        calls = [self.start("exec", "vm1", "--", "echo", str(i))
                 for i in range(4)]
        for i, p in enumerate(calls):
            out, err = p.communicate(timeout=LIMIT)
            self.assertEqual((p.returncode, out, err),
                             (0, b"%d\n" % i, b""))
        self.assertEqual(len(self.kept_processes()), 1)
        self.assertEqual(len(self.kept()), 1)
        self.assertEqual([e for e in os.listdir(self.path("x", "hvsocket"))
                          if "lock" in e], [])

    def test_without_a_directory_for_it(self):
        env = self.environment()
        del env["XDG_RUNTIME_DIR"]
        self.assertEqual(self.exec("echo", "x", env=env)[0], b"x\n")

    def test_kept_connection_that_is_gone(self):
        self.exec("true")
        self.door.cut()
        self.exec("true")

    def marked(self, p, word):
        """Wait until the command says @word."""
        self.assertEqual(p.stdout.readline(), word + b"\n")

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            p = self.start("exec", "vm1", "--", "sh", "-c",
                           "trap 'echo got %s; exit 9' %s; echo up; "
                           "while :; do sleep 0.05; done" % (
                               number.name, number.name[3:]))
            self.marked(p, b"up")
            p.send_signal(number)
            out, err = p.communicate(timeout=LIMIT)
            self.assertEqual((out, p.returncode),
                             (b"got %s\n" % number.name.encode(), 9), err)

    def test_ended_by_a_signal(self):
        p = self.start("exec", "vm1", "--", "sh", "-c",
                       "echo up; exec sleep 600")
        self.marked(p, b"up")
        p.terminate()
        p.communicate(timeout=LIMIT)
        self.assertEqual(p.returncode, 128 + signal.SIGTERM)
        self.assertEqual(self.exec("sh", "-c", "kill -9 $$", code=137)[0], b"")

    def test_nobody_reads(self):
        p = self.start("exec", "vm1", "--", "sh", "-c",
                       "echo up; head -c 10485760 /dev/zero; echo done >&2")
        self.marked(p, b"up")
        # others are not kept waiting, neither by what nobody reads
        self.assertEqual(self.exec("echo", "x")[0], b"x\n")
        out, err = p.communicate(timeout=LIMIT)
        self.assertEqual((len(out), err), (10 << 20, b"done\n"))

    def test_reader_that_leaves(self):
        p = self.start("exec", "vm1", "--", "sh", "-c",
                       "echo up; exec cat /dev/zero")
        self.marked(p, b"up")
        p.stdout.close()
        p.stdout = None
        p.communicate(timeout=LIMIT)
        self.assertNotEqual(p.returncode, 0)

    def test_terminal(self):
        leader, follower = pty.openpty()
        p = self.start("exec", "vm1", "--", "sh", "-c",
                       "test -t 0 && test -t 1 && echo terminal; read x; "
                       "echo got-$x; stty size; exit 4",
                       stdin=follower, stdout=follower, stderr=follower,
                       start_new_session=True)
        os.close(follower)
        said = b""
        while b"terminal" not in said:
            said += os.read(leader, 1000)
        os.write(leader, b"word\n")
        try:
            while True:
                more = os.read(leader, 1000)
                if not more:
                    break
                said += more
        except OSError:
            pass  # the other end is closed
        p.wait(LIMIT)
        os.close(leader)
        self.assertIn(b"got-word", said)
        self.assertEqual(p.returncode, 4)

    def test_no_terminal(self):
        out, _ = self.exec("sh", "-c", "test -t 1 || echo none")
        self.assertEqual(out, b"none\n")
        out, _ = self.exec("sh", "-c", "test -t 1 && echo one",
                           options=self.login() + ["--terminal"])
        self.assertEqual(out.strip(), b"one")

    def test_cut(self):
        p = self.start("exec", "vm1", "--", "sh", "-c",
                       "echo up; exec sleep 600")
        self.marked(p, b"up")
        self.door.cut()
        p.communicate(timeout=LIMIT)
        self.assertEqual(p.returncode, 255)


class Refusals(SessionCase):
    def refused(self, *words, verb="exec", vm="vm1", **more):
        tail = [vm, "--", "true"] if verb == "exec" else [vm, "true"]
        out, err = self.run_verb(verb, *words, *tail, code=255, **more)
        self.assertEqual(out, b"")
        return err

    def test_no_key(self):
        for verb in "exec", "ssh":
            err = self.refused(verb=verb, options=self.login("other"))
            self.assertIn("Permission denied (publickey)", err)
        self.assertEqual(self.kept(), [])

    def test_wrong_host_key(self):
        with open(self.path("other.pub")) as f, \
                open(self.path("known-other"), "w") as known:
            known.write("hv-%s %s" % (self.vmid, f.read()))
        for verb in "exec", "ssh":
            err = self.refused(verb=verb, options=self.login(
                known="known-other"))
            self.assertIn("HOST IDENTIFICATION HAS CHANGED", err)
            self.assertIn("hv-" + self.vmid, err)

    def test_unknown_host_key(self):
        err = self.refused(options=self.login(known="none"))
        self.assertIn("No ED25519 host key is known for hv-" + self.vmid, err)

    def test_unknown_vm(self):
        for verb in "exec", "ssh":
            err = self.refused(vm="nobody", verb=verb)
            self.assertRegex(err, r"^hvctl: %s nobody: .*"
                             r"\(partition unknown" % verb)

    def test_vm_off_and_no_listener(self):
        self.hvctl("vm", "add", "vm2", "--ephemeral")
        for verb in "exec", "ssh":
            err = self.refused(vm="vm2", verb=verb)
            self.assertRegex(err, r"hvctl: nc .*\((no listener|partition off)")

    def test_disabled(self):
        self.broker.put(self.broker.admin, "services", "session",
                        "[Service]\nElementName=VM Session Service\n"
                        "Port=22\nPolicy=disabled\n")
        try:
            err = self.refused()
        finally:
            os.unlink(self.broker.file(self.broker.admin, "services",
                                       "session"))
        self.assertRegex(err, r"\(disabled")

    def test_wrong_words(self):
        for words in (["exec", "vm1"], ["ssh"], ["shell"],
                      ["exec", "-t", "x", "vm1", "--", "true"],
                      ["exec", "@vm1", "--", "true"],
                      ["exec", "-x@vm1", "--", "true"],
                      ["ssh", "--config", "vm1"]):
            self.fails(*words, code=2)


class Ssh(SessionCase):
    def test_ssh(self):
        out, err = self.run_verb("ssh", "vm1", "-T", "cat; exit 3",
                                 data=b"hello", code=3)
        self.assertEqual((out, err), (b"hello", ""))
        out, _ = self.run_verb("ssh", USER + "@" + self.vmid, "echo", "$USER")
        self.assertEqual(out.decode().strip(), USER)

    def test_shell(self):
        out, _ = self.run_verb("shell", "vm1", data=b"echo $((6 * 7))\n"
                               b"exit 5\n", code=5)
        self.assertEqual(out, b"42\n")

    def test_config(self):
        env = self.environment()
        env["XDG_DATA_HOME"] = self.path("data")
        self.hvctl("vm", "add", "odd * name", "--ephemeral")
        with open(self.path("ssh_config"), "w") as f:
            f.write(self.hvctl("ssh", "--config", env=env))
        with open(self.path("data", "hvsocket", "ssh_config")) as f:
            text = f.read()
        self.assertIn("hv/vm1", text)
        self.assertNotIn("odd", text)
        # a VM that comes later is known all the same
        self.hvctl("vm", "add", "late", "--ephemeral")
        common = ["-F", self.path("ssh_config"), "-i", self.path("user"),
                  *self.login()[4:]]

        def run(*command, code=0):
            r = subprocess.run(command, env=env, stdin=subprocess.DEVNULL,
                               capture_output=True, timeout=LIMIT)
            self.assertEqual(r.returncode, code, r)
            return r.stdout, r.stderr.decode()

        for name in "hv/vm1", "hv%vm1", "hv/" + self.vmid:
            out, _ = run("ssh", *common, "-l", USER, name, "echo hello")
            self.assertEqual(out, b"hello\n")
        _, err = run("ssh", *common, "hv/late", "true", code=255)
        self.assertIn("hvctl: nc", err)
        with open(self.path("big"), "wb") as f:
            f.write(BIG)
        run("scp", "-q", *common, self.path("big"),
            "%s@hv%%vm1:%s" % (USER, self.path("scp")))
        with open(self.path("batch"), "w") as f:
            f.write("put %s %s\n" % (self.path("big"), self.path("sftp")))
        run("sftp", "-q", *common, "-b", self.path("batch"),
            USER + "@hv/vm1")
        for name in "scp", "sftp":
            with open(self.path(name), "rb") as f:
                self.assertEqual(f.read(), BIG, name)


class Named(SessionCase):
    """The service that the package registers."""

    @classmethod
    def know(cls, key):
        super().know(key)
        with open(os.path.join(HERE, "..", "..", "packaging", "services.d",
                               "vm-session.conf")) as f:
            cls.broker.put(cls.broker.package, "services", "vm-session",
                           f.read())

    def test_by_name_and_guid(self):
        for service in ("VM Session Service", "22",
                        "999e53d4-3d5c-4c3e-8779-bed06ec056e1"):
            out, _ = self.run_verb("ssh", "--service", service, "vm1",
                                   "echo", "hello")
            self.assertEqual(out, b"hello\n")

    def test_it_is_shown_by_name(self):
        self.assertIn("VM Session Service", self.hvctl("listeners"))
        p = self.start("ssh", "vm1", "echo up; cat", stdin=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b"up\n")
        self.assertIn("VM Session Service", self.hvctl("connections"))
        p.communicate(b"", timeout=LIMIT)


class Keys(SessionCase):
    def test_credential(self):
        import base64
        out = self.hvctl("ssh", "--install-key", self.path("user.pub"),
                         "--via", "credential", "vm1")
        name, value = out.strip().split("=", 1)
        self.assertEqual(name, "io.systemd.credential.binary:"
                               "ssh.authorized_keys.root")
        with open(self.path("user.pub"), "rb") as f:
            self.assertEqual(base64.b64decode(value), f.read())

    def test_the_guests_side_of_a_key_value_pair(self):
        """sshd asks examples/session/hv-authorized-keys."""
        def record(key, value):
            return key.ljust(512, b"\0") + value.ljust(2048, b"\0")
        with open(self.path("user.pub"), "rb") as f:
            key = f.read().strip()
        with open(self.path("pool"), "wb") as f:
            f.write(record(b"other", b"x") + record(
                b"ssh.authorized_keys." + USER.encode(), key) +
                record(b"ssh.authorized_keys.nobody", b"x") + b"rest")
        script = os.path.join(HERE, "..", "..", "examples", "session",
                              "hv-authorized-keys")
        out = subprocess.run([script, USER, self.path("pool")], check=True,
                             stdout=subprocess.PIPE).stdout
        self.assertEqual(out, key + b"\n")

    def test_units_run_what_is_tested(self):
        top = os.path.join(HERE, "..", "..", "examples", "session")
        with open(os.path.join(top, "sshd-vsock.socket")) as f:
            self.assertIn("ListenStream=vsock::22\n", f.read())
        with open(os.path.join(top, "sshd-vsock@.service")) as f:
            self.assertIn("sshd -i\nStandardInput=socket\n", f.read())

    def test_not_a_public_key(self):
        for data in ("", "hello\n", "ssh-ed25519\n", "ssh-rsa AAAA\x1b[m\n",
                     "ssh-rsa AAAA " + "x" * 3000, "ssh-rsa AAAA\nssh-rsa B"):
            with open(self.path("bad"), "w") as f:
                f.write(data)
            self.fails("ssh", "--install-key", self.path("bad"), "vm1")
        self.assertIn("private key", self.fails(
            "ssh", "--install-key", self.path("user"), "vm1"))
        self.fails("ssh", "--install-key", self.path("none"), "vm1")

    def test_no_such_way(self):
        self.fails("ssh", "--install-key", self.path("user.pub"), "--via",
                   "pigeon", "vm1", code=2)
        # a partition without VMBus has no key-value pairs
        self.fails("ssh", "--install-key", self.path("user.pub"), "vm1")


if __name__ == "__main__":
    unittest.main()
