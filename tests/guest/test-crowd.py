#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""200 connections of a stock guest move data, and somebody dies.

Half of them were made by the guest. What must survive is then read to the last
byte; what cannot survive ends for every program, and the same works again.
(tests/vhost-user does the same, and more, without a guest.)
"""
import os
import sys

import hvs
import qmp
import service
import stack
import tap
from crowd import Crowd
from flows import again, crc

HALF = 100
SIZE = 400000 if os.environ.get("HVSOCKET_TEST_LONG") else 60000
ENDLESS = 1 << 40
IN, OUT = 5200, 6200


class Plugged(stack.Stack):
    """With QEMU's monitor, so that its vsock device can be taken out."""

    def start_guest(self, name="guest"):
        self.monitor = os.path.join(self.work, name + ".qmp")
        super().start_guest(name, ("--may-reboot", "--memory", "512",
                                   "--timeout", "600",
                                   "--monitor", self.monitor))

    def __enter__(self):
        self.manager = service.Service(self.work)
        super().__enter__()
        self.service("crowd", IN)
        return self

    def __exit__(self, *_):
        super().__exit__()
        self.manager.end()

    def start_transport(self):
        """As a service, whose descriptors somebody keeps."""
        self.transport = self.manager.start(self.transport_command(),
                                            self.spawn)
        stack.until("hvsocket-vhost-user listens",
                    lambda: stack.listens(self.device))

    def kill_transport(self):
        self.transport.kill()
        self.transport.wait()
        self.start_transport()

    def restart_transport(self):
        self.transport.terminate()
        tap.same(self.transport.wait(20), 0, "status")
        self.start_transport()

    def without_manager(self):
        """Another machine, whose transport nobody keeps anything for."""
        self.guest.kill()
        self.transport.kill()
        self.transport.wait()
        self.device += "-alone"
        super().start_transport()
        self.start_guest("third")

    def replace(self):
        """Another process takes over from the transport."""
        old = self.transport
        self.transport = self.spawn(self.transport_command() + ["--replace"])
        try:
            old.wait(20)
        finally:
            self.stop(old)
        tap.same(old.returncode, 0, "the old one's status")


class Scene:
    """200 connections, as far as they are let."""

    def __init__(self, f, crowd, size):
        self.f = f
        self.out = f.guest.start("vsock-peer listen -n %d %d echo" % (
            HALF, OUT))
        self.out.expect("listening")
        self.into = f.guest.start(
            "for i in $(seq %d); do vsock-peer connect %d swap:%d shut eof & "
            "done; wait" % (HALF, IN, size))
        crowd.are(HALF)
        crowd.dial(f.vmid, hvs.port(OUT), HALF)
        crowd.are(2 * HALF)

    def well(self, size):
        """The guest has all of it, too."""
        for job in (self.into, self.out):
            said = job.ok(60)
            tap.same(said.count("received=%d crc=%s as-sent" % (
                size, crc(size))), HALF, "connections with all bytes")


def listening(f):
    crowd = Crowd(f.library)
    crowd.serve(hvs.WILDCARD, hvs.port(IN))
    return crowd


def survive(f, *deaths):
    """All goes on, each time."""
    with listening(f) as crowd:
        scene = Scene(f, crowd, SIZE)
        crowd.flow(SIZE // 8)
        for i, death in enumerate(deaths, 1):
            if i == len(deaths):
                crowd.let(SIZE)
                death()
                break
            # while a part of it is on its way
            part = crowd.flow(SIZE // 8, wait=False)
            death()
            part()
        crowd.end(SIZE)
        scene.well(SIZE)


def perish(f, *deaths):
    """All is over, for every program of the host; it begins again."""
    with listening(f) as crowd:
        for death in deaths:
            scene = Scene(f, crowd, ENDLESS)
            crowd.flow(None)
            crowd.moves(10000)
            death(scene)
            crowd.over()
            crowd.forget()
        scene = Scene(f, crowd, SIZE)
        crowd.let(SIZE)
        crowd.end(SIZE)
        scene.well(SIZE)


def test_broker_is_killed(f):
    """While there is none, all ends well; the next one is found."""
    survive(f, f.kill_broker)
    f.start_broker()
    again(f, "attached again", lambda: f.kind in f.control(
        "partition", "show", f.name))


def test_back_end_is_restarted(f):
    """By the service manager, in good order."""
    survive(f, f.restart_transport, f.restart_transport)


def test_back_end_is_killed(f):
    """The service manager starts another: the guest is told, and goes on."""
    def killed(scene):
        f.kill_transport()
        for job in (scene.into, scene.out):
            job.wait(60)

    perish(f, killed, killed)


def test_guest_reboots(f):
    perish(f, lambda _: f.guest.reboot())


def test_device_is_taken_out(f):
    """And put in again, under a guest that goes on."""
    monitor = qmp.Monitor(f.monitor)

    def out_and_in(scene):
        monitor.do("device_del", id="vsock")
        monitor.wait("DEVICE_DELETED", device="vsock")
        # the guest's programs are told, too
        for job in (scene.into, scene.out):
            job.wait(60)
        monitor.do("device_add", driver="vhost-user-vsock-pci", id="vsock",
                   bus="port0", chardev="vsock")
        stack.until("the guest has it", lambda: "running" in f.control(
            "partition", "show", f.name))

    perish(f, out_and_in, out_and_in)
    monitor.close()


def test_vmm_is_killed(f):
    def killed(_):
        f.guest.kill()
        stack.until("the transport listens again",
                    lambda: f.alive(f.transport) and stack.listens(f.device))
        f.start_guest("second")

    perish(f, killed)


def test_back_end_is_replaced(f):
    """By another one: where there is a service manager, that does it."""
    f.without_manager()
    survive(f, f.replace)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Plugged)
