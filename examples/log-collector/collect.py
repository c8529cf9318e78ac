#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""collect - the journals of all guests, in one folder of the host

    collect.py FOLDER [SERVICE]     default: journal (journal.conf)

A guest connects (send-journal) and is told the last entry that is here
already; it sends the others, and each new one, as lines of JSON. They are
appended to FOLDER/NAME.json, NAME being the partition's as the broker knows
it: a guest cannot write into another one's file. Nothing is lost or doubled
when either side starts again.

What a guest sends is a stranger's: lines have a limit (longer ones are passed
over), have to be objects, and are written anew in plain ASCII, so that the
files can be looked at. A full file becomes NAME.json.1, and the one before it
goes: no guest fills the disk.
"""
import asyncio
import json
import os
import re
import sys
from urllib.parse import quote

import hvsocket

LONGEST = 1 << 20  # a line; journald's own limit for a field is less
MOST = int(os.environ.get("COLLECT_MOST", 256 << 20))  # bytes of a file


def last_cursor(path):
    """Of the last whole line; a torn one, of a crash, is taken away."""
    try:
        with open(path, "r+b") as f:
            size = f.seek(0, os.SEEK_END)
            f.seek(max(0, size - 4 * LONGEST))
            tail = f.read()
            whole = tail[:tail.rfind(b"\n") + 1]
            f.truncate(size - len(tail) + len(whole))
    except FileNotFoundError:
        return ""
    lines = whole.splitlines()
    cursor = str(json.loads(lines[-1]).get("__CURSOR", "")) if lines else ""
    return cursor if re.fullmatch(r"[\w=;-]+", cursor) else ""


async def lines(reader, dropped):
    """Whole ones. To end at one that is too long would be to stay there: after
    the next start it is the first."""
    long = False
    while True:
        try:
            line = await reader.readuntil()
        except asyncio.LimitOverrunError as e:
            await reader.readexactly(e.consumed)
            long = True
            continue
        except asyncio.IncompleteReadError:
            return
        if long:
            dropped.append(None)
        else:
            yield line
        long = False


def append(path, entry):
    with open(path, "ab") as out:
        out.write(json.dumps(entry).encode() + b"\n")
        full = out.tell() > MOST
    if full:
        os.replace(path, path + ".1")


async def take(folder, reader, writer):
    who = writer.get_extra_info("peername").text().rsplit(":", 1)[0]
    path = os.path.join(folder, quote(who, safe="") + ".json")
    count, dropped, why = 0, [], "has ended"
    try:
        cursor = last_cursor(path) or last_cursor(path + ".1")
        writer.write(cursor.encode() + b"\n")
        async for line in lines(reader, dropped):
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError("no object")
            append(path, entry)
            count += 1
    except (OSError, ValueError, RecursionError) as e:
        why = ascii(str(e))[:200]
    if dropped:
        why += "; %d too long" % len(dropped)
    print("%s: %d entries, %s" % (who, count, why), flush=True)
    writer.close()


async def main(folder, service="journal"):
    busy = set()

    async def one(reader, writer):
        who = writer.get_extra_info("peername").vm_id
        if who in busy:  # or their lines would be mixed
            return writer.close()
        busy.add(who)
        try:
            await take(folder, reader, writer)
        finally:
            busy.discard(who)

    os.makedirs(folder, exist_ok=True)
    server = await hvsocket.start_server(one, ("children", service),
                                         limit=LONGEST)
    print("listening", flush=True)
    await server.serve_forever()


if not 2 <= len(sys.argv) <= 3:
    sys.exit("usage: collect.py FOLDER [SERVICE]")
try:
    asyncio.run(main(*sys.argv[1:]))
except hvsocket.HvError as e:
    sys.exit("collect: %s" % e)
