#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""guard - lends this user's ssh agent to guests, to look and to sign

    SSH_AUTH_SOCK=... guard.py [ADDRESS]    default: children:ssh-agent

In the guest:

    socat UNIX-LISTEN:$HOME/.ssh/host,mode=600,fork VSOCK-CONNECT:2:5011 &
    SSH_AUTH_SOCK=$HOME/.ssh/host ssh ...

Keys stay on the host. A guest can list them and have something signed, which
is printed with the guest's name; all else (adding, removing, locking, and what
extensions do) is answered "failure" here, and the agent never sees it. Which
guests may at all: Connect= in ssh-agent.conf.
"""
import asyncio
import collections
import os
import struct
import sys

import hvsocket

REQUEST_IDENTITIES, SIGN_REQUEST = 11, 13  # draft-miller-ssh-agent
FAILURE = struct.pack(">IB", 1, 5)
LONGEST = 256 * 1024  # as OpenSSH's agent has it
MOST = 16  # connections of a guest, or it would keep the others out

open_now = collections.Counter()


async def message(reader):
    """One message with its length, or nothing at the end."""
    try:
        size, = struct.unpack(">I", await reader.readexactly(4))
        if not 0 < size <= LONGEST:
            raise ValueError("a message of %d bytes" % size)
        return struct.pack(">I", size) + await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        return b""


async def guest(reader, writer):
    who = writer.get_extra_info("peername").text().rsplit(":", 1)[0]
    if open_now[who] >= MOST:
        return writer.close()
    agent, told = None, set()
    open_now[who] += 1
    try:
        while request := await message(reader):
            kind = request[4]
            if kind not in (REQUEST_IDENTITIES, SIGN_REQUEST):
                if kind not in told:
                    print("%s: request %d refused" % (who, kind), flush=True)
                told.add(kind)
                writer.write(FAILURE)
                await writer.drain()
                continue
            if not agent:
                agent = await asyncio.open_unix_connection(
                    os.environ["SSH_AUTH_SOCK"])
            if kind == SIGN_REQUEST:
                print("%s: signs" % who, flush=True)
            agent[1].write(request)
            writer.write(await message(agent[0]) or FAILURE)
            await writer.drain()
    except (OSError, ValueError) as e:
        print("%s: %s" % (who, e), flush=True)
    finally:
        open_now[who] -= 1
        for w in [writer] + ([agent[1]] if agent else []):
            w.close()


async def main(address="children:ssh-agent"):
    if "SSH_AUTH_SOCK" not in os.environ:
        sys.exit("guard: SSH_AUTH_SOCK is not set: there is no agent")
    try:
        server = await hvsocket.start_server(guest, address)
    except hvsocket.HvError as e:
        sys.exit("guard: %s" % e)
    print("listening", flush=True)
    await server.serve_forever()

asyncio.run(main(*sys.argv[1:]))
