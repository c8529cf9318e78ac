#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Types the walk-through of README.md, and compares what it shows.

    test-readme.py TOP PROGRAM... [--show]

Every block ```console is typed line by line ("> " continues a command) into
one shell, in a new directory, with the directories of the PROGRAMs in its PATH;
what comes back has to be what README.md shows. GUIDs, process and user ids, times and
temporary directories may be others, but each stands for one thing throughout;
a line "..." stands for any lines. --show prints the blocks as they come out.
"""
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile

SHOW = "--show" in sys.argv
TOP, *PROGRAMS = [a for a in sys.argv[1:] if a != "--show"]
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


def blocks():
    """Lists of [line number, command, what it prints]."""
    found, block = [], None
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line == "```console":
                block = []
            elif line == "```" and block is not None:
                found.append(block)
                block = None
            elif block is not None and line.startswith("$ "):
                block.append([n, line[2:], []])
            elif block and line.startswith("> ") and not block[-1][2]:
                block[-1][1] += "\n" + line[2:]
            elif block is not None:
                block[-1][2].append(line)
    assert found, "README.md has no blocks ```console"
    return found


class Shell:
    """One bash; each command's output ends with a line of ours. A broker that
    is started in the background tells when it is ready."""

    def __init__(self, work):
        bin_dir = os.path.join(work, "bin")
        os.mkdir(bin_dir)
        path = [bin_dir]
        for program in PROGRAMS:
            path.append(os.path.dirname(os.path.abspath(program)))
        broker, = [os.path.abspath(p) for p in PROGRAMS
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
        if "README_NO_PRELOAD" in os.environ:
            env["HVSOCKET_PRELOAD"] = ""
        self.work = work
        self.shell = subprocess.Popen(
            ["bash", "--norc"], stdin=subprocess.PIPE, env=env, cwd=work,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            bufsize=1, pass_fds=[ready], start_new_session=True)

    def wait_readable(self, fd, what):
        if not select.select([fd], [], [], LIMIT_S)[0]:
            raise TimeoutError("%s: nothing within %d s" % (what, LIMIT_S))

    def type(self, command):
        self.shell.stdin.write(command + "\necho \"@@ $?\"\n")
        out = []
        while True:
            line = self.shell.stdout.readline()
            if not line:
                raise EOFError("the shell ended at: " + command)
            line = line.rstrip("\n")
            if line.startswith("@@ "):
                break
            # what only shells without a terminal say
            if not re.match(r"bash: line \d+: +\d+ (Killed|Terminated)", line):
                out.append(line)
        if re.match(r"hvsocketd\b.*&$", command):
            self.wait_readable(self.ready, command)
            os.read(self.ready, 1)
        return out

    def close(self):
        # the shell's session is ours alone
        try:
            os.killpg(self.shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.shell.wait()


def matches(wanted, got):
    """With a line "..." for any lines."""
    if not wanted:
        return not got
    if wanted[0].strip() == "...":
        return any(matches(wanted[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and wanted[0] == got[0] and matches(wanted[1:], got[1:])


def run(shell, block, shown, seen):
    bad = []
    for n, command, wanted in block:
        got = shell.type(command)
        if SHOW:
            print("$ " + command.replace("\n", "\n> ") +
                  "".join("\n" + line for line in got))
            continue
        want = [shown.plain(line) for line in wanted]
        have = [seen.plain(line.replace(shell.work, "/tmp")) for line in got]
        if not matches(want, have):
            bad.append("README.md:%d: $ %s" % (n, command))
            bad += ["  shown: " + line for line in want]
            bad += ["  got:   " + line for line in have]
    return bad


def main():
    signal.alarm(3 * LIMIT_S)
    work = tempfile.mkdtemp(prefix="hvs-test-")
    shell = Shell(work)
    failed = 0
    shown, seen = Names(), Names()
    try:
        todo = blocks()
        if not SHOW:
            print("1..%d" % len(todo))
        for i, block in enumerate(todo, 1):
            try:
                bad = run(shell, block, shown, seen)
            except (EOFError, TimeoutError) as e:
                bad = [str(e)]
            if SHOW:
                print("---")
                continue
            for line in bad:
                print("# " + line)
            failed += bool(bad)
            print("%s %d - lines %d to %d" % ("not ok" if bad else "ok", i,
                                              block[0][0], block[-1][0]),
                  flush=True)
    finally:
        shell.close()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if failed else 0)


main()
