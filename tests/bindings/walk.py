# SPDX-License-Identifier: MIT
"""walk - a page that has programs and a guest in it, besides what page.py types

A block ```LANGUAGE NAME is a file, which is written where the shell is. In a
block ```console vm a line "guest# " is typed at the guest's console; the guest
is what a command qemu-system-* has started.
"""
import os
import re
import select
import sys
import time

TOP = os.environ["TOP"]
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
import page  # noqa: E402


class AtGuest(str):
    """A command for the guest."""


class Block(page.Block):
    """With its language, what stands behind that, and its lines."""

    def __init__(self, first, kind, name):
        super().__init__()
        self.first, self.kind, self.name, self.lines = first, kind, name, []

    def end(self):
        """What is to be typed, as page.run() has it."""
        for n, line in enumerate(self.lines, self.first + 1):
            m = re.match(r"(\$|guest#) (.*)", line)
            if self.kind != "console":
                break
            if m:
                self.append([n, m.group(2) if m.group(1) == "$" else
                             AtGuest(m.group(2)), []])
            elif line.startswith("> ") and not self[-1][2]:
                self[-1][1] += "\n" + line[2:]
            else:
                self[-1][2].append(line)
        return self


def blocks(path):
    found, block = [], None
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip("\n")
            m = re.fullmatch(r"```(\w*) ?(.*)", line)
            if m and block is None:
                block = Block(n, m.group(1), m.group(2))
            elif line == "```":
                found.append(block.end())
                block = None
            elif block is not None:
                block.lines.append(line)
    assert any(found), path + " has no blocks ```console"
    return found


class Shell(page.Shell):
    guest = None

    def type(self, command):
        if isinstance(command, AtGuest):
            return self.guest.type(command)
        if command.startswith("qemu-system-"):
            self.guest = Guest(self, command)
            return []
        return super().type(command)

    def write(self, block):
        where, = self.type("pwd")
        with open(os.path.join(where, block.name), "w") as f:
            f.write("\n".join(block.lines) + "\n")


class Guest:
    """A machine whose console is QEMU's standard input and output."""

    def __init__(self, shell, command):
        names = [os.path.join(shell.work, "guest." + n) for n in ("in", "out")]
        for name in names:
            os.mkfifo(name)
        self.to, self.of = (os.open(n, os.O_RDWR) for n in names)
        shell.type("{ %s; } <%s >%s 2>&1 &" % (command, *names))
        self.said = ""
        self.until("guest: up ")

    def until(self, mark):
        """All that it says up to the line with this mark."""
        end = time.monotonic() + page.LIMIT_S
        while not re.search("^" + re.escape(mark) + ".*\n", self.said, re.M):
            left = end - time.monotonic()
            if left < 0 or not select.select([self.of], [], [], left)[0]:
                raise TimeoutError("the guest did not say %r, but %r" % (
                    mark, self.said))
            self.said += re.sub(r"\r|\x1b\[[0-9;]*[A-Za-z]", "", os.read(
                self.of, 65536).decode(errors="replace"))
        before, self.said = re.split(
            "^" + re.escape(mark) + ".*\n", self.said, 1, re.M)
        return before

    def type(self, command):
        """The quotes keep the echo of what is typed from being the mark."""
        os.write(self.to, b'echo "@""<"\n%s\necho "@""@ $?"\n' %
                 command.encode())
        self.until("@<")
        return [line for line in self.until("@@ ").split("\n")[:-1]
                if not re.match(r"(/|~) # |echo \"@\"", line) and
                line != command]
