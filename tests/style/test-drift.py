#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What is written twice says the same in both places.

    test-drift.py TOP HVSOCKETD

Each rule reads the copies out of the tree and compares them; one that finds
nothing to compare has failed.
"""
import errno
import os
import re
import subprocess
import sys

TOP, HVSOCKETD = map(os.path.abspath, sys.argv[1:3])
DIFFERS = []


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def same(a, b, what_a, what_b):
    """Two mappings or sets; names what is only in one, or differs."""
    assert a and b, "nothing found in %s" % (what_b if a else what_a)
    for key in sorted(set(a) | set(b), key=str):
        if key not in a:
            DIFFERS.append("%s: only in %s" % (key, what_b))
        elif key not in b:
            DIFFERS.append("%s: only in %s" % (key, what_a))
        elif isinstance(a, dict) and a[key] != b[key]:
            DIFFERS.append("%s: %r in %s, %r in %s" % (
                key, a[key], what_a, b[key], what_b))


def between(text, start, end):
    i = text.index(start) + len(start)
    return text[i:text.index(end, i)]


def help_text():
    return subprocess.run([HVSOCKETD, "--help"], check=True, text=True,
                          stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE).stdout


def man_options(text):
    """Options of .It lines before the first subsection, dashes and all."""
    text = text[:text.index(".Ss ")]
    return {("-" if len(o) == 1 else "-") + o
            for line in re.findall(r"^\.It (Fl .*)$", text, re.M)
            for o in re.findall(r"Fl (\S+)", line)}


def test_options_of_hvsocketd():
    options = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*|-V)(?=[ ,\n])",
                             help_text()))
    same(options, man_options(read("docs/man/hvsocketd.8")), "--help",
         "hvsocketd.8")


def test_limits_of_hvsocketd():
    code = dict(re.findall(r"b->limits\.(\w+) = (\d+);",
                           read("src/broker/broker.c")))
    name = {"volatiles": "volatile"}
    code = {"--max-" + name.get(k, k): v for k, v in code.items()}
    man = dict(re.findall(r"^\.It Fl (-max-\w+) Ta .* Ta (\d+)$",
                          read("docs/man/hvsocketd.8"), re.M))
    man = {"-" + k: v for k, v in man.items()}
    told = dict(re.findall(r"(--max-\w+) N [^(]*\((\d+)\)", help_text()))
    same(code, man, "broker.c", "hvsocketd.8")
    same(code, told, "broker.c", "--help")
    broker_h = dict(re.findall(r"#define (\w+_MAX) (\d+)",
                               read("src/broker/broker.h")))
    unnamed = re.findall(r'^\.It "" Ta .* Ta (\d+)$',
                         read("docs/man/hvsocketd.8"), re.M)
    same({broker_h["HALF_OPEN_MAX"], broker_h["OUTCOMES_MAX"]}, set(unnamed),
         "broker.h", "hvsocketd.8")


def reasons_of_code():
    """number -> (name, errno)"""
    numbers = dict(re.findall(r"(HVS_REASON_\w+) = (\d+)",
                              read("include/hvsocket.h")))
    table = re.findall(r'\[(HVS_REASON_\w+)\] = \{\s*"([^"]+)",\s*(\w+)\s*\}',
                       read("src/proto/message.c"))
    same(set(numbers), {t[0] for t in table}, "hvsocket.h", "message.c")
    return {int(numbers[c]): (name, error) for c, name, error in table}


def test_reasons():
    code = reasons_of_code()
    section = between(read("docs/protocol.md"), "## 7.", "## 8.")
    doc = {int(n): (name, error) for n, name, error in re.findall(
        r"^\| (\d+) \| ([^|]+) \| (\w+)[ ,|]", section, re.M)}
    man = {int(n): (name, error) for n, name, error in re.findall(
        r"^\.It (\d+) Ta (.+?) Ta (?:Er )?(\w+)$",
        read("docs/man/hvsocket.7"), re.M)}
    same(code, doc, "message.c", "protocol.md 7")
    same(code, man, "message.c", "hvsocket.7")
    for number, (_, name) in code.items():
        if name != "0" and not hasattr(errno, name):
            DIFFERS.append("reason %d: %s is no errno" % (number, name))


def test_rules_of_windows():
    code = set(re.findall(r'^\t\{ "([^"]+)", "', read("src/broker/windows.c"),
                          re.M))
    section = between(read("docs/windows-profile.md"), "## 1. ", "## 2. ")
    doc = set(re.findall(r"^\| ([^|]+) \|", section, re.M))
    # these are not decided in the table
    elsewhere = {"BROADCAST has no use", "no way between siblings",
                 "AllowWildcardBinds", "a listener is a program",
                 "a connect does not wait for a listener", "rule"}
    same(code | elsewhere, doc, "windows.c", "windows-profile.md 1")
    rows = read("tests/broker/test-windows-profile.py")
    for name in code - {"administrators register", "the default descriptor"}:
        if '("%s",' % name not in rows:
            DIFFERS.append("no row plays the rule \"%s\"" % name)


def test_messages():
    code = dict(re.findall(r"\tMSG_(\w+) = (\d+),",
                           between(read("src/proto/message.h"),
                                   "enum msg_type {", "};")))
    doc = {name: n for n, name in re.findall(
        r"^### (\d+) ([A-Z]+)\b", read("docs/protocol.md"), re.M)}
    same(code, doc, "message.h", "protocol.md")


def test_methods():
    code = set(re.findall(r'^\t\{ "([a-z.]+)", manage_',
                          read("src/broker/manage.c"), re.M))
    section = between(read("docs/protocol.md"), "## 4.", "## 5.")
    doc = set(re.findall(r"^\| `([a-z.]+)` \|", section, re.M))
    same(code, doc, "manage.c", "protocol.md 4")


def test_transport_kinds():
    code = dict(re.findall(r"TRANSPORT_(\w+) = (\d+),",
                           read("src/proto/message.h")))
    code = {k.lower().replace("_", "-"): v for k, v in code.items()
            if v != "0"}
    doc = between(read("docs/protocol.md"), "kind: ", " |")
    same(code, {name: n for n, name in re.findall(r"(\d+) ([a-z-]+)", doc)},
         "message.h", "protocol.md 5")


def test_connect_flags():
    code = dict(re.findall(r"#define CONNECT_([A-Z_]+) (\d+)u\n",
                           read("src/proto/message.h")))
    bits = sorted(int(v) for k, v in code.items()
                  if k != "FLAGS" and not k.startswith("STATE"))
    doc = re.search(r"flags: (1 do not block.*) \|", read("docs/protocol.md"))
    assert doc, "the flags of CONNECT are not in protocol.md"
    told = sorted(int(n) for n in re.findall(r"(\d+) [a-zA-Z]", doc.group(1)))
    same({str(b) for b in bits}, {str(b) for b in told}, "message.h",
         "protocol.md 3")


def test_symbols_have_pages():
    """A page for each name; one page may be for several (.Nm)."""
    symbols = set(re.findall(r"^\t((?:hvs_|HV_GUID_)\w+);",
                             read("src/lib/hvsocket.map"), re.M))
    folder = os.path.join(TOP, "docs", "man")
    named = set()
    for page in sorted(os.listdir(folder)):
        if not re.search(r"\.[1-8]$", page):
            continue
        text = read("docs/man/" + page)
        named |= set(re.findall(r"^\.(?:Nm|Fo|Fn|Dv|Va) \"?(\w+)", text, re.M))
        named |= set(re.findall(r"\bHV_GUID_\w+", text))
        named.add(page.rsplit(".", 1)[0])
    # what <hvsocket/winsock.h> defines WinSock's names with is not called by
    # name; its pages are about the names that people write
    inner = {s for s in symbols if re.match(r"hvs_wsa?_", s)}
    assert symbols - inner, "no symbols"
    for s in sorted(symbols - inner - named):
        DIFFERS.append("%s: exported, and in no manual page" % s)
    if inner and not any("winsock" in p for p in os.listdir(folder)):
        DIFFERS.append("winsock.h has no manual page")


def test_libvmbus_host():
    """Its page has each function, and the limits that are in the code."""
    page = read("docs/man/libvmbus-host.3")
    synopsis = between(page, ".Sh SYNOPSIS", ".Sh DESCRIPTION")
    text = between(page, ".Sh DESCRIPTION", ".Sh EXAMPLES")
    symbols = set(re.findall(r"^\t(vmbh_\w+);",
                             read("src/vmbus/vmbus-host.map"), re.M))
    for part in (synopsis, text):
        same(symbols, set(re.findall(r"^\.F[no] (vmbh_\w+)", part, re.M)),
             "vmbus-host.map", "libvmbus-host.3")
    code = dict(re.findall(r"^\t\t\.(\w+) = (\w+),", between(
        read("src/vmbus/bus.c"), "const struct vmbh_config most = {", "};"),
        re.M))
    code["max_version"] = re.sub(r"VMBH_VERSION_(\d+)_(\d+)", r"\1.\2",
                                 code["max_version"])
    relids = re.search(r"#define VMBH_RELIDS (\d+)u",
                       read("include/vmbus-host.h")).group(1)
    code["max_channels"] = str(int(relids) - 1)
    same(code, dict(re.findall(r"^\.It Va (\w+) Ta (\S+) Ta ", page, re.M)),
         "bus.c", "libvmbus-host.3")


def test_references_between_pages():
    folder = os.path.join(TOP, "docs", "man")
    pages = {p for p in os.listdir(folder) if re.search(r"\.[1-8]$", p)}
    ours = re.compile(r"^\.Xr (hv[\w-]+|libhv[\w-]+) (\d)", re.M)
    assert pages, "no pages"
    for page in sorted(pages):
        for name, section in ours.findall(read("docs/man/" + page)):
            if "%s.%s" % (name, section) in pages:
                continue
            # several functions, one page
            if section == "3" and any(
                    re.search(r"^\.Nm %s\b" % name, read("docs/man/" + p),
                              re.M) for p in pages if p.endswith(".3")):
                continue
            DIFFERS.append("%s: %s(%s) is not there" % (page, name, section))


def test_links_in_documents():
    found = 0
    for path in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "NEWS.md",
                 "docs/architecture.md", "docs/protocol.md",
                 "docs/vmbus.md", "docs/vmbus-user.md",
                 "docs/testing-hyperv-drivers.md", "docs/vsock-tests.md",
                 "docs/make-your-own-integration-service.md",
                 "bindings/README.md", "examples/README.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", read(path)):
            if "://" in target:
                continue
            found += 1
            whole = os.path.join(TOP, os.path.dirname(path), target)
            if not os.path.exists(whole):
                DIFFERS.append("%s: %s is not there" % (path, target))
    assert found, "no links"


def test_files_that_architecture_names():
    text = between(read("docs/architecture.md"), "## 8.", "\n| units")
    files = re.findall(r"`([a-z-]+/[a-z/-]+\.[ch])`", text)
    assert files, "no files"
    for f in files:
        if not os.path.exists(os.path.join(TOP, "src", f)):
            DIFFERS.append("docs/architecture.md: src/%s is not there" % f)


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    bad = 0
    print("1..%d" % len(tests))
    for i, (name, function) in enumerate(tests, 1):
        DIFFERS.clear()
        try:
            function()
        except (AssertionError, ValueError, OSError, KeyError) as e:
            DIFFERS.append("%s: %s" % (type(e).__name__, e))
        for line in DIFFERS:
            print("# " + line)
        bad += bool(DIFFERS)
        print("%s %d - %s" % ("not ok" if DIFFERS else "ok", i,
                              name[5:].replace("_", " ")), flush=True)
    sys.exit(1 if bad else 0)


main()
