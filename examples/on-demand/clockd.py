#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""clockd - tells the time; started by the first who asks, ends when idle

systemd has the socket (clock.socket) and hands it on as descriptor 3. This is
a daemon as any other for a Unix socket: that guests reach it is said in
clock.conf alone.
"""
import datetime
import os
import socket
import sys

IDLE = float(os.environ.get("CLOCKD_IDLE", "60"))  # seconds


def main():
    if os.environ.get("LISTEN_FDS") != "1":
        sys.exit("clockd: to be started by clock.socket")
    with socket.socket(fileno=3) as listener:
        listener.settimeout(IDLE)
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                return  # systemd listens on; the next call starts another
            with client:
                now = datetime.datetime.now(datetime.timezone.utc)
                try:
                    client.sendall(b"%s\n" % now.isoformat(
                        "T", "seconds").encode())
                except ConnectionError:
                    pass  # it did not wait; the others do


main()
