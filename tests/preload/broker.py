#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A broker of one's own, in a directory of its own, for as long as a command.

    broker.py HVSOCKETD COMMAND [ARGUMENT...]

Starts HVSOCKETD with HVSOCKET_RUNTIME_DIR set to a new directory, waits until
its control socket answers, runs the command with the same variable, ends the
broker by its process id and removes the directory. Exits as the command did;
a broker that does not start, or does not live as long as the command, is a
failure. As a module: with Broker(path) as directory.
"""
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


class Broker:
    def __init__(self, program):
        self.program = shlex.split(program)

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hvs-test-")
        env = dict(os.environ, HVSOCKET_RUNTIME_DIR=self.dir,
                   XDG_CONFIG_HOME=self.dir + "/config")
        env.pop("LD_PRELOAD", None)
        # an own process group: ^C is for the command
        self.proc = subprocess.Popen(self.program, env=env,
                                     stdin=subprocess.DEVNULL,
                                     start_new_session=True)
        try:
            self.wait()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self.dir

    def wait(self):
        deadline = time.monotonic() + 30
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                try:
                    s.connect(self.dir + "/control")
                    return
                except OSError as e:
                    last = e
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker does not answer: {last}")
            try:
                status = self.proc.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"the broker ended: status {status}")

    def __exit__(self, *exc):
        ended = self.proc.poll()
        if ended is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
        if ended is not None and exc[0] is None:
            raise RuntimeError(f"the broker ended meanwhile: status {ended}")


def main():
    with Broker(sys.argv[1]) as directory:
        env = dict(os.environ, HVSOCKET_RUNTIME_DIR=directory)
        return subprocess.call(sys.argv[2:], env=env)


if __name__ == "__main__":
    sys.exit(main())
