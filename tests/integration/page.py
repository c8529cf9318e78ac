# SPDX-License-Identifier: MIT
"""page - types what a page of the documentation shows, and compares

A block ```console is typed line by line ("> " continues a command) into one
shell, in a new directory; what comes back has to be what the page shows. GUIDs,
process and user ids, times and temporary directories may be others, but each
stands for one thing throughout; a line "..." stands for any lines.
"""
import os
import re
import select
import signal
import subprocess
import threading

LIMIT_S = 60

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
VARYING = re.compile(
    r"(?P<guid>\b" + GUID + r"\b)|(?P<dir>/tmp/(?:[\w.-]+/)*tmp\.\w+)"
    r"|(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
    r"|(?P<pid>(?<=pid )\d+)|(?P<uid>(?<=uid )\d+)"
    r"|(?P<ids>(?<=stream  )\d+  \d+$)")


class Names:
    """What varies, as kind and number in order of appearance."""

    def __init__(self):
        self.known = {}

    def plain(self, line):
        def one(m):
            kind = m.lastgroup
            if kind == "guid" and (m.group().endswith("64006a7986d3") or
                                   not int(m.group().replace("-", ""), 16)):
                return m.group()
            key = (kind, m.group())
            if key not in self.known:
                self.known[key] = sum(k[0] == kind for k in self.known)
            return "<%s %d>" % (kind, self.known[key])
        # columns are as wide as what is in them
        line = re.sub(r" {2,}", "  ", line.rstrip())
        line = re.sub(r"(stream  \d+) (\d+)$", r"\1  \2", line)
        return VARYING.sub(one, line)


class Block(list):
    """[line number, command, what it prints], and the heading it is under."""
    heading = None


def blocks(path):
    found, block, heading = [], None, None
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line == "```console":
                block = Block()
                block.heading = heading
            elif line == "```" and block is not None:
                found.append(block)
                block = None
            elif block is not None and line[:2] in ("$ ", "# "):
                block.append([n, line[2:], []])
            elif block and line.startswith("> ") and not block[-1][2]:
                block[-1][1] += "\n" + line[2:]
            elif block is not None:
                block[-1][2].append(line)
            elif line.startswith("#"):
                heading = line.lstrip("# ")
    assert found, path + " has no blocks ```console"
    return found


class Shell:
    """One bash; each command's output ends with a line of ours. A broker that
    is started in the background tells when it is ready."""

    def __init__(self, work, programs, more=None, folders=()):
        bin_dir = os.path.join(work, "bin")
        os.makedirs(bin_dir, exist_ok=True)
        path = [bin_dir] + list(folders)
        for program in programs:
            path.append(os.path.dirname(os.path.abspath(program)))
        broker, = [os.path.abspath(p) for p in programs
                   if os.path.basename(p) == "hvsocketd"]
        self.ready, ready = os.pipe()
        with open(os.path.join(bin_dir, "hvsocketd"), "w") as f:
            f.write('#!/bin/sh\nexec %s "$@" --ready-fd %d\n' % (
                broker, ready))
        os.chmod(f.name, 0o755)
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("HVSOCKET", "XDG_", "LD_PRELOAD"))}
        env.update(PATH=":".join(path + [os.environ["PATH"]]), HOME=work,
                   TMPDIR=work, LC_ALL="C.UTF-8")
        env.update(more or {})
        self.work = work
        self.env = env
        self.shell = subprocess.Popen(
            ["bash", "--norc"], stdin=subprocess.PIPE, env=env, cwd=work,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            bufsize=1, pass_fds=[ready], start_new_session=True)
        os.close(ready)

    def wait_readable(self, fd, what):
        if not select.select([fd], [], [], LIMIT_S)[0]:
            raise TimeoutError("%s: nothing within %d s" % (what, LIMIT_S))

    def type(self, command):
        guard = threading.Timer(LIMIT_S, self.kill)
        guard.start()
        try:
            return self.answer(command)
        finally:
            guard.cancel()

    def answer(self, command):
        self.shell.stdin.write(command + "\necho \"@@ $?\"\n")
        out = []
        while True:
            line = self.shell.stdout.readline()
            if not line:
                raise EOFError("no end, or not within %d s, of: %s%s" % (
                    LIMIT_S, command, "".join("\n" + l for l in out)))
            line = line.rstrip("\n")
            if line.startswith("@@ "):
                break
            # what only shells without a terminal, or a locale, say
            if not re.match(r"bash: (line \d+: +\d+ (Killed|Terminated)|"
                            r"warning: setlocale)", line):
                out.append(line)
        if re.match(r"hvsocketd\b.*&$", command):
            self.wait_readable(self.ready, command)
            os.read(self.ready, 1)
        return out

    def kill(self):
        # the shell's session is ours alone
        try:
            os.killpg(self.shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self):
        self.kill()
        self.shell.wait()
        os.close(self.ready)


def matches(wanted, got):
    """With a line "..." for any lines."""
    if not wanted:
        return not got
    if wanted[0].strip() == "...":
        return any(matches(wanted[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and wanted[0] == got[0] and matches(wanted[1:], got[1:])


def run(shell, block, shown, seen, name):
    """Type a block of the page @name. Return: what is wrong, as lines"""
    bad = []
    for n, command, wanted in block:
        got = shell.type(command)
        want = [shown.plain(line) for line in wanted]
        have = [seen.plain(line.replace(shell.work, "/tmp")) for line in got]
        if not matches(want, have):
            bad.append("%s:%d: $ %s" % (name, n, command))
            bad += ["  shown: " + line for line in want]
            bad += ["  got:   " + line for line in have]
            break  # what follows builds on it
    return bad
