#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Types the recipes that need KVM in a machine that has it (tests/nested)

    test-recipes-kernel.py MODULE... [-- TEST...]

It is always a machine of its own: the AF_VSOCK of whoever runs the tests is
left alone.
"""
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NESTED = os.path.join(os.path.dirname(HERE), "nested")
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "guest"), NESTED]
import inner  # noqa: E402
import recipes  # noqa: E402


with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
    recipes.make_guest(work)
    sys.exit(inner.run(os.path.join(NESTED, "inside.py"), sys.argv[1:], work,
                       {"PYTHONPATH": HERE}, here=False, qemu=True,
                       more=[recipes.PAGE]))
