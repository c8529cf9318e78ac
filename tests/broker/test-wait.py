#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Waiting for a listener: by a connect, and by the call "wait" """
import errno
import json
import socket
import sys

import tap
from hvb import *
from tap import check, same

STREAM, RAW = socket.SOCK_STREAM, socket.SOCK_SEQPACKET


def in_a_broker(function):
    def run(_):
        with Broker() as b:
            function(b)
    return run


@in_a_broker
def test_waiting_for_a_listener(b):
    """Both orders; hvs_listen(), plain listen(2), and a rule that changes."""
    with b.client() as c, b.client() as d:
        for notice in (True, False):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            n = c.start_connect(s, LOOPBACK, port(4000), 20000, WAIT)
            c.call("status")  # it is waiting
            listener = d.serve(WILDCARD, port(4000))
            if notice:
                d.notice(STREAM, WILDCARD, port(4000))
            same(c.end_connect(n)[0], 0, "connected")
            a, _ = listener.accept()
            for x in (a, s):
                x.close()
            s = c.dial(LOOPBACK, port(4000), 20000, WAIT)  # it is there
            for x in (s, listener):
                x.close()
        n = c.send(CALL, json.dumps({"method": "wait", "to": "loopback:4001",
                                     "timeout_ms": 20000}).encode())
        c.call("status")
        listener = d.serve(WILDCARD, port(4001))
        d.notice(STREAM, WILDCARD, port(4001))
        c.reply(n).check()
        listener.close()
        e = refusal(c.dial, LOOPBACK, port(4002), 30, WAIT)
        same((e.errno, e.reason), (errno.ECONNREFUSED, NO_LISTENER), "in vain")
        # denied is denied: no waiting for that
        b.service("x", 4003, "Policy=disabled")
        same(refusal(c.dial, LOOPBACK, port(4003), 60000, WAIT).reason,
             DISABLED, "disabled")


@in_a_broker
def test_bound_is_not_enough(b):
    """Who has been told that somebody listens may connect at once."""
    for kind, name in ((STREAM, "stream"),
                       (RAW, "raw")):
        with b.client() as c, socket.socket(socket.AF_UNIX, kind) as s:
            c.bind(s, WILDCARD, port(4000))
            e = refusal(c.call, "wait", to="loopback:4000", type=name,
                        timeout_ms=30)
            same((e.errno, e.reason), (errno.ECONNREFUSED, NO_LISTENER), name)
            check("bound, but nobody listens" in str(e), str(e))
            n = c.send(CALL, json.dumps({
                "method": "wait", "to": "loopback:4000", "type": name,
                "timeout_ms": 20000}).encode())
            c.call("status")  # it is waiting
            s.listen(1)
            c.reply(n).check()
            s.setblocking(False)
            try:
                s.accept()
            except BlockingIOError:
                pass  # nothing has come to the listener
            else:
                raise tap.Failure("somebody has connected")
            c.dial(LOOPBACK, port(4000), kind=kind).close()


if __name__ == "__main__":
    tap.main(sys.modules[__name__], tap.Nothing)
