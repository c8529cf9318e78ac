#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""OpenSSH over a guest's vsock, both ways.

The programs are Debian's, here and in the guest; neither has a network, and
none of them knows of Hyper-V sockets. Half-closes, statuses, and 2 MiB each way
arrive as they would over TCP. Then hvctl's own verbs for sessions: exec and cp,
and what becomes of them when the guest stands still, starts again, or is gone.
"""
import hashlib
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys

import stack
import tap
import vm
from sshd import CONFIG, SFTP, program

SIZE = 2 << 20
LIMIT_S = 60
SSHD = "/usr/sbin/sshd"
OPTIONS = ("-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
           "-o", "StrictHostKeyChecking=yes")


class Ssh(stack.Stack):
    def __init__(self, work):
        super().__init__(work)
        self.keys = os.path.join(work, "keys")
        os.mkdir(self.keys)
        for name in ("host", "user"):
            subprocess.run([program("ssh-keygen", "openssh-client"), "-q",
                            "-t", "ed25519", "-N", "", "-C", name, "-f",
                            self.key(name)], check=True)
        with open(self.key("host.pub")) as f:
            public = f.read()
        self.write("known", "".join("%s %s" % (name, public) for name in (
            "vm1", "host", "hv-%s" % self.vmid)))
        os.environ["XDG_RUNTIME_DIR"] = work  # for kept connections
        self.write("config", CONFIG % {"keys": self.keys, "sftp": SFTP})
        self.write("guest-config", CONFIG % {"keys": "/keys", "sftp": SFTP})
        self.write("passwd", "root:x:0:0:root:/:/bin/sh\n"
                   "sshd:x:100:65534:sshd:/run/sshd:/bin/false\n")
        words = []
        for path in (program("sshd", "openssh-server"),
                     "/usr/lib/openssh/sftp-server",
                     program("ssh", "openssh-client"),
                     program("socat", "socat")):
            words += ["--add", "%s:%s" % (path, path)]
        for name, place in (("guest-config", "keys/config"),
                            ("passwd", "etc/passwd"), ("host", "keys/host"),
                            ("user", "keys/user"), ("known", "keys/known"),
                            ("user.pub", "keys/user.pub")):
            words += ["--add", "%s:%s" % (self.key(name), place)]
        programs = os.environ["GUEST_PROGRAMS"]
        vm.make_initramfs(self.kernel, self.initramfs,
                          [os.path.join(programs, "vsock-peer")],
                          os.path.join(programs, "guest-agent"), words=words)
        self.server = self.sshd = None

    def key(self, name):
        return os.path.join(self.keys, name)

    def write(self, name, text):
        with open(self.key(name), "w") as f:
            f.write(text)

    def __enter__(self):
        super().__enter__()
        self.prepare_guest()
        return self

    def prepare_guest(self):
        self.guest.run("chmod 600 /keys/host /keys/user; "
                       "mkdir -m 755 /run/sshd; mkdir /full /ro; "
                       "mount -t tmpfs -o size=1m t /full && "
                       "mount -t tmpfs -o ro t /ro").ok()

    def hvctl_command(self, verb, *words):
        """Of a verb for sessions, which is served from now on."""
        if not self.sshd:
            self.sshd = self.guest_serves()
        return [self.hvctl, verb, "-i", self.key("user"), "-l", "root",
                *[w for o in OPTIONS[3::2] for w in ("-o", o)], "-o",
                "UserKnownHostsFile=" + self.key("known"), *words]

    def session(self, verb, *words, data=b""):
        return subprocess.run(self.hvctl_command(verb, *words), input=data,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=LIMIT_S)

    def begin(self, verb, *words):
        return subprocess.Popen(self.hvctl_command(verb, *words), bufsize=0,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def waiting(self):
        """A command in the guest that waits to be told something."""
        p = self.begin("exec", "vm1", "--", "sh", "-c",
                       "trap 'echo got it; exit 9' USR1; echo up; "
                       "while :; do sleep 0.1; done")
        tap.same(p.stdout.readline(), b"up\n", "what it says first")
        return p

    def __exit__(self, *_):
        self.stop(self.server)
        super().__exit__()

    def guest_serves(self):
        """As systemd's sshd-vsock.socket has it: sshd gets the socket."""
        job = self.guest.start(
            "socat -d -d VSOCK-LISTEN:22,fork "
            "EXEC:'%s -i -e -f /keys/config',nofork 2>&1" % SSHD)
        job.expect("listening on")
        return job

    def host_serves(self):
        """sshd behind a service with a Target."""
        path = os.path.join(self.work, "sshd.sock")
        server = "%s -i -e -f %s" % (program("sshd", "openssh-server"),
                                     self.key("config"))
        command = ["socat", "UNIX-LISTEN:%s,fork" % path,
                   "EXEC:\"%s\",nofork" % server]
        if os.geteuid() == 0:
            # root's sshd wants a directory that its package's unit makes
            command = ["unshare", "--mount", "sh", "-c",
                       "mount -t tmpfs -o mode=755 tmpfs /run && "
                       "mkdir -m 755 /run/sshd && exec \"$@\"", "sh"] + command
        self.server = self.spawn(command)
        stack.until("socat listens", lambda: self.alive(self.server) and
                    stack.listens(path))
        self.service("ssh", 22, Target="unix:" + path)

    def ssh(self, *words, data=b""):
        """From the host to the guest."""
        return subprocess.run(
            ["ssh", *OPTIONS, "-i", self.key("user"), "-o",
             "UserKnownHostsFile=" + self.key("known"), "-o",
             "ProxyCommand=%s nc %%h:22" % self.hvctl, "root@vm1", *words],
            input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=LIMIT_S)

    def guest_ssh(self, words, before="", after=""):
        """From the guest to the host. Return: a job"""
        user = pwd.getpwuid(os.geteuid()).pw_name
        return self.guest.start(
            "%s ssh %s -i /keys/user -o UserKnownHostsFile=/keys/known "
            "-o ProxyCommand='socat - VSOCK-CONNECT:2:22' %s@host '%s' %s" % (
                before, " ".join(OPTIONS), user, words, after or "2>&1"))


