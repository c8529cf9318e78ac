# SPDX-License-Identifier: MIT
"""inner - tests that need KVM: where it works, or in an outer machine

    status = inner.run(program, words, work, env, more=[...])

The program tells its tests in TAP (tap.py); they become ours, one for one.

QEMU's emulation of SVM loses interrupts: it does not keep the shadow of STI over
an exit, so a processor goes to sleep with work to do, and it changes a word that
other threads change too (interrupt_request) without a lock. nudge.py makes up
for most of that; still, now and then a guest, or the outer machine as a whole,
stands still for good. So in an outer machine the program ends at its first
failure, and what did not pass runs in another machine; a test that fails twice
has failed. Results of a second try say so.
"""
import collections
import os
import re
import subprocess
import sys

import machine
import vm

PASSED_ON = ("BUILD", "DAEMON_BUILD", "HVSOCKET_TEST_LONG", "KERNEL",
             "ASAN_OPTIONS", "UBSAN_OPTIONS")
# An idle processor that has missed its interrupt looks again at the next tick.
GUEST_APPEND = "nohz=off"
BEAT_S = 60
MACHINES = 6


class Results:
    """Which tests there are, and how each went."""

    def __init__(self):
        self.names, self.took = None, {}
        self.failures = collections.Counter()
        self.last_failed = None

    def take(self, line):
        """A line of the program's."""
        m = re.match(r"(ok|not ok) \d+ - (.*) \(([\d.]+ s)\)$", line)
        if line.startswith("# tests: "):
            self.names = self.names or line.split()[2:]
        elif m:
            name = "test_" + m.group(2).replace(" ", "_")
            if m.group(1) == "ok":
                self.took[name] = m.group(3)
            else:
                self.fails(name)
        elif not re.match(r"1\.\.\d+$", line):
            # to where meson shows it when a test has failed
            print(line, file=sys.stderr, flush=True)

    def fails(self, name):
        self.failures[name] += 1
        self.last_failed = name

    def missing(self):
        """What may still pass."""
        return [n for n in self.names or () if n not in self.took and
                self.failures[n] < 2]

    def tell(self):
        names = self.names or ()
        print("1..%d" % max(1, len(names)))
        for i, name in enumerate(names, 1):
            took = self.took.get(name, "failed" if self.failures[name] else
                                 "not run")
            if name in self.took and self.failures[name]:
                took += ", at the second try"
            print("%s %d - %s (%s)" % ("ok" if name in self.took else "not ok",
                                       i, name[5:].replace("_", " "), took))
        return 0 if names and len(self.took) == len(names) else 1


def follow(m, job, results, quiet):
    """The job's results, until it ends or nothing moves any more."""
    heart = m.start("while echo; do sleep 5; done")
    silent = 0
    while True:
        beats = heart.queue.qsize()
        try:
            line = job.next(BEAT_S)
        except vm.GuestError:
            silent += BEAT_S
            if heart.queue.qsize() == beats:
                return "the outer machine stands still"
            if silent >= quiet:
                return "nothing was said for %d s" % silent
            continue
        if line is None:
            return None if job.status is not None else \
                "the outer machine has ended"
        silent = 0
        results.take(line)


def nested(command, work, env, results, quiet, options):
    """One outer machine: until a test fails, or all have passed."""
    results.last_failed = None
    with machine.Machine(work, os.environ["BUILD"], **options) as m:
        job = m.start(" ".join("%s='%s'" % item for item in env.items()) +
                      " exec " + " ".join(command))
        wrong = follow(m, job, results, quiet)
        if wrong:
            print("%s; its console:\n%s" % (wrong, m.console_text()[-8000:]),
                  file=sys.stderr)
    left = results.missing()
    if left and not results.last_failed:
        results.fails(left[0])  # it was to be the next


def direct(command, env, results):
    with subprocess.Popen(command, env=dict(os.environ, **env),
                          stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            results.take(line.rstrip("\n"))


def run(program, words, work, env, here=None, quiet=360, **options):
    """Run its tests; @words, if they name tests, after "--". @work is at /inner
    in an outer machine, $INNER says where it is. Return: an exit status."""
    here = machine.works_here() if here is None else here
    env = dict(env, INNER=work if here else "/inner", PYTHONDONTWRITEBYTECODE="1")
    env.update((k, os.environ[k]) for k in PASSED_ON if os.environ.get(k))
    results = Results()
    if here:
        direct([program] + words, env, results)
        return results.tell()
    env.update(TAP_ONE_FAILURE="1", GUEST_APPEND=GUEST_APPEND)
    options["more"] = [work + ":/inner"] + options.get("more", [])
    if os.environ.get("DAEMON_BUILD"):
        options["builds"] = [os.environ["DAEMON_BUILD"]]
    for i in range(MACHINES):
        if i:
            left = results.missing()
            if not left:
                break
            words = words[:words.index("--")] if "--" in words else words
            words = words + ["--"] + left
            print("another machine for: " + " ".join(left), file=sys.stderr,
                  flush=True)
        nested([program] + words, work, env, results, quiet, options)
        if results.names is None:
            break
    return results.tell()
