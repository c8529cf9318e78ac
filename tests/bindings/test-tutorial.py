#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does what docs/make-your-own-integration-service.md says, to the letter.

    test-tutorial.py BUILD SANITIZE HVSOCKETD [--guest] [--show]

Without --guest everything but the parts that need a virtual machine, with it
all of it. Of its ```sh block the lines that set variables are taken, for the
build that is being tested in place of build/. --show prints what comes out.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import walk
from walk import TOP, page

OPTIONS = [a for a in sys.argv[1:] if a.startswith("--")]
BUILD, SANITIZE, BROKER = [a for a in sys.argv[1:] if not a.startswith("--")]
PAGE = os.path.join(TOP, "docs", "make-your-own-integration-service.md")
OURS = ("TOP", "PKG_CONFIG_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


def variables(found):
    """What the page's first block exports, and what it puts into PATH."""
    block = next(b for b in found if b.kind == "sh")
    lines = [line.replace("$PWD/build", BUILD) for line in block.lines
             if line.startswith("export ")]
    assert block.lines[0] == "make" and len(lines) == len(block.lines) - 1
    out = subprocess.run(["bash", "-euc", "\n".join(lines) + "\nenv -0"],
                         cwd=TOP, check=True, stdout=subprocess.PIPE).stdout
    env = dict(v.split("=", 1) for v in out.decode().split("\0") if v)
    folders = env["PATH"].split(":")[:3]
    env = {name: env[name] for name in OURS}
    for place in folders + [env["LD_LIBRARY_PATH"]]:
        assert os.path.isdir(place), place + " is not there"
    # kernels of guests are fetched once, not for every directory
    env["HVSOCKET_CACHE"] = os.environ.get("HVSOCKET_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or
        os.path.join(os.environ.get("HOME", "/var/tmp"), ".cache"), "hvsocket")
    if SANITIZE != "none":
        env["HVSOCKET_PRELOAD"] = ""  # cannot be preloaded into sh
    return env, folders


def wrappers(work):
    """With sanitizers in the library: its users bring the runtime along."""
    os.mkdir(os.path.join(work, "bin"))
    if SANITIZE == "none":
        return
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], text=True,
                             check=True, stdout=subprocess.PIPE).stdout.strip()
    for name, text in (("cc", 'exec gcc -fsanitize=%s "$@"' % SANITIZE),
                       ("python3", "LD_PRELOAD=%s ASAN_OPTIONS=detect_leaks=0 "
                                   'exec /usr/bin/python3 "$@"' % runtime)):
        with open(os.path.join(work, "bin", name), "w") as f:
            f.write("#!/bin/sh\n" + text + "\n")
        os.chmod(f.name, 0o755)


def chosen(block):
    # a file's block has a name, the block of variables has none
    if block.kind != "console":
        return bool(block.name)
    return block.name == "" or "--guest" in OPTIONS


def do(shell, block, names):
    """Return: what is wrong, as lines"""
    try:
        if block.kind != "console":
            shell.write(block)
        elif "--show" not in OPTIONS:
            return page.run(shell, block, *names, os.path.basename(PAGE))
        else:
            for _, command, _ in block:
                print("\n".join(["$ " + command] + shell.type(command)))
    except (EOFError, TimeoutError) as e:
        return [str(e)]
    return []


def main():
    signal.alarm(4 * page.LIMIT_S)
    work = tempfile.mkdtemp(prefix="hvs-test-")
    found = walk.blocks(PAGE)
    wrappers(work)
    shell = walk.Shell(work, [BROKER], *variables(found))
    names = page.Names(), page.Names()
    failed = 0
    try:
        todo = [b for b in found if chosen(b)]
        print("1..%d" % len(todo))
        for i, block in enumerate(todo, 1):
            bad = do(shell, block, names)
            for line in bad:
                print("# " + line)
            failed += bool(bad)
            print("%s %d - lines %d to %d" % (
                "not ok" if bad else "ok", i, block.first + 1,
                block.first + len(block.lines)), flush=True)
    finally:
        shell.close()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if failed else 0)


main()
