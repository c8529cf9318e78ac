#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Status, signals, descriptors, identities, and daemons that are left."""
import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from case import HVCTL, LIMIT, TOOL, Case


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f
                    if ":\t" in line)


class Life(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for words in (["partition", "add", "web1", "--ephemeral"],
                      ["service", "add", "five", "--port", "5000"]):
            subprocess.run([HVCTL, *words], env=cls.broker.env(), check=True,
                           stdout=subprocess.DEVNULL, timeout=LIMIT)

    def ready(self, *options, **more):
        """A program that waits. Its hvctl, and its pid."""
        p = self.popen("as", *options, "host", "--", TOOL, "wait",
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        pid = int(p.stdout.readline().split()[1])
        return p, pid

    def gone(self, *fds):
        watch = select.poll()
        for fd in fds:
            watch.register(fd, select.POLLIN)
        for fd in fds:
            self.assertTrue(watch.poll(LIMIT * 1000), "it is still there")
            watch.unregister(watch.poll(0)[0][0])

    def test_status(self):
        for more in (), ("--private",):
            self.hvctl("as", *more, "host", "--", TOOL, "exit", "0")
            self.hvctl("as", *more, "host", "--", TOOL, "exit", "7", code=7)
            for sig in signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1:
                self.hvctl("as", *more, "host", "--", TOOL, "kill", str(+sig),
                           code=-sig)

    def test_signals_are_passed_on(self):
        for more in (), ("--private",):
            p, _ = self.ready(*more)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(LIMIT), 42)
            p, _ = self.ready(*more)
            p.send_signal(signal.SIGUSR1)
            self.assertEqual(p.wait(LIMIT), -signal.SIGUSR1)

    def test_the_terminal_s_group(self):
        """The program is in hvctl's, its supervisor is not."""
        p, pid = self.ready(start_new_session=True)
        parent = int(status_of(pid)["PPid"])
        self.assertEqual(os.getpgid(pid), p.pid)
        self.assertNotEqual(os.getpgid(parent), p.pid)
        os.killpg(p.pid, signal.SIGTERM)
        # hvctl passes on what somebody sent: twice is once here
        self.assertEqual(p.wait(LIMIT), 42)

    def test_hvctl_is_killed(self):
        p, pid = self.ready()
        supervisor = int(status_of(pid)["PPid"])
        fds = [os.pidfd_open(pid), os.pidfd_open(supervisor)]
        p.kill()
        self.gone(*fds)
        for fd in fds:
            os.close(fd)

    def test_the_supervisor_is_killed(self):
        p, pid = self.ready(stderr=subprocess.PIPE)
        fd = os.pidfd_open(pid)
        os.kill(int(status_of(pid)["PPid"]), signal.SIGKILL)
        self.gone(fd)
        os.close(fd)
        self.assertEqual(p.wait(LIMIT), 1)
        self.assertIn(b"hvsocket-as has ended", p.stderr.read())

    def test_others_keep_no_descriptors(self):
        """Whoever reads the program's output is told when it closes it."""
        p = self.popen("as", "host", "--", TOOL, "close",
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.read(), b"")
        self.assertIsNone(p.poll())
        p.stdin.close()
        self.assertEqual(p.wait(LIMIT), 0)

    def test_closed_standard_streams(self):
        """Any of them."""
        for which in range(1, 8):
            closed = " ".join("%d>&-" % fd for fd in range(3)
                              if which >> fd & 1)
            for more in "", "--private", "--via=seccomp":
                r = subprocess.run(
                    ["sh", "-c", 'exec "$@" ' + closed, "sh", HVCTL, "as",
                     *more.split(), "host", "--", TOOL, "exit", "7"],
                    env=self.broker.env(), timeout=LIMIT)
                self.assertEqual(r.returncode, 7, (closed, more))

    def test_inherited_descriptors_reach_the_program(self):
        r, w = os.pipe()
        self.hvctl("as", "--via=seccomp", "host", "--", "sh", "-c",
                   "echo here >&%d" % w, pass_fds=[w])
        os.close(w)
        with os.fdopen(r, "rb") as f:
            self.assertEqual(f.read(), b"here\n")

    def test_a_partition_s_program(self):
        server = self.popen("nc", "-l", "-v", "wildcard:five",
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        self.hvctl("wait", "host:five", "--timeout", str(LIMIT))
        self.assertEqual(self.hvctl("as", "web1", "--", TOOL, "call", "5000"),
                         "connected\n")
        self.assertEqual(server.wait(LIMIT), 0)
        self.assertIn(b"connection from web1:", server.stderr.read())

    def test_a_program_of_the_library(self):
        """hvctl itself, which speaks to the broker on its own."""
        server = self.popen("as", "--via=seccomp", "host", "--", HVCTL, "nc",
                            "-l", "wildcard:five", stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE)
        self.hvctl("wait", "host:five", "--timeout", str(LIMIT))
        self.hvctl("as", "--via=seccomp", "web1", "--", HVCTL, "nc",
                   "host:five", input="from nc")
        self.assertEqual(server.communicate(None, LIMIT)[0], b"from nc")

    def test_daemons_of_ours_are_left_alone(self):
        """By their names, as by the preload library: they know better."""
        with tempfile.TemporaryDirectory() as tmp:
            for name, code in ("hvsocketd", 1), ("hvsocket-x", 1), ("hvs", 0):
                path = os.path.join(tmp, name)
                shutil.copy(TOOL, path)
                self.hvctl("as", "host", "--", path, "socket", "1", code=code)

    def test_a_daemon_that_is_left(self):
        with tempfile.TemporaryFile() as out:
            p = self.popen("as", "host", "--", TOOL, "serve", "5000",
                           stdout=out)
            self.assertEqual(p.wait(LIMIT), 0)
            # hvctl has ended; the daemon still has its calls made
            self.assertEqual(
                self.hvctl("as", "web1", "--", TOOL, "call", "5000"),
                "connected\nserved\n")
            # it ends now; the next test is to have its port
            while "five" in self.hvctl("listeners"):
                time.sleep(0.01)

    def test_another_file_system(self):
        """Where the runtime directory may be another partition's."""
        root = [] if os.geteuid() == 0 else ["-r"]
        wanted = "socket: Address family not supported by protocol\n"
        self.assertEqual(wanted, self.hvctl(
            "as", "--via=seccomp", "web1", "--", "unshare", *root, "-m", TOOL,
            "socket", "1", code=1))
        self.hvctl("as", "--via=seccomp", "web1", "--", "unshare", *root,
                   "-u", TOOL, "socket", "1")
        with tempfile.TemporaryDirectory() as tmp:
            shutil.copy(TOOL, os.path.join(tmp, "tool"))
            inside = ["unshare", *root, "-u", "chroot", tmp, "/tool"]
            self.assertEqual(wanted, self.hvctl(
                "as", "--via=seccomp", "web1", "--", *inside, "socket", "1",
                code=1))

    def test_a_supervisor_without_descriptors(self):
        """A call that it cannot make is not another family's."""
        for limited, wanted in (
                (False, b"family 34\n"),
                (True, b"getsockname: Too many open files\n")):
            p = self.popen("as", "host", "--", TOOL, "name", "5000",
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            pid = int(p.stdout.readline().split()[1])
            if limited:
                _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.prlimit(int(status_of(pid)["PPid"]),
                                 resource.RLIMIT_NOFILE, (3, hard))
            self.assertEqual(p.communicate(timeout=LIMIT)[0], wanted)

    def test_a_profile(self):
        """What Windows has not got; and RAW without it."""
        self.hvctl("as", "host", "--", TOOL, "socket", "5")
        out = self.hvctl("as", "--profile=windows", "host", "--", TOOL,
                         "socket", "5", code=1)
        self.assertEqual(out, "socket: Socket type not supported\n")
        self.hvctl("as", "--profile=windows", "host", "--", TOOL, "socket",
                   "1")

    def test_another_user(self):
        """The broker is asked by whom the program has become."""
        server = self.popen("nc", "-l", "wildcard:five",
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.hvctl("wait", "host:five", "--timeout", str(LIMIT))
        if os.geteuid() == 0:
            # this broker's directory is root's
            wanted = "connect: Network is down\n"
        else:
            wanted = "setuid: Operation not permitted\n"
        self.assertEqual(self.hvctl("as", "web1", "--", TOOL, "call", "5000",
                                    "65534", code=1), wanted)
        # it has not stayed so for those who come after
        self.assertEqual(self.hvctl("as", "web1", "--", TOOL, "call", "5000"),
                         "connected\n")
        self.finish(server)


if __name__ == "__main__":
    unittest.main()
