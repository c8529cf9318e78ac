#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Rules of the tree that a program can check.

    test-style.py TOP BUILD

Each rule is one test; what breaks it is named with file and line.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP, BUILD = sys.argv[1:3]
WIDTH = 80
LINES = 600

# What each folder under src/ may include; itself is always allowed. A layer
# below never knows one above.
LAYERS = {
    "base": (),
    "proto": ("base",),
    "registry": ("base", "proto"),
    "broker": ("base", "proto", "registry"),
    "lib": ("base", "proto"),
    "preload": ("base", "proto", "lib"),
    "as": ("base", "proto", "lib", "preload"),
    "vmbus": ("base",),
    "transport": ("base", "proto", "vmbus"),
    "hvvm": ("base", "proto"),
    "agent": ("base",),
    "hvctl": ("base", "proto", "registry", "agent"),
}


def files():
    for base, dirs, names in os.walk(TOP):
        dirs[:] = sorted(d for d in dirs if d not in (
            ".git", "__pycache__", "corpus") and not re.match(
                r"build(-|$)", d))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(base, name), TOP)


def read(path):
    with open(os.path.join(TOP, path), "rb") as f:
        return f.read()


FILES = {}
for _path in files():
    _data = read(_path)
    if b"\0" not in _data:
        FILES[_path] = _data.decode("utf-8", "replace")
C_FILES = [p for p in FILES if p.endswith((".c", ".h"))]


def lines_of(path):
    return enumerate(FILES[path].split("\n"), 1)


def scripts(pattern):
    return [p for p in FILES if re.match(pattern, FILES[p])]


def folder(path):
    """The folder of a file under src/, or None."""
    m = re.match(r"src/([^/]+)/", path)
    return m.group(1) if m else None


def test_layers():
    for path in C_FILES:
        own = folder(path)
        if not own:
            continue
        if own not in LAYERS:
            yield "%s: folder src/%s has no place in the layers" % (path, own)
            continue
        for n, line in lines_of(path):
            m = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not m:
                continue
            target = m.group(1)
            beside = os.path.normpath(os.path.join(os.path.dirname(path),
                                                   target))
            if os.path.exists(os.path.join(TOP, beside)):
                other = folder(beside)
            else:
                other = target.split("/")[0] if "/" in target else None
            if other in LAYERS and other != own and other not in LAYERS[own]:
                yield "%s:%d: %s must not use %s" % (path, n, own, other)


def test_blanks():
    for path, text in FILES.items():
        for n, line in lines_of(path):
            if line.endswith((" ", "\t", "\r")):
                yield "%s:%d: blank at the end of the line" % (path, n)
            if path in C_FILES and re.match(r" {8}", line):
                yield "%s:%d: indented by blanks" % (path, n)
        if text and not text.endswith("\n"):
            yield "%s: no newline at the end" % path


def test_width():
    for path in C_FILES:
        for n, line in lines_of(path):
            # A string that a person may search for is not broken.
            if len(line.expandtabs(8)) > WIDTH and '"' not in line:
                yield "%s:%d: wider than %d columns" % (path, n, WIDTH)


def test_length():
    for path in FILES:
        count = FILES[path].count("\n")
        if path.endswith((".c", ".h", ".py")) and count >= LINES:
            yield "%s: %d lines; split it by idea" % (path, count)


def test_license_lines():
    for path in FILES:
        source = path.endswith((".c", ".h", ".py")) or \
            FILES[path].startswith("#!") or path == "Makefile"
        head = "\n".join(FILES[path].split("\n")[:3])
        if source and "SPDX-License-" "Identifier: MIT" not in head:
            yield "%s: no SPDX line" % path


def test_file_comments():
    for path in C_FILES:
        if FILES[path].count("/*", 0, 400) < 2:
            yield "%s: no comment that says what it is for" % path


