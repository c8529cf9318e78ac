# SPDX-License-Identifier: MIT
"""A guest of the kernel's vhost-vsock with a broker of its own

Its uplink is served by hvsocket-vsock, at CID 2. The same port at any other CID
of the machine is left to the machine's own uplink.
"""
import socket

import hvs
from kernel_guest import WithGuest
from tap import same
from uplinked import *


class Uplink(Uplinked, WithGuest):
    initramfs = "initramfs-uplink"

    def has_guest(self):
        self.running()
        self.port(UPLINK)


STACK = Uplink


def test_streams_and_messages(f):
    streams_and_messages(f)


def test_datagrams(f):
    datagrams(f)


def test_the_port_is_free_for_this_machines_own_uplink(f):
    """At another CID: that of the loopback, in the place of a guest's own."""
    with socket.socket(socket.AF_VSOCK) as own, \
            socket.socket(socket.AF_VSOCK) as s:
        own.bind((1, UPLINK))
        own.listen()
        own.settimeout(SLOW_S)
        s.settimeout(SLOW_S)
        s.connect((1, UPLINK))
        a, _ = own.accept()
        a.sendall(b"its own")
        same(hvs.receive(s, 7), b"its own", "what comes there")
        a.close()
        # and guests go on coming to the other
        f.kill_guests_broker()
        f.start_guests_broker()
        datagrams(f)
