# SPDX-License-Identifier: MIT
"""ptrace - stop a process at each of its system calls, and kill it there"""
import ctypes
import os
import signal

CONT, SYSCALL, SEIZE, INTERRUPT = 7, 24, 0x4206, 0x4207
O_TRACESYSGOOD = 1
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                        ctypes.c_void_p]


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, "ptrace: " + os.strerror(number))


class Stepper:
    """From here on @pid (its main thread) moves by our leave only."""

    def __init__(self, pid):
        self.pid = pid
        ptrace(SEIZE, pid, O_TRACESYSGOOD)
        ptrace(INTERRUPT, pid)
        self.wait()
        self.signal = 0

    def wait(self):
        _, status = os.waitpid(self.pid, WALL)
        return status

    def go(self):
        ptrace(SYSCALL, self.pid, self.signal)
        self.signal = 0

    def stopped(self):
        """Return: at a system call's entry or exit now? Never waits."""
        pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
        if not pid:
            return False
        if not os.WIFSTOPPED(status):
            raise RuntimeError("the process ended: %x" % status)
        if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
            return True
        if not status >> 16 and os.WSTOPSIG(status) != signal.SIGTRAP:
            self.signal = os.WSTOPSIG(status)  # one for the process: pass on
        self.go()
        return False
