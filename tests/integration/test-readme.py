#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Types the walk-through of README.md, and compares what it shows (page.py).

    test-readme.py TOP PROGRAM... [--show]

The directories of the PROGRAMs are in the shell's PATH. --show prints the
blocks as they come out.
"""
import os
import shutil
import signal
import sys
import tempfile

import page

SHOW = "--show" in sys.argv
TOP, *PROGRAMS = [a for a in sys.argv[1:] if a != "--show"]


def show(shell, block):
    for _, command, _ in block:
        got = shell.type(command)
        print("$ " + command.replace("\n", "\n> ") +
              "".join("\n" + line for line in got))
    print("---")


def main():
    signal.alarm(3 * page.LIMIT_S)
    work = tempfile.mkdtemp(prefix="hvs-test-")
    shell = page.Shell(work, PROGRAMS, {"HVSOCKET_PRELOAD": ""}
                       if "README_NO_PRELOAD" in os.environ else None)
    failed = 0
    shown, seen = page.Names(), page.Names()
    try:
        todo = page.blocks(os.path.join(TOP, "README.md"))
        if not SHOW:
            print("1..%d" % len(todo))
        for i, block in enumerate(todo, 1):
            try:
                if SHOW:
                    show(shell, block)
                    continue
                bad = page.run(shell, block, shown, seen, "README.md")
            except (EOFError, TimeoutError) as e:
                bad = [str(e)]
            for line in bad:
                print("# " + line)
            failed += bool(bad)
            print("%s %d - lines %d to %d" % ("not ok" if bad else "ok", i,
                                              block[0][0], block[-1][0]),
                  flush=True)
    finally:
        shell.close()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if failed else 0)


main()
