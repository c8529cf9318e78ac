#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The example of a VMM, with the real back-end.

    test-example.py VMBUS-USER-VMM HVSOCKET-VMBUS
"""
import os
import subprocess
import sys
import tempfile

EXAMPLE, PROGRAM = map(os.path.abspath, sys.argv[1:3])
SANDBOX = os.environ.get("VMBUS_SANDBOX", "seccomp")
WANTED = [
    "back-end: version 1, ",
    "VERSION_RESPONSE: 5.3, post to connection ",
    "ALL_OFFERS_DELIVERED after 0",
    "OFFER_CHANNEL: relid 1, service of port 1234",
    "UNLOAD_COMPLETE",
]

with tempfile.TemporaryDirectory() as where:
    r = subprocess.run([EXAMPLE, PROGRAM, "--uds-path", where + "/uds",
                        "--sandbox", SANDBOX], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=60, check=False)
    left = os.listdir(where)
print("1..2")
lines = r.stdout.splitlines()
good = r.returncode == 0 and len(lines) == len(WANTED) and all(
    line.startswith(want) for line, want in zip(lines, WANTED))
print("%s 1 - what the host says" % ("ok" if good else "not ok"))
if not good:
    for line in lines + r.stderr.splitlines() + ["exit %d" % r.returncode]:
        print("# " + line)
print("%s 2 - nothing is left" % ("not ok" if left else "ok"))
sys.exit(0 if good and not left else 1)
