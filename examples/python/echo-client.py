#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""echo-client - sends lines to a service, prints what comes back

    echo-client.py ADDRESS [SECONDS] < TEXT

SECONDS is how long to wait for the service; 10 if not given.
"""
import sys

import hvsocket


def main(address, seconds=10):
    try:
        with hvsocket.create_connection(address, float(seconds),
                                        wait=True) as s, \
                s.makefile("rwb", buffering=0) as stream:
            for line in sys.stdin.buffer:
                stream.write(line)
                sys.stdout.buffer.write(stream.readline())
    except hvsocket.HvError as e:
        sys.exit("echo-client: %s: %s" % (e.reason_name, e.strerror))


if not 2 <= len(sys.argv) <= 3:
    sys.exit("usage: echo-client.py ADDRESS [SECONDS]")
main(*sys.argv[1:])
