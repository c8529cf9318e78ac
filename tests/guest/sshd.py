# SPDX-License-Identifier: MIT
"""sshd - how OpenSSH's server is set up for tests: with keys, and no more"""
import os
import shutil

# the rest is the test's: which subsystem, and what it is to log
CONFIG = """HostKey %(keys)s/host
AuthorizedKeysFile %(keys)s/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PidFile none
Subsystem sftp %(sftp)s
"""
SFTP = "/usr/lib/openssh/sftp-server"


def program(name, package):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if not path:
        raise RuntimeError("no %s here (Debian: %s)" % (name, package))
    return path
