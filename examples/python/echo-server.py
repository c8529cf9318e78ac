#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""echo-server - sends back what it hears, to any number at once

    echo-server.py [ADDRESS]        default: wildcard:echo
"""
import asyncio
import sys

import hvsocket


async def echo(reader, writer):
    print("from", writer.get_extra_info("peername").text(), flush=True)
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError as e:
        print("ended:", e, flush=True)
    writer.close()


async def main(address="wildcard:echo"):
    try:
        server = await hvsocket.start_server(echo, address)
    except hvsocket.HvError as e:
        sys.exit("echo-server: %s" % e)
    print("listening", flush=True)
    await server.serve_forever()

asyncio.run(main(*sys.argv[1:]))