def test_nothing_left_to_do():
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    for path in FILES:
        for n, line in lines_of(path):
            if words.search(line):
                yield "%s:%d: %s" % (path, n, line.strip())


def test_no_package_hosts():
    """Where packages come from is the machine's to say."""
    hosts = re.compile(r"\b(deb|ftp|archive|security|snapshot|registry|proxy|"
                       r"pypi|files|static|index)\.[a-z0-9.-]+"
                       r"\.(org|com|io|net|dev)\b")
    for path in FILES:
        for n, line in lines_of(path):
            if hosts.search(line):
                yield "%s:%d: %s" % (path, n, hosts.search(line).group())


def run(command, **more):
    if not shutil.which(command[0]):
        return "%s is not installed" % command[0]
    r = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=TOP,
                       stderr=subprocess.STDOUT, **more)
    return r.stdout.strip() or "status %d" % r.returncode \
        if r.returncode else ""


def test_shellcheck():
    shell = scripts(r"#!/bin/(ba)?sh")
    yield from run(["shellcheck", "-x", "-s", "bash"] + shell).splitlines()
    for path in shell:
        if not re.search(r"^set -eu", FILES[path], re.M):
            yield "%s: no set -eu" % path
        if not FILES[path].startswith("#!/bin/bash\n"):
            yield "%s: not for bash" % path


def test_python_compiles():
    for path in scripts(r"#!.*python") + [
            p for p in FILES if p.endswith(".py")]:
        try:
            compile(FILES[path], path, "exec")
        except SyntaxError as e:
            yield "%s:%s: %s" % (path, e.lineno, e.msg)


def test_manuals():
    pages = [p for p in FILES if re.match(r"docs/man/.*\.[1-8]$", p)]
    whole = []
    for path in pages:
        m = re.match(r"\.so man\d/(\S+)\n$", FILES[path])
        if not m:
            whole.append(path)
        elif "docs/man/" + m.group(1) not in whole + pages:
            yield "%s: another name of %s, which is not there" % (
                path, m.group(1))
    if whole:
        yield from run(["mandoc", "-T", "lint", "-W", "warning"] +
                       whole).splitlines()


def include_flags():
    return ["-I", os.path.join(TOP, "include"), "-I", os.path.join(TOP, "src"),
            "-I", TOP, "-I", BUILD, "-D_GNU_SOURCE"]


def header_alone(header, command):
    """Included twice and first, it has to compile."""
    with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
        f.write('#include "%s"\n' % os.path.join(TOP, header) * 2)
        f.flush()
        return run(command + include_flags() + ["-fsyntax-only", f.name])


def test_headers_stand_alone():
    cc = os.environ.get("CC", "cc").split()
    for path in C_FILES:
        if path.endswith(".h") and path.startswith(("src/", "include/")):
            text = header_alone(path, cc + ["-std=c17", "-Wall", "-Wextra",
                                            "-Wpedantic", "-Werror"])
            if text:
                yield "%s:\n%s" % (path, text)


def test_public_headers():
    """C99, C17 and C++, pedantic."""
    public = [p for p in C_FILES if p.startswith("include/")]
    cc = os.environ.get("CC", "cc").split()
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    for path in public:
        for command in (cc + ["-std=c99"], cc + ["-std=c17"],
                        ["g++", "-x", "c++", "-std=c++11"],
                        ["g++", "-x", "c++", "-std=c++20"]):
            text = header_alone(path, command + strict)
            if text:
                yield "%s, %s:\n%s" % (path, " ".join(command), text)


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    bad = 0
    print("1..%d" % len(tests))
    for i, (name, function) in enumerate(tests, 1):
        found = list(function())
        for line in found:
            # meson shows standard error when a test has failed.
            print("# " + line.replace("\n", "\n# "), file=sys.stderr)
        bad += bool(found)
        print("%s %d - %s" % ("not ok" if found else "ok", i,
                              name[5:].replace("_", " ")), flush=True)
    sys.exit(1 if bad else 0)


main()
