# SPDX-License-Identifier: MIT
"""A broker of its own for each test class, and hvctl to talk to it."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

HVCTL = os.environ["HVCTL"]
HVSOCKETD = os.environ["HVSOCKETD"]
LIMIT = 30  # seconds; nothing here takes one

CLEAN = {k: v for k, v in os.environ.items()
         if not k.startswith("HVSOCKET_") and k != "LD_PRELOAD"}


class Broker:
    """hvsocketd in a temporary directory, with two configuration layers."""

    def __init__(self, *options):
        self.top = tempfile.mkdtemp(prefix="hvctl-test-")
        self.runtime = os.path.join(self.top, "r")
        self.package = os.path.join(self.top, "package")
        self.admin = os.path.join(self.top, "admin")
        self.options = options
        for layer in self.package, self.admin:
            os.makedirs(os.path.join(layer, "services.d"))
            os.makedirs(os.path.join(layer, "partitions.d"))
        self.process = None
        self.start()

    def start(self):
        ready, theirs = os.pipe()
        with open(os.path.join(self.top, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [HVSOCKETD, "--runtime-dir", self.runtime,
                 "--config-dir", self.package, "--config-dir", self.admin,
                 "--ready-fd", str(theirs), *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[theirs], env=CLEAN)
        os.close(theirs)
        with os.fdopen(ready, "rb") as f:
            if not f.read(1):
                raise RuntimeError("broker: " + self.log())

    def log(self):
        with open(os.path.join(self.top, "log"), errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(LIMIT)
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.top)

    def env(self, **more):
        return {**CLEAN, "HVSOCKET_RUNTIME_DIR": self.runtime, **more}

    def file(self, layer, kind, stem):
        return os.path.join(layer, kind + ".d", stem + ".conf")

    def put(self, layer, kind, stem, text):
        with open(self.file(layer, kind, stem), "w") as f:
            f.write(text)


class Case(unittest.TestCase):
    """self.broker for the class, self.hvctl() and what it must say."""
    maxDiff = None
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(*cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def run_hvctl(self, *words, input=None, env=None, **more):
        return subprocess.run(
            [HVCTL, *words], input=input, capture_output=True,
            timeout=LIMIT, env=env or self.broker.env(), **more)

    def hvctl(self, *words, code=0, input=None, env=None, **more):
        """Its standard output, as text; the exit code must be CODE."""
        if isinstance(input, str):
            input = input.encode()
        r = self.run_hvctl(*words, input=input, env=env, **more)
        self.assertEqual(r.returncode, code,
                         "hvctl %s: %r %r" % (" ".join(words), r.stdout,
                                              r.stderr))
        return r.stdout.decode()

    def json(self, *words, **more):
        return json.loads(self.hvctl(*words, "--json", **more))

    def fails(self, *words, code=1, env=None, **more):
        """The one line on standard error; nothing on standard output."""
        r = self.run_hvctl(*words, env=env, **more)
        err = r.stderr.decode()
        self.assertEqual(r.returncode, code, "hvctl %s: %r %r"
                         % (" ".join(words), r.stdout, err))
        self.assertEqual(r.stdout, b"")
        self.assertTrue(err.startswith("hvctl: "), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.endswith("\n"), err)
        return err

    def popen(self, *words, env=None, **more):
        p = subprocess.Popen([HVCTL, *words], env=env or self.broker.env(),
                             **more)
        self.addCleanup(self.finish, p)
        return p

    @staticmethod
    def finish(p):
        if p.poll() is None:
            p.kill()
            p.wait(LIMIT)
        for f in p.stdin, p.stdout, p.stderr:
            try:
                if f:
                    f.close()
            except BrokenPipeError:
                pass  # what was buffered for it
