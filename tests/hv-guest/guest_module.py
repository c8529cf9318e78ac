# SPDX-License-Identifier: MIT
"""A kernel module of ours connects to a service of the host by itself."""
import hv
import hvs
import stack
import tap


class Module(hv.HvStack):
    def start_guest(self, name="guest", **more):
        return super().start_guest(
            name, initramfs=hv.inner("initramfs-module"), **more)


STACK = Module
PORT = 7500


def test_kernel_socket(f):
    f.service("echo", PORT)
    with stack.Echo(f.library, hvs.WILDCARD, hvs.port(PORT)) as e:
        f.guest.run("insmod /module.ko port=%d" % PORT, 60).ok(60)
        tap.same(len(e.peers), 1, "connections")
    log = f.guest.run("dmesg | grep hvs_kernel_test").ok()
    tap.check("1048576 bytes came back as sent" in log, log)
    f.guest.run("rmmod hvs_kernel_test").ok()
    f.guest.nothing_left()


def test_kernel_socket_refused(f):
    out = f.guest.run("insmod /module.ko port=%d" % (PORT + 1)).failed()
    tap.check("timed out" in out, out)
    f.guest.nothing_left()
