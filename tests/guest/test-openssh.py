#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""OpenSSH over a guest's vsock, both ways.

The programs are Debian's, here and in the guest; neither has a network, and
none of them knows of Hyper-V sockets. Half-closes, statuses, and 2 MiB each way
arrive as they would over TCP.
"""
import hashlib
import os
import pwd
import random
import shutil
import subprocess
import sys

import stack
import tap
import vm

SIZE = 2 << 20
LIMIT_S = 60
SSHD = "/usr/sbin/sshd"
CONFIG = """HostKey %(keys)s/host
AuthorizedKeysFile %(keys)s/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PidFile none
"""
OPTIONS = ("-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
           "-o", "StrictHostKeyChecking=yes")


def program(name, package):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if not path:
        raise vm.GuestError("no %s here (Debian: %s)" % (name, package))
    return path


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
        self.write("known", "vm1 " + public + "host " + public)
        self.write("config", CONFIG % {"keys": self.keys})
        self.write("guest-config", CONFIG % {"keys": "/keys"})
        self.write("passwd", "root:x:0:0:root:/:/bin/sh\n"
                   "sshd:x:100:65534:sshd:/run/sshd:/bin/false\n")
        words = []
        for path in (program("sshd", "openssh-server"),
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
        self.server = None

    def key(self, name):
        return os.path.join(self.keys, name)

    def write(self, name, text):
        with open(self.key(name), "w") as f:
            f.write(text)

    def __enter__(self):
        super().__enter__()
        self.guest.run("chmod 600 /keys/host /keys/user; "
                       "mkdir -m 755 /run/sshd").ok()
        return self

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


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Ssh)
