#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What is in examples/, between this host and a container of its own broker"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request

import tap
from examples import (EXAMPLES, LIMIT_S, Process, documented, example, once,
                      program_env, python, registration, unit)
from hvb import Broker, until
from stack import listens
from tap import check, same

HVCTL = os.environ["HVCTL"]
# Stands for a machine's journal: three entries, and the cursor is obeyed.
JOURNALCTL = r"""#!/bin/sh
case "$*" in
"--output=json --follow --lines=all") from=1 ;;
"--output=json --follow --lines=all --after-cursor=s="*) from=${4##*=} ;
	from=$((from + 1)) ;;
*) echo "journalctl: $*" >&2; exit 1 ;;
esac
for n in 1 2 3; do
	[ "$n" -lt "$from" ] ||
		printf '{"__CURSOR":"s=%d","MESSAGE":"entry %d \302\23331m"}\n' $n $n
done
"""


class Fixture:
    def __init__(self, work):
        self.work = work
        self.b = Broker()

    def __enter__(self):
        self.b.start()
        os.environ["HVSOCKET_RUNTIME_DIR"] = self.b.run
        # found by what socat and sh start
        os.environ["PATH"] = "%s:%s" % (os.path.dirname(HVCTL),
                                        os.environ["PATH"])
        self.box = self.b.partition("box", "Kind=container")
        self.b.service("echo", 5000)
        self.b.client(self.box).close()  # its door is there
        self.inside = "%s/broker/partitions/%s" % (self.b.run, self.box)
        return self

    def __exit__(self, *exc):
        self.b.end(check=exc[0] is None)

    def register(self, *path, target=None):
        self.b.put("services.d/" + path[-1], registration(
            *path, target=target))

    def command(self, text):
        """A guest's command line, for the container: hvctl is its socat's
        VSOCK-CONNECT, and the scripts are where they are."""
        text = re.sub(r"VSOCK-CONNECT:2:(\d+)", self.script, text)
        return re.sub(r"/usr/local/lib/([\w-]+)", lambda m: next(
            os.path.join(base, m.group(1))
            for base, _, names in os.walk(EXAMPLES)
            if m.group(1) in names), text)

    def script(self, match):
        # in a file, because socat makes something of the colon
        path = os.path.join(self.work, "to-" + match.group(1))
        with open(path, "w") as f:
            f.write("#!/bin/sh\nexec hvctl nc parent:%s\n" % match.group(1))
        os.chmod(path, 0o755)
        return "EXEC:" + path

    def in_box(self, text, input="", **env):
        return once(self.command(text), input,
                    HVSOCKET_RUNTIME_DIR=self.inside, **env)

    def start_in_box(self, text, **env):
        return Process(["sh", "-c", "exec " + self.command(text)],
                       stdin=subprocess.DEVNULL, env=program_env(
                           HVSOCKET_RUNTIME_DIR=self.inside, **env))


    def in_python(self, text, address):
        """A program in the box, with s connected."""
        return once("%s -c \"$PROGRAM\"" % sys.executable, PROGRAM="import "
                    "hvsocket\ns = hvsocket.create_connection('%s', 20)\n%s" %
                    (address, text), HVSOCKET_RUNTIME_DIR=self.inside,
                    LD_PRELOAD=os.environ.get("LD_PRELOAD", ""))


def listening(path):
    check(until(lambda: listens(path), LIMIT_S), "nobody listens at " + path)


