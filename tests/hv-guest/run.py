#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run - tests of a guest on VMBus, where KVM works or in a machine where it does

    run.py MODULE... [-- TEST...]

Makes what the guest needs (its kernel is $KERNEL's), then runs inside.py.
"""
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NESTED = os.path.join(os.path.dirname(HERE), "nested")
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "guest"), NESTED]
import images  # noqa: E402
import inner  # noqa: E402


with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
    images.make(work, sys.argv[1:])
    sys.exit(inner.run(os.path.join(NESTED, "inside.py"), sys.argv[1:], work,
                       {"PYTHONPATH": HERE}))
