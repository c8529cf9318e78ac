#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Help, manual and completion name the same verbs and options.

    test-drift.py TOP      (HVCTL in the environment)
"""
import os
import re
import subprocess
import sys
import unittest

TOP = sys.argv.pop(1)
HVCTL = os.environ["HVCTL"]


def hvctl(*words):
    return subprocess.run([HVCTL, *words], check=True, timeout=30,
                          stdout=subprocess.PIPE).stdout.decode()


def read(*path):
    with open(os.path.join(TOP, *path)) as f:
        return f.read()


def program():
    """Verb -> its options, from --help."""
    text = hvctl("help").split("verbs:\n")[1].split("\n\n")[0]
    names = [re.match(r"  (\S+(?: \S+)?)  ", line).group(1)
             for line in text.splitlines()]
    return {name: set(re.findall(r"(?m)^  (?:-\w, |    )--([\w-]+)",
                                 hvctl(*name.split(), "--help")))
            - {"help"} for name in names}


GROUPS = ("service", "partition", "integration", "kvp")


class Drift(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.verbs = program()

    def test_there_are_verbs(self):
        self.assertGreater(len(self.verbs), 20)
        self.assertIn("lease", self.verbs["service add"])
        self.assertIn("timeout", self.verbs["nc"])

    def test_manual(self):
        text = read("docs", "man", "hvctl.1")
        text = text.split(".Sh DESCRIPTION")[1].split(".Sh ENVIRONMENT")[0]
        found = {}
        for block in text.split("\n.It Cm ")[1:]:
            words = block.split("\n")[0].split()
            name = words[0]
            if name in GROUPS:
                name += " " + words[1]
            found.setdefault(name, set()).update(
                re.findall(r"Fl Fl ([a-z][\w-]*)", block))
        self.assertEqual(found, self.verbs)

    def test_completion(self):
        text = read("completions", "hvctl.bash")
        found = {name: set(opts.replace("--", "").split()) for name, opts in
                 re.findall(r'(?m)^\t"([^"]+)"\) opts="([^"]*)" ;;$', text)}
        self.assertEqual(found, {v: o for v, o in self.verbs.items() if o})
        top = set(re.search(r'local top="([^"]*)"', text).group(1).split())
        self.assertEqual(top - {"vm", "container"},
                         {v.split()[0] for v in self.verbs})
        for group in GROUPS:
            words = re.search(r'local %s="([^"]*)"' % group, text).group(1)
            self.assertEqual(set(words.split()),
                             {v.split()[1] for v in self.verbs
                              if v.startswith(group + " ")})

    def test_one_verbs_help_is_its_option(self):
        for verb in self.verbs:
            self.assertEqual(hvctl("help", *verb.split()),
                             hvctl(*verb.split(), "--help"))

    def test_groups(self):
        self.assertIn("hvctl vm list", hvctl("help", "vm"))
        self.assertEqual(hvctl("--version"), hvctl("version"))
        self.assertEqual(hvctl("-h"), hvctl("help"))


if __name__ == "__main__":
    unittest.main()
