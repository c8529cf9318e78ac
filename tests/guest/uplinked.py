# SPDX-License-Identifier: MIT
"""uplinked - a guest with a broker of its own, whatever is below its vsock

What the stacks of such guests have in common, and what their tests do.
"""
import ctypes
import os
import select
import uuid

import hvs
import stack
import tap

UPLINK = 26742
BOX = uuid.UUID("00000006-1111-4111-8111-111111111111")
ODD = uuid.UUID("999e53d4-3d5c-4c3e-8779-bed06ec056e1")  # no port
RAW = hvs.socket.SOCK_SEQPACKET
BROADCAST = uuid.UUID(int=2 ** 128 - 1)
BROKER = ("hvsocketd --runtime-dir /run/hvsocket --config-dir /etc/hvs "
          "--uplink vsock --uplink-relay /bin/hvsocket-uplink "
          "--dgram /bin/hvsocket-dgram")
SLOW_S = 60  # emulation


def programs(daemons, build):
    """What has to be in the guest, for make_initramfs()."""
    return [hvs.find(daemons, "hvsocketd"),
            hvs.find(daemons, "hvsocket-uplink"),
            hvs.find(daemons, "hvsocket-dgram"), hvs.find(build, "hvctl"),
            os.path.join(os.environ["GUEST_PROGRAMS"], "vsock-peer"),
            hvs.find(build, "libhvsocket.so.0") + ":lib/libhvsocket.so.0"]


class Uplinked:
    """Before a stack.Host, which has the guest."""

    def __enter__(self):
        self.registered()
        super().__enter__()
        try:
            self.has_guest()
            self.guests_broker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def has_guest(self):
        """What is to be done then, and before its broker starts."""

    def registered(self):
        """Before the guest is there."""
        self.service("uplink", UPLINK)
        self.put("services.d", "odd", "[Service]\nServiceId=%s\n" % ODD)
        self.service("registered", 5000)
        self.partition("vmbox", BOX, Parent=self.name, Kind="container")

    def guests_broker(self):
        """Once it is."""
        self.guest.run(
            "mkdir -p /etc/hvs/services.d /etc/hvs/partitions.d; "
            "printf '[Service]\\nServiceId=%s\\n' "
            ">/etc/hvs/services.d/odd.conf; printf '[Partition]\\n"
            "Kind=container\\nVmId=%s\\n' >/etc/hvs/partitions.d/"
            "vmbox.conf" % (ODD, BOX)).ok()
        self.start_guests_broker()

    def partition(self, stem, vmid, table="", **more):
        lines = ["[Partition]", "VmId=%s" % vmid]
        more.setdefault("Kind", "vm")
        lines += ["%s=%s" % item for item in more.items()]
        self.put("partitions.d", stem, "\n".join(lines) + "\n" + table)

    def start_guests_broker(self):
        self.job = self.guest.start(BROKER)
        self.up()

    def kill_guests_broker(self):
        """Its job goes on: hvsocket-uplink writes there, too."""
        self.guest.run("killall -9 hvsocketd; while hvctl status "
                       ">/dev/null 2>&1; do :; done").ok(SLOW_S)

    def carries(self):
        """With its connection for datagrams, which comes a moment later."""
        stack.until("datagrams", lambda: "datagrams go over it" in
                    self.hvctl_in_guest("status").ok(SLOW_S), SLOW_S)

    def up(self):
        self.job.expect("the uplink is up: the host knows this machine as",
                        SLOW_S)

    def hvctl_in_guest(self, words, box=False, env=""):
        """A job; in a container if that is said."""
        command = "%s hvctl %s" % (env, words)
        if box:
            command = ("unshare -m -n sh -c 'mount -o bind "
                       "/run/hvsocket/broker/partitions/%s /run/hvsocket && "
                       "%s'" % (BOX, command))
        return self.guest.start(command)

    def listen(self, address, *options, box=False):
        self.listening = self.hvctl_in_guest(
            "nc -l %s %s" % (" ".join(options), address), box)
        return self.listening

    def dial(self, vmid, service, kind=1):
        """To a listener that is about to come."""
        def once():
            if self.listening.status is not None:
                self.listening.ok()
            s = self.library.socket(kind)
            try:
                self.library.set_timeout(s, 10000)
                self.library.connect(s, vmid, service)
                s.settimeout(SLOW_S)
                return s
            except hvs.Refused as e:
                s.close()
                if e.reason not in ("no listener", "partition off"):
                    raise
                return None
        return stack.until("a listener in the guest", once, SLOW_S)


