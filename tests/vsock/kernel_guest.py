# SPDX-License-Identifier: MIT
"""A stock guest under QEMU with the kernel's vhost-vsock"""
import os
import shutil
import signal
import socket
import subprocess
import threading

import hvs
import kernel
import stack
import vm
from tap import check, same

CID = 42


def inner(name):
    return os.path.join(os.environ["INNER"], name)


class QemuGuest(vm.Agent):
    """The agent is on the second serial port."""

    def __init__(self, work, name="guest", initramfs="initramfs"):
        super().__init__(name)
        self.console = os.path.join(work, name + ".console")
        path = os.path.join(work, name + ".port")
        self.process = subprocess.Popen(
            [shutil.which("qemu-system-x86_64"), "-M", "microvm,rtc=on",
             "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults",
             "-no-user-config", "-nographic",
             "-serial", "file:" + self.console,
             "-chardev", "socket,id=agent,server=on,wait=off,path=" + path,
             "-device", "isa-serial,chardev=agent,iobase=0x2f8,irq=3",
             "-device", "vhost-vsock-device,guest-cid=%d" % CID,
             "-kernel", inner("vmlinuz"), "-initrd", inner(initramfs),
             "-append", "console=ttyS0 quiet " +
             os.environ.get("GUEST_APPEND", "")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            stack.until("QEMU listens", lambda: stack.listens(path), vm.BOOT_S)
            self.socket.connect(path)
            self.talk(self.socket.makefile("rb"), self.socket.makefile("wb"))
            self.ready.expect("^ready$", 2 * vm.BOOT_S)
        except vm.GuestError as e:
            self.kill()
            raise vm.GuestError("%s\n%s" % (e, self.console_text())) from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(vm.WAIT_S)
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


class WithGuest(kernel.Kernel):
    cid = CID
    initramfs = "initramfs"

    def start_guest(self, name="guest"):
        self.guest = QemuGuest(self.work, name, self.initramfs)

    def __enter__(self):
        super().__enter__()
        try:
            self.start_guest()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.guest:
            self.guest.kill()
        super().__exit__()


STACK = WithGuest


def test_guest_to_host(f):
    f.running()
    f.service("echo", 5000)
    with stack.Echo(f.library, hvs.CHILDREN, hvs.port(5000)) as e:
        f.port(5000)
        said = f.guest.run("vsock-peer connect -t 10000 5000 swap:1000000 shut "
                           "eof", 120).ok()
        check("1000000" in said, said)
        same(e.peers[0][0], f.vmid, "who dials")


def test_host_to_guest(f):
    job = f.guest.start("vsock-peer listen 6000 echo")
    job.expect("listening")
    s = f.library.dial(f.vmid, hvs.port(6000), 10000)
    s.settimeout(120)
    data = hvs.pattern(1 << 20)
    t = threading.Thread(target=lambda: (s.sendall(data),
                                         s.shutdown(socket.SHUT_WR)))
    t.start()
    check(hvs.receive(s) == data, "what comes back")
    t.join()
    job.ok()


def test_nobody_listens(f):
    try:
        f.library.dial(f.vmid, hvs.port(6009), 10000)
    except hvs.Refused as e:
        same(e.reason, "no listener", str(e))
    else:
        raise AssertionError("nobody listens, and it was connected")


def test_a_stranger_is_nobody(f):
    """The same port, another CID: this machine's own."""
    f.service("mine", 5001)
    listener = f.library.serve(hvs.CHILDREN, hvs.port(5001))
    f.port(5001)
    s = socket.socket(socket.AF_VSOCK)
    s.settimeout(20)
    s.connect((1, 5001))
    same(hvs.receive(s), b"", "closed")
    check("CID 1 dials port 5001" in f.said(), f.said())
    listener.close()


def test_natives(f):
    job = f.guest.start("vsock-peer listen 6001 echo")
    job.expect("listening")
    p = f.dial_native(6001)
    same((p.family, p.getpeername()), (socket.AF_VSOCK, (CID, 6001)), "dialled")
    f.service("native", 5002)
    listener = f.serve_native("children:5002")
    f.port(5002)
    os.kill(f.transport.pid, signal.SIGSTOP)
    try:
        p.sendall(b"x" * 100000)
        p.shutdown(socket.SHUT_WR)
        same(len(hvs.receive(p)), 100000, "what comes back")
        job.ok()
    finally:
        os.kill(f.transport.pid, signal.SIGCONT)
    job = f.guest.start("vsock-peer connect -t 10000 5002 send:300000 "
                        "recv:300000")
    a, who = f.accept(listener)
    same((a.family, who[0], a.getpeername()[0]), (socket.AF_VSOCK, f.vmid, CID),
         "accepted")
    os.kill(f.transport.pid, signal.SIGSTOP)
    try:
        check(hvs.receive(a, 300000) == hvs.pattern(300000), "its bytes")
        a.sendall(hvs.pattern(300000))
        job.ok(60)
    finally:
        os.kill(f.transport.pid, signal.SIGCONT)
    listener.close()


def test_vm_is_killed_and_started(f):
    job = f.guest.start("vsock-peer listen 6002 echo")
    job.expect("listening")
    s = f.library.dial(f.vmid, hvs.port(6002), 10000)
    s.sendall(b"x")
    same(hvs.receive(s, 1), b"x", "it is there")
    f.guest.kill()
    try:
        hvs.receive(s)
    except ConnectionResetError:
        pass
    f.running("off")
    try:
        f.library.dial(f.vmid, hvs.port(6002))
    except hvs.Refused as e:
        same(e.reason, "partition off", str(e))
    f.start_guest("again")
    f.running()
    job = f.guest.start("vsock-peer listen 6003 echo")
    job.expect("listening")
    s = f.library.dial(f.vmid, hvs.port(6003), 10000)
    s.sendall(b"again")
    same(hvs.receive(s, 5), b"again", "it is there again")
    s.close()
