# SPDX-License-Identifier: MIT
"""What the tests here have in common: the broker of hvctl's, the programs."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "hvctl"))
# pylint: disable=wrong-import-position
from broker import CLEAN, HVCTL, LIMIT, Broker, Case  # noqa: E402,F401

# Nothing here is about that library; one with a sanitizer in it is not for
# every program.
CLEAN["HVSOCKET_PRELOAD"] = ""

TOOL = os.environ["TOOL"]
STATIC = os.environ["STATIC"]
WITHOUT = os.environ["WITHOUT"]


def lines(text):
    return [line for line in text.decode().split("\n") if line]
