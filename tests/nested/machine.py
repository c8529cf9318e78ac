# SPDX-License-Identifier: MIT
"""machine - a machine that has KVM with Hyper-V's emulation, for the tests

    with Machine(work, build) as m:
        m.run("hvvm --version").ok()

Where KVM works here, commands run here (Direct). Where it does not, they run
in an outer virtual machine: QEMU's software emulation has AMD's SVM with nested
paging, so a stock kernel in it has a working /dev/kvm. Its file system is an
initramfs made from what is installed here: python3, socat, QEMU, and the
programs of the build, at the same paths as here. It takes some 5 s to be up.

Whether KVM works is not asked of /dev/kvm but of a guest that is booted.
$NESTED says "force" or "never" to overrule that.
"""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "tests", "guest")]
import nudge  # noqa: E402
import tsc  # noqa: E402
import vm  # noqa: E402

MODULES = ("virtio_pci", "virtio_blk", "kvm-amd", "vhost_vsock",
           "vsock_loopback", "virtiofs", "ext4", "tun")
PROGRAMS = ("/usr/bin/python3", "socat", "strace", "bash", "setpriv", "nproc",
            "readelf", "timeout", "prlimit", "gdb")
QEMU = ("qemu-system-x86_64",)
OUTER_S = 3000
# The emulated processors do not say that their time stamp counters run alike,
# and a kernel that takes them for unstable gives KVM guests ones that stand
# still whenever the guest does not run: clocks of its processors drift apart
# by seconds, and it hangs.
WORDS = "tsc=reliable init_on_alloc=0"
# What QEMU's emulation of SVM does not do well under KVM: five levels of page
# tables, protection keys, XSAVE's registers. And CMPXCHG16B: QEMU before 8.0 makes
# its flags from those before it of which it knows no more how they were made, so
# anything may be in them. No kernel looks at them for long, but an exit of the
# guest right after it saves them, and the guest goes on with TF, NT or VM set:
# sooner or later a triple fault. (ERMS and FSRM: it does them a byte at a time.)
CPU = "max,la57=off,pku=off,xsave=off,erms=off,fsrm=off,cx16=off"


def works_here():
    """Does KVM boot a stock kernel here?"""
    said = os.environ.get("NESTED", "")
    if said in ("force", "never"):
        return said == "never"
    kernel = vm.kernel_directory()
    r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-run"), "--probe",
                        "--kernel", kernel], stdout=subprocess.PIPE, text=True)
    return r.stdout.strip() == "kvm"


def elf_files(folder):
    """Programs and libraries of a build, but not its tests' and objects."""
    for base, dirs, names in os.walk(folder):
        dirs[:] = [d for d in dirs if not d.endswith(".p") and d not in (
            "meson-logs", "meson-private", "meson-info", "fuzz")]
        for name in names:
            path = os.path.join(base, name)
            if not name.endswith((".o", ".a")) and not os.path.islink(path):
                with open(path, "rb") as f:
                    if f.read(4) == b"\x7fELF":
                        yield path


def links(folder):
    for base, dirs, names in os.walk(folder):
        dirs[:] = [d for d in dirs if not d.endswith(".p")]
        for name in names:
            path = os.path.join(base, name)
            if os.path.islink(path):
                yield path, os.readlink(path)


def python_files():
    """For guest-initramfs: what /usr/bin/python3 needs beside itself."""
    library = subprocess.run(
        ["/usr/bin/python3", "-c", "import os; print(os.__file__)"],
        stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    library = os.path.dirname(library)
    words = ["--tree", library]
    # what its own modules are linked with
    for name in os.listdir(os.path.join(library, "lib-dynload")):
        path = os.path.join(library, "lib-dynload", name)
        words += ["--add", "%s:%s" % (path, path)]
    return words


def initramfs(kernel, builds, output, agent, more=(), qemu=False):
    """Everything that tests need, at the same paths as here."""
    command = [os.path.join(vm.SCRIPTS, "guest-initramfs"), "--kernel", kernel,
               "--output", output, "--agent", agent, "--modules",
               ",".join(MODULES)]
    for name in PROGRAMS + (QEMU if qemu else ()):
        path = shutil.which(name)
        if not path:
            raise vm.GuestError("%s is not installed here" % name)
        command += ["--add", "%s:%s" % (os.path.realpath(path), path)]
    command += python_files()
    for folder in ("tests", "scripts", "bench", "examples"):
        command += ["--tree", os.path.join(TOP, folder)]
    for build in builds:
        for path in elf_files(build):
            command += ["--add", "%s:%s" % (path, path)]
        for path, target in links(build):
            command += ["--link", "%s:%s" % (path, target)]
    if qemu:
        command += ["--tree", "/usr/share/qemu", "--tree", "/usr/share/seabios"]
    for item in more:
        source, _, target = item.partition(":")
        kind = "--tree" if os.path.isdir(source) else "--add"
        command += [kind, "%s:%s" % (source, target or source)]
    subprocess.run(command, check=True)


class Machine(vm.Guest):
    """The outer machine; commands as in vm.Guest."""

    def __init__(self, work, build, more=(), kernel=None, memory=3072, cpus=2,
                 limit=OUTER_S, qemu=False, builds=(), disk=None):
        directory = vm.kernel_directory(kernel if kernel is not None else "")
        agent = os.path.join(build, "tests", "guest", "guest-agent")
        image = os.path.join(work, "outer.cpio")
        ports = nudge.paths(work, cpus)
        initramfs(directory, (build,) + tuple(builds), image, agent, more,
                  qemu)
        super().__init__(directory, image, work, name="outer", limit=limit,
                         options=("--memory", str(memory), "--cpus", str(cpus),
                                  "--accel", "tcg", "--cpu", CPU, "--append",
                                  "%s 8250.nr_uarts=%d tsc_early_khz=%d" % (
                                      WORDS, nudge.FIRST + cpus, tsc.khz())) +
                         sum((("--serial", p) for p in ports), ()) +
                         (("--disk", disk) if disk else ()))
        os.unlink(image)
        # The root is memory already; what came along may be below /tmp.
        self.run("umount /tmp; mkdir -p /dev/shm /dev/pts "
                 "/sys/kernel/tracing; mount -t tmpfs shm /dev/shm; "
                 "mount -t devpts pts /dev/pts; "
                 "mount -t tracefs t /sys/kernel/tracing; "
                 "ln -sfn /proc/self/fd /dev/fd; mkdir -p /usr/bin /root; "
                 "ln -sf /bin/busybox /usr/bin/env; "
                 "test -c /dev/kvm").ok()
        nudge.start(self, ports)


class Direct:
    """The same where KVM works: commands run here."""

    def __init__(self, work):
        self.work = work

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def machine(work, build, **more):
    return Direct(work) if works_here() else Machine(work, build, **more)
