# SPDX-License-Identifier: MIT
"""Disks and shared folders of a guest, and what becomes of it without them.

Runs where KVM works (run.py); the guest has two disks and one folder.
"""
import hashlib
import os
import re
import signal
import subprocess

import backends
import hv
import hvs
import proxy
import stack
import tap
import vm

MIB = 1 << 20
STATUS = "cat /sys/bus/virtio/devices/virtio%d/status"
NEEDS_RESET = 0x40


class STACK:
    def __init__(self, work):
        self.work = work
        self.image = os.path.join(work, "image")
        self.plain = os.path.join(work, "plain")
        self.folder = os.path.join(work, "folder")
        self.guest = None
        self.ends = []
        os.mkdir(self.folder)
        with open(self.image, "wb") as f:
            with open(hv.inner("image"), "rb") as g:
                f.write(g.read())
        with open(self.plain, "wb") as f:
            f.truncate(24 * MIB)

    def __enter__(self):
        try:
            self.disk = backends.Disk(self.work, "disk", self.image, 2)
            self.raw = backends.Disk(self.work, "raw", self.plain)
            self.share = backends.Share(self.work, "share", self.folder)
            self.ends = [self.disk, self.raw, self.share]
            self.raw_proxy = self.proxy(self.raw)
            self.share_proxy = self.proxy(self.share)
            self.guest = hv.HvGuest(
                hvs.find(os.environ["BUILD"], "hvvm"), self.work, (),
                # more than there is room for below 4 GiB: in two places
                memory="3200M",
                options=("--no-vmbus", "--vhost-user", "blk:" + self.disk.path,
                         "--vhost-user",
                         "blk:" + self.raw_proxy.path, "--vhost-user",
                         "fs:%s,tag=myfs" % self.share_proxy.path))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.guest:
            self.guest.kill()
        for end in self.ends:
            end.kill()

    def proxy(self, end):
        return proxy.Proxy(end.path + ".proxy", end.path)

    def said(self, path):
        """What hvvm has said about the device at @path."""
        with open(self.guest.log) as f:
            return [line.rstrip() for line in f if path in line]

    def diagnose(self):
        return self.guest.texts() + "".join(
            "%s:\n%s" % (e.log, e.text()[-2000:]) for e in self.ends)


def md5(path):
    with open(path, "rb") as f:
        return hashlib.md5(f.read()).hexdigest()


def first_word(text):
    return text.split()[0]


def mount(f):
    """If it is not: a test may be the first one in its machine."""
    f.guest.run("mkdir -p /mnt /share; "
                "{ grep -q ' /mnt ' /proc/mounts || "
                "mount -t ext4 /dev/vda /mnt; } && "
                "{ grep -q ' /share ' /proc/mounts || "
                "mount -t virtiofs myfs /share; }").ok()


FILES = "for i in 1 2 3 4 5 6 7 8; do " \
    "dd if=/dev/urandom of=/mnt/$i bs=256k count=2 2>/dev/null; " \
    "done; (cd /mnt; md5sum ? >/tmp/sums); sync"


def prepare(f):
    """What the tests before this one have left, if they ran in this machine."""
    mount(f)
    path = os.path.join(f.folder, "in")
    if not os.path.exists(path):
        with open(path, "wb") as g:
            g.write(os.urandom(3 * MIB + 17))
    f.guest.run("test -f /tmp/sums || { %s; }" % FILES).ok()
    f.guest.run("for name in a1 c; do test -f /mnt/$name || "
                "cp /share/in /mnt/$name || exit 1; done").ok()


