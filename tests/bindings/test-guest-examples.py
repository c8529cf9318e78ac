#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What is in examples/, with a virtual machine: a stock kernel under QEMU, a
busybox, socat, and, for the logs, Debian's own journald."""
import json
import os
import re
import shutil
import sys
import urllib.request

import tap
import vm
from examples import (LIMIT_S, Process, documented, example, once,
                      program_env, python, registration, unit)
from stack import Stack, listens, until
from tap import check, same

SCRIPTS = (("log-collector", "send-journal"), ("metrics", "guest-metrics"),
           ("http", "in-the-guest"))
PROGRAMS = ("socat", "ssh-add", "journalctl")
JOURNALD = "/lib/systemd/systemd-journald"


class Machine(Stack):
    def __init__(self, work):
        super().__init__(work, "web1")
        words = ["--add", "%s:%s" % (JOURNALD, JOURNALD)]
        for name in PROGRAMS:
            path = shutil.which(name)
            if not path:
                raise vm.GuestError("there is no %s here" % name)
            words += ["--add", path]
        for path in SCRIPTS:
            words += ["--add", "%s:/usr/local/lib/%s" % (
                example(*path), path[-1])]
        vm.make_initramfs(self.kernel, self.initramfs, [], os.path.join(
            os.environ["GUEST_PROGRAMS"], "guest-agent"), words=words)

    def register(self, *path, target=None):
        self.put("services.d", path[-1][:-len(".conf")],
                 registration(*path, target=target))

    def background(self, command):
        """socat in the guest, once it listens."""
        job = self.guest.start(command.replace("socat ", "socat -d -d ", 1) +
                               " 2>&1")
        job.expect(" listening on ")
        return job

    def call(self, port, text=""):
        """What comes back when the guest says TEXT to a port of the host."""
        job = self.guest.start("socat -t 10 - VSOCK-CONNECT:2:%d" % port)
        for line in text.split("\n")[:-1]:
            job.input(line)
        job.end_input()
        return job.ok()


def test_echo_in_c(f):
    f.service("echo-c", 5001)
    guid = "00001389-facb-11e6-bd58-64006a7986d3"
    server = os.path.join(os.environ["BUILD"], "examples", "hvecho-server")
    with Process([server, guid], env=program_env()) as echo:
        echo.expect("^listening$")
        same(f.call(5001, "hello\n"), "hello", "the echo")
        echo.expect("^connection from %s$" % f.vmid)


def test_echo_in_python(f):
    f.service("echo", 5000)
    with python("python", "echo-server.py") as server:
        server.expect("^listening$")
        same(f.call(5000, "one\ntwo\n"), "one\ntwo", "the echo")
        server.expect("^from web1:")
    job = f.background("socat -t 10 VSOCK-LISTEN:6000,fork EXEC:cat")
    same(once("%s %s web1:6000" % (sys.executable, example(
        "python", "echo-client.py")), "to the guest\n",
        LD_PRELOAD=os.environ.get("LD_PRELOAD", "")),
        "to the guest\n", "the guest's echo")
    job.kill()


def test_log_collector(f):
    f.register("log-collector", "journal.conf")
    logs = os.path.join(f.work, "logs")
    guest = f.guest
    guest.run("mount -t cgroup2 none /sys/fs/cgroup && "
              "echo 0123456789abcdef0123456789abcdef > /etc/machine-id && "
              "mkdir -p /run/systemd/journal /var/log").ok()
    journald = guest.start(JOURNALD)
    guest.run("until [ -S /run/systemd/journal/dev-log ]; do :; done; "
              "ln -s /run/systemd/journal/dev-log /dev/log; "
              "logger 'before anybody collects'").ok()
    send = unit("ExecStart", "log-collector", "hv-journal.service")
    path = os.path.join(logs, "web1.json")

    def entries():
        with open(path) as lines:
            return [json.loads(line) for line in lines if line[-1] == "\n"]

    def there(message):
        until(message, lambda: os.path.exists(path) and any(
            e["MESSAGE"] == message for e in entries()), LIMIT_S)

    with python("log-collector", "collect.py", args=[logs]) as collect:
        collect.expect("^listening$")
        job = guest.start(send)
        there("before anybody collects")
        guest.run("logger 'while it is collected'").ok()
        there("while it is collected")
        job.kill()
    with python("log-collector", "collect.py", args=[logs]) as collect:
        collect.expect("^listening$")
        guest.run("logger 'while nobody did'").ok()
        job = guest.start(send)
        there("while nobody did")
        job.kill()
    cursors = [e["__CURSOR"] for e in entries()]
    same(len(cursors), len(set(cursors)), "entries that are there once")
    check(any(e.get("_TRANSPORT") == "kernel" for e in entries()),
          "the kernel's log, too")
    journald.kill()


