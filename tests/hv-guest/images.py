# SPDX-License-Identifier: MIT
"""images - what the guests of the tests boot from

    vmlinuz             $KERNEL's
    initramfs           for most: the agent, vsock-peer, hv_vmbus and hv_sock
    initramfs-kexec     the same, with a second kernel to start
    initramfs-programs  the same, with Python and socat
    initramfs-integration  the same, with hv_utils and its daemons
    initramfs-module    the same, with a kernel module of ours
    initramfs-uplink    the same, with a broker and what belongs to it
    initramfs-vsock-test  the same, with the kernel's own tests
"""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), d)
                for d in ("guest", "nested")]
import uplinked  # noqa: E402
import vm  # noqa: E402
import vsock_partner  # noqa: E402
from programs import python_and_socat  # noqa: E402

MODULES = "hv_vmbus,hv_sock"
DAEMONS = ("hv_kvp_daemon", "hv_vss_daemon", "hv_fcopy_daemon")
MODULE = os.path.join(HERE, "module")


def kernel_module(directory):
    """Ours, built against the headers of $KERNEL's package."""
    r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-kernel"), "--headers",
                        os.environ.get("KERNEL", "")], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    if r.returncode:
        raise vm.GuestError(r.stderr)
    headers = r.stdout.splitlines()[-1]
    build = os.path.join(directory, "module")
    shutil.copytree(MODULE, build)
    r = subprocess.run(["make", "-s", "-C", headers, "M=" + build, "modules"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True)
    if r.returncode:
        raise vm.GuestError("the kernel module does not build:\n" + r.stdout)
    shutil.move(os.path.join(build, "hvs_kernel_test.ko"), directory)
    shutil.rmtree(build)
    return os.path.join(directory, "hvs_kernel_test.ko")


def hyperv_daemons():
    """Debian's package of them, unpacked and not installed."""
    r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-kernel"), "--daemons"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True)
    if r.returncode:
        raise vm.GuestError(r.stderr)
    where = os.path.join(r.stdout.splitlines()[-1], "usr/sbin")
    return [os.path.join(where, n) + ":sbin/" + n for n in DAEMONS
            if os.path.exists(os.path.join(where, n))]


def forced(directory):
    """What the kernel starts to end in good order; no service is there."""
    programs = []
    for name in ("poweroff", "reboot"):
        path = os.path.join(directory, name)
        with open(path, "w") as f:
            f.write("#!/bin/sh\nexec busybox %s -f\n" % name)
        os.chmod(path, 0o755)
        programs.append("%s:sbin/%s" % (path, name))
    return programs


def make(directory, modules):
    """What the test modules of these names need, there."""
    kernel = vm.kernel_directory()
    programs = os.environ["GUEST_PROGRAMS"]

    def image(name, more=(), words=(), kernel_modules=MODULES):
        path = os.path.join(directory, name)
        vm.make_initramfs(kernel, path,
                          [os.path.join(programs, "vsock-peer")] + list(more),
                          os.path.join(programs, "guest-agent"),
                          kernel_modules, words)
        return path

    vmlinuz = os.path.join(directory, "vmlinuz")
    shutil.copy(os.path.join(kernel, "vmlinuz"), vmlinuz)
    base = image("initramfs")
    if "guest_life" in modules:
        image("initramfs-kexec", [os.path.join(programs, "kexec-into"),
                                  vmlinuz + ":kexec/vmlinuz",
                                  base + ":kexec/initramfs"])
    if "guest_programs" in modules:
        image("initramfs-programs", *python_and_socat())
    if "guest_uplink" in modules:
        build = os.environ["BUILD"]
        image("initramfs-uplink", uplinked.programs(
            os.environ.get("DAEMON_BUILD") or build, build))
    if "guest_integration" in modules:
        image("initramfs-integration", hyperv_daemons() + forced(directory),
              kernel_modules=MODULES + ",hv_utils,brd,dummy")
    if "guest_module" in modules:
        image("initramfs-module", [kernel_module(directory) +
                                   ":module.ko"])
    if "guest_vsock_test" in modules:
        image("initramfs-vsock-test", vsock_partner.programs(), (),
              MODULES + ",vsock_diag")
