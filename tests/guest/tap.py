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


def main(module, make, at_once=1):
    """@make(directory) gives a context manager for what all tests share.
    @at_once: share nothing, and run so many at a time: for tests that wait for
    somebody's time limit rather than work."""
    tests = tests_of(module)
    failed = 0
    plan(n for n, _ in tests)
    if at_once > 1:
        failed = run_at_once(tests, make, at_once)
        sys.stdout.flush()
        os._exit(1 if failed else 0)
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


def run_at_once(tests, make, at_once):
    """Each in a process of its own. Return: how many have failed"""
    def one(number, name, function):
        with tempfile.TemporaryDirectory(prefix="hvs-test-") as work, \
                make(work) as fixture:
            return run(number, name, function, fixture)

    todo = list(enumerate(tests, 1))[::-1]
    running, ended = {}, {}  # by pid; by number, told in its order
    failed = told = 0
    while todo or running:
        while todo and len(running) < at_once:
            number, (name, function) = todo.pop()
            said = [tempfile.TemporaryFile() for _ in "12"]
            pid = os.fork()
            if not pid:
                os.dup2(said[0].fileno(), 1)
                os.dup2(said[1].fileno(), 2)
                try:
                    os._exit(one(number, name, function))
                except BaseException:
                    complain()
                    os._exit(2)
            running[pid] = number, name, said
        pid, status = os.wait()
        if pid not in running:
            continue
        number, name, said = running.pop(pid)
        failed += status != 0
        if status not in (0, 1 << 8):  # it has not said so itself
            said[0].write(b"not ok %d - %s (wait status %#x)\n" % (
                number, name[5:].replace("_", " ").encode(), status))
        ended[number] = said
        while told + 1 in ended:
            told += 1
            for file, out in zip(ended[told], (sys.stdout, sys.stderr)):
                file.seek(0)
                out.write(file.read().decode(errors="replace"))
                out.flush()
                file.close()
        if failed and ONE_FAILURE:
            todo.clear()
    return failed


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
