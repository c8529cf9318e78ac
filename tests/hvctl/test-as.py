#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl as: who one is, exit codes, signals, and that nothing is left."""
import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest

from broker import CLEAN, HVCTL, LIMIT, Case

PRELOAD = os.environ["PRELOAD"]

# A preload library with a sanitizer in it needs the sanitizer's own in front,
# which not every command here would bear: then only those get it that are
# about the preload library.
ASAN = os.environ.get("ASAN_LIBRARY")
LOADED = {}
if ASAN:
    CLEAN["HVSOCKET_PRELOAD"] = ""
    LOADED = {"HVSOCKET_PRELOAD": PRELOAD, "LD_PRELOAD": ASAN,
              "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}

# Written like the text everybody learns it from; nothing of ours is linked.
PLAIN_SOCKET = r"""
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.socket(34, 1, 1)
assert fd >= 0, os.strerror(ctypes.get_errno())
parent = bytes.fromhex("da7c2ea43fd00c489cc2a4de20abb878")
port = struct.pack("<I", 5000) + bytes.fromhex("cbfae611bd5864006a7986d3")
addr = struct.pack("<HH", 34, 0) + parent + port
if libc.connect(fd, addr, 36) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.write(fd, b"plain")
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rpartition(")")[2].split()[0] not in "ZX"


class As(Case):
    """Under a broker that is there already."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for words in (["partition", "add", "web1", "--ephemeral"],
                      ["service", "add", "echo"]):
            subprocess.run([HVCTL, *words], env=cls.broker.env(), check=True,
                           stdout=subprocess.DEVNULL, timeout=LIMIT)

    def test_environment(self):
        out = self.hvctl("as", "web1", "--", "env",
                         env=self.broker.env(**LOADED))
        env = dict(line.split("=", 1) for line in out.splitlines()
                   if "=" in line)
        self.assertEqual(env["HVSOCKET_RUNTIME_DIR"],
                         self.json("partition", "show", "web1")["directory"])
        self.assertEqual(env["HVSOCKET_HOST_RUNTIME_DIR"],
                         self.broker.runtime)
        self.assertTrue(os.path.samefile(
            env["LD_PRELOAD"].split(":")[0], PRELOAD))
        out = self.hvctl("as", "host", "--", "env",
                         env=self.broker.env(HVSOCKET_PRELOAD=""))
        self.assertIn("HVSOCKET_RUNTIME_DIR=%s\n" % self.broker.runtime, out)
        self.assertNotIn("LD_PRELOAD", out)

    def test_profile(self):
        """Of that command alone, and of what it starts."""
        where = self.json("partition", "show", "web1")["id"] + ":echo"
        env = self.broker.env(HVSOCKET_PRELOAD="")
        windows = ["as", "--profile", "windows", "web1", "--"]
        listener = self.popen("as", "web1", "--", HVCTL, "nc", "-l",
                              "loopback:echo", env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.hvctl("as", "web1", "--", HVCTL, "wait", "loopback:echo", "-t",
                   str(LIMIT), env=env)
        self.assertIn("yes: ", self.hvctl("as", "web1", "--", HVCTL, "explain",
                                          where, env=env))
        out = self.hvctl(*windows, HVCTL, "explain", where, env=env, code=1)
        self.assertIn("no: not on Windows: ", out)
        self.assertIn("a partition is LOOPBACK to itself", out)
        self.hvctl("as", "web1", "--", HVCTL, "explain", "--profile",
                   "windows", where, env=env, code=1)
        # not hvctl itself, but what is started by what is started
        r = self.run_hvctl(*windows, "sh", "-c", '"$0" nc "$1"', HVCTL, where,
                           env=env, stdin=subprocess.DEVNULL)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"not on Windows: ", r.stderr)
        # Windows has nothing against the other way to say it
        client = self.popen(*windows, HVCTL, "nc", "loopback:echo", env=env,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client.communicate(b"said", LIMIT)
        self.assertEqual(listener.communicate(None, LIMIT)[0], b"said")

    def test_profile_of_a_private_broker(self):
        out = self.hvctl("as", "--private", "--profile", "windows", "host",
                         "--", HVCTL, "status",
                         env=self.broker.env(HVSOCKET_PRELOAD=""))
        self.assertRegex(out, r"profile +windows")

    def test_a_profile_that_there_is_not(self):
        for verb in ["status"], ["nc", "host:echo"]:
            err = self.fails(*verb, env=self.broker.env(
                HVSOCKET_PROFILE="vista"))
            self.assertIn("profile", err)

    def test_preload_is_put_in_front(self):
        out = self.hvctl("as", "web1", "--", HVCTL, "as", "host", "--",
                         "env", env=self.broker.env(**LOADED))
        loaded = [line for line in out.splitlines()
                  if line.startswith("LD_PRELOAD=")]
        self.assertEqual(loaded[0].count("libhvsocket-preload.so"), 1)
        self.assertIn("preload",
                      self.fails("as", "web1", "--", "true",
                                 env=self.broker.env(
                                     HVSOCKET_PRELOAD="/no/preload.so")))

    def test_partition_talks_to_host(self):
        server = self.popen("nc", "-l", "-v", "wildcard:echo",
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        self.hvctl("wait", "host:echo", "--timeout", str(LIMIT))
        # who one is shows in the verbs, too
        self.hvctl("as", "web1", "--", HVCTL, "wait", "host:echo",
                   "--timeout", str(LIMIT))
        self.hvctl("as", "web1", "--", HVCTL, "explain", "host:echo")
        self.hvctl("as", "web1", "--", HVCTL, "nc", "host:echo",
                   input="from web1")
        self.assertEqual(server.stdout.read(), b"from web1")
        self.assertEqual(server.wait(LIMIT), 0)
        self.assertIn(b"connection from web1:", server.stderr.read())

    def test_plain_program(self):
        self.hvctl("service", "add", "five", "--port", "5000",
                   "--ephemeral")
        server = self.popen("nc", "-l", "wildcard:5000",
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.hvctl("wait", "host:5000", "--timeout", str(LIMIT))
        self.hvctl("as", "web1", "--", sys.executable, "-c", PLAIN_SOCKET,
                   env=self.broker.env(**LOADED))
        self.assertEqual(server.stdout.read(), b"plain")

    def test_exit_codes(self):
        self.hvctl("as", "web1", "--", "sh", "-c", "exit 7", code=7)
        self.hvctl("as", "web1", "--", "/no/such/command", code=127)
        self.hvctl("as", "web1", "--", "/etc/passwd", code=126)
        self.hvctl("as", "web1", "--", "sh", "-c", "kill -TERM $$",
                   code=-signal.SIGTERM)

    def test_unknown(self):
        self.assertIn("nobody", self.fails("as", "nobody", "--", "true"))

    def test_sigpipe_is_the_default_again(self):
        r = subprocess.run(
            "'%s' as host -- yes | head -n1" % HVCTL, shell=True,
            env=self.broker.env(), capture_output=True, timeout=LIMIT)
        self.assertEqual((r.stdout, r.stderr), (b"y\n", b""))


class Private(Case):
    """With a broker of its own."""

    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.TemporaryDirectory(prefix="hvctl-test-")

    @classmethod
    def tearDownClass(cls):
        cls.tmp.cleanup()

    def setUp(self):
        self.env = {**CLEAN, "TMPDIR": self.tmp.name}
        self.assertEqual(os.listdir(self.tmp.name), [])

    def tearDown(self):
        self.assertEqual(os.listdir(self.tmp.name), [])

    def hvctl(self, *words, **more):
        return super().hvctl(*words, env=self.env, **more)

    def test_exit_codes(self):
        self.hvctl("as", "--private", "web1", "--", "true")
        self.hvctl("as", "--private", "host", "--", "sh", "-c", "exit 9",
                   code=9)
        self.hvctl("as", "--private", "host", "--", "/no/such", code=127)
        self.hvctl("as", "--private", "host", "--", "sh", "-c",
                   "kill -KILL $$", code=-signal.SIGKILL)
        self.hvctl("as", "--private", "host", "--", "sh", "-c",
                   "kill -USR1 $$", code=-signal.SIGUSR1)

    def test_two_halves_of_a_product(self):
        script = r"""
set -e
"$HVCTL" service add echo --ephemeral > /dev/null
"$HVCTL" nc -l wildcard:echo < /dev/null > "$OUT" &
"$HVCTL" wait host:echo --timeout 20
"$HVCTL" as web2 -- sh -c 'echo "from $0" | "$HVCTL" nc host:echo' web2
wait $!
"$HVCTL" partition list
"""
        with tempfile.NamedTemporaryFile() as out:
            self.env.update(HVCTL=HVCTL, OUT=out.name)
            listed = self.hvctl("as", "--private", "--partition", "web2",
                                "--partition=web3", "--partition", "web2",
                                "host", "--", "sh", "-c", script)
            self.assertEqual(out.read(), b"from web2\n")
        self.assertRegex(listed, r"(?m)^host .*\n^web2 .*\n^web3 ")

    def test_inside_a_partition_the_host_is_at_hand(self):
        out = self.hvctl("as", "--private", "web1", "--", "sh", "-c",
                         "'%s' service add late --ephemeral && '%s' as host "
                         "-- '%s' partition list" % (HVCTL, HVCTL, HVCTL))
        self.assertRegex(out, r"(?m)^web1 ")

    def start(self, script, **more):
        """A command that has said its pid (and the broker's)."""
        p = subprocess.Popen(
            [HVCTL, "as", "--private", "web1", "--", "sh", "-c",
             "echo $$; '%s' status --json; echo; echo END; %s"
             % (HVCTL, script)], env=self.env, stdout=subprocess.PIPE,
            stdin=subprocess.PIPE, **more)
        self.addCleanup(self.finish, p)
        pid = int(p.stdout.readline())
        lines = b""
        while not lines.endswith(b"END\n"):
            lines += p.stdout.readline()
        broker = int(lines.split(b'"pid": ')[1].split(b",")[0])
        return p, pid, broker

    def test_signals_are_passed_on(self):
        for sig in signal.SIGTERM, signal.SIGINT, signal.SIGUSR1:
            p, pid, broker = self.start(
                "trap 'exit 42' %s; echo READY; while :; do read x; done"
                % sig.name[3:])
            while p.stdout.readline() != b"READY\n":
                pass
            p.send_signal(sig)
            p.stdin.write(b"\n" * 10)  # wakes a shell that reads
            p.stdin.flush()
            self.assertEqual(p.wait(LIMIT), 42)
            self.assertFalse(alive(pid))
            self.assertFalse(alive(broker))

    def test_default_action(self):
        p, _, broker = self.start("exec cat")
        p.terminate()
        self.assertEqual(p.wait(LIMIT), -signal.SIGTERM)
        self.assertFalse(alive(broker))

    def test_killed_outright_nothing_is_left(self):
        p, pid, broker = self.start("exec cat")
        fds = [os.pidfd_open(i) for i in (pid, broker)]
        watch = select.poll()
        for fd in fds:
            watch.register(fd, select.POLLIN)
        p.kill()
        p.wait(LIMIT)
        left = set(fds)
        while left:
            ready = watch.poll(LIMIT * 1000)
            self.assertTrue(ready, "a process is left")
            for fd, _ in ready:
                watch.unregister(fd)
                left.discard(fd)
        for fd in fds:
            os.close(fd)
        # the keeper holds our end of standard output until it is done
        self.assertEqual(p.stdout.read(), b"")

    def test_no_broker_to_start(self):
        self.env["HVSOCKETD"] = "/no/such/hvsocketd"
        self.assertIn("/no/such/hvsocketd",
                      self.fails("as", "--private", "host", "--", "true",
                                 env=self.env))
        self.env["HVSOCKETD"] = "/bin/false"
        self.assertIn("did not start",
                      self.fails("as", "--private", "host", "--", "true",
                                 env=self.env))


if __name__ == "__main__":
    unittest.main()
