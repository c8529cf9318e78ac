# SPDX-License-Identifier: MIT
"""What the tests here have in common: the broker of hvctl's, the programs."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "hvctl"))
# pylint: disable=wrong-import-position
from broker import CLEAN, HVCTL, LIMIT, Broker, Case  # noqa: E402,F401

# Nothing here is about that library; one with a sanitizer in it is not for
# every program.
CLEAN["HVSOCKET_PRELOAD"] = ""

TOOL = os.environ["TOOL"]
STATIC = os.environ["STATIC"]
WITHOUT = os.environ["WITHOUT"]


ROOM = 200  # seconds, for a whole suite


class Private(unittest.TestCase):
    """Programs, each under a broker of its own."""
    before = ()

    def runs(self, *words, **more):
        r = subprocess.run([*self.before, HVCTL, "as", "--private", *words],
                           env=dict(CLEAN, **more), timeout=ROOM, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(r.returncode, 0, r.stdout)
        return r.stdout


def lines(text):
    return [line for line in text.decode().split("\n") if line]