def talk(f, s, job):
    """Both ways, and the ends."""
    s.sendall(b"from the host\n")
    job.expect("^from the host$", SLOW_S)
    job.input("from the guest")
    tap.same(s.recv(100), b"from the guest\n", "data")
    job.end_input()
    tap.same(s.recv(100), b"", "its end")
    s.close()
    job.ok(SLOW_S)


def guest_to_host(f, bound):
    listener = f.library.serve(bound, ODD)
    listener.settimeout(SLOW_S)
    job = f.hvctl_in_guest("nc parent:%s" % ODD)
    s, _ = listener.accept()
    tap.same(f.library.peer(s)[0], f.vmid, "who it is for the host")
    s.settimeout(SLOW_S)
    talk(f, s, job)
    listener.close()


def datagram_socket(f, vmid, service):
    s = f.library.socket(hvs.socket.SOCK_DGRAM)
    f.library.bind(s, vmid, service)
    tv = SLOW_S.to_bytes(8, "little") + bytes(8)
    s.setsockopt(hvs.socket.SOL_SOCKET, hvs.socket.SO_RCVTIMEO, tv)
    return s


def say(f, s, data, vmid, service):
    """To a socket in the guest that is about to be bound."""
    a = hvs.Address.of(vmid, service)

    def once():
        if f.listening.status is not None:
            f.listening.ok()
        try:
            f.library.check(f.library.c.hvs_sendto(
                s.fileno(), data, ctypes.c_size_t(len(data)), 0,
                ctypes.byref(a), 36), s.fileno())
            return True
        except hvs.Refused as e:
            if e.reason not in ("no listener", "partition off"):
                raise
            return False
    stack.until("a socket in the guest", once, SLOW_S)


def hear(f, s):
    """What comes there, unless who is to send it has ended."""
    stack.until("a datagram", lambda: select.select([s], [], [], 0)[0] or
                f.listening.status is not None, SLOW_S)
    if f.listening.status is not None:
        f.listening.ok()
    a, n = hvs.Address(), ctypes.c_uint32(36)
    buf = ctypes.create_string_buffer(65536)
    r = f.library.check(f.library.c.hvs_recvfrom(
        s.fileno(), buf, ctypes.c_size_t(65536), 0, ctypes.byref(a),
        ctypes.byref(n)), s.fileno())
    return buf.raw[:r], a.get()


def streams_and_messages(f):
    """Of any ServiceId, both ways, and of a container in the guest."""
    for options, kind in (((), 1), (("--raw",), int(RAW))):
        job = f.listen("parent:%s" % ODD, *options)
        talk(f, f.dial(f.vmid, ODD, kind), job)
        job = f.listen("wildcard:%s" % ODD, *options, box=True)
        talk(f, f.dial(BOX, ODD, kind), job)
    guest_to_host(f, hvs.CHILDREN)


def datagrams(f):
    """From the guest, and to it, a container in it, and all that listen."""
    f.carries()
    with datagram_socket(f, hvs.CHILDREN, ODD) as s:
        job = f.listening = f.hvctl_in_guest("nc --dgram parent:%s" % ODD)
        job.input("from the guest")
        data, who = hear(f, s)
        tap.same((data, who[0]), (b"from the guest\n", f.vmid), "it")
        say(f, s, b"from the host\n", *who)
        job.expect("^from the host$", SLOW_S)
        job.kill()
        job.wait(SLOW_S)
    for bound, box, vmid in (("parent", False, f.vmid),
                             ("wildcard", True, BOX)):
        with datagram_socket(f, hvs.CHILDREN, hvs.port(5000)) as s:
            job = f.listen("%s:%s" % (bound, ODD), "--dgram", box=box)
            say(f, s, b"from the host\n", vmid, ODD)
            job.expect("^from the host$", SLOW_S)
            job.input("back")
            tap.same(hear(f, s), (b"back\n", (vmid, ODD)), "who answers")
            job.kill()
            job.wait(SLOW_S)
    with datagram_socket(f, hvs.CHILDREN, hvs.port(5000)) as s:
        job = f.listen("broadcast:%s" % ODD, "--dgram")
        stack.until("the socket", lambda: "broadcast" in f.hvctl_in_guest(
            "listeners").ok(SLOW_S).lower(), SLOW_S)
        say(f, s, b"to all\n", BROADCAST, ODD)
        job.expect("^to all$", SLOW_S)
        job.kill()
        job.wait(SLOW_S)