def good(r, status=0):
    tap.check(r.returncode == status, "status %d: %s" % (
        r.returncode, r.stderr.decode(errors="replace")))
    return r.stdout


def test_host_to_guest(f):
    job = f.guest_serves()
    tap.same(good(f.ssh("uname -n; echo $0 >&2; exit 7"), 7),
             b"(none)\n", "what it says")
    data = random.Random(1).randbytes(SIZE)
    tap.check(good(f.ssh("cat", data=data)) == data, "there and back")
    # the end of what is sent is no end of what comes
    tap.same(good(f.ssh("sha256sum; echo still", data=data)).decode(),
             "%s  -\nstill\n" % hashlib.sha256(data).hexdigest(),
             "what came after the end of input")
    job.kill()


def test_guest_to_host(f):
    f.host_serves()
    job = f.guest_ssh("echo $SSH_CONNECTION; exit 9").wait(LIMIT_S)
    tap.same(job.status, 9, "\n".join(job.said))
    out = f.guest_ssh("cat", "head -c %d /dev/urandom >/tmp/data; "
                      "cat /tmp/data |" % SIZE, "| sha256sum; "
                      "sha256sum </tmp/data").ok(LIMIT_S)
    there, back = out.splitlines()
    tap.same(there, back, "there and back")
    out = f.guest_ssh("sha256sum; echo still", "cat /tmp/data |").ok(LIMIT_S)
    tap.same(out, back + "\nstill", "what came after the end of input")


