#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The registry files that manual pages show are taken by the broker.

    test-manual.py TOP HVSOCKETD HVCTL
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP, HVSOCKETD, HVCTL = map(os.path.abspath, sys.argv[1:4])
PAGES = ("hvsocketd.8", "hvsocket-registry.5")


def examples(page):
    """Displays that are a file: (kind, text)"""
    with open(os.path.join(TOP, "docs", "man", page)) as f:
        text = f.read()
    for body in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text,
                           re.M | re.S):
        # a name for the file may stand before it, as a comment
        m = re.match(r"(?:#.*\n)*\[(Service|Partition)\]\n", body)
        if m:
            yield m.group(1), body


def in_force(page):
    work = tempfile.mkdtemp(prefix="hvs-test-")
    count = {"Service": 0, "Partition": 0}
    for kind, body in examples(page):
        count[kind] += 1
        # users and groups of the manual are not on this machine
        body = re.sub(r"\buser:\S+", "user:root", body)
        body = re.sub(r"\bgroup:\S+", "group:root", body)
        body = re.sub(r"^User=.*", "User=root", body, flags=re.M)
        folder = os.path.join(work, "etc", kind.lower() + "s.d")
        os.makedirs(folder, exist_ok=True)
        with open("%s/example%d.conf" % (folder, count[kind]), "w") as f:
            f.write(body.replace("\\e", "\\"))
    assert sum(count.values()), "%s shows no file" % page
    ready, told = os.pipe()
    broker = subprocess.Popen(
        [HVSOCKETD, "--runtime-dir", work + "/run", "--config-dir",
         work + "/etc", "--ready-fd", str(told)], pass_fds=[told],
        stdin=subprocess.DEVNULL)
    os.close(told)
    try:
        assert os.read(ready, 1), "the broker ended"
        out = subprocess.run(
            [HVCTL, "status", "--json"], check=True, stdout=subprocess.PIPE,
            env=dict(os.environ, HVSOCKET_RUNTIME_DIR=work + "/run")).stdout
        status = json.loads(out)
        assert not status["problems"], status["problems"]
        assert status["services"] == count["Service"], status
        assert status["partitions"] == count["Partition"] + 1, status
    finally:
        broker.terminate()
        broker.wait()
        os.close(ready)
        shutil.rmtree(work)


def main():
    bad = 0
    print("1..%d" % len(PAGES))
    for i, page in enumerate(PAGES, 1):
        word = "ok"
        try:
            in_force(page)
        except (AssertionError, OSError, subprocess.CalledProcessError) as e:
            word = "not ok"
            bad += 1
            print("# %s: %s" % (type(e).__name__, e))
        print("%s %d - %s" % (word, i, page), flush=True)
    sys.exit(1 if bad else 0)


main()
