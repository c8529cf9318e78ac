#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test-exec - hvvm run --exec: status, output, files and modules, bad ends

    test-exec.py [TEST...]

Makes what stands for a kernel's build tree and for an unpacked package from
$KERNEL's stock kernel, then runs itself where KVM works (tests/nested).
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "guest"),
                os.path.join(TOP, "tests", "nested")]
import tap  # noqa: E402
from tap import check, same  # noqa: E402

FOLDERS = ("drivers/hv", "net/vmw_vsock")
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
LIMIT_S = 150
APPEND = os.environ.get("GUEST_APPEND")  # in an outer machine (inner.py)


# ---- outside

def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def copy(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)


def make_trees(work, kernel):
    """package/ as dpkg leaves it, and build/ as make would."""
    with open(os.path.join(kernel, "release")) as f:
        release = f.read().strip()
    vmlinuz = os.path.join(kernel, "vmlinuz")
    modules = os.path.join(kernel, "modules")
    package, build, stale = (os.path.join(work, n) for n in (
        "package", "build", "stale"))
    inside = os.path.join(package, "lib/modules", release)
    copy(vmlinuz, os.path.join(package, "boot/vmlinuz-" + release))
    for top in (build, stale):
        copy(vmlinuz, os.path.join(top, "arch/x86/boot/bzImage"))
        write(os.path.join(top, "Makefile"), "")
    write(os.path.join(build, "include/config/kernel.release"), release + "\n")
    write(os.path.join(stale, "include/config/kernel.release"), "6.1.0-next\n")
    order = ""
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(modules, "kernel",
                                                   folder))):
            path = os.path.join(modules, "kernel", folder, name)
            copy(path, os.path.join(inside, "kernel", folder, name))
            if name.endswith(".ko.xz"):
                name = name[:-3]
                data = subprocess.run(["xz", "-dc", path], check=True,
                                      stdout=subprocess.PIPE).stdout
            else:
                with open(path, "rb") as f:
                    data = f.read()
            order += "%s/%s.o\n" % (folder, name[:-3])
            for top in (build, stale):
                target = os.path.join(top, folder, name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as f:
                    f.write(data)
    for top in (build, stale):
        write(os.path.join(top, "modules.order"), order)
    for top in (inside, build, stale):
        copy(os.path.join(modules, "modules.builtin"),
             os.path.join(top, "modules.builtin"))


def outside():
    import inner
    import vm
    with tempfile.TemporaryDirectory(prefix="hvs-exec-") as work:
        make_trees(work, vm.kernel_directory())
        xz = shutil.which("xz")
        return inner.run(os.path.abspath(__file__), sys.argv[1:], work,
                         {}, more=[xz] if xz else [])


# ---- inside

class Result:
    def __init__(self, process, out, err):
        self.status = process.returncode
        self.out = out
        self.err = err.decode(errors="replace")

    def ends(self, status):
        same(self.status, status, "status (standard error:\n%s)" % self.err)
        return self

    def says(self, text):
        check(text in self.err, "%r is not in:\n%s" % (text, self.err))
        return self


class Hvvm:
    """The program, with folders that only this run uses."""

    def __init__(self, work):
        self.work = work
        self.inner = os.environ["INNER"]
        self.runtime = os.path.join(work, "runtime")
        os.mkdir(self.runtime)
        self.program = os.path.join(os.environ["BUILD"], "src/hvvm/hvvm")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def path(self, name):
        return os.path.join(self.inner, name)

    def run(self, kernel, command, *options, env=None):
        e = dict(os.environ, XDG_RUNTIME_DIR=self.runtime, **(env or {}))
        p = subprocess.Popen(
            [self.program, "run", "-k", self.path(kernel), "--exec", command,
             "--timeout", str(LIMIT_S)] +
            (["--append", APPEND] if APPEND else []) + list(options), env=e,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        try:
            out, err = p.communicate(timeout=LIMIT_S + 30)
        except subprocess.TimeoutExpired:
            p.kill()
            raise tap.Failure("hvvm did not end: %s" % (p.communicate(),))
        same(os.listdir(self.runtime), [], "left in the runtime folder")
        return Result(p, out, err)

    def release(self):
        with open(self.path("build/include/config/kernel.release")) as f:
            return f.read().strip()


def test_status_output_files_and_modules(h):
    tree = os.path.join(h.work, "tree")
    write(os.path.join(tree, "sub", "data"), "of a file\n")
    os.symlink("sub/data", os.path.join(tree, "link"))
    r = h.run("package", "uname -r; nproc >&2; cat /tree/link /else; "
              "cut -d' ' -f1 /proc/modules; "
              "test -e /dev/vsock && readlink /proc/1/exe; exit 7",
              "--add", shutil.which("nproc"), "--add", tree,
              "--add", os.path.join(tree, "sub", "data") + ":/else",
              "--module", "vsock-loopback", "--cpus", "2").ends(7)
    lines = r.out.decode().splitlines()
    same(lines[:4], [h.release(), "2", "of a file", "of a file"], "output")
    same(lines[-1], "/init", "the last line")
    for name in ("hv_vmbus", "hv_sock", "hv_utils", "vsock_loopback"):
        check(name in lines, "%s is not loaded: %s" % (name, lines))
    same(r.err, "", "standard error")


def test_build_tree_and_every_byte(h):
    size = 96 << 10 if APPEND else 1 << 20  # emulated: slow
    r = h.run("build", "head -c %d /dev/urandom >/tmp/x; cat /tmp/x; "
              "sha256sum /tmp/x; modprobe vsock_diag && "
              "grep -c '^vsock_diag ' /proc/modules" % size,
              "--module", "vsock_diag,later").ends(0)
    data, rest = r.out[:size], r.out[size:].decode(errors="replace").split()
    same(rest[:1], [hashlib.sha256(data).hexdigest()], "sum")
    same(rest[-1:], ["1"], "modprobe of a module that came along")


def test_death_by_signal_from_a_bare_image(h):
    # who still holds the output does not keep the machine
    r = h.run("build/arch/x86/boot/bzImage", "cat /proc/modules; "
              "echo before; sleep 1000 & exec >/dev/null 2>&1; "
              "kill -SEGV $$").ends(139)
    same(r.out, b"before\n", "output: no modules, as none were given")
    r.says("there is no folder of modules beside")


def test_module_that_must_load(h):
    modules = h.path("package/lib/modules/" + h.release())
    r = h.run("build/arch/x86/boot/bzImage", "echo never", "--no-vmbus",
              "--modules", modules, "--module", "hv_vmbus").ends(125)
    r.says("module hv_vmbus was refused")
    r.says("the last lines of the guest's console")
    same(r.out, b"", "output")


def test_credentials(h):
    """As the kernel reads SMBIOS; systemd reads that."""
    secret = os.path.join(h.work, "secret")
    with open(secret, "wb") as f:
        f.write(b"\0\n\xff")
    r = h.run("package", "tr '\\0' '\\n' "
              "</sys/firmware/dmi/entries/11-0/raw | "
              "sed -n 's/.*\\(io.systemd\\)/\\1/p'",
              "--no-vmbus", "--credential", "a.b=c = d", "--credential",
              "key:" + secret, "--notify").ends(0)
    same(r.out.decode().splitlines(), [
        "io.systemd.credential:a.b=c = d",
        "io.systemd.credential.binary:key=AAr/",
        "io.systemd.credential:vmm.notify_socket=vsock-stream:2:26743"],
        "strings")


def test_time_is_up(h):
    h.run("package", "sleep 1000", "--timeout", "5").ends(124).says(
        "not finished after 5 s")


def test_panic_is_reported_by_the_guest(h):
    r = h.run("package", "echo c >/proc/sysrq-trigger").ends(126)
    r.says("the guest panicked: " + PANIC).says("sysrq: Trigger a crash")


def test_panic_without_vmbus(h):
    h.run("package", "echo c >/proc/sysrq-trigger", "--no-vmbus").ends(
        126).says("the guest panicked: " + PANIC)


def test_off_before_its_time(h):
    r = h.run("build", "echo ok 1; poweroff -f; sleep 1000", "--no-vmbus")
    r.ends(125).says("switched itself off before the command had ended")
    same(r.out, b"ok 1\n", "output")


def test_ktap(h):
    r = h.run("package", "echo KTAP version 1; echo 1..2; echo ok 1 - a; "
              "echo not ok 2 - b", "--ktap", "--no-vmbus").ends(1)
    r.says('1 of 2 results are "not ok"')
    same(r.out, b"KTAP version 1\n1..2\nok 1 - a\nnot ok 2 - b\n", "output")


def test_refusals(h):
    empty = os.path.join(h.work, "empty")
    os.mkdir(empty)
    for kernel, options, text in (
            ("/nowhere", (), "-k /nowhere: No such file"),
            (empty, (), "no kernel in this folder"),
            ("stale", (), "but the kernel is 6.1.0-next"),
            ("package", ("--module", "nosuch"), "no module nosuch"),
            ("package", ("--module", "/no/such.ko"), "/no/such.ko: No such"),
            ("build/arch/x86/boot/bzImage", ("--module", "hv_sock"),
             "came without modules"),
            ("package", ("--add", "/no/such"), "/no/such: No such file"),
            ("package", ("--add", "/bin/busybox:/init"),
             "something at /init already"),
            ("package", ("--add", "/bin/busybox:/a/../b"), "Invalid argument"),
            ("package", ("--credential", "a"), "NAME=VALUE or NAME:FILE"),
            ("package", ("--credential", "a:/no/such"),
             "--credential a: /no/such: No such file"),
            ("package", ("--credential", "a:" + h.path("package/boot/vmlinuz-" +
                                                       h.release())),
             "all credentials together have less than 65536"),
            ("package", ("--initrd", "/x"), "no --initrd"),
            ("package", ("--console", "stdio"), "standard output")):
        r = h.run(kernel, "true", *options).ends(125).says(text)
        same(r.out, b"", "output")
        same(len(re.findall("\n", r.err)), 1, "lines of:\n" + r.err)


if __name__ == "__main__":
    if not os.environ.get("INNER"):
        sys.exit(outside())
    tap.main(sys.modules[__name__], Hvvm)
