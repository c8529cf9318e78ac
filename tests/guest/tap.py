# SPDX-License-Identifier: MIT
"""tap - run the functions named test_* of a module, say how each went (TAP)

A test gets the one object that main() was given. It fails by an exception; a
test that cannot run fails too. Names on the command line select tests. With
$TAP_ONE_FAILURE nothing is run after a failure (tests/nested/inner.py).
"""
import os
import sys
import tempfile
import time
import traceback


ONE_FAILURE = bool(os.environ.get("TAP_ONE_FAILURE"))


class Failure(AssertionError):
    pass


def same(got, wanted, what):
    if got != wanted:
        raise Failure("%s: %r, not %r" % (what, got, wanted))


def check(truth, what):
    if not truth:
        raise Failure(what)


def tests_of(module):
    names = [n for n in vars(module) if n.startswith("test_")]
    chosen = [w for w in sys.argv[1:] if w != "--"]
    for name in chosen:
        if name not in names:
            sys.exit("no test named %s; there are: %s" % (
                name, " ".join(names)))
    return [(n, getattr(module, n)) for n in names if not chosen or n in chosen]


class Nothing:
    """For main(): tests that have no fixture"""

    def __init__(self, work):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def main(module, make):
    """@make(directory) gives a context manager for what all tests share."""
    tests = tests_of(module)
    failed = 0
    plan(n for n, _ in tests)
    with tempfile.TemporaryDirectory(prefix="hvs-test-") as work:
        try:
            shared = make(work)
            with shared as fixture:
                for i, (name, function) in enumerate(tests, 1):
                    failed += run(i, name, function, fixture)
                    if failed and ONE_FAILURE:
                        break
        except Exception:
            complain()
            # Whatever has not run has failed: TAP counts what is missing.
            failed += 1
    sys.stdout.flush()
    os._exit(1 if failed else 0)


def plan(names):
    names = list(names)
    print("1..%d\n# tests: %s" % (len(names), " ".join(names)), flush=True)


def complain():
    note(traceback.format_exc())


def note(text):
    """To where meson shows it when the test has failed."""
    for line in text.splitlines():
        print("# " + line, file=sys.stderr, flush=True)


def run(number, name, function, fixture):
    start = time.monotonic()
    try:
        function(fixture)
        word = "ok"
    except Exception:
        note("%s:" % name)
        complain()
        if hasattr(fixture, "diagnose"):
            note(fixture.diagnose())
        word = "not ok"
    print("%s %d - %s (%.2f s)" % (word, number, name[5:].replace("_", " "),
                                   time.monotonic() - start), flush=True)
    return word != "ok"
