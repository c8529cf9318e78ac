#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""agent - what hvctl asks of a qemu-guest-agent, over standard input and output

    agent.py KEYS       what is added to authorized_keys goes to the file KEYS

Its commands and answers are qemu-ga's; the real one is in a guest of other
tests. $LIE has it spoil what is written into files.
"""
import base64
import json
import os
import subprocess
import sys

OUT = sys.stdout.buffer
FILES = {}
ENDED = {}


def say(value, number, sync=False):
    OUT.write((b"\xff" if sync else b"") +
              json.dumps({"return": value, "id": number}).encode() + b"\n")
    OUT.flush()


def execute(a):
    p = subprocess.run([a["path"], *a.get("arg", [])],
                       input=base64.b64decode(a.get("input-data", "")),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    number = len(ENDED) + 1
    ENDED[number] = p
    return {"pid": number}


def status(a):
    p = ENDED.pop(a["pid"])
    r = {"exited": True}
    r["exitcode" if p.returncode >= 0 else "signal"] = abs(p.returncode)
    for name, data in ("out-data", p.stdout), ("err-data", p.stderr):
        if data:
            r[name] = base64.b64encode(data).decode()
    return r


def file_open(a):
    number = len(FILES) + 1
    FILES[number] = open(a["path"], a.get("mode", "r").replace("b", "") + "b")
    return number


def file_read(a):
    data = FILES[a["handle"]].read(a.get("count", 4096))
    return {"count": len(data), "eof": not data,
            "buf-b64": base64.b64encode(data).decode()}


def file_write(a):
    data = base64.b64decode(a["buf-b64"])
    if os.environ.get("LIE"):
        data = bytes(len(data))
    FILES[a["handle"]].write(data)
    return {"count": len(data), "eof": False}


def file_close(a):
    FILES.pop(a["handle"]).close()
    return {}


def add_keys(a):
    with open(sys.argv[1], "a") as f:
        f.write("%s: %s\n" % (a["username"], " ".join(a["keys"])))
    return {}


COMMANDS = {
    "guest-exec": execute, "guest-exec-status": status,
    "guest-file-open": file_open, "guest-file-read": file_read,
    "guest-file-write": file_write, "guest-file-close": file_close,
    "guest-file-flush": lambda a: {},
    "guest-ssh-add-authorized-keys": add_keys,
    "guest-ping": lambda a: {},
}


for line in sys.stdin.buffer:
    q = json.loads(line.lstrip(b"\xff"))
    arguments = q.get("arguments", {})
    if q["execute"] == "guest-sync-delimited":
        say(arguments["id"], q.get("id"), True)
        continue
    try:
        answer = COMMANDS[q["execute"]](arguments)
    except OSError as e:
        OUT.write(json.dumps({"error": {"class": "GenericError",
                                        "desc": str(e)},
                              "id": q.get("id")}).encode() + b"\n")
        OUT.flush()
        continue
    say(answer, q.get("id"))
