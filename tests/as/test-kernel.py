#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The other tests of hvctl as, under a stock kernel: $KERNEL's

It is an outer machine's (scripts/nested), whatever KVM is here: older kernels
notify of system calls in other ways, and lack what newer ones have.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
TESTS = ("programs", "life")  # (the third is about files, not the kernel)
PASSED_ON = ("HVCTL", "HVSOCKETD", "PLAIN", "WINSOCK", "PLAIN_STATIC",
             "STATIC", "TOOL", "WITHOUT", "PYTHONDONTWRITEBYTECODE",
             "LD_LIBRARY_PATH")
LIMIT_S = 2400

script = "set -e; uname -r; " + "; ".join(
    "/usr/bin/python3 %s/test-%s.py -v" % (HERE, name) for name in TESTS)
sys.exit(subprocess.run(
    [os.path.join(TOP, "scripts", "nested"), "--build", os.environ["BUILD"],
     "--kernel", os.environ.get("KERNEL", ""), "--timeout", str(LIMIT_S), "--",
     "env"] + ["%s=%s" % (name, os.environ[name]) for name in PASSED_ON
               if name in os.environ] + ["sh", "-c", script],
    env=dict(os.environ, NESTED="force")).returncode)
