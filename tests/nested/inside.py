#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""inside - run test modules one after the other, as one TAP stream

    inside.py MODULE... [-- TEST...]

Each module has STACK, a class whose object its tests share; $PYTHONPATH leads
to the modules.
"""
import importlib
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import tap  # noqa: E402


def main():
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    modules = [importlib.import_module(n) for n in words[:split]]
    chosen = words[split + 1:]
    plan = []
    for module in modules:
        names = [n for n in vars(module) if n.startswith("test_") and
                 (not chosen or n in chosen)]
        if names:
            plan.append((module, names))
    tap.plan(n for _, names in plan for n in names)
    number = failed = 0
    for module, names in plan:
        if failed and tap.ONE_FAILURE:
            break
        with tempfile.TemporaryDirectory(prefix="hvs-test-") as work:
            try:
                with module.STACK(work) as fixture:
                    for name in names:
                        number += 1
                        failed += tap.run(number, name, getattr(module, name),
                                          fixture)
                        if failed and tap.ONE_FAILURE:
                            break
            except Exception:
                # What has not run has failed: TAP counts what is missing.
                tap.complain()
                failed += 1
    sys.stdout.flush()
    os._exit(1 if failed else 0)


main()
