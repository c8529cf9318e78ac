# SPDX-License-Identifier: MIT
"""examples - the programs of examples/, started for a test, and what they need

The same tests run with a container and with a virtual machine. What an example
has its guest do is taken from its files: guest_command().
"""
import os
import re
import subprocess
import sys
import threading

TOP = os.environ["TOP"]
EXAMPLES = os.path.join(TOP, "examples")
LIMIT_S = 30


def example(*path):
    return os.path.join(EXAMPLES, *path)


def text_of(*path):
    with open(example(*path)) as f:
        return f.read()


def program_env(**more):
    """Of programs that are none of ours: no sanitizer's library in them."""
    env = dict(os.environ, **more)
    env.pop("LD_PRELOAD", None)
    return env


class Process:
    """A program whose lines are waited for; ends with the block."""

    def __init__(self, command, env=None, **more):
        self.lines, self.over = [], False
        self.change = threading.Condition()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env=env, **more)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self.change:
                self.lines.append(line.rstrip("\n"))
                self.change.notify_all()
        with self.change:
            self.over = True
            self.change.notify_all()

    def expect(self, pattern):
        """A line that the pattern matches, from the beginning on."""
        def found():
            return next(filter(None, (re.search(pattern, line)
                                      for line in self.lines)), None)
        with self.change:
            self.change.wait_for(lambda: found() or self.over, LIMIT_S)
            assert found(), "%s did not say %r, but %r" % (
                self.process.args, pattern, self.lines)
            return found()

    def end(self):
        """Also in a process group of its own, if it was made with one."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def python(*path, args=(), **env):
    """An example in Python, on the host."""
    return Process([sys.executable, example(*path), *args],
                   env=dict(os.environ, **env), stdin=subprocess.DEVNULL)


def registration(*path, target=None):
    """A .conf file of an example: its text, with the target where the test
    has it in place of /run."""
    text = text_of(*path)
    found = re.search(r"^Target=unix:(\S+)$", text, re.M)
    if target:
        assert found, "%s has no Target=" % path[-1]
        text = text.replace(found.group(1), target)
    return text


def unit(name, *path):
    """A setting of a unit file."""
    found = re.findall("^%s=(.*)$" % name, text_of(*path), re.M)
    assert len(found) == 1, (path, name, found)
    return found[0]


def documented(pattern, *path):
    """A command line that stands in an example's text."""
    found = re.search(pattern, text_of(*path), re.M)
    assert found, "%s does not say %s" % (path[-1], pattern)
    return found.group(1)


def once(command, input="", **env):
    """A shell command of this machine: what it prints; it has to succeed."""
    r = subprocess.run(["sh", "-c", command], input=input, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=LIMIT_S, env=program_env(**env))
    assert r.returncode == 0, "%s: status %d: %s" % (
        command, r.returncode, r.stdout)
    return r.stdout
