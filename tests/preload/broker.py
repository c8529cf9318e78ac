#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A broker of one's own, in a directory of its own, for as long as a command.

    broker.py [--preload LIBRARY | --preload-all LIBRARY]
        HVSOCKETD COMMAND [ARGUMENT...]

Starts HVSOCKETD in a new directory, waits until it is ready, runs the command
with HVSOCKET_RUNTIME_DIR set to it, ends the broker by its process id and
removes the directory. Exits as the command did;
a broker that does not start, or does not live as long as the command, is a
failure. As a module: with Broker(path) as directory.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile


class Broker:
    def __init__(self, program, preload=None):
        self.program = program
        self.preload = preload

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="hvs-test-")
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self.dir + "/run"

    def start(self):
        env = dict(os.environ)
        env.pop("LD_PRELOAD", None)
        if self.preload:
            env["LD_PRELOAD"] = self.preload
        ready, told = os.pipe()
        # an own process group: ^C is for the command
        with os.fdopen(ready, "rb") as f:
            try:
                self.proc = subprocess.Popen(
                    [self.program, "--runtime-dir", self.dir + "/run",
                     "--config-dir", self.dir + "/config",
                     "--ready-fd", str(told)],
                    env=env, stdin=subprocess.DEVNULL,
                    start_new_session=True, pass_fds=[told])
            finally:
                os.close(told)
            byte = f.read(1)
        if not byte:
            raise RuntimeError(f"the broker ended: {self.proc.wait()}")

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
    args = sys.argv[1:]
    env = dict(os.environ)
    everywhere = None
    if args[0].startswith("--preload"):
        # a sanitizer's runtime wants to be the first
        first = env.get("TEST_PRELOAD_FIRST", "")
        env["LD_PRELOAD"] = (first + " " + args[1]).strip()
        if args[0] == "--preload-all":
            everywhere = env["LD_PRELOAD"]
        args = args[2:]
    with Broker(args[0], everywhere) as directory:
        env["HVSOCKET_RUNTIME_DIR"] = directory
        return subprocess.call(args[1:], env=env)


if __name__ == "__main__":
    sys.exit(main())
