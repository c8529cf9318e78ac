#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How the broker starts and ends: sockets handed over, readiness, signals"""
import os
import signal
import socket
import subprocess
import sys
import time

import tap
from hvb import *
from tap import check, same


def in_a_broker(*options):
    def wrap(function):
        def run(_):
            with Broker(*options) as b:
                function(b)
        return run
    return wrap


def test_signals_and_readiness(_):
    with Broker() as b, tempfile.TemporaryDirectory() as work:
        b.proc.send_signal(signal.SIGHUP)
        b.serves()
        with b.client() as c:
            listener = c.serve(WILDCARD, port(1))
        same(b.stop(), 0, "SIGTERM")
        # READY=1
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(work + "/notify")
        notify.settimeout(20)
        b.env = dict(os.environ, NOTIFY_SOCKET=work + "/notify")
        b.start()
        check(b"READY=1" in notify.recv(4096), "READY=1")
        with b.client() as c:
            c.dial(LOOPBACK, port(1)).close()
            listener.accept()[0].close()
        same(b.stop(), 0, "SIGTERM")
        # a socket that somebody else listens on
        b.env = None
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.unlink(b.run + "/control")
        s.bind(b.run + "/control")
        s.listen(64)
        early = Client(b.run + "/control", hello=False)
        ready, told = os.pipe()
        p = subprocess.Popen(
            ["/bin/bash", "-c", "export LISTEN_PID=$$ LISTEN_FDS=1; "
             "exec \"$@\" 3<&%d" % s.fileno(), "bash"] +
            b.command("--ready-fd", str(told)), stdin=subprocess.DEVNULL,
            pass_fds=[s.fileno(), told])
        os.close(told)
        try:
            same(os.read(ready, 1), b"\1", "ready")
            early.ask(HELLO, struct.pack("<II", 1, 1)).check()
            with b.client() as c:
                c.dial(LOOPBACK, port(1)).close()
                listener.accept()[0].close()
        finally:
            p.terminate()
            same(p.wait(20), 0, "its end")
        with Client(b.run + "/control", hello=False, timeout=20):
            pass  # still listened on, by us: a connect waits
        s.close()
        os.close(ready)
        # and an ordinary start after all that
        b.start()
        b.serves()
        listener.close()


def reaches(s, path):
    try:
        s.connect(path)
    except FileNotFoundError:
        return False
    return True


@in_a_broker()
def test_a_control_socket_listens_once_it_is_there(b):
    """Whoever sees its file is not refused: not for a moment."""
    for i in range(100):
        path = b.control(b.partition("p%d" % i, "Kind=container"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            end = time.monotonic() + 20
            while not reaches(s, path):
                check(time.monotonic() < end, "partition %d has no door" % i)
        same(os.listdir(os.path.dirname(path)), ["control"], "what is there")


@in_a_broker()
def test_what_is_no_option(b):
    for options in (["--max-listeners", "x"], ["--profile", "none"], ["more"],
                    ["--ready-fd", "-1"], ["--nothing"]):
        r = subprocess.run([b.program] + options, stderr=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, timeout=20)
        same(r.returncode, 2, "%r" % options)
        check(r.stderr, "a message")


@in_a_broker()
def test_broker_conf(b):
    def profile():
        with b.client() as c:
            return c.call("status")["profile"]

    same(profile(), "default", "without a file")
    b.stop()
    b.put("broker.conf", "[Broker]\nProfile=windows\n")
    b.start()
    same(profile(), "windows", "by the file")
    b.stop()
    b.options += ["--profile", "default"]
    b.start()
    same(profile(), "default", "the option wins")
    b.stop()
    del b.options[-2:]
    for text, why in (("[Broker]\nProfile=x\n",
                       "broker.conf:2: Profile=\"x\": there are"),
                      ("Profile=windows\n", "broker.conf:1: ")):
        b.put("broker.conf", text)
        r = subprocess.run(b.command(), stderr=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, text=True, timeout=20)
        same(r.returncode, 1, text)
        check(why in r.stderr, r.stderr)
    b.drop("broker.conf")
    b.start()


@in_a_broker()
def test_broker_conf_in_two_directories(b):
    """The higher one's file counts, whole: also an empty one, or a mask."""
    higher = b.dir + "/higher"
    path = higher + "/broker.conf"
    os.mkdir(higher)
    b.options += ["--config-dir", higher]

    def profile():
        b.stop()
        b.start()
        with b.client() as c:
            return c.call("status")["profile"]

    b.put("broker.conf", "[Broker]\nProfile=windows\n")
    same(profile(), "windows", "the lower one's alone")
    for text in ("", "# nothing\n", "[Broker]\n",
                 "[Broker]\nProfile=default\n"):
        with open(path, "w") as f:
            f.write(text)
        same(profile(), "default", repr(text))
    os.unlink(path)
    os.symlink("/dev/null", path)
    same(profile(), "default", "a mask")
    os.unlink(path)
    b.put("broker.conf", "not to be read\n")
    with open(path, "w") as f:
        f.write("[Broker]\nProfile=windows\n")
    same(profile(), "windows", "the higher one's alone")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
