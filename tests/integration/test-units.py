#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The units: what systemd would do with them, done by hand.

    test-units.py TOP BUILD HVSOCKETD HVCTL

The socket is made and handed over as hvsocketd.socket and hvsocketd.service
say, in a directory of the test's own instead of /run/hvsocket.
"""
import configparser
import os
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

TOP, BUILD, HVSOCKETD, HVCTL = map(os.path.abspath, sys.argv[1:5])
LIMIT_S = 20


def unit(path):
    p = configparser.RawConfigParser(strict=False, delimiters="=",
                                     comment_prefixes="#")
    p.optionxform = str
    assert p.read(path), "%s is not there" % path
    return p


def unit_file(name, user):
    """The socket's of the tree, the service's as the build has made it."""
    where = TOP if name.endswith(".socket") else BUILD
    return os.path.join(where, "packaging", "systemd",
                        *(["user"] if user else []), name)


class Manager:
    """As much of a service manager as one socket and one service need."""

    def __init__(self, user):
        self.sock_unit = unit(unit_file("hvsocketd.socket", user))["Socket"]
        self.unit = unit(unit_file("hvsocketd.service", user))["Service"]
        self.work = tempfile.mkdtemp(prefix="hvs-test-")
        self.run = os.path.join(self.work, "hvsocket")
        os.mkdir(self.run)
        os.chmod(self.run, int(self.unit["RuntimeDirectoryMode"], 8))
        listen = self.sock_unit["ListenSequentialPacket"]
        assert os.path.dirname(listen) in ("/run/hvsocket", "%t/hvsocket")
        self.control = os.path.join(self.run, os.path.basename(listen))
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.control)
        os.chmod(self.control, int(self.sock_unit["SocketMode"], 8))
        self.listener.listen(int(self.sock_unit["Backlog"]))
        self.listener.setblocking(self.unit["NonBlocking"] != "yes")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.work, "notify"))
        self.broker = None

    def command(self):
        words = self.unit["ExecStart"].replace(
            "%t", os.path.dirname(self.run)).split()
        assert words[0].startswith("/"), words
        return [HVSOCKETD] + words[1:]

    def start(self):
        fd = self.listener.fileno()
        env = dict(os.environ, LISTEN_FDS="1", TEST_FD=str(fd),
                   NOTIFY_SOCKET=os.path.join(self.work, "notify"),
                   # what --system means here
                   HVSOCKET_RUNTIME_DIR=self.run)
        # LISTEN_PID is known only in the new process
        self.broker = subprocess.Popen(
            ["bash", "-c", 'if [ "$TEST_FD" != 3 ]; then eval '
             '"exec 3<&$TEST_FD $TEST_FD<&-"; fi; '
             'LISTEN_PID=$$ exec "$@"', "bash"] + self.command(),
            env=env, pass_fds=[fd], stdin=subprocess.DEVNULL)
        if not select.select([self.notify], [], [], LIMIT_S)[0]:
            raise AssertionError("no readiness notice within %d s" % LIMIT_S)
        got = self.notify.recv(4096).decode().split("\n")
        assert "READY=1" in got, got

    def hvctl(self, *args):
        return subprocess.run(
            [HVCTL, *args], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=LIMIT_S,
            env=dict(os.environ, HVSOCKET_RUNTIME_DIR=self.run))

    def close(self):
        if self.broker:
            self.broker.kill()
            self.broker.wait()
        self.listener.close()
        self.notify.close()
        shutil.rmtree(self.work, ignore_errors=True)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def activation(user):
    m = Manager(user)
    try:
        before = os.stat(m.control).st_ino
        m.start()
        # two at a time, and again: it must not sit in accept()
        for _ in range(2):
            r = m.hvctl("status", "--json")
            assert r.returncode == 0, r.stdout
        assert m.run in r.stdout, r.stdout
        r = m.hvctl("container", "add", "box", "--ephemeral")
        assert r.returncode == 0, r.stdout
        vmid = r.stdout.strip()
        own = os.path.join(m.run, "broker", "partitions", vmid)
        assert mode(own) == 0o755, oct(mode(own))
        assert mode(own + "/control") == 0o666
        assert mode(os.path.join(m.run, "broker")) == 0o700
        assert os.stat(m.control).st_ino == before, "the socket was replaced"

        # a request while there is no broker waits for the next one
        m.broker.kill()
        m.broker.wait()
        late = subprocess.Popen(
            [HVCTL, "status"], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, HVSOCKET_RUNTIME_DIR=m.run))
        m.start()
        out = late.communicate(timeout=LIMIT_S)[0]
        assert late.returncode == 0, out
        assert os.stat(m.control).st_ino == before, "the socket was replaced"
        assert vmid in m.hvctl("partition", "list").stdout

        m.broker.terminate()
        assert m.broker.wait(LIMIT_S) == 0
        assert os.stat(m.control).st_ino == before, "the socket was removed"
    finally:
        m.close()


def test_system_units_hand_over():
    activation(False)


def test_user_units_hand_over():
    activation(True)


def test_who_may_enter():
    s = unit(unit_file("hvsocketd.socket", False))["Socket"]
    d = unit(unit_file("hvsocketd.service", False))["Service"]
    assert s["SocketMode"] == "0666"
    assert s["DirectoryMode"] == d["RuntimeDirectoryMode"] == "0755"
    assert d["User"] == "hvsocket" and d["CapabilityBoundingSet"] == ""
    s = unit(unit_file("hvsocketd.socket", True))["Socket"]
    d = unit(unit_file("hvsocketd.service", True))["Service"]
    assert s["SocketMode"] == "0600"
    assert s["DirectoryMode"] == d["RuntimeDirectoryMode"] == "0700"


def test_directory_stays():
    for user in (False, True):
        d = unit(unit_file("hvsocketd.service", user))["Service"]
        assert d["RuntimeDirectoryPreserve"] == "yes"
        assert d["RuntimeDirectory"] == "hvsocket"


def test_what_carries_bytes_has_units():
    """Of the broker's user; and the broker starts no second one."""
    for user, name in ((u, n) for u in (False, True)
                       for n in ("dgram", "uplink")):
        d = unit(unit_file("hvsocketd.service", user))
        r = unit(unit_file("hvsocket-%s.service" % name, user))
        assert "hvsocket-%s.service" % name in d["Unit"]["Wants"].split()
        assert d["Service"]["ExecStart"].endswith(
            " --dgram none --uplink-relay none")
        assert r["Service"]["ExecStart"].endswith("/hvsocket-" + name)
        assert r["Service"].get("User") == d["Service"].get("User")
        assert r["Service"]["Environment"] == "HVSOCKET_RUNTIME_DIR=" + (
            "%t/hvsocket" if user else "/run/hvsocket")


