#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What `make install DESTDIR=...` leaves, and a program built against it.

    test-install.py BUILD PREFIX SANITIZE COMPILER...
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD, PREFIX, SANITIZE, *CC = sys.argv[1:]
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PROGRAM = r"""
#include <hvsocket.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct hvs_reason why;
	char text[HVS_GUID_TEXT_SIZE];
	GUID g;

	hvs_guid_from_port(5000, &g);
	puts(hvs_guid_format(&g, text));
	if (hvs_dial("loopback:5000", 0, 0) >= 0 || hvs_reason(-1, &why) < 0)
		return 1;
	puts(hvs_reason_name(why.code));
	return memcmp(&g, &HV_GUID_VSOCK_TEMPLATE, sizeof(g)) == 0;
}
"""


def run(command, **more):
    r = subprocess.run(command, text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, **more)
    assert r.returncode == 0, "%s: status %d\n%s" % (
        " ".join(command), r.returncode, r.stdout)
    return r.stdout


class Tree:
    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="hvs-test-")
        run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet",
             "--destdir", self.root])
        self.files = {}
        for base, _, names in os.walk(self.root):
            for name in names:
                whole = os.path.join(base, name)
                self.files["/" + os.path.relpath(whole, self.root)] = whole

    def one(self, pattern):
        found = [f for f in self.files
                 if re.fullmatch(re.escape(PREFIX) + pattern, f)]
        assert len(found) == 1, "%s: %s" % (pattern, found)
        return self.files[found[0]]

    def holds(self, path):
        assert path in self.files, "%s is not installed" % path
        assert os.access(self.files[path], os.X_OK), path


def test_nothing_outside_the_prefix(t):
    outside = [f for f in t.files if not f.startswith(PREFIX + "/")]
    assert t.files and not outside, outside


def test_links_lead_somewhere(t):
    for name, whole in t.files.items():
        assert os.path.exists(whole), "%s leads nowhere" % name


def test_programs_are_where_others_look(t):
    with open(t.one(r"/share/qemu/vhost-user/.*\.json")) as f:
        t.holds(json.load(f)["binary"])
    for unit in [f for f in t.files if f.endswith(".service")]:
        with open(t.files[unit]) as f:
            command, = re.findall(r"^ExecStart=(\S+)", f.read(), re.M)
        t.holds(command)
    t.one(r"/bin/hvctl")
    t.one(r"/sbin/hvsocketd")
    t.one(r"/lib/.*libhvsocket-preload\.so")


def test_manuals(t):
    pages = {os.path.basename(f) for f in t.files if "/man/man" in f}
    for page in ("hvsocket.7", "hvsocketd.8", "hvsocket-registry.5",
                 "libhvsocket.3", "hvs_connect.3"):
        assert page in pages, "%s is not installed" % page


def test_services_are_in_order(t):
    folder = [f for f in t.files if "/lib/hvsocket/services.d/" in f]
    assert folder, "no services"
    for f in folder:
        assert os.stat(t.files[f]).st_mode & 0o777 == 0o644, f


def test_python_module(t):
    """It is all there, and finds the library that it was installed with."""
    module = t.one(r"/lib/.*/hvsocket/_library\.py")
    source = os.path.join(TOP, "bindings/python/hvsocket")
    wanted = {f for f in os.listdir(source) if f.endswith(".py")}
    there = set(os.listdir(os.path.dirname(module)))
    assert there == wanted, "%s, not %s" % (there, wanted)
    with open(module) as f:
        library = re.search(r'^_INSTALLED = "(.*)"', f.read(), re.M).group(1)
    assert library in t.files, "%s is not installed" % library


def test_program_against_it(t):
    source = os.path.join(t.root, "program.c")
    program = os.path.join(t.root, "program")
    with open(source, "w") as f:
        f.write(PROGRAM)
    pc = t.one(r"/lib/.*/?pkgconfig/hvsocket\.pc")
    libs = os.path.dirname(os.path.dirname(pc))
    flags = run(["pkg-config", "--cflags", "--libs", "hvsocket"],
                env=dict(os.environ, PKG_CONFIG_SYSROOT_DIR=t.root,
                         PKG_CONFIG_PATH=os.path.dirname(pc))).split()
    assert "-lhvsocket" in flags, flags
    sanitize = [] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]
    for std in ("c99", "c17"):
        run(CC + ["-std=" + std, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                  source, "-o", program] + sanitize + flags)
        out = run([program], env=dict(
            os.environ, LD_LIBRARY_PATH=libs,
            HVSOCKET_RUNTIME_DIR=os.path.join(t.root, "nowhere")))
        assert out.split("\n")[:2] == [
            "00001388-facb-11e6-bd58-64006a7986d3", "no broker"], out


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    print("1..%d" % len(tests), flush=True)
    bad = 0
    t = Tree()
    try:
        for i, (name, function) in enumerate(tests, 1):
            word = "ok"
            try:
                function(t)
            except (AssertionError, OSError, KeyError, ValueError) as e:
                word = "not ok"
                bad += 1
                print("# %s: %s" % (type(e).__name__,
                                    str(e).replace("\n", "\n# ")))
            print("%s %d - %s" % (word, i, name[5:].replace("_", " ")),
                  flush=True)
    finally:
        shutil.rmtree(t.root)
    sys.exit(1 if bad else 0)


main()
