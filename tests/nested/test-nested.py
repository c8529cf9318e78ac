# SPDX-License-Identifier: MIT
"""The machine that has KVM: does it, and does it tell what went wrong?"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "guest"))
import machine  # noqa: E402
import tap  # noqa: E402
import vm  # noqa: E402
from tap import check, same  # noqa: E402


def test_kvm_is_there(m):
    m.run("test -r /dev/kvm && test -c /dev/vhost-vsock").ok()


def test_status_and_output_come_through(m):
    job = m.run("echo one; echo two >&2; exit 7")
    same(job.status, 7, "status")
    same(sorted(job.said), ["one", "two"], "output")


def test_failing_command_is_reported_with_its_output(m):
    try:
        m.run("echo the reason; false").ok()
    except vm.GuestError as e:
        check("the reason" in str(e), "the output is not in: %s" % e)
        return
    raise tap.Failure("a command that failed was good")


def test_hanging_command_is_given_up(m):
    job = m.start("echo before; exec sleep 1000")
    job.expect("before")
    try:
        job.wait(0.1)
    except vm.GuestError as e:
        check("said nothing" in str(e), str(e))
        job.kill()
        return
    raise tap.Failure("a command that hangs has ended")


def test_python_runs_there(m):
    same(m.run("/usr/bin/python3 -c 'import json; print(json.dumps([1]))'",
               ).ok(), "[1]", "output")


def make(work):
    return machine.Machine(work, os.environ["BUILD"])


if __name__ == "__main__":
    tap.main(sys.modules[__name__], make)
