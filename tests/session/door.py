# SPDX-License-Identifier: MIT
"""door - what systemd does for sshd in a guest: a process for each connection

    door.py ADDRESS COMMAND...

Listens at ADDRESS with hvsocket.py and runs COMMAND with each connection as its
standard input and output. "ready" on standard output says that it listens.
SIGUSR1 cuts all connections that are open; "cut" says that it is done.
"""
import os
import signal
import socket
import subprocess
import sys
import threading

import hvsocket

LIVE = {}
CLEAN = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}


def cut(*_):
    for s in list(LIVE):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    print("cut", flush=True)


def serve(s):
    p = subprocess.Popen(sys.argv[2:], stdin=s, stdout=s, env=CLEAN)
    LIVE[s] = p
    p.wait()
    del LIVE[s]
    s.close()


def main():
    signal.signal(signal.SIGUSR1, cut)
    with hvsocket.create_server(sys.argv[1]) as listener:
        print("ready", flush=True)
        while True:
            s, _ = listener.accept()
            threading.Thread(target=serve, args=(s,), daemon=True).start()


main()
