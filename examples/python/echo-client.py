#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""echo-client - sends a text to a service, prints what comes back

    echo-client.py ADDRESS [SECONDS] < TEXT

SECONDS is how long to wait for the service; 10 if not given.
"""
import os
import socket
import sys
import threading

import hvsocket


def send(s):
    """Beside the reading: two that only send would wait for each other."""
    try:
        while data := os.read(0, 65536):
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # whoever reads hears of it, too


def main(address, seconds=10):
    try:
        with hvsocket.create_connection(address, float(seconds),
                                        wait=True) as s:
            s.settimeout(None)
            threading.Thread(target=send, args=[s], daemon=True).start()
            while data := s.recv(65536):
                sys.stdout.buffer.write(data)
                sys.stdout.flush()
    except hvsocket.HvError as e:
        sys.exit("echo-client: %s: %s" % (e.reason_name, e.strerror))


if not 2 <= len(sys.argv) <= 3:
    sys.exit("usage: echo-client.py ADDRESS [SECONDS]")
main(*sys.argv[1:])