def test_python_echo(f):
    with python("python", "echo-server.py") as server:
        server.expect("^listening$")
        r = subprocess.run(
            [sys.executable, example("python", "echo-client.py"),
             "parent:echo"], input=b"one\ntwo\n", stdout=subprocess.PIPE,
            timeout=LIMIT_S, env=dict(os.environ,
                                      HVSOCKET_RUNTIME_DIR=f.inside))
        same(r.stdout, b"one\ntwo\n", "the echo")
        server.expect("^from box:")
        # more than all buffers on the way hold
        r = subprocess.run(
            [sys.executable, example("python", "echo-client.py"),
             "parent:echo"], input=b"x" * 4000000 + b"\n",
            stdout=subprocess.PIPE, timeout=LIMIT_S,
            env=dict(os.environ, HVSOCKET_RUNTIME_DIR=f.inside))
        same((r.returncode, len(r.stdout)), (0, 4000001), "a long line")
    r = subprocess.run(
        [sys.executable, example("python", "echo-client.py"), "nobody:1"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT_S)
    check(r.returncode == 1 and r.stderr.startswith(
        b"echo-client: partition unknown: "), r.stderr)


def held(f):
    """A standard input that does not end."""
    path = os.path.join(f.work, "held")
    os.mkfifo(path)
    os.open(path, os.O_RDWR)  # with the test
    return path


def test_log_collector(f):
    f.register("log-collector", "journal.conf")
    bin_dir, logs = os.path.join(f.work, "bin"), os.path.join(f.work, "logs")
    os.mkdir(bin_dir)
    path = os.path.join(bin_dir, "journalctl")
    with open(path, "w") as out:
        out.write(JOURNALCTL)
    os.chmod(path, 0o755)
    command = unit("ExecStart", "log-collector", "hv-journal.service")
    mine = dict(PATH="%s:%s" % (bin_dir, os.environ["PATH"]))
    box = os.path.join(logs, "box.json")
    with python("log-collector", "collect.py", args=[logs]) as collect:
        collect.expect("^listening$")
        f.in_box(command, **mine)
        collect.expect("^box: 3 entries, has ended$")
        with open(box) as entries:
            text = entries.read()
        same([json.loads(line)["MESSAGE"][:7] for line in text.split("\n")[:-1]],
             ["entry 1", "entry 2", "entry 3"], "entries")
        check(text.isascii(), "no CSI for a terminal: %r" % text)
        # a crash tore the last line; what is whole is not sent again
        with open(box, "w") as entries:
            entries.write(text[:text.index("\n") + 20])
        f.in_box(command, **mine)
        collect.expect("^box: 2 entries, has ended$")
        with open(box) as entries:
            same(entries.read(), text, "all of it, once")
        f.in_box("hvctl nc parent:journal", "no JSON\x1b[31m\n")
        collect.expect("^box: 0 entries, 'Expecting value")
        # a line that is too long, which any user there can have written,
        # would come first again and again
        f.in_box("hvctl nc parent:journal", "".join(
            '{"__CURSOR":"s=%s","MESSAGE":"%s"}\n' % entry for entry in (
                ("4", "x" * (1 << 20)), ("5", "x" * (3 << 20)), ("3", "y"))))
        collect.expect("^box: 1 entries, has ended; 2 too long$")
        with open(box) as entries:
            same(entries.readlines()[3:],
                 ['{"__CURSOR": "s=3", "MESSAGE": "y"}\n'], "the third one")
        f.in_box("hvctl nc parent:journal", "[1]\n")
        collect.expect("^box: 0 entries, 'no object'$")
        # of one guest one at a time: their lines would be mixed
        with f.start_in_box("hvctl nc parent:journal < %s" % held(f)) as one:
            one.expect("^s=3$")  # told what is here
            same(f.in_box("hvctl nc parent:journal < /dev/null"), "",
                 "what a second one is told")
        collect.expect("^box: 0 entries, has ended$")
    same(os.listdir(logs), ["box.json"], "files")
    # a guest does not fill the disk
    with python("log-collector", "collect.py", args=[logs],
                COLLECT_MOST="1000") as collect:
        collect.expect("^listening$")
        lines = ['{"__CURSOR": "s=%d"}\n' % n for n in range(1000)]
        f.in_box("hvctl nc parent:journal", "".join(lines))
        collect.expect("^box: 1000 entries, has ended$")
        with f.start_in_box("hvctl nc parent:journal < %s/held" %
                            f.work) as one:
            one.expect("^s=999$")
    kept = []
    for name in "box.json.1", "box.json":
        if os.path.exists(os.path.join(logs, name)):
            with open(os.path.join(logs, name)) as entries:
                kept += entries.readlines()
    check(1000 < sum(map(len, kept)) < 2100, "what is kept: %r" % kept)
    same(kept, lines[-len(kept):], "the newest")


def test_ssh_agent(f):
    for name in "ssh-agent", "ssh-add", "ssh-keygen":
        check(shutil.which(name), "there is no %s (openssh-client)" % name)
    key = os.path.join(f.work, "key")
    own, lent = (os.path.join(f.work, n) for n in ("agent", "lent"))
    once("ssh-keygen -q -t ed25519 -N '' -C on-the-host -f " + key)
    listen = documented(r"^    socat (UNIX-LISTEN:.*) &$", "ssh-agent",
                        "guard.py").replace("$HOME/.ssh/host", lent)
    conf = registration("ssh-agent", "ssh-agent.conf")
    check("\nConnect=partition:NAME\n" in conf, conf)
    f.b.put("services.d/ssh-agent.conf", conf)
    with Process(["ssh-agent", "-D", "-a", own], env=program_env()):
        listening(own)
        once("ssh-add -q " + key, SSH_AUTH_SOCK=own)
        with python("ssh-agent", "guard.py", SSH_AUTH_SOCK=own) as guard, \
                f.start_in_box("socat " + listen):
            guard.expect("^listening$")
            listening(lent)
            f.in_box("! ssh-add -l", SSH_AUTH_SOCK=lent)  # until it is named
            f.b.put("services.d/ssh-agent.conf", conf.replace("NAME", "box"))
            check("on-the-host" in f.in_box("ssh-add -l", SSH_AUTH_SOCK=lent),
                  "the key is lent")
            f.in_box("echo text | ssh-keygen -Y sign -n file -f %s.pub > "
                     "%s.sig" % (key, key), SSH_AUTH_SOCK=lent)
            guard.expect("^box: signs$")
            once("echo text | ssh-keygen -Y check-novalidate -n file -s "
                 "%s.sig" % key)
            f.in_box("! ssh-add -q -D", SSH_AUTH_SOCK=lent)
            guard.expect("^box: request 19 refused$")
            f.in_box("! ssh-add -q " + key, SSH_AUTH_SOCK=lent)
            check("on-the-host" in once("ssh-add -l", SSH_AUTH_SOCK=own),
                  "the key is still there")
            f.in_box("printf '\\377\\377\\377\\377x' | "
                     "hvctl nc parent:ssh-agent")
            guard.expect("^box: a message of 4294967295 bytes$")
            # who does not read answers is not read from either
            text = f.in_python(
                "s.settimeout(2)\n"
                "for n in range(400):\n"
                " try: s.sendall(b'\\0\\0\\0\\1c' * 2000)\n"
                " except TimeoutError: break\n"
                "print(n)", "parent:ssh-agent")
            check(int(text) < 399, "4 MB of requests were taken")
            with guard.change:
                same(len([x for x in guard.lines
                          if x == "box: request 99 refused"]), 1, "told")
            # nor does one guest get all the descriptors
            text = f.in_python(
                "more = [hvsocket.create_connection('parent:ssh-agent')\n"
                "        for n in range(16)]\n"
                "more[-1].settimeout(20)\n"
                "print(more[-1].recv(1))", "parent:ssh-agent")
            same(text, "b''\n", "the 17th connection")
    r = subprocess.run([sys.executable, example("ssh-agent", "guard.py")],
                       env={k: v for k, v in os.environ.items()
                            if k != "SSH_AUTH_SOCK"},
                       stderr=subprocess.PIPE, timeout=LIMIT_S)
    check(b"SSH_AUTH_SOCK is not set" in r.stderr, r.stderr)


def fetch(url):
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        return answer.read().decode()


def test_metrics(f):
    script = example("metrics", "guest-metrics")
    with python("metrics", "exporter.py",
                args=["--port", "0", "--within", "20", "box", "nobody"]) as exporter:
        url = exporter.expect("^(http://127.0.0.1:[0-9]+/metrics)$").group(1)
        same(fetch(url), 'hv_guest_up{vm="box"} 0\n'
             'hv_guest_up{vm="nobody"} 0\n', "nobody listens")
        for text, lines in ((None, 5),
                            ("printf 'guest_a 1\\nguest_a 2\\n"
                             "guest_b{vm=\"x\"} 1\\n"
                             "\\033[31m\\nguest_c x\\n'", 2),
                            ("head -c 100000 /dev/zero", 1)):
            with f.start_in_box("sh -c '%s | hvctl nc -l wildcard:9100'" % (
                    text or "sh " + script).replace("'", "'\\''")):
                once("hvctl wait -t 20 box:9100")
                # that somebody is there it says before he listens
                tries = []
                until(lambda: tries.append(fetch(url)) or lines == 1 or
                      'up{vm="box"} 1\n' in tries[-1], LIMIT_S)
                got = tries[-1]
            same(len([line for line in got.split("\n")[:-1]
                      if 'vm="box"' in line]), lines, got)
            check(re.search(r'^hv_guest_up\{vm="box"\} [01]$', got, re.M), got)
            check("\x1b" not in got and 'vm="x"' not in got, got)
            if not text:
                check(re.search(r'^guest_memory_total_bytes\{vm="box"\} '
                                r'[1-9]\d+$', got, re.M), got)


def test_http_server_behind_target(f):
    check(shutil.which("busybox"), "there is no busybox (busybox-static)")
    path, root = (os.path.join(f.work, n) for n in ("web.sock", "www"))
    os.mkdir(root)
    with open(os.path.join(root, "index.html"), "w") as page:
        page.write("a page of the host\n")
    f.register("http", "web.conf", target=path)
    serve = documented(r"^#\t(socat UNIX-LISTEN.*)$", "http", "web.conf")
    serve = serve.replace("/run/hv-web/web.sock", path).replace(
        "/srv/www", root)
    with Process(["sh", "-c", "exec " + serve], env=program_env(),
                 stdin=subprocess.DEVNULL):
        listening(path)
        out = f.in_box("hvctl nc parent:8080", "GET / HTTP/1.0\r\n\r\n")
        check(out.startswith("HTTP/1.1 200") and
              out.endswith("a page of the host\n"), out)
        out = f.in_box("hvctl nc parent:web", "GET /no HTTP/1.0\r\n\r\n")
        check(out.startswith("HTTP/1.1 404"), out)
        # the guest's part, at a port that is free here
        command = documented(r"^exec (socat .*)$", "http", "in-the-guest")
        command = command.replace("TCP-LISTEN:8080", "-d -d TCP-LISTEN:0")
        with f.start_in_box(command) as forward:
            place = forward.expect(r" listening on .* (127\.0\.0\.1:\d+)")
            same(fetch("http://%s/" % place.group(1)),
                 "a page of the host\n", "by TCP in the guest")


def test_started_on_demand(f):
    activate = shutil.which("systemd-socket-activate")
    check(activate, "there is no systemd-socket-activate (systemd)")
    path = os.path.join(f.work, "clock.sock")
    f.register("on-demand", "clock.conf", target=path)
    same(unit("ListenStream", "on-demand", "clock.socket"),
         re.search("Target=unix:(.*)", registration(
             "on-demand", "clock.conf")).group(1), "socket and target")
    daemon = unit("ExecStart", "on-demand", "clock.service").split()
    daemon = [w.replace("/usr/local/lib", example("on-demand"))
              for w in daemon]
    with Process([activate, "-l", path, "-E", "CLOCKD_IDLE=0.05", *daemon],
                 env=program_env(), stdin=subprocess.DEVNULL) as systemd:
        listening(path)
        with open("/proc/%d/comm" % systemd.process.pid) as running:
            same(running.read(), "systemd-socket-\n", "not started yet")
        now = f.in_box("hvctl nc parent:clock < /dev/null")
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n", now),
              now)
        same(systemd.process.wait(LIMIT_S), 0, "ended when it was idle")
    # who hangs up before the answer does not end it for the others
    os.unlink(path)
    with Process([activate, "-l", path, "-E", "CLOCKD_IDLE=20", *daemon],
                 env=program_env(), stdin=subprocess.DEVNULL) as systemd:
        listening(path)
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(path)
        now = f.in_box("hvctl nc parent:clock < /dev/null")
        check(now.startswith("20"), "the answer: %r" % now)
    r = subprocess.run(daemon, env=program_env(LISTEN_FDS=""),
                       stderr=subprocess.PIPE, timeout=LIMIT_S)
    check(b"to be started by clock.socket" in r.stderr, r.stderr)


def test_every_example_is_listed(f):
    with open(os.path.join(EXAMPLES, "README.md")) as page:
        links = set(re.findall(r"\]\(([^).]+[^)]*)\)", page.read()))
    for base, folders, names in os.walk(EXAMPLES):
        folders[:] = [d for d in folders if d != "__pycache__"]
        for name in names:
            path = os.path.relpath(os.path.join(base, name), EXAMPLES)
            if name not in ("README.md", "meson.build", "go.mod"):
                check(path in links, "%s is not in README.md" % path)
    for path in links:
        check(os.path.exists(example(path)), "%s is not there" % path)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Fixture)
