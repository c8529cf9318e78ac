# SPDX-License-Identifier: MIT
"""The kernel's own vsock tests, whatever carries them

`from vsock_suite import *` makes them tests of a module. docs/vsock-tests.md
says which there are, and which of them cannot pass.
"""
import vsock_messages  # noqa: F401
import vsock_streams  # noqa: F401
from vsock_partner import has, run


def test_diag_client(f):
    run(f, "vsock_diag_test", "client")


def test_diag_server(f):
    run(f, "vsock_diag_test", "server")


def test_guest_is_client(f):
    run(f, "vsock_test", "client")


def test_guest_is_server(f):
    run(f, "vsock_test", "server")


def test_io_uring(f):
    if has(f, "vsock_uring_test"):
        run(f, "vsock_uring_test", "client")
        run(f, "vsock_uring_test", "server")
