#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The VM's directory, the options, the sandbox"""
import fcntl
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys

import tap
from hvb import *
from tap import check, same
from vmm import *


def in_a_broker(function):
    def run(_):
        with Broker() as b:
            b.vm = b.partition("vm")
            b.vms = b.dir + "/vm"
            os.mkdir(b.vms, 0o700)
            function(b)
    return run


def refuses(b, path, words):
    p = Program(b, "--partition", "vm", "--uds-path", path)
    p.ends(1)
    text = p.said()
    check(words in text and text.count("\n") == 1, "%r: %r" % (words, text))
    check(path in text, "%r names the path" % text)


@in_a_broker
def test_must_be_private(b):
    path = b.vms + "/v.sock"
    for mode in (0o770, 0o702, 0o777, 0o1777, 0o720):
        os.chmod(b.vms, mode)
        refuses(b, path, "others may write to its directory (mode %04o)" % mode)
    os.chmod(b.vms, 0o700)
    # who may only look is no danger: sockets are the user's alone
    for mode in (0o755, 0o711, 0o700):
        os.chmod(b.vms, mode)
        attach(b, path).end()


@in_a_broker
def test_must_be_the_users_own(b):
    path, owner = "/v.sock", 0
    if os.geteuid() == 0:  # who can give it away
        path, owner = b.vms + "/v.sock", 4242
        os.chown(b.vms, owner, owner)
    refuses(b, path, "its directory belongs to uid %d: it has to be uid %d's "
            "own" % (owner, os.geteuid()))


@in_a_broker
def test_is_one_process_own(b):
    path = b.vms + "/v.sock"
    p = attach(b, path)
    refuses(b, path, "another process serves the VM of its directory")
    # also under another name
    refuses(b, b.vms + "/w.sock", "another process")
    os.symlink(b.vms, b.dir + "/link")
    refuses(b, b.dir + "/link/v.sock", "another process")
    p.kill()
    attach(b, path).end()


@in_a_broker
def test_whoever_looks_cannot_lock(b):
    """Others may look into it: that keeps nobody from serving it."""
    os.chmod(b.vms, 0o755)
    looking = os.open(b.vms, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_EX)
    path = b.vms + "/v.sock"
    p = attach(b, path)
    same(sorted(os.listdir(b.vms)), [LOCK, "v.sock_26743"],
         "what locks it, and where guests say that they are ready")
    same(stat.S_IMODE(os.stat(b.vms + "/" + LOCK).st_mode), 0o600,
         "is for its user only")
    p.end()
    same(os.listdir(b.vms), [], "and goes with it")
    os.close(looking)
    # one that is somebody's else
    os.symlink(b.dir + "/elsewhere", b.vms + "/" + LOCK)
    refuses(b, path, LOCK)
    os.unlink(b.vms + "/" + LOCK)
    os.mkfifo(b.vms + "/" + LOCK)
    refuses(b, path, LOCK + " in its directory is not the user's own")


@in_a_broker
def test_must_be_there(b):
    refuses(b, b.dir + "/nowhere/v.sock", "No such file or directory")
    refuses(b, b.run + "/control/v.sock", "Not a directory")
    for name in ("", ".", ".."):
        refuses(b, b.vms + "/" + name, "not the name of a socket")
    refuses(b, b.vms + "/" + "x" * 71, "more than 70 bytes")
    attach(b, b.vms + "/" + "x" * 70).end()


@in_a_broker
def test_long_path(b):
    """A VMM could not use it, but we do not need it."""
    deep = b.vms + "/" + "d" * 120
    os.mkdir(deep, 0o700)
    b.service("x", 5000)
    p = attach(b, deep + "/v.sock")
    p.says("too long")
    check(there(deep + "/v.sock_5000"), "made")
    p.end()


@in_a_broker
def test_relative_path(b):
    b.service("x", 5000)
    here = os.getcwd()
    os.chdir(b.vms)
    try:
        p = attach(b, "v.sock")
    finally:
        os.chdir(here)
    check(there(b.vms + "/v.sock_5000"), "made")
    p.end()


@in_a_broker
def test_what_was_left(b):
    """By a process that was killed: removed. By others: left alone."""
    path = b.vms + "/v.sock"
    b.service("x", 5000)
    b.service("y", 5001)
    p = attach(b, path)
    check(there(path + "_5000") and there(path + "_5001"), "made")
    p.kill()
    check(os.path.exists(path + "_5000"), "left")
    b.drop("services.d/x.conf")
    for name in ("_1x", "_01", "_lock"):
        left = socket.socket(socket.AF_UNIX)
        left.bind(path + name)
        left.close()
    with open(path + "_7", "w") as f:
        f.write("precious")
    p = attach(b, path)
    check(there(path + "_5001"), "made again")
    same(sorted(os.listdir(b.vms)),
         [LOCK, "v.sock_01", "v.sock_1x", "v.sock_26743", "v.sock_5001",
          "v.sock_7", "v.sock_lock"], "what is there")
    p.end()
    check(not os.path.exists(path + "_5001"), "taken along in the end")
    with open(path + "_7") as f:
        same(f.read(), "precious", "a file")


@in_a_broker
def test_somebody_elses(b):
    """A socket that a program of the user's listens at stays its own."""
    path = b.vms + "/v.sock"
    other = socket.socket(socket.AF_UNIX)
    other.bind(path + "_5000")
    other.listen()
    b.service("x", 5000)
    p = attach(b, path)
    p.says("v.sock_5000: somebody else listens there")
    s = socket.socket(socket.AF_UNIX)
    s.connect(path + "_5000")
    other.accept()[0].close()
    s.close()
    other.close()
    os.unlink(path + "_5000")
    check(there(path + "_5000"), "free: made")
    # a file is not touched, either
    with open(path + "_5001", "w"):
        pass
    b.service("y", 5001)
    p.says("v.sock_5001: cannot listen")
    p.end()
    check(os.path.exists(path + "_5001"), "the file")


