# SPDX-License-Identifier: MIT
"""stack - a private broker, a VM's transport and a guest, for the tests

Everything lives in the test's own directory and ends with the test; two can
run at the same time. Nothing of the machine's own broker is used.
"""
import os
import selectors
import signal
import subprocess
import threading
import time
import uuid

import hvs
import vm

WAIT_S = 20


def until(what, function, timeout=WAIT_S):
    """Ask again until the answer is true: for what nobody gives notice of."""
    deadline = time.monotonic() + timeout
    while True:
        answer = function()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise vm.GuestError("%s: not within %s s" % (what, timeout))
        time.sleep(0.01)


def listens(path):
    """Does a socket listen at this path? Asked without connecting to it."""
    with open("/proc/net/unix", errors="replace") as f:
        for line in f:
            words = line.split()
            # (what it has accepted has the same name)
            if len(words) == 8 and words[7] == path and \
                    int(words[3], 16) & 0x10000:
                return True
    return False


class Host:
    """A broker with one partition; what a subclass adds is its guest."""

    def __init__(self, work, name="vm1"):
        build = os.environ["BUILD"]
        self.daemons = os.environ.get("DAEMON_BUILD") or build
        self.work = work
        self.name = name
        self.vmid = uuid.uuid4()
        self.runtime = os.path.join(work, "run")
        self.config = os.path.join(work, "etc")
        self.log = open(os.path.join(work, "log"), "w+")
        self.hvsocketd = hvs.find(self.daemons, "hvsocketd")
        self.hvctl = hvs.find(build, "hvctl")
        os.environ["HVSOCKET_RUNTIME_DIR"] = self.runtime
        self.library = hvs.Library(hvs.find(build, "libhvsocket.so"))
        self.broker = self.guest = None
        for d in ("services.d", "partitions.d"):
            os.makedirs(os.path.join(self.config, d))
        self.partition(name, self.vmid)

    # Registry files: dropping one in is registration.

    def put(self, kind, stem, text):
        path = os.path.join(self.config, kind, stem + ".conf")
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def service(self, stem, port, **more):
        lines = ["[Service]", "ElementName=" + stem, "Port=%d" % port]
        lines += ["%s=%s" % item for item in more.items()]
        self.put("services.d", stem, "\n".join(lines) + "\n")

    def partition(self, stem, vmid, table="", **more):
        lines = ["[Partition]", "Name=" + stem, "VmId=%s" % vmid, "Kind=vm"]
        lines += ["%s=%s" % item for item in more.items()]
        self.put("partitions.d", stem, "\n".join(lines) + "\n" + table)

    def forget(self, kind, stem):
        os.unlink(os.path.join(self.config, kind, stem + ".conf"))

    # Processes

    def spawn(self, command, **more):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                stdout=self.log, stderr=self.log, **more)

    def start_broker(self):
        ready, tell = os.pipe()
        self.broker = self.spawn(
            [self.hvsocketd, "--runtime-dir", self.runtime, "--config-dir",
             self.config, "--ready-fd", str(tell)], pass_fds=(tell,))
        os.close(tell)
        with selectors.DefaultSelector() as s:
            s.register(ready, selectors.EVENT_READ)
            said = s.select(WAIT_S) and os.read(ready, 1)
        os.close(ready)
        if not said:
            raise vm.GuestError("hvsocketd was not ready: " + self.diagnose())

    def kill_broker(self):
        self.broker.kill()
        self.broker.wait()

    def alive(self, process):
        if process.poll() is not None:
            raise vm.GuestError("%s ended with status %s\n%s" % (
                process.args[0], process.returncode, self.diagnose()))
        return True

    def control(self, *words, check=True):
        r = subprocess.run([self.hvctl] + list(words), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=WAIT_S)
        if check and r.returncode:
            raise vm.GuestError("hvctl %s: status %d: %s" % (
                " ".join(words), r.returncode, r.stdout))
        return r.stdout

    def diagnose(self):
        self.log.flush()
        with open(self.log.name, errors="replace") as f:
            text = "".join(f.readlines()[-40:])
        if self.guest:
            text += "console:\n" + self.guest.console_text()
        return text

    # Host programs

    def stop(self, *processes):
        for process in processes:
            if process and process.poll() is None:
                process.terminate()
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Stack(Host):
    """A guest under QEMU, and hvsocket-vhost-user."""

    kind = "vhost-user"

    def __init__(self, work, name="vm1"):
        super().__init__(work, name)
        self.device = os.path.join(work, "vsock")
        self.transport_program = hvs.find(self.daemons, "hvsocket-vhost-user")
        self.transport = None
        self.kernel = vm.kernel_directory()
        self.initramfs = os.path.join(work, "initramfs")
        programs = os.environ["GUEST_PROGRAMS"]
        vm.make_initramfs(self.kernel, self.initramfs,
                          [os.path.join(programs, "vsock-peer")],
                          os.path.join(programs, "guest-agent"))

    def transport_command(self):
        command = [self.transport_program, "--partition", self.name,
                   "--socket-path", self.device]
        if os.environ.get("DAEMON_BUILD"):
            # The leak sanitizer needs more than the sandbox allows.
            command += ["--sandbox", "none"]
        return command

    def start_transport(self):
        self.transport = self.spawn(self.transport_command())
        until("hvsocket-vhost-user listens", lambda: self.alive(
            self.transport) and listens(self.device))

    def start_guest(self, name="guest", options=("--may-reboot",)):
        self.guest = vm.Guest(self.kernel, self.initramfs, self.work,
                              self.device, name=name, options=options)

    def __enter__(self):
        try:
            self.start_broker()
            self.start_transport()
            self.start_guest()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.guest:
            self.guest.kill()
        self.stop(self.transport, self.broker)
        self.log.close()

    def pause_guest(self):
        """The whole machine stands still until resume_guest()."""
        pid = self.guest.process.pid
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            children = [int(p) for p in f.read().split()]
        for child in children:
            with open("/proc/%d/comm" % child) as f:
                if f.read().startswith("qemu"):
                    os.kill(child, signal.SIGSTOP)
                    self.paused = child
                    return
        raise vm.GuestError("no QEMU to stop")

    def resume_guest(self):
        os.kill(self.paused, signal.SIGCONT)


class Echo:
    """A host service: sends back what comes, ends when the client has.

    Of a client that has ended the socket stays in .open, unless .keep is false:
    there are not descriptors for thousands.
    """

    def __init__(self, library, vmid, service, keep=True):
        self.library = library
        self.keep = keep
        self.over = False
        self.listener = library.serve(vmid, service)
        self.peers = []
        self.open = []
        self.ended = threading.Event()  # a client's data, or its connection
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        self.listener.settimeout(None)
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError as e:
                if not self.over:
                    print("# nobody accepts any more: %s" % e, flush=True)
                return
            try:
                self.peers.append(self.library.peer(s))
            except hvs.Refused as e:
                self.peers.append(e)
            self.open.append(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        s.settimeout(None)
        try:
            while True:
                data = s.recv(65536)
                if not data:
                    self.ended.set()
                    s.shutdown(1)
                    if not self.keep:
                        self.open.remove(s)
                        s.close()
                    return
                s.sendall(data)
        except OSError:
            self.ended.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        try:
            self.listener.shutdown(2)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(5)
        for s in list(self.open):
            s.close()
