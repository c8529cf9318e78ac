# SPDX-License-Identifier: MIT
"""hv - a stock guest under hvvm, for the tests

    with HvStack(work) as f:
        f.guest.run("vsock-peer cid").ok()

Runs where KVM works (tests/nested). The guest's kernel and initramfs are in
the directory that $INNER names; run.py has put them there.
"""
import os
import re
import signal
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "guest"))
import hvs  # noqa: E402
import stack  # noqa: E402
import vm  # noqa: E402

LONG = bool(os.environ.get("HVSOCKET_TEST_LONG"))


def inner(name):
    return os.path.join(os.environ["INNER"], name)


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


class HvGuest(vm.Agent):
    """hvvm, and the agent in its guest on the second serial port."""

    def __init__(self, program, work, where, name="guest", initramfs=None,
                 memory="256M", cpus=2, append="", options=(), env=None):
        super().__init__(name)
        self.console = os.path.join(work, name + ".console")
        self.trace = os.path.join(work, name + ".trace")
        self.log = os.path.join(work, name + ".log")
        port = os.path.join(work, name + ".port")
        command = [program, "run", "--kernel", inner("vmlinuz"), "--initrd",
                   initramfs or inner("initramfs"), "--memory", memory,
                   "--cpus", str(cpus), "--console", "file:" + self.console,
                   "--serial2", "unix:" + port, "--timeout", "1500"]
        if where:
            command += ["--trace", self.trace]
        append = " ".join((append, os.environ.get("GUEST_APPEND", "")))
        if "--integration" not in options and "--no-vmbus" not in options:
            command += ["--integration", "none"]
        if append.strip():
            command += ["--append", append.strip()]
        if os.environ.get("DAEMON_BUILD"):
            # The leak sanitizer needs more than the sandbox allows.
            command += ["--sandbox", "none"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command + list(where) + list(options), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=env)
        self.pid = self.process.pid
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            stack.until("hvvm listens", lambda: self.alive() and
                        stack.listens(port), vm.BOOT_S)
            self.socket.connect(port)
            self.talk(self.socket.makefile("rb"), self.socket.makefile("wb"))
            self.ready.expect("^ready$", vm.BOOT_S)
        except vm.GuestError as e:
            self.kill()
            raise vm.GuestError("%s\n%s" % (e, self.texts())) from None

    def alive(self):
        if self.process.poll() is not None:
            raise vm.GuestError("hvvm ended with status %d" %
                                self.process.returncode)
        return True

    def console_text(self):
        text = super().console_text()
        return "\n".join(text.splitlines()[-600:]) + "\n"

    def texts(self):
        """What is worth reading when something failed."""
        text = "guest's console:\n" + self.console_text()
        for path in (self.log, self.trace):
            try:
                with open(path, errors="replace") as f:
                    text += "%s:\n%s" % (os.path.basename(path), "".join(
                        f.readlines()[-40:]))
            except OSError:
                pass
        return text + self.threads()

    def threads(self):
        """What each thread of hvvm's is doing."""
        text = ""
        base = "/proc/%d/task" % self.pid
        for tid in os.listdir(base) if os.path.isdir(base) else ():
            for name in ("comm", "stat", "stack"):
                try:
                    with open("%s/%s/%s" % (base, tid, name)) as f:
                        text += f.read()
                except OSError as e:
                    text += "%s\n" % e
        return text

    def transport(self):
        """The process id of hvsocket-vmbus."""
        for pid in children(self.pid):
            with open("/proc/%d/comm" % pid) as f:
                if f.read().startswith("hvsocket-vmb"):
                    return pid
        raise vm.GuestError("hvvm has no hvsocket-vmbus")

    def run(self, command, timeout=stack.WAIT_S):
        try:
            return super().run(command, timeout)
        except vm.GuestError as e:
            raise vm.GuestError("%s\n%s" % (e, self.standing())) from None

    def standing(self):
        """Where everything waits, for whoever has waited too long for it."""
        text = self.threads()
        for _ in range(2):
            try:
                with open(self.log, errors="replace") as f:
                    f.seek(0, os.SEEK_END)
                    self.counters()
                    text += f.read()
                text += super().run("cat /proc/uptime /proc/interrupts",
                                    stack.WAIT_S).ok()
            except vm.GuestError as e:
                text += str(e)
        return text

    def counters(self):
        """What hvsocket-vmbus counts: channels, doorbells in and out ..."""
        with open(self.log, errors="replace") as f:
            f.seek(0, os.SEEK_END)
            os.kill(self.transport(), signal.SIGUSR1)
            text = ""

            def complete():
                nonlocal text
                text += f.read()
                return re.search(r"malformed: \d+\n", text)
            stack.until("counters", complete)
        m = re.search(r"doorbells: (\d+) in, (\d+) out; messages: (\d+) in, "
                      r"(\d+) out.*channels: (\d+), open (\d+), not released "
                      r"(\d+); malformed: (\d+)", text)
        if not m:
            raise vm.GuestError("counters: %r" % text)
        return dict(zip(("doorbells_in", "doorbells_out", "messages_in",
                         "messages_out", "channels", "open", "unreleased",
                         "malformed"), map(int, m.groups())))

    def nothing_left(self):
        """No channel on either side."""
        def clean():
            c = self.counters()
            return c["channels"] == 0 and c["unreleased"] == 0
        stack.until("no channel at the host", clean)
        stack.until("no channel in the guest", lambda: self.run(
            "ls /sys/bus/vmbus/devices | wc -l").ok().strip() == "0")

    def wait(self, timeout=vm.WAIT_S):
        return self.process.wait(timeout)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(vm.WAIT_S)
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


class HvStack(stack.Host):
    """A broker, and a guest on VMBus in its partition."""

    kind = "vmbus"
    cpus = 1  # emulated SVM loses guests with more; tests of SMP ask for it
    memory = "256M"
    append = ""
    options = ()

    def __init__(self, work, name="vm1"):
        super().__init__(work, name)
        self.hvvm = hvs.find(os.environ["BUILD"], "hvvm")

    def environment(self):
        """hvvm with another build's hvsocket-vmbus, if that is asked for."""
        if not os.environ.get("DAEMON_BUILD"):
            return None
        return dict(os.environ, HVSOCKET_LIBEXECDIR=os.path.dirname(
            hvs.find(self.daemons, "hvsocket-vmbus")))

    def start_guest(self, name="guest", **more):
        settings = {"cpus": self.cpus, "memory": self.memory,
                    "append": self.append, "options": self.options}
        settings.update(more)
        self.guest = HvGuest(self.hvvm, self.work, ("--name", self.name),
                             name=name, env=self.environment(), **settings)
        return self.guest

    def __enter__(self):
        try:
            self.start_broker()
            self.start_guest()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.guest:
            self.guest.kill()
        self.stop(self.broker)
        self.log.close()

    def diagnose(self):
        self.log.flush()
        with open(self.log.name, errors="replace") as f:
            text = "".join(f.readlines()[-40:])
        return text + (self.guest.texts() if self.guest else "")

    def pause_guest(self):
        os.kill(self.guest.pid, signal.SIGSTOP)

    def resume_guest(self):
        os.kill(self.guest.pid, signal.SIGCONT)
