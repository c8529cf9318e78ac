#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bench-session - hvctl cp and exec beside OpenSSH's own sftp and ssh

    scripts/bench-session BUILD starts it.

The same sshd, in a partition of this machine, and the same sockets; by turns.
HVBENCH_CP_MIB is the size of the file (1024), HVBENCH_DIR where it lies
(default: in memory, if there is room, so that no disk is measured).
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from session import USER, SessionCase

MIB = 1 << 20
SIZE = int(os.environ.get("HVBENCH_CP_MIB", "1024")) * MIB
COPIES = 3
CALLS = 9


def place():
    chosen = os.environ.get("HVBENCH_DIR")
    if not chosen and os.access("/dev/shm", os.W_OK) and \
            shutil.disk_usage("/dev/shm").free > 3 * SIZE:
        chosen = "/dev/shm"
    return tempfile.TemporaryDirectory(prefix="hvs-bench-", dir=chosen)


def seconds(*command, env):
    start = time.monotonic()
    subprocess.run(command, env=env, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)
    return time.monotonic() - start


class Bench(SessionCase):
    def __init__(self):
        super().__init__("run")
        self.rows = []
        self.env = self.environment()
        self.env["XDG_DATA_HOME"] = self.path("data")
        self.hvctl = os.environ["HVCTL"]

    def configure(self):
        words = self.login()
        options = [w for w in words[4:] if w != "-o"]
        text = subprocess.run([self.hvctl, "ssh", "--config"], env=self.env,
                              check=True, stdout=subprocess.PIPE,
                              text=True).stdout
        with open(self.path("ssh"), "w") as f:
            f.write(text + "".join("%s\n" % o.replace("=", " ", 1)
                                   for o in options))
            f.write("User %s\nIdentityFile %s\n" % (USER, self.path("user")))

    def row(self, name, unit, ours, theirs, against, bound):
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        limit = float(bound.split()[1])
        holds = ratio >= limit if bound[0] == ">" else ratio <= limit
        self.rows.append({
            "name": name, "value": round(statistics.median(ours), 3),
            "unit": unit, "against": "%s: %.4g" % (
                against, statistics.median(theirs)),
            "ratio": round(ratio, 3), "bound": bound, "holds": holds})
        print("%-44s %9.4g %-6s %s %.4g, ratio %.3f (%s)%s" % (
            name, statistics.median(ours), unit, against,
            statistics.median(theirs), ratio, bound,
            "" if holds else "  DOES NOT HOLD"), flush=True)

    def copies(self, name, ours, batch, target):
        speeds = [], []
        with open(self.path("batch"), "w") as f:
            f.write(batch + "\n")
        theirs = ["sftp", "-q", "-F", self.path("ssh"), "-b",
                  self.path("batch"), "hv/vm1"]
        for i in range(COPIES + 1):
            for command, to in (ours, speeds[0]), (theirs, speeds[1]):
                speed = SIZE / MIB / seconds(*command, env=self.env)
                os.unlink(target)
                if i:  # the first one warms up
                    to.append(speed)
        self.row(name, "MiB/s", *speeds, "sftp", ">= 0.9")

    def copying(self):
        with place() as work:
            a, b = os.path.join(work, "a"), os.path.join(work, "b")
            with open(a, "wb") as f:
                for _ in range(SIZE // MIB):
                    f.write(os.urandom(MIB))
            cp = [self.hvctl, "cp", *self.login(), "-q"]
            self.copies("cp of %d MiB into a guest" % (SIZE // MIB),
                        cp + [a, "vm1:" + b],
                        "put %s %s" % (a, b), b)
            self.copies("cp of %d MiB out of a guest" % (SIZE // MIB),
                        cp + ["vm1:" + a, b],
                        "get %s %s" % (a, b), b)

    def calling(self):
        ours = [self.hvctl, "exec", *self.login(), "vm1", "--", "true"]
        theirs = ["ssh", "-F", self.path("ssh"), "-T", "hv/vm1", "true"]
        times = [], []
        for i in range(CALLS + 1):
            for command, to in (ours, times[0]), (theirs, times[1]):
                ms = seconds(*command, env=self.env) * 1000
                if i:
                    to.append(ms)
        self.row("exec over a kept connection", "ms", *times, "ssh", "<= 0.2")

    def run(self):
        self.configure()
        self.calling()
        self.copying()


def main():
    Bench.setUpClass()
    try:
        bench = Bench()
        bench.run()
    finally:
        Bench.tearDownClass()
    with open(sys.argv[1], "w") as f:
        json.dump(bench.rows, f)


main()
