#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Go package and its example, by the Go tool chain, against a broker.

The compiler is large: this is for scripts/check full, and fails without it.
"""
import os
import shutil
import subprocess
import sys
import threading

import tap
from hvb import LOOPBACK, Broker, port
from tap import check, same

TOP = os.environ["TOP"]
PACKAGE = os.path.join(TOP, "bindings", "go")
EXAMPLE = os.path.join(TOP, "examples", "go-client")
ROOM = 300  # seconds, for compiling on a busy machine


class Fixture:
    def __init__(self, work):
        self.work = work
        self.b = Broker()

    def __enter__(self):
        self.b.start()
        box = self.b.partition("box", "Kind=container")
        self.b.service("echo", 5000)
        self.b.client(box).close()  # its door is there
        self.env = dict(
            os.environ, CGO_ENABLED="0", GOPROXY="off", GOFLAGS="-mod=mod",
            GOCACHE=os.path.join(self.work, "cache"), GOSUMDB="off",
            GOPATH=os.path.join(self.work, "path"),
            HVSOCKET_RUNTIME_DIR=self.b.run, BOX="%s/broker/partitions/%s" % (
                self.b.run, box))
        return self

    def __exit__(self, *exc):
        self.b.end(check=exc[0] is None)

    def go(self, folder, *words):
        check(shutil.which(words[0]),
              "there is no %s (Debian's golang-go)" % words[0])
        r = subprocess.run(list(words), cwd=folder, env=self.env, text=True,
                           timeout=ROOM, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
        same(r.returncode, 0, r.stdout)
        return r.stdout


def test_format(f):
    same(f.go(PACKAGE, "gofmt", "-l", ".", EXAMPLE), "", "files for gofmt")


def test_vet(f):
    f.go(PACKAGE, "go", "vet", "./...")
    f.go(EXAMPLE, "go", "vet", "./...")
    # has other system calls
    f.go(PACKAGE, "env", "GOARCH=386", "go", "build", ".")


def test_package(f):
    out = f.go(PACKAGE, "go", "test", "-count=1", "-timeout=120s", "./...")
    same(out.count("ok  \t"), 2, out)


def test_no_module_of_others(f):
    with open(os.path.join(PACKAGE, "go.mod")) as mod:
        check("require" not in mod.read(), "go.mod has requirements")
    check(not os.path.exists(os.path.join(PACKAGE, "go.sum")), "go.sum")


def test_example(f):
    program = os.path.join(f.work, "go-client")
    f.go(EXAMPLE, "go", "build", "-o", program, ".")
    with f.b.client() as c:
        listener = c.serve(LOOPBACK, port(5001))

        def serve():
            s, _ = listener.accept()
            with s:
                s.sendall(s.makefile().readline().upper().encode())
        t = threading.Thread(target=serve)
        t.start()
        same(f.go(f.work, program, "loopback", "5001", "hello"), "HELLO\n",
             "the answer")
        t.join(20)
        listener.close()
    r = subprocess.run([program, "nobody", "1", "x"], env=f.env, text=True,
                       stderr=subprocess.PIPE, timeout=60)
    check(r.returncode == 1 and 'no partition is named "nobody"' in r.stderr,
          r.stderr)


if __name__ == "__main__":
    tap.main(sys.modules[__name__], Fixture)
