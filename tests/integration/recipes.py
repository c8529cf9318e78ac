# SPDX-License-Identifier: MIT
"""recipes - types a recipe of docs/recipes.md (page.py), for the tests

    with Kitchen(work) as kitchen:
        kitchen.cook("QEMU")

Each recipe has a shell, a directory and a broker of its own. The guest is made
from the page, too.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import page

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PAGE = os.path.join(TOP, "docs", "recipes.md")
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))
import hvs  # noqa: E402
import stack  # noqa: E402
import vm  # noqa: E402
from tap import Failure  # noqa: E402

MODULES = "virtio_pci,virtio_mmio,vmw_vsock_virtio_transport"
HYPERV = "hv_vmbus,hv_sock"


def make_guest(work):
    """A directory as "The guest" has it. Return: where"""
    with open(PAGE, encoding="utf-8") as f:
        script, = re.findall(r"^## The guest\n.*?^```sh\n(.*?)^```", f.read(),
                             re.M | re.S)
    where = os.path.join(work, "guest")
    os.makedirs(where)
    with open(os.path.join(where, "guest.sh"), "w") as f:
        f.write(script)
    kernel = vm.kernel_directory()
    shutil.copy(os.path.join(kernel, "vmlinuz"), where)
    for name, modules in (("initrd", MODULES), ("initrd-hyperv", HYPERV)):
        subprocess.run([os.path.join(vm.SCRIPTS, "guest-initramfs"),
                        "--kernel", kernel, "--modules", modules, "--add",
                        shutil.which("socat"), "--script", f.name, "--output",
                        os.path.join(where, name)], check=True)
    return where


class Shell(page.Shell):
    """It waits, as people do, until what was started can be talked to. What
    our daemons say meanwhile, the page does not show."""

    def silent(self, command):
        return [line for line in super().type(command)
                if not re.match(r"hvsocket(d|-[a-z-]+): ", line)]

    def type(self, command):
        out = self.silent(command)
        m = re.match(r"hvctl attach .*--socket-path \$PWD/(\S+) &", command)
        if m:
            path = os.path.join(self.silent("pwd")[0], m.group(1))
            stack.until("the transport listens",
                        lambda: stack.listens(path))
        elif re.match(r"hvctl attach .* &", command):
            stack.until("the transport is attached", lambda: any(
                not line.endswith("\u2013") for line in self.silent(
                    "hvctl vm list")[1:]))
        return out


class Kitchen:
    def __init__(self, work, env=None):
        self.work = work
        build = os.environ["BUILD"]
        self.daemons = os.environ.get("DAEMON_BUILD") or build
        self.programs = [hvs.find(self.daemons, "hvsocketd"),
                         hvs.find(build, "hvctl"), hvs.find(build, "hvvm")]
        libexec = os.path.dirname(hvs.find(self.daemons,
                                           "hvsocket-vhost-user"))
        if os.environ.get("RECIPES_SANDBOX") or os.environ.get("DAEMON_BUILD"):
            libexec = self.unboxed(libexec)
        self.doubles = []  # folders of programs that come before all others
        self.env = dict({"ACCEL": "tcg", "HVSOCKET_LIBEXECDIR": libexec},
                        **(env or {}))

    def unboxed(self, libexec):
        """Sanitizers need system calls that the sandbox does not give."""
        folder = os.path.join(self.work, "libexec")
        os.makedirs(folder)
        for name in ("vhost-user", "hybrid", "vsock"):
            path = os.path.join(folder, "hvsocket-" + name)
            with open(path, "w") as f:
                f.write('#!/bin/sh\nexec %s "$@" --sandbox none\n' %
                        os.path.join(libexec, "hvsocket-" + name))
            os.chmod(path, 0o755)
        return folder

    def __enter__(self):
        # in an outer machine it has come along
        inner = os.environ.get("INNER")
        self.env["GUEST"] = os.path.join(inner, "guest") if inner else \
            make_guest(self.work)
        return self

    def __exit__(self, *_):
        pass

    def cook(self, recipe, **more):
        found = page.blocks(PAGE)
        todo = [b for b in found if b.heading == "The host"]
        own = [b for b in found if b.heading == recipe]
        if not todo or not own:
            raise Failure("docs/recipes.md has no \"%s\"" % recipe)
        work = tempfile.mkdtemp(prefix="recipe-", dir=self.work)
        shell = Shell(work, self.programs, dict(self.env, **more),
                      self.doubles)
        shown, seen = page.Names(), page.Names()
        try:
            for block in todo + own:
                bad = page.run(shell, block, shown, seen, "docs/recipes.md")
                if bad:
                    raise Failure("\n".join(bad))
        finally:
            shell.close()
