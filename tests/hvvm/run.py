#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run - tests of a guest's disks and shared folders, where KVM works

    run.py MODULE [-- TEST...]

Makes what the guest boots from (its kernel is $KERNEL's) and an image for its
disk, or has scripts/guest-debian make one for the module debian, then runs the
module there, in an outer machine if KVM does not work here, or if virtiofsd may
not (it wants to be root).
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(TESTS, "guest"), os.path.join(TESTS, "nested")]
import backends  # noqa: E402
import machine  # noqa: E402
import vm  # noqa: E402

MODULES = "virtio_mmio,virtio_blk,ext4,virtiofs"
PASSED_ON = ("BUILD", "DAEMON_BUILD", "HVSOCKET_TEST_LONG", "KERNEL",
             "ASAN_OPTIONS", "UBSAN_OPTIONS")


def tool(name):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        raise vm.GuestError("%s is not installed here" % name)
    return path


def debian(kernel, directory):
    """An image that the guest may change, and what leads to it."""
    subprocess.run([os.path.join(vm.SCRIPTS, "guest-initramfs"), "--kernel",
                    kernel, "--modules", MODULES, "--root", "--output",
                    os.path.join(directory, "root-initramfs")], check=True)
    r = subprocess.run([os.path.join(vm.SCRIPTS, "guest-debian")],
                       stdout=subprocess.PIPE, text=True)
    if r.returncode:
        raise vm.GuestError("no Debian tree (guest-debian says why above)")
    image = os.path.join(directory, "debian")
    subprocess.run(["cp", "--sparse=always", r.stdout.strip(), image],
                   check=True)
    return image


def make(directory):
    kernel = vm.kernel_directory()
    shutil.copy(os.path.join(kernel, "vmlinuz"), directory)
    if sys.argv[1] == "debian":
        return debian(kernel, directory)
    vm.make_initramfs(kernel, os.path.join(directory, "initramfs"), [],
                      os.path.join(os.environ["GUEST_PROGRAMS"],
                                   "guest-agent"), MODULES)
    image = os.path.join(directory, "image")
    with open(image, "wb") as f:
        f.truncate(48 << 20)
    subprocess.run([tool("mkfs.ext4"), "-q", image], check=True)
    return None


def main():
    with tempfile.TemporaryDirectory(prefix="hvs-inner-") as work:
        inner = os.path.join(work, "inner")
        os.mkdir(inner)
        disk = make(inner)
        if disk:
            os.rename(disk, os.path.join(work, "disk"))
            disk = os.path.join(work, "disk")
        here = os.geteuid() == 0 and machine.works_here()
        env = {k: os.environ[k] for k in PASSED_ON if os.environ.get(k)}
        env["INNER"] = inner if here else "/inner"
        if disk:
            env["DEBIAN"] = disk if here else "/dev/vda"
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        env["PYTHONPATH"] = HERE
        command = [os.path.join(TESTS, "hv-guest", "inside.py")] + sys.argv[1:]
        if here:
            return subprocess.run(command, env=dict(os.environ, **env)
                                  ).returncode
        builds = [os.environ["DAEMON_BUILD"]] if "DAEMON_BUILD" in env else []
        with machine.Machine(work, os.environ["BUILD"],
                             [inner + ":/inner"] + backends.programs(),
                             builds=builds, disk=disk) as m:
            job = m.start(" ".join("%s='%s'" % item for item in env.items()) +
                          " exec " + " ".join(command))
            while True:
                line = job.next(1500)
                if line is None and job.status is None:
                    sys.exit("the outer machine has ended; its console:\n" +
                             m.console_text()[-8000:])
                if line is None:
                    return job.status
                # notes: to where meson shows them when a test has failed
                print(line, flush=True, file=sys.stderr
                      if line.startswith("#") else sys.stdout)


sys.exit(main())