def test_devices_are_there(f):
    # back ends that we did not start must not be able to cut it short
    with open("/proc/%d/maps" % f.guest.pid) as maps:
        tap.check("/memfd:guest" in maps.read(), "not a sealed memfd")
    f.guest.run("test -b /dev/vda && test -b /dev/vdb").ok()
    tap.same(f.guest.run("cat /sys/block/vdb/size").ok(),
             str(24 * MIB // 512), "sectors")
    # one queue for each processor, as the back end has two
    tap.same(f.guest.run("ls /sys/block/vda/mq | wc -l").ok().strip(), "2",
             "queues")


def test_disk_keeps_what_was_written(f):
    f.guest.run("dd if=/dev/urandom of=/dev/vdb bs=64k count=256").ok(60)
    f.guest.run("sync; echo 3 >/proc/sys/vm/drop_caches").ok(60)
    inside = first_word(f.guest.run("head -c 16777216 /dev/vdb | md5sum").ok(60))
    with open(f.plain, "rb") as g:
        tap.same(inside, hashlib.md5(g.read(16 * MIB)).hexdigest(),
                 "checksum")


def test_file_system_on_the_disk(f):
    mount(f)
    f.guest.run("%s; umount /mnt; echo 3 >/proc/sys/vm/drop_caches; "
                "mount -t ext4 /dev/vda /mnt" % FILES).ok(60)
    f.guest.run("cd /mnt && md5sum -c /tmp/sums").ok(60)


def test_folder_both_ways(f):
    mount(f)
    data = os.urandom(3 * MIB + 17)
    with open(os.path.join(f.folder, "in"), "wb") as g:
        g.write(data)
    tap.same(first_word(f.guest.run("md5sum /share/in").ok(60)),
             hashlib.md5(data).hexdigest(), "checksum of what was read")
    inside = f.guest.run("dd if=/dev/urandom of=/share/out bs=100000 count=40 "
                         "2>/dev/null; md5sum /share/out").ok(60)
    tap.same(first_word(inside), md5(os.path.join(f.folder, "out")),
             "checksum of what was written")
    f.guest.run("mkdir /share/d && mv /share/out /share/d/o && "
                "ln -s o /share/d/l").ok()
    tap.same(os.readlink(os.path.join(f.folder, "d", "l")), "o", "link")


def test_both_at_once(f):
    prepare(f)
    jobs = [f.guest.start("for i in 1 2 3; do cp /share/in /mnt/a%d && "
                          "cmp /share/in /mnt/a%d && cp /mnt/a%d /share/b%d "
                          "&& cmp /mnt/a%d /share/b%d || exit 1; done" % (
                              (n,) * 6)) for n in range(2)]
    for job in jobs:
        job.ok(120)


def test_driver_that_starts_again(f):
    prepare(f)
    f.guest.run("umount /mnt; cd /sys/bus/virtio/drivers/virtio_blk; "
                "for i in 1 2 3; do echo virtio0 >unbind && "
                "test ! -b /dev/vda && echo virtio0 >bind && test -b /dev/vda "
                "|| exit 1; done; mount -t ext4 /dev/vda /mnt").ok(60)
    f.guest.run("cd /mnt && md5sum -c /tmp/sums").ok(60)


def test_disk_that_grows(f):
    prepare(f)
    # that the back end tells of it itself is newer than some that are in use
    f.raw.ask("block_resize", **{"node-name": "disk", "size": 32 * MIB})
    f.raw_proxy.capacity = 32 * MIB // 512
    f.raw_proxy.announce()
    stack.until("the guest sees it", lambda: f.guest.run(
        "cat /sys/block/vdb/size").ok() == str(32 * MIB // 512))
    f.guest.run("dd if=/share/in of=/dev/vdb bs=1M seek=31 count=1 "
                "conv=fsync").ok()
    with open(f.plain, "rb") as g, \
            open(os.path.join(f.folder, "in"), "rb") as h:
        g.seek(31 * MIB)
        tap.check(g.read() == h.read(MIB), "not what was written")


def test_cache_mode(f):
    for mode in ("write back", "write through"):
        f.guest.run("echo %s >/sys/block/vdb/cache_type" % mode).ok()
        tap.same(f.guest.run("cat /sys/block/vdb/cache_type").ok(), mode,
                 "mode")


def test_machine_that_starts_again(f):
    prepare(f)
    f.guest.reboot()
    mount(f)
    f.guest.run("cmp /share/in /mnt/a1").ok(60)


def test_lost_disk_costs_the_guest_the_disk(f):
    prepare(f)
    f.raw.kill()
    stack.until("the device needs a reset", lambda: int(f.guest.run(
        STATUS % 1).ok(), 0) & NEEDS_RESET)
    tap.same(f.said(f.raw.path), [
        "hvvm: --vhost-user blk:%s: the guest loses this device: it has gone" %
        f.raw_proxy.path], "what hvvm said")
    # all else goes on
    f.guest.run("cmp /share/in /mnt/a1 && cp /share/in /mnt/c && "
                "cmp /mnt/c /share/in").ok(60)
    # a driver that tries again is told again
    f.guest.run("cd /sys/bus/virtio/drivers/virtio_blk; "
                "echo virtio1 >unbind; echo virtio1 >bind; true").ok()
    f.guest.run("test ! -b /dev/vdb").ok()
    # after a reboot it is not there, and the others are
    f.guest.reboot()
    mount(f)
    f.guest.run("test ! -b /dev/vdb && cmp /share/in /mnt/a1").ok(60)
    tap.same(len(f.said(f.raw.path)), 1, "lines about it")


def test_back_end_that_answers_nonsense(f):
    prepare(f)
    f.share_proxy.spoil = True
    f.guest.run("umount /share; cd /sys/bus/virtio/drivers/virtiofs && "
                "echo virtio* >unbind").ok()
    tap.same(f.said(f.share.path), [
        "hvvm: --vhost-user fs:%s,tag=myfs: the guest loses this device: "
        "GET_VRING_BASE: its reply is none" % f.share_proxy.path],
        "what hvvm said")
    f.guest.run("cmp /mnt/c /mnt/a1").ok(60)


def waiting(pid):
    """Does a processor's thread wait for something that is polled?"""
    tasks = "/proc/%d/task" % pid
    for task in os.listdir(tasks):
        with open(os.path.join(tasks, task, "comm")) as c, \
                open(os.path.join(tasks, task, "wchan")) as w:
            if c.read().startswith("vcpu") and "sys_poll" in w.read():
                return True
    return False


def test_end_while_a_back_end_does_not_answer(f):
    f.guest.run("umount /mnt; sync").ok()
    os.kill(f.disk.process.pid, signal.SIGSTOP)
    f.guest.start("echo virtio0 >/sys/bus/virtio/drivers/virtio_blk/unbind")
    stack.until("a processor waits", lambda: waiting(f.guest.pid))
    f.guest.process.terminate()
    tap.same(f.guest.wait(10), 125, "status")
    tap.same(f.said(f.disk.path), [], "what hvvm said")


def run_hvvm(f, *devices):
    command = [hvs.find(os.environ["BUILD"], "hvvm"), "run", "--no-vmbus",
               "--kernel", hv.inner("vmlinuz"), "--timeout", "30"]
    for d in devices:
        command += ["--vhost-user", d]
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=vm.WAIT_S)


def test_devices_that_cannot_be(f):
    nobody = os.path.join(f.work, "nobody")
    for devices, sentence in (
            (("blk:" + nobody,), "cannot connect: No such file or directory"),
            (("net:" + nobody,), "the kind is blk or fs"),
            (("blk:%s,tag=x" % nobody,), "only fs has a tag"),
            (("blk:" + nobody,) * 9, "more than 8 devices")):
        r = run_hvvm(f, *devices)
        tap.same(r.returncode, 125, "status of %s: %s" % (devices, r.stderr))
        tap.check(re.search("--vhost-user.*" + sentence, r.stderr), r.stderr)
        tap.same(len(r.stderr.splitlines()), 1, r.stderr)