def test_ssh_agent(f):
    f.put("services.d", "ssh-agent", registration(
        "ssh-agent", "ssh-agent.conf").replace("NAME", "web1"))
    key, own = (os.path.join(f.work, n) for n in ("key", "agent"))
    once("ssh-keygen -q -t ed25519 -N '' -C on-the-host -f " + key)
    listen = documented(r"^    (socat UNIX-LISTEN:.*) &$", "ssh-agent",
                        "guard.py").replace("$HOME/.ssh/host", "/tmp/host")
    with Process(["ssh-agent", "-D", "-a", own], env=program_env()):
        until("ssh-agent listens", lambda: listens(own))
        once("ssh-add -q " + key, SSH_AUTH_SOCK=own)
        with python("ssh-agent", "guard.py", SSH_AUTH_SOCK=own) as guard:
            guard.expect("^listening$")
            job = f.background(listen)
            ssh_add = "SSH_AUTH_SOCK=/tmp/host ssh-add "
            check("on-the-host" in f.guest.run(ssh_add + "-l").ok(), "lent")
            f.guest.run(ssh_add + "-D").failed()
            guard.expect("^web1: request 19 refused$")
            check("on-the-host" in f.guest.run(ssh_add + "-l").ok(), "kept")
            job.kill()


def test_metrics(f):
    with python("metrics", "exporter.py",
                args=["--port", "0", "--within", "20",
                                             "web1"]) as exporter:
        url = exporter.expect("^(http://127.0.0.1:[0-9]+/metrics)$").group(1)
        job = f.background(documented(r"^#\t(socat VSOCK-LISTEN.*)$",
                                      "metrics", "guest-metrics"))
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
            text = answer.read().decode()
        check('hv_guest_up{vm="web1"} 1\n' in text, text)
        total = re.search(r'^guest_memory_total_bytes\{vm="web1"\} (\d+)$',
                          text, re.M)
        check(total and 100 << 20 < int(total.group(1)) < 256 << 20, text)
        job.kill()


def test_http_server_behind_target(f):
    path, root = (os.path.join(f.work, n) for n in ("web.sock", "www"))
    os.mkdir(root)
    with open(os.path.join(root, "index.html"), "w") as page:
        page.write("a page of the host\n")
    f.register("http", "web.conf", target=path)
    serve = documented(r"^#\t(socat UNIX-LISTEN.*)$", "http", "web.conf")
    serve = serve.replace("/run/hv-web/web.sock", path).replace(
        "/srv/www", root)
    with Process(["sh", "-c", "exec " + serve], env=program_env()):
        until("socat listens", lambda: listens(path))
        job = f.background(documented(r"^exec (socat .*)$", "http",
                                      "in-the-guest"))
        same(f.guest.run("wget -q -O - http://127.0.0.1:8080/").ok(),
             "a page of the host", "by TCP in the guest")
        job.kill()


def test_started_on_demand(f):
    path = os.path.join(f.work, "clock.sock")
    f.register("on-demand", "clock.conf", target=path)
    daemon = unit("ExecStart", "on-demand", "clock.service").replace(
        "/usr/local/lib", example("on-demand")).split()
    with Process(["systemd-socket-activate", "-l", path, "-E",
                  "CLOCKD_IDLE=0.05", *daemon], env=program_env()) as systemd:
        until("the socket", lambda: listens(path))
        now = f.call(5013)
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now), now)
        same(systemd.process.wait(LIMIT_S), 0, "ended when it was idle")


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Machine)
