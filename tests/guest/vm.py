# SPDX-License-Identifier: MIT
"""vm - a guest under QEMU that a test talks to

    with Guest(kernel, initramfs, vsock=path, work=directory) as guest:
        guest.run("vsock-peer cid").ok()
        job = guest.start("vsock-peer listen 5000 echo")
        job.expect("listening")

Commands go to guest-agent (guest-agent.c says how) over the guest's second
serial port. Every wait has a deadline and ends with an exception that shows
what the guest had said so far; nothing sleeps.
"""
import os
import queue
import re
import signal
import subprocess
import threading
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SCRIPTS = os.path.join(TOP, "scripts")
BOOT_S = 60
WAIT_S = 20


class GuestError(Exception):
    pass


class Lines:
    """What someone says, line by line, with a deadline for each wait."""

    def __init__(self, who):
        self.who = who
        self.said = []
        self.over = False
        self.queue = queue.Queue()

    def put(self, line):
        self.queue.put(line)

    def next(self, timeout=WAIT_S):
        """The next line, or None at the end."""
        if self.over:
            return None
        try:
            line = self.queue.get(timeout=timeout)
        except queue.Empty:
            raise GuestError("%s said nothing for %s s, after:\n  %s" % (
                self.who, timeout, "\n  ".join(self.said))) from None
        if line is None:
            self.over = True
        else:
            self.said.append(line)
        return line

    def expect(self, pattern, timeout=WAIT_S):
        """Wait for a line that the pattern matches; return the match."""
        deadline = time.monotonic() + timeout
        while True:
            line = self.next(max(0.001, deadline - time.monotonic()))
            if line is None:
                raise GuestError("%s ended without saying '%s':\n  %s" % (
                    self.who, pattern, "\n  ".join(self.said)))
            m = re.search(pattern, line)
            if m:
                return m


class Job(Lines):
    """A command in the guest."""

    def __init__(self, guest, number, command):
        super().__init__("guest: " + command)
        self.guest = guest
        self.number = number
        self.status = None

    def input(self, text=""):
        self.guest.send("%d <%s" % (self.number, text))

    def end_input(self):
        self.guest.send("%d ^" % self.number)

    def kill(self):
        self.guest.send("%d !" % self.number)

    def wait(self, timeout=WAIT_S):
        """All of its output, until it has ended."""
        deadline = time.monotonic() + timeout
        while self.next(max(0.001, deadline - time.monotonic())) is not None:
            pass
        return self

    def ok(self, timeout=WAIT_S):
        self.wait(timeout)
        if self.status != 0:
            raise GuestError("%s ended with status %s:\n  %s" % (
                self.who, self.status, "\n  ".join(self.said)))
        return "\n".join(self.said)

    def failed(self, timeout=WAIT_S):
        self.wait(timeout)
        if self.status == 0:
            raise GuestError("%s was to fail, and did not:\n  %s" % (
                self.who, "\n  ".join(self.said)))
        return "\n".join(self.said)


def kernel_directory(kernel=None):
    """The kernel that the tests are asked to use ($KERNEL)."""
    kernel = os.environ.get("KERNEL", "") if kernel is None else kernel
    r = subprocess.run([os.path.join(SCRIPTS, "guest-kernel"), kernel],
                       stdout=subprocess.PIPE, text=True)
    if r.returncode:
        raise GuestError("no guest kernel (guest-kernel says why above)")
    return r.stdout.strip().splitlines()[-1]


def make_initramfs(kernel, output, programs, agent, modules=None, words=()):
    command = [os.path.join(SCRIPTS, "guest-initramfs"), "--kernel", kernel,
               "--output", output, "--agent", agent]
    if modules is not None:
        command += ["--modules", modules]
    for p in programs:
        command += ["--add", p]
    subprocess.run(command + list(words), check=True)


class Agent:
    """What obeys commands at the other end of a stream (guest-agent.c)."""

    def __init__(self, name):
        self.number = 0
        self.jobs = {}
        self.ready = Lines(name)
        self.writer = None
        self.reader = None

    def talk(self, reader, writer):
        self.writer = writer
        self.reader = threading.Thread(target=self._read, args=(reader,),
                                       daemon=True)
        self.reader.start()

    def _read(self, stream):
        for raw in stream:
            line = raw.decode(errors="replace").rstrip("\r\n")
            m = re.match(r"(\d+) ([>=])(.*)$", line)
            if not m:
                self.ready.put(line)
                continue
            job = self.jobs.get(int(m.group(1)))
            if not job:
                continue
            if m.group(2) == ">":
                job.put(m.group(3))
            else:
                job.status = int(m.group(3))
                job.put(None)
        self.ready.put(None)
        for job in list(self.jobs.values()):
            job.put(None)

    def send(self, line):
        try:
            self.writer.write(line.encode() + b"\n")
            self.writer.flush()
        except (BrokenPipeError, ConnectionResetError):
            raise GuestError("the guest is gone; its console:\n" +
                             self.console_text()) from None

    def console_text(self):
        try:
            with open(self.console, errors="replace") as f:
                return f.read()
        except OSError as e:
            return str(e)

    def start(self, command):
        self.number += 1
        job = self.jobs[self.number] = Job(self, self.number, command)
        self.send("%d %s" % (self.number, command))
        return job

    def run(self, command, timeout=WAIT_S):
        return self.start(command).wait(timeout)

    def begin_again(self):
        """The guest starts anew: what it was doing is over."""
        for job in self.jobs.values():
            job.put(None)
        self.jobs.clear()

    def reboot(self):
        """The guest starts again, under the same VMM (--may-reboot)."""
        self.begin_again()
        self.start("reboot -f")
        self.ready.expect("^ready$", BOOT_S)
        self.jobs.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Guest(Agent):
    def __init__(self, kernel, initramfs, work, vsock=None, name="guest",
                 limit=170, options=()):
        super().__init__(name)
        self.console = os.path.join(work, name + ".console")
        command = [os.path.join(SCRIPTS, "guest-run"), "--kernel", kernel,
                   "--initramfs", initramfs, "--console", self.console,
                   "--control", "--timeout", str(limit)]
        if vsock:
            command += ["--vsock", vsock]
        self.process = subprocess.Popen(command + list(options),
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.talk(self.process.stdout, self.process.stdin)
        try:
            self.ready.expect("^ready$", BOOT_S)
        except GuestError as e:
            self.kill()
            raise GuestError("%s\nconsole:\n%s" % (
                e, self.console_text())) from None

    def off(self, status=0):
        """Ask the guest to switch itself off; return guest-run's status."""
        self.send("0 exit %d" % status)
        return self.process.wait(WAIT_S)

    def kill(self):
        """QEMU dies without a word to anyone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        self.reader.join(WAIT_S)
        self.process.stdin.close()
        self.process.stdout.close()
