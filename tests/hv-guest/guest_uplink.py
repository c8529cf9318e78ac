# SPDX-License-Identifier: MIT
"""A stock guest on VMBus with a broker of its own, its host as its uplink

hv_sock carries streams only, of the ports of the template: the rest is the
uplink's. (tests/guest/test-uplink.py has all of it over virtio.)
"""
import hv
import hvs
from uplinked import *


class Uplink(Uplinked, hv.HvStack):
    memory = "384M"

    def start_guest(self, name="guest", **more):
        return super().start_guest(name, initramfs=hv.inner("initramfs-uplink"),
                                   **more)


STACK = Uplink


def test_streams_and_messages(f):
    streams_and_messages(f)


def test_datagrams(f):
    datagrams(f)


def test_refusals_have_reasons(f):
    out = f.hvctl_in_guest("nc parent:%s" % uuid.uuid4()).failed(SLOW_S)
    tap.check("is not registered with the host" in out, out)


def test_the_guests_broker_ends(f):
    f.kill_guests_broker()
    f.start_guests_broker()
    streams_and_messages(f)
    datagrams(f)