def test_exec(f):
    tap.same(good(f.session("exec", "vm1", "--", "sh", "-c",
                            "uname -n; exit 7"), 7), b"(none)\n",
             "what it says")
    words = ["", "a  b", "$HOME", "it's", "*", "a\nb", "\\"]
    tap.same(good(f.session("exec", "vm1", "--", "printf", "%s|", *words)),
             "".join(w + "|" for w in words).encode(), "its words")
    data = random.Random(2).randbytes(SIZE)
    tap.check(good(f.session("exec", "vm1", "--", "cat", data=data)) == data,
              "there and back")
    p = f.waiting()
    p.send_signal(signal.SIGUSR1)
    tap.same(p.communicate(timeout=LIMIT_S)[0], b"got it\n", "the signal")
    tap.same(p.returncode, 9, "status")
    p = f.begin("exec", "vm1", "--", "sh", "-c",
                "echo up; exec head -c 10485760 /dev/zero")
    tap.same(p.stdout.readline(), b"up\n", "what it says first")
    # nobody reads that, and nobody else waits for it
    good(f.session("exec", "vm1", "--", "true"))
    tap.same(len(p.communicate(timeout=LIMIT_S)[0]), 10 << 20, "all of it")


def sha(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def test_cp(f):
    there, back = f.key("data"), f.key("back")
    with open(there, "wb") as file:
        file.write(random.Random(3).randbytes(4 << 20))
        file.truncate(24 << 20)
    good(f.session("cp", there, "vm1:/tmp/data"))
    out = f.guest.run("sha256sum </tmp/data; du -k /tmp/data").ok()
    tap.same(out.split()[0], sha(there), "the guest's")
    tap.check(int(out.split()[2]) < 8192, "sparse: " + out)
    good(f.session("cp", "vm1:/tmp/data", back))
    tap.same(sha(back), sha(there), "what came back")
    for target, reason in (("/full/x", "No space left"),
                           ("/ro/x", "Read-only file system"),
                           ("/no/x", "directory does not exist")):
        r = f.session("cp", there, "vm1:" + target)
        tap.same(r.returncode, 1, target)
        tap.check(reason in r.stderr.decode(), r.stderr.decode())
    tap.same(f.guest.run("ls -A /full /ro | grep hvctl || rm /tmp/data").ok(),
             "", "what is left")


def test_pause(f):
    p = f.waiting()
    f.pause_guest()
    q = f.begin("exec", "vm1", "--", "echo", "late")
    f.resume_guest()
    tap.same(q.communicate(timeout=LIMIT_S)[0], b"late\n", "what waited")
    p.send_signal(signal.SIGUSR1)
    tap.same(p.communicate(timeout=LIMIT_S)[0], b"got it\n", "the session")


def cut_copy(f, cut):
    """A copy out of the guest that is cut when some has come."""
    place = f.key("cut")
    os.mkdir(place)
    f.guest.run("head -c 25165824 /dev/urandom >/tmp/big").ok(LIMIT_S)
    p = f.begin("cp", "vm1:/tmp/big", os.path.join(place, "big"))
    stack.until("some has come", lambda: p.poll() is not None or [
        n for n in os.listdir(place)
        if os.stat(os.path.join(place, n)).st_size > 1 << 20], LIMIT_S)
    cut()
    _, err = p.communicate(timeout=LIMIT_S)
    tap.same(p.returncode, 1, err.decode())
    tap.check("the connection was cut" in err.decode(), err.decode())
    names = os.listdir(place)
    tap.check(len(names) == 1 and names[0].endswith(".part"), names)
    shutil.rmtree(place)


def test_reboot(f):
    p = f.waiting()
    cut_copy(f, f.guest.reboot)
    p.communicate(timeout=LIMIT_S)
    tap.same(p.returncode, 255, "the session's end")
    f.sshd = None
    f.prepare_guest()
    tap.same(good(f.session("exec", "vm1", "--", "echo", "again")),
             b"again\n", "after it")


def test_killed(f):
    p = f.waiting()
    cut_copy(f, f.guest.kill)
    p.communicate(timeout=LIMIT_S)
    tap.same(p.returncode, 255, "the session's end")
    r = f.session("exec", "vm1", "--", "true")
    tap.same(r.returncode, 255, "without a guest")
    tap.check("partition off" in r.stderr.decode(), r.stderr.decode())


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Ssh)
