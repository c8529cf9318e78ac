#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""liar - an sftp server that means harm, in the way that SCENARIO names

    liar.py FILE        FILE has the scenario's name

It serves one directory "d" with what the scenario has in it, and one file
"d/f". Each request has one answer; what is not asked about is answered well.
"""
import struct
import sys
import time

INIT, OPEN, CLOSE, READ, WRITE, OPENDIR, READDIR, REMOVE, EXTENDED = (
    1, 3, 4, 5, 6, 11, 12, 13, 200)
FILE, DIR, LINK = 0o100644, 0o040755, 0o120777
NAMES = {
    "dotdot": [b"..evil", b"../evil", b".."],
    "slash": [b"/evil", b"a/evil", b"good"],
    "newline": [b"ev\nil", b"good"],
    "nul": [b"ev\0il", b""],
    "long": [b"x" * 256, b"good"],
    "escape": [b"\x1b[31mred\n"],
}


def u32(v):
    return struct.pack(">I", v & 0xffffffff)


def text(b):
    return u32(len(b)) + b


def attrs(mode, size=4, uid=None):
    owner = b"" if uid is None else u32(uid) + u32(uid)
    return (u32(0xd | (2 if owner else 0)) + struct.pack(">Q", size) + owner +
            u32(mode) + u32(0) + u32(0))


def status(code):
    return bytes([101]), u32(code) + text(b"\x1b[31mno") + text(b"")


class Liar:
    def __init__(self, scenario):
        self.scenario = scenario
        self.listed = False

    def names(self):
        if self.scenario == "endless":
            return [(b"d", DIR)]
        if self.scenario == "planted":
            # a directory, whose place here is taken by a link
            return [(b"planted", DIR)]
        return [(n, FILE) for n in NAMES.get(self.scenario, [b"f"])]

    def answer(self, kind, body):
        s = self.scenario
        if kind in (7, 17):  # LSTAT, STAT
            path = body[4:]
            if s == "pipe" and path.endswith(b"f"):
                return bytes([105]), attrs(0o010644)
            if s == "no-size":
                return bytes([105]), u32(0)
            if s == "huge":
                return bytes([105]), attrs(FILE, 1 << 63)
            if s == "planted-part" and b".hvctl-" in path:
                return bytes([105]), attrs(FILE, 4, 4242)
            if s == "planted-part":
                return bytes([105]), attrs(
                    FILE if path.endswith(b"new") else DIR, 4, 1000)
            if s == "unsized":
                return bytes([105]), attrs(FILE, 0)
            if s == "forget" and not path.endswith(b"d"):
                return status(2)
            directory = path.rsplit(b"/", 1)[-1] in (b"d", b"planted", b".")
            return bytes([105]), attrs(DIR if directory else FILE)
        if kind == 8:
            return bytes([105]), attrs(FILE, 0 if s == "unsized" else 4)
        if s == "planted-part" and kind == REMOVE:
            return status(3)
        if s == "planted-part" and kind == OPEN:
            # to be written, and not made anew
            n = struct.unpack(">I", body[:4])[0]
            flags = struct.unpack(">I", body[4 + n:8 + n])[0]
            if flags & 2 and not flags & 0x20:
                return status(3)
        if kind in (OPEN, OPENDIR):
            self.listed = False
            self.asked = 0
            return bytes([102]), text(b"h" * (300 if s == "handle" else 1))
        if kind == READ:
            length = struct.unpack(">I", body[-4:])[0]
            offset = struct.unpack(">Q", body[-12:-4])[0]
            if s == "too-much":
                return bytes([103]), text(b"x" * (length + 1))
            if s in ("flood", "unsized"):
                return bytes([103]), text(b"x" * length)
            if s == "nothing":
                return bytes([103]), text(b"")
            if s == "lying-length":
                return bytes([103]), u32(1 << 31) + b"abc"
            if s == "cut":
                sys.stdout.buffer.flush()
                sys.exit(0)
            return (bytes([103]), text(b"\0" * 4)) if offset < 4 \
                else status(1)
        if kind == READDIR:
            if s == "empty-answers":
                return bytes([104]), u32(0)
            if s == "refusals":
                return bytes([104]), u32(500) + 500 * (
                    text(b"a/b") + text(b"-") + attrs(FILE))
            if s == "many-names":
                return bytes([104]), u32(1 << 31)
            if self.listed:
                return status(1)
            self.listed = True
            names = self.names()
            return bytes([104]), u32(len(names)) + b"".join(
                text(n) + text(b"-") + attrs(m) for n, m in names)
        if kind == EXTENDED:
            return status(8 if b"limits" in body or b"statvfs" in body else 0)
        return status(0)

    def run(self):
        i, o = sys.stdin.buffer, sys.stdout.buffer
        while True:
            head = i.read(4)
            if len(head) < 4:
                return
            body = i.read(struct.unpack(">I", head)[0])
            kind, number = body[0], body[1:5]
            if kind == INIT:
                out = bytes([2]) + u32(2 if self.scenario == "version" else 3)
                for name in b"posix-rename@openssh.com", b"fsync@openssh.com":
                    out += text(name) + text(b"1")
                if self.scenario == "banner":
                    out = b"Welcome to this machine!\n"
                    o.write(out)
                    o.flush()
                    continue
                if self.scenario == "frame":
                    o.write(u32(1 << 31))
                    o.flush()
                    continue
            else:
                mark, rest = self.answer(kind, body[5:])
                if self.scenario == "wrong-id":
                    number = u32(77777)
                if self.scenario == "wrong-type":
                    mark = bytes([99])
                out = mark + number + rest
            o.write(u32(len(out)) + out)
            o.flush()


with open(sys.argv[1]) as f:
    Liar(f.read().strip()).run()
