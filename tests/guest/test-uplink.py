#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stock guest with a broker of its own, its host as its uplink

hvsocketd, hvsocket-uplink, hvsocket-dgram and hvctl are put into the guest, which has a
virtio-vsock device and nothing else. Also Hyper-V sockets in a guest without a
broker (HVSOCKET_TRANSPORT=vsock).
"""
import ctypes
import os
import sys
import uuid

import hvs
import stack
import tap
import vm

UPLINK = 26742
BOX = uuid.UUID("00000006-1111-4111-8111-111111111111")
ODD = uuid.UUID("999e53d4-3d5c-4c3e-8779-bed06ec056e1")  # no port
RAW = hvs.socket.SOCK_SEQPACKET
BROADCAST = uuid.UUID(int=2 ** 128 - 1)
BROKER = ("hvsocketd --runtime-dir /run/hvsocket --config-dir /etc/hvs "
          "--uplink vsock --uplink-relay /bin/hvsocket-uplink "
          "--dgram /bin/hvsocket-dgram")
SLOW_S = 60  # emulation


class Guest(stack.Stack):
    def __init__(self, work):
        super().__init__(work)
        programs = os.environ["GUEST_PROGRAMS"]
        add = [hvs.find(self.daemons, "hvsocketd"),
               hvs.find(self.daemons, "hvsocket-uplink"),
               hvs.find(self.daemons, "hvsocket-dgram"), self.hvctl,
               os.path.join(programs, "vsock-peer"),
               hvs.find(os.environ["BUILD"], "libhvsocket.so.0") +
               ":lib/libhvsocket.so.0"]
        vm.make_initramfs(self.kernel, self.initramfs, add,
                          os.path.join(programs, "guest-agent"))

    def __enter__(self):
        self.service("uplink", UPLINK)
        self.put("services.d", "odd", "[Service]\nServiceId=%s\n" % ODD)
        self.service("registered", 5000)
        self.partition("vmbox", BOX, Parent=self.name, Kind="container")
        super().__enter__()
        try:
            self.guest.run(
                "mkdir -p /etc/hvs/services.d /etc/hvs/partitions.d; "
                "printf '[Service]\\nServiceId=%s\\n' "
                ">/etc/hvs/services.d/odd.conf; printf '[Partition]\\n"
                "Kind=container\\nVmId=%s\\n' >/etc/hvs/partitions.d/"
                "vmbox.conf" % (ODD, BOX)).ok()
            self.start_guests_broker()
            self.job.expect("the uplink carries datagrams", SLOW_S)
        except BaseException:
            self.__exit__()
            raise
        return self

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


def test_host_to_guest(f):
    for service in (ODD, hvs.port(5100)):
        job = f.listen("parent:%s" % service)
        talk(f, f.dial(f.vmid, service), job)


def test_guest_to_host(f):
    for bound in (f.vmid, hvs.CHILDREN, hvs.WILDCARD):
        listener = f.library.serve(bound, ODD)
        listener.settimeout(SLOW_S)
        job = f.hvctl_in_guest("nc parent:%s" % ODD)
        s, _ = listener.accept()
        tap.same(f.library.peer(s)[0], f.vmid, "who it is for the host")
        s.settimeout(SLOW_S)
        talk(f, s, job)
        listener.close()


def test_messages(f):
    job = f.listen("parent:%s" % ODD, "--raw")
    s = f.dial(f.vmid, ODD, int(RAW))
    s.sendall(b"one\n")
    s.sendall(b"two\n")
    job.expect("^one$", SLOW_S)
    job.expect("^two$", SLOW_S)
    job.input("three")
    tap.same(s.recv(100), b"three\n", "a message")
    job.end_input()
    tap.same(s.recv(100), b"", "the end")
    s.close()
    job.ok(SLOW_S)


def test_refusals_have_reasons(f):
    out = f.hvctl_in_guest("nc parent:%s" % uuid.uuid4()).failed(SLOW_S)
    tap.check("is not registered with the host" in out, out)
    out = f.hvctl_in_guest("nc parent:%s" % ODD).failed(SLOW_S)
    tap.check("nobody in partition" in out, out)
    out = f.hvctl_in_guest("status").ok(SLOW_S)
    tap.check("vsock, up" in out and "as vm1 (%s)" % f.vmid in out, out)
    tap.check("uplink" in f.control("partition", "show", f.name), "show")
    out = f.control("explain", "%s:%s" % (f.name, ODD))
    tap.check("asked" in out, out)


def test_row_16_parent_of_a_container_is_the_guest(f):
    hears = f.listen("children:%s" % ODD)
    job = f.hvctl_in_guest("nc -w -t 20 parent:%s" % ODD, box=True)
    job.input("hello")
    hears.expect("^hello$", SLOW_S)
    job.end_input()
    hears.end_input()
    hears.ok(SLOW_S)
    job.ok(SLOW_S)


def test_row_19_the_host_reaches_a_container_in_the_guest(f):
    for options, kind in (((), 1), (("--raw",), int(RAW))):
        job = f.listen("wildcard:%s" % ODD, *options, box=True)
        talk(f, f.dial(BOX, ODD, kind), job)


def test_row_20_not_if_it_listens_for_its_parent(f):
    job = f.listen("parent:%s" % ODD, box=True)
    # the guest, which is its parent, would reach it
    f.hvctl_in_guest("wait -t 20 vmbox:%s" % ODD).ok(SLOW_S)
    try:
        f.library.dial(BOX, ODD, 10000).close()
        raise tap.Failure("connected")
    except hvs.Refused as e:
        tap.same(e.reason, "no listener", str(e))
    job.kill()
    job.wait(SLOW_S)


def test_what_the_guests_kernel_has_is_reached_as_ever(f):
    job = f.guest.start("vsock-peer listen 6100 peer echo")
    job.expect("listening")
    with f.library.dial(f.vmid, hvs.port(6100), 10000) as s:
        s.sendall(b"x")
        s.shutdown(1)
        tap.same(hvs.receive(s), b"x", "data")
    job.ok(SLOW_S)


def test_much_data(f):
    n = 8 << 20
    job = f.listen("parent:%s </dev/null | md5sum" % ODD)
    s = f.dial(f.vmid, ODD)
    data = hvs.pattern(n)
    s.sendall(data)
    s.shutdown(1)
    import hashlib
    tap.check(hashlib.md5(data).hexdigest() in job.ok(SLOW_S), "the sum")
    s.close()


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
    a, n = hvs.Address(), ctypes.c_uint32(36)
    buf = ctypes.create_string_buffer(65536)
    r = f.library.check(f.library.c.hvs_recvfrom(
        s.fileno(), buf, ctypes.c_size_t(65536), 0, ctypes.byref(a),
        ctypes.byref(n)), s.fileno())
    return buf.raw[:r], a.get()


def test_datagrams_of_the_guest(f):
    for bound in (f.vmid, hvs.CHILDREN, hvs.WILDCARD):
        with datagram_socket(f, bound, ODD) as s:
            job = f.listening = f.hvctl_in_guest("nc --dgram parent:%s" % ODD)
            job.input("from the guest")
            data, who = hear(f, s)
            tap.same((data, who[0]), (b"from the guest\n", f.vmid), "it")
            say(f, s, b"from the host\n", *who)
            job.expect("^from the host$", SLOW_S)
            job.kill()
            job.wait(SLOW_S)
    out = f.guest.start("echo x | hvctl nc --dgram parent:%s" % ODD).failed(
        SLOW_S)
    tap.check("nobody in partition" in out, out)


def test_datagrams_to_the_guest_and_a_container_in_it(f):
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


def test_broadcast(f):
    with datagram_socket(f, hvs.CHILDREN, hvs.port(5000)) as s:
        job = f.listen("broadcast:%s" % ODD, "--dgram")
        stack.until("the socket", lambda: "broadcast" in f.hvctl_in_guest(
            "listeners").ok(SLOW_S).lower(), SLOW_S)
        say(f, s, b"to all\n", BROADCAST, ODD)
        job.expect("^to all$", SLOW_S)
        job.kill()
        job.wait(SLOW_S)


def test_brokers_end(f):
    job = f.listen("parent:%s" % ODD)
    s = f.dial(f.vmid, ODD)
    f.kill_guests_broker()
    f.start_guests_broker()
    f.kill_broker()
    f.job.expect("the uplink is down", SLOW_S)
    out = f.hvctl_in_guest("nc parent:%s" % ODD).failed(SLOW_S)
    tap.check("the uplink is down" in out, out)
    f.start_broker()
    f.up()
    talk(f, s, job)
    job = f.listen("parent:%s" % ODD)
    talk(f, f.dial(f.vmid, ODD), job)


def test_without_a_broker(f):
    """The library uses AF_VSOCK itself, if that is said."""
    f.kill_guests_broker()
    vsock = "HVSOCKET_TRANSPORT=vsock"
    with stack.Echo(f.library, f.vmid, hvs.port(5000)) as e:
        out = f.hvctl_in_guest("nc parent:5000 </dev/null", env=vsock)
        out.ok(SLOW_S)
        tap.same(e.peers[0][0], f.vmid, "who it is")
    out = f.hvctl_in_guest("nc parent:5000 </dev/null").failed(SLOW_S)
    tap.check("no broker" in out, out)
    out = f.hvctl_in_guest("nc parent:%s </dev/null" % ODD,
                           env=vsock).failed(SLOW_S)
    tap.check("only ports of the VSOCK template" in out, out)
    out = f.hvctl_in_guest("nc parent:5001 </dev/null", env=vsock).failed(
        SLOW_S)
    tap.check("refuses port 5001" in out, out)
    job = f.listening = f.hvctl_in_guest("nc -l parent:5200", env=vsock)
    talk(f, f.dial(f.vmid, hvs.port(5200)), job)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Guest)
