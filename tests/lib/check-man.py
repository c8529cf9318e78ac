#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check-man.py SOURCE-ROOT - manual pages: lint, aliases, sections, examples

Every page is clean for mandoc; every alias leads to a page that names it;
every page of section 3 has the sections that are promised, and the programs
in its EXAMPLES compile without a warning.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

root = sys.argv[1]
bad = 0
compiled = 0


def fail(text):
    global bad
    bad += 1
    print(text)


def lint(pages):
    if not shutil.which("mandoc"):
        fail("mandoc is not installed (Debian package mandoc)")
        return
    r = subprocess.run(["mandoc", "-Tlint", "-Wwarning"] + pages,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True)
    if r.returncode or r.stdout:
        fail(r.stdout)


def alias(page, target):
    path = os.path.join(root, "docs/man", os.path.basename(target))
    name = os.path.basename(page).rsplit(".", 1)[0]
    if not os.path.exists(path):
        fail(f"{page}: leads to {target}, which is not there")
    elif f".Nm {name}" not in open(path).read():
        fail(f"{page}: {target} does not name {name}")


def section(text, name):
    m = re.search(r"^\.Sh " + name + r"$(.*?)(?=^\.Sh |\Z)", text,
                  re.M | re.S)
    return m.group(1) if m else None


def programs(text):
    """Literal displays of EXAMPLES that are whole programs."""
    examples = section(text, "EXAMPLES") or ""
    for block in re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", examples,
                            re.M | re.S):
        if "int main(" in block:
            yield block.replace("\\e", "\\").replace("\\-", "-") \
                       .replace("\\&", "")


def compile_one(page, program):
    global compiled
    with tempfile.TemporaryDirectory() as work:
        src = os.path.join(work, "example.c")
        with open(src, "w") as f:
            f.write(program)
        r = subprocess.run(
            ["cc", "-std=gnu17", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
             "-I", os.path.join(root, "include"), "-c", src, "-o",
             os.path.join(work, "example.o")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    compiled += 1
    if r.returncode:
        fail(f"{page}: an example does not compile\n{r.stdout}")


pages = []
for page in sorted(glob.glob(os.path.join(root, "docs/man/*.[1-8]"))):
    text = open(page).read()
    m = re.match(r"\.so man\d/(\S+)\s*$", text)
    if m:
        alias(page, m.group(1))
        continue
    pages.append(page)
    if not page.endswith(".3"):
        continue
    found = list(programs(text))
    for program in found:
        compile_one(page, program)
    if not os.path.basename(page).startswith("hvs_"):
        continue
    for name in ("RETURN VALUES", "ERRORS", "EXAMPLES", "SEE ALSO"):
        if section(text, name) is None:
            fail(f"{page}: no section {name}")
    if not found:
        fail(f"{page}: no program in EXAMPLES")
lint(pages)
print(f"{len(pages)} pages, {compiled} examples compiled")
sys.exit(1 if bad or not compiled else 0)