def verify(user, program, instance, *names):
    """As they would be installed, with a program that is there."""
    assert shutil.which("systemd-analyze"), "systemd-analyze is not installed"
    work = tempfile.mkdtemp(prefix="hvs-test-")
    try:
        for name in names:
            with open(unit_file(name, user)) as f:
                lines = f.read().split("\n")
            lines = [("ExecStart=" + program if
                      line.startswith("ExecStart=") else line)
                     for line in lines
                     if not line.startswith("Documentation=")]
            with open(os.path.join(work, name), "w") as f:
                f.write("\n".join(lines))
        r = subprocess.run(
            ["systemd-analyze", "--user" if user else "--system", "verify",
             *(name.replace("@", "@" + instance) for name in names)],
            cwd=work, text=True, stdout=subprocess.PIPE,
            env=dict(os.environ, SYSTEMD_UNIT_PATH=work + ":",
                     XDG_RUNTIME_DIR=work), stderr=subprocess.STDOUT)
        ours = [line for line in r.stdout.split("\n")
                if "hvsocket" in line]
        assert r.returncode == 0 and not ours, r.stdout
    finally:
        shutil.rmtree(work)


def test_systemd_analyze():
    for user in (False, True):
        verify(user, HVSOCKETD, "", "hvsocketd.service", "hvsocketd.socket",
               "hvsocket-dgram.service", "hvsocket-uplink.service")
        verify(user, "/bin/true", "web1", "hvsocket-hybrid@.service",
               "hvsocket-vhost-user@.service",
               "hvsocketd.socket", "hvsocketd.service",
               "hvsocket-dgram.service", "hvsocket-uplink.service")
    verify(False, "/bin/true", "", "hvsocket-vsock.service",
           "hvsocket-libvirt.service", "hvsocketd.socket",
           "hvsocketd.service", "hvsocket-dgram.service",
           "hvsocket-uplink.service")


def test_a_directory_for_each_vm():
    for user in (False, True):
        d = unit(unit_file("hvsocket-hybrid@.service", user))["Service"]
        assert d["RuntimeDirectory"] == "hvsocket-hybrid/%i"
        assert d["RuntimeDirectoryMode"] == "0700"
        # the VMM goes on when we are started again
        assert d["RuntimeDirectoryPreserve"] == "yes"
        assert d["ExecStart"].endswith(
            " --uds-path %t/" + d["RuntimeDirectory"] + "/vm.sock")


def test_a_process_is_changed_under_its_guest():
    for user in (False, True):
        d = unit(unit_file("hvsocket-vhost-user@.service", user))["Service"]
        assert d["Type"] == "notify" and d["NotifyAccess"] == "main"
        assert int(d["FileDescriptorStoreMax"]) >= 1
        assert d["Restart"] == "on-failure"
        # the socket's file stays for the next process, and for no longer
        assert d["RuntimeDirectory"] == "hvsocket-vhost-user/%i"
        assert d["RuntimeDirectoryMode"] == "0700"
        assert d["RuntimeDirectoryPreserve"] == "restart"
        assert d["ExecStart"].endswith(
            " --socket-path %t/" + d["RuntimeDirectory"] + "/vm.sock")


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    bad = 0
    print("1..%d" % len(tests))
    for i, (name, function) in enumerate(tests, 1):
        word = "ok"
        try:
            function()
        except (AssertionError, OSError, KeyError,
                subprocess.TimeoutExpired) as e:
            word = "not ok"
            bad += 1
            print("# %s: %s" % (type(e).__name__,
                                str(e).replace("\n", "\n# ")))
        print("%s %d - %s" % (word, i, name[5:].replace("_", " ")),
              flush=True)
    sys.exit(1 if bad else 0)


main()
