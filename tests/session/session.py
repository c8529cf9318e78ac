# SPDX-License-Identifier: MIT
"""A partition "vm1" with Debian's sshd at port 22, and hvctl to reach it.

The partition is of this machine: what is tested is hvctl, ssh, sshd and the
sockets between them; what a guest adds is tests/guest/test-openssh.py.
"""
import os
import pwd
import signal
import subprocess
import sys

from broker import LIMIT, Case

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import sshd  # noqa: E402
from sshd import program  # noqa: E402

# the sanitizer's library, which the door needs, and OpenSSH does not
SANITIZER = {k: os.environ.pop(k) for k in ("LD_PRELOAD", "ASAN_OPTIONS")
             if k in os.environ}
USER = pwd.getpwuid(os.geteuid()).pw_name
def sshd_command(config):
    command = [program("sshd", "openssh-server"), "-i", "-e", "-f", config]
    if os.geteuid() == 0:
        # root's sshd wants a directory that its package's unit makes
        command = ["unshare", "--mount", "sh", "-c",
                   "mount -t tmpfs -o mode=755 tmpfs /run && "
                   "mkdir -m 755 /run/sshd && exec \"$@\"", "sh"] + command
    return command


class Door:
    """sshd for every connection to port 22 of a partition."""

    def __init__(self, broker, hvctl, partition, command, log, port=22):
        self.process = subprocess.Popen(
            [hvctl, "as", partition, "--", sys.executable,
             os.path.join(HERE, "door.py"), "wildcard:%d" % port,
             *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            env=broker.env(HVSOCKET_PRELOAD="", HVSOCKET_LIBRARY=os.environ[
                "HVSOCKET_LIBRARY"], **SANITIZER,
                           PYTHONPATH=os.environ["PYTHONPATH"]))
        self.expect(b"ready\n")

    def expect(self, line):
        got = self.process.stdout.readline()
        if got != line:
            raise RuntimeError("the door says %r, not %r" % (got, line))

    def cut(self):
        self.process.send_signal(signal.SIGUSR1)
        self.expect(b"cut\n")

    def close(self):
        self.process.kill()
        self.process.wait(LIMIT)
        self.process.stdout.close()


class SessionCase(Case):
    subsystem = sshd.SFTP

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.broker.stop)
        cls.top = cls.broker.top
        for name in "host", "user", "other":
            subprocess.run([program("ssh-keygen", "openssh-client"), "-q", "-t",
                            "ed25519", "-N", "", "-C", name, "-f",
                            cls.path(name)], check=True)
        with open(cls.path("config"), "w") as f:
            f.write(sshd.CONFIG % {"keys": cls.top, "sftp": cls.subsystem} +
                    "LogLevel ERROR\nSetEnv HOME=%s\n" % cls.top)
        os.mkdir(cls.path("x"), 0o700)
        cls.vmid = subprocess.run(
            [os.environ["HVCTL"], "vm", "add", "vm1", "--ephemeral"],
            env=cls.broker.env(), check=True, stdout=subprocess.PIPE,
            text=True).stdout.strip()
        cls.know("host.pub")
        cls.log = open(cls.path("sshd.log"), "a")
        cls.door = Door(cls.broker, os.environ["HVCTL"], "vm1",
                        sshd_command(cls.path("config")), cls.log)

    @classmethod
    def tearDownClass(cls):
        cls.end_kept()
        cls.door.close()
        cls.log.close()
        super().tearDownClass()

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.top, *names)

    @classmethod
    def know(cls, key):
        with open(cls.path(key)) as f, open(cls.path("known"), "w") as known:
            known.write("hv-%s %s" % (cls.vmid, f.read()))

    @classmethod
    def environment(cls):
        return cls.broker.env(XDG_RUNTIME_DIR=cls.path("x"),
                              HOME=cls.path("home"))

    @classmethod
    def kept(cls):
        try:
            return [e for e in os.listdir(cls.path("x", "hvsocket"))
                    if e.startswith("ssh-")]
        except FileNotFoundError:
            return []

    @classmethod
    def end_kept(cls):
        for name in cls.kept():
            subprocess.run(["ssh", "-F", "none", "-O", "exit", "-S",
                            cls.path("x", "hvsocket", name), "-"],
                           stderr=subprocess.DEVNULL)

    def login(self, key="user", known="known"):
        return ["-i", self.path(key), "-l", USER, "-o", "IdentitiesOnly=yes",
                "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
                "-o", "IdentityAgent=none",
                "-o", "UserKnownHostsFile=" + self.path(known)]

    def start(self, verb, *words, options=None, **more):
        options = self.login() if options is None else options
        p = subprocess.Popen(
            [os.environ["HVCTL"], verb, *options, *words],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
               "stderr": subprocess.PIPE, "env": self.environment(), "bufsize": 0, **more})
        self.addCleanup(self.finish, p)
        return p

    def run_verb(self, verb, *words, data=None, code=0, **more):
        """Return: what it said on both of its streams"""
        if data is not None:
            more["stdin"] = subprocess.PIPE
        p = self.start(verb, *words, **more)
        out, err = p.communicate(data, timeout=LIMIT)
        self.assertEqual(p.returncode, code, "%s: %r %r" % (
            " ".join(words), out[-2000:], err[-2000:]))
        return out, err.decode(errors="replace")

    def exec(self, *command, **more):
        return self.run_verb("exec", "vm1", "--", *command, **more)
