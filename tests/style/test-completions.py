#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What bash offers after hvvm and the transports.

    test-completions.py TOP HVVM HVSOCKET-VMBUS HVSOCKET-HYBRID HVSOCKET-VSOCK
"""
import os
import re
import subprocess
import sys

TOP, HVVM, VMBUS, HYBRID, VSOCK = map(os.path.abspath, sys.argv[1:6])
FILE = os.path.join(TOP, "completions", "hvvm.bash")


def offered(function, *words):
    """The words that come for the last of these, as readline splits them."""
    script = ('. "$1"; f=$2; shift 2; COMP_WORDS=("$@"); '
              'COMP_CWORD=$(($# - 1)); $f; printf "%s\\n" "${COMPREPLY[@]}"')
    r = subprocess.run(["bash", "-c", script, "bash", FILE, function, *words],
                       check=True, text=True, stdout=subprocess.PIPE,
                       stdin=subprocess.DEVNULL, timeout=30)
    return set(r.stdout.split())


def help_options(*command):
    text = subprocess.run([*command, "--help"], check=True, text=True,
                          stdout=subprocess.PIPE, timeout=30).stdout
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def test_options_of_hvvm():
    found = offered("_hvvm", HVVM, "run", "--")
    assert found == help_options(HVVM, "run"), found
    assert "--kernel" in found and "--inject" in found, found


def test_options_of_hvsocket_vmbus():
    found = offered("_hvsocket_vmbus", VMBUS, "--")
    assert found == help_options(VMBUS), found
    assert "--uds-path" in found, found


def test_options_of_hvsocket_hybrid():
    found = offered("_hvsocket_hybrid", HYBRID, "--")
    assert found == help_options(HYBRID), found
    assert "--uds-path" in found and "--front" in found, found


def test_options_of_hvsocket_vsock():
    found = offered("_hvsocket_vsock", VSOCK, "--")
    assert found == help_options(VSOCK), found
    assert "--sandbox" in found, found


def test_first_word():
    found = offered("_hvvm", HVVM, "")
    assert found == {"run", "--help", "--version"}, found


def test_messages_of_a_rule():
    with open(os.path.join(TOP, "src/vmbus/message.c"),
              encoding="utf-8") as f:
        names = set(re.findall(r'^\t\[\w+\] = \{ "(\w+)"', f.read(), re.M))
    assert len(names) == 29, names
    for function, words in (("_hvvm", [HVVM, "run"]),
                            ("_hvsocket_vmbus", [VMBUS])):
        found = offered(function, *words, "--inject", "on", "=")
        assert found == names | {"any"}, found ^ names
        found = offered(function, *words, "--inject", "on", "=", "UNL")
        assert found == {"UNLOAD", "UNLOAD_COMPLETE"}, found
        found = offered(function, *words, "--inject", "on", "=",
                        "UNLOAD,do", "=", "r")
        assert found == {"rescind"}, found


def test_values():
    assert "stdio" in offered("_hvvm", HVVM, "run", "--console", "")
    for word in "--memory", "--module", "--ktap", "--no-reboot":
        assert offered("_hvvm", HVVM, "run", word, "") == set(), word
    for word in "--kernel", "-k", "--add":
        found = offered("_hvvm", HVVM, "run", word, FILE[:-4])
        assert found == {FILE}, found
    for function, word in (("_hvsocket_vmbus", VMBUS),
                           ("_hvsocket_hybrid", HYBRID),
                           ("_hvsocket_vsock", VSOCK)):
        found = offered(function, word, "--sandbox", "")
        assert found == {"seccomp", "none"}, found
    found = offered("_hvsocket_hybrid", HYBRID, "--uds-path", FILE[:-4])
    assert found == {FILE}, found


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    bad = 0
    print("1..%d" % len(tests))
    for i, (name, function) in enumerate(tests, 1):
        try:
            function()
            word = "ok"
        except (AssertionError, OSError, subprocess.SubprocessError) as e:
            print("# %s: %s" % (type(e).__name__, e))
            word = "not ok"
            bad += 1
        print("%s %d - %s" % (word, i, name[5:].replace("_", " ")), flush=True)
    sys.exit(1 if bad else 0)


main()
