# SPDX-License-Identifier: MIT
"""users - tests that take several users

Root can be anybody. Who is not root gets there by a user namespace with the
subordinate users of /etc/subuid, as in tests/lib/test-setuid.c; without these
the test fails.
"""
import os
import subprocess
import sys

from hvb import Refused
from tap import Failure


def several(test):
    """Decorates a test (outermost) that is to be run as root of its users."""
    def run(fixture):
        if os.geteuid() == 0:
            test(fixture)
            return
        module = sys.modules["__main__"]
        name, = [n for n, f in vars(module).items() if f is run]
        r = subprocess.run(["unshare", "--user", "--map-root-user",
                            "--map-auto", sys.executable, module.__file__,
                            name], capture_output=True, text=True)
        if r.returncode:
            raise Failure("it takes several users: be root, or have some in "
                          "/etc/subuid, and newuidmap(1): %s%s" % (
                              r.stdout, r.stderr))
    return run


def as_user(uid, function, groups=()):
    """Run in a process of another user. Return: did it work?"""
    pid = os.fork()
    if not pid:
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            function()
            os._exit(0)
        except BaseException as e:
            print("# uid %d: %r" % (uid, e), flush=True)
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def refused_as(uid, function):
    """The same. Return: errno of the refusal, 0 if there is none, or None if
    it has failed otherwise"""
    r, w = os.pipe()

    def run():
        try:
            function()
            said = 0
        except Refused as e:
            said = e.errno
        os.write(w, bytes([said]))

    ok = as_user(uid, run)
    os.close(w)
    with open(r, "rb") as f:
        said = f.read()
    return said[0] if ok and said else None
