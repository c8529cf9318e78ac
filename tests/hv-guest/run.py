#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run - tests of a guest on VMBus, where KVM works or in a machine where it does

    run.py MODULE... [-- TEST...]

Makes what the guest needs (its kernel is $KERNEL's), then runs inside.py.
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "guest"),
                os.path.join(TOP, "tests", "nested")]
import images  # noqa: E402
import machine  # noqa: E402

PASSED_ON = ("BUILD", "DAEMON_BUILD", "HVSOCKET_TEST_LONG", "KERNEL",
             "ASAN_OPTIONS", "UBSAN_OPTIONS")


def main():
    with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
        images.make(work, sys.argv[1:])
        here = machine.works_here()
        inner = work if here else "/inner"
        env = {k: os.environ[k] for k in PASSED_ON if os.environ.get(k)}
        env["INNER"] = inner
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [os.path.join(HERE, "inside.py")] + sys.argv[1:]
        if here:
            return subprocess.run(command, env=dict(os.environ, **env)
                                  ).returncode
        # QEMU's emulation of SVM lets XSETBV pass by KVM, whose guests then see
        # a wrong size of the registers that XSAVE saves; 6.12 stops there.
        env["GUEST_APPEND"] = "noxsave"
        builds = [os.environ["BUILD"]]
        if os.environ.get("DAEMON_BUILD"):
            builds.append(os.environ["DAEMON_BUILD"])
        with machine.Machine(work, builds[0], [work + ":/inner"],
                             builds=builds[1:]) as m:
            job = m.start(" ".join("%s='%s'" % item for item in env.items()) +
                          " exec " + " ".join(command))
            while True:
                line = job.next(400)
                if line is None and job.status is None:
                    sys.exit("the outer machine has ended; its console:\n" +
                             m.console_text()[-8000:])
                if line is None:
                    return job.status
                # notes: to where meson shows them when a test has failed
                print(line, flush=True, file=sys.stderr
                      if line.startswith("#") else sys.stdout)


sys.exit(main())
