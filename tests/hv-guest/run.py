#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run - tests of a guest on VMBus, where KVM works or in a machine where it does

    run.py MODULE... [-- TEST...]

Makes what the guest needs (its kernel is $KERNEL's), then runs inside.py.
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "guest"),
                os.path.join(TOP, "tests", "nested")]
import images  # noqa: E402
import machine  # noqa: E402
import vm  # noqa: E402

PASSED_ON = ("BUILD", "DAEMON_BUILD", "HVSOCKET_TEST_LONG", "KERNEL",
             "ASAN_OPTIONS", "UBSAN_OPTIONS")


class Results:
    """What inside.py has said: which tests there are, and how each went."""

    def __init__(self):
        self.names, self.went = [], {}

    def take(self, line):
        m = re.match(r"(ok|not ok) \d+ - (.*) \(([\d.]+ s)\)$", line)
        if line.startswith("# tests: "):
            self.names = line.split()[2:]
        elif m:
            name = "test_" + m.group(2).replace(" ", "_")
            self.went[name] = (m.group(1), m.group(3))
        elif not re.match(r"1\.\.\d+$", line):
            print(line, file=sys.stderr, flush=True)

    def bad(self):
        return [n for n in self.names if self.went.get(n, ("",))[0] != "ok"]

    def tell(self):
        print("1..%d" % max(1, len(self.names)))
        for i, name in enumerate(self.names, 1):
            word, took = self.went.get(name, ("not ok", "not run"))
            print("%s %d - %s (%s)" % (word, i, name[5:].replace("_", " "),
                                       took))
        return 1 if self.bad() or not self.names else 0


def nested(work, env, words, results):
    builds = [os.environ["BUILD"]]
    if os.environ.get("DAEMON_BUILD"):
        builds.append(os.environ["DAEMON_BUILD"])
    with machine.Machine(work, builds[0], [work + ":/inner"],
                         builds=builds[1:]) as m:
        job = m.start(" ".join("%s='%s'" % item for item in env.items()) +
                      " exec " + " ".join(words))
        try:
            while True:
                line = job.next(400)
                if line is None:
                    break
                results.take(line)
        except vm.GuestError as e:
            print(e, file=sys.stderr)
        if job.status is None:
            print("the outer machine has ended, or hangs; its console:\n" +
                  m.console_text()[-8000:], file=sys.stderr)


def main():
    with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
        images.make(work, sys.argv[1:])
        here = machine.works_here()
        env = {k: os.environ[k] for k in PASSED_ON if os.environ.get(k)}
        env["INNER"] = work if here else "/inner"
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [os.path.join(HERE, "inside.py")] + sys.argv[1:]
        results = Results()
        if here:
            with subprocess.Popen(command, env=dict(os.environ, **env),
                                  stdout=subprocess.PIPE, text=True) as p:
                for line in p.stdout:
                    results.take(line.rstrip("\n"))
            return results.tell()
        # QEMU's emulation of SVM lets XSETBV pass by KVM, whose guests then see
        # a wrong size of the registers that XSAVE saves; 6.12 stops there.
        env["GUEST_APPEND"] = "noxsave"
        nested(work, env, command, results)
        # It also kills a guest, or itself, now and then: a guest's kernel
        # faults at the first instruction of an interrupt. What failed is tried
        # once more, in another machine; what is wrong with us fails again.
        again = results.bad()
        if again and "--" not in command:
            print("trying again: " + " ".join(again), file=sys.stderr)
            nested(work, env, command + ["--"] + again, Again(results))
        return results.tell()


class Again(Results):
    """A second run, of some of the tests."""

    def __init__(self, first):
        super().__init__()
        self.went = first.went


sys.exit(main())