@in_a_broker
def test_made_again(b):
    """Whoever clears away after a VMM takes ours, too."""
    path = b.vms + "/v.sock"
    b.service("x", 5000)
    with b.client() as c:
        listener = c.serve(CHILDREN, port(5000))
        p = attach(b, path)
        check(there(path + "_5000"), "made")
        for _ in range(3):
            before = os.stat(path + "_5000").st_ino
            vmm = Vmm(path)
            vmm.crash()
            subprocess.run("rm -f %s*" % path, shell=True, check=True)
            check(there(path + "_5000"), "made again")
        vmm = Vmm(path)
        g = vmm.dial(5000)
        listener.accept()[0].close()
        same(g.recv(1), b"", "and served")
        g.close()
        vmm.end()
        p.end()


@in_a_broker
def test_directory_removed(b):
    b.service("x", 5000)
    p = attach(b, b.vms + "/v.sock")
    check(there(b.vms + "/v.sock_5000"), "made")
    shutil.rmtree(b.vms)
    p.ends(1)
    check("directory was removed" in p.said(), p.said())


@in_a_broker
def test_many_services(b):
    """Their sockets leave descriptors for connections."""
    path = b.vms + "/v.sock"
    for i in range(100):
        b.service("s%d" % i, 6000 + i)

    def made():
        return [x for x in os.listdir(b.vms) if x.startswith("v.sock_")]

    with b.client() as c:
        p = attach(b, path, files=64)
        p.says("16 services have sockets")
        same(len(made()), 16, "sockets")
        number = int(made()[0].rpartition("_")[2])
        listener = c.serve(CHILDREN, port(number))
        vmm = Vmm(path)
        pairs = []
        for i in range(8):
            g = vmm.dial(number)
            g.sendall(b"%d" % i)
            a, _ = listener.accept()
            same(a.recv(10), b"%d" % i, "served")
            pairs += [g, a]
        # the place of one that goes is another's
        old = made()
        b.drop("services.d/s%d.conf" % (number - 6000))
        check(gone(path + "_%d" % number), "taken away")
        check(until(lambda: len(made()) == 16 and made() != old), made())
        for x in pairs + [listener]:
            x.close()
        vmm.end()
        p.end()


@in_a_broker
def test_no_broker_and_refusals(b):
    p = attach(b, b.vms + "/v.sock")
    os.mkdir(b.dir + "/vm2", 0o700)
    q = Program(b, "--partition", "vm", "--uds-path", b.dir + "/vm2/v.sock")
    q.ends(1)
    check("another transport has attached" in q.said(), q.said())
    p.end()
    b.stop()
    q = Program(b, "--partition", "vm", "--uds-path", b.vms + "/v.sock")
    q.ends(1)
    check(b.run + "/control" in q.said(), q.said())
    q = Program(b, "--front", "--partition", "vm", "--uds-path",
                b.vms + "/v.sock")
    q.ends(1)
    check(b.run in q.said(), q.said())
    b.start()


def blocks_signals(p):
    with open("/proc/%d/status" % p.p.pid) as f:
        mask, = [int(x.split()[1], 16) for x in f if x.startswith("SigBlk")]
    return mask >> (signal.SIGTERM - 1) & 1


@in_a_broker
def test_ended_while_it_attaches(b):
    """A broker that does not answer is not waited for then."""
    with b.stopped():
        p = Program(b, "--partition", "vm", "--uds-path", b.vms + "/v.sock")
        check(until(lambda: blocks_signals(p)), "it has begun")
        p.p.terminate()
        p.ends(0)
        same(p.said(), "", "it says")
    same(os.listdir(b.vms), [], "what is left")


@in_a_broker
def test_options(b):
    def run(*args):
        return subprocess.run([HYBRID, *args], capture_output=True, text=True,
                              timeout=LIMIT_S, env=program_env())
    r = run("--help")
    same(r.returncode, 0, "--help")
    check("--uds-path" in r.stdout and "--front" in r.stdout, r.stdout)
    r = run("--version")
    check(re.match(r"hvsocket-hybrid \d+\.\d+", r.stdout), r.stdout)
    for args, words in (
            ((), "--partition"),
            (("--partition", ""), "--partition"),
            (("--partition", "x" * 256, "--uds-path", "x"), "255"),
            (("--partition", "a"), "--uds-path"),
            (("--partition", "a", "--uds-path", ""), "--uds-path"),
            (("--vm-id", "5"), "--vm-id 5"),
            (("--front", "--partition", "a", "--uds-path", "x", "--vm-id",
              "999e53d4-3d5c-4c3e-8779-bed06ec056e1"), "--vm-id"),
            (("--sandbox", "maybe"), "maybe"),
            (("--unheard-of",), "unheard-of"),
            (("more",), "more")):
        r = run(*args)
        same((r.returncode, r.stdout), (1, ""), "%r" % (args,))
        check(words in r.stderr and r.stderr.count("\n") == 1, r.stderr)


@in_a_broker
def test_sandbox(b):
    for p in (attach(b, b.vms + "/v.sock"),
              front(b, b.dir + "/front", "loopback")):
        if SANDBOX == "seccomp":
            for task in os.listdir("/proc/%d/task" % p.p.pid):
                with open("/proc/%d/task/%s/status" % (p.p.pid, task)) as f:
                    status = dict(x.split(":\t", 1) for x in f if ":\t" in x)
                same(status["Seccomp"].strip(), "2", "seccomp")
                same(status["NoNewPrivs"].strip(), "1", "no new privileges")
        p.end()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
