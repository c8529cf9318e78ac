#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""exporter - numbers of all guests, for Prometheus

    exporter.py [--port N] [--within SECONDS] PARTITION...

Answers GET /metrics at 127.0.0.1:N (default 9101; 0: any, which is printed). It
then dials port 9100 of each guest (guest-metrics) at the same time, with a
second for each (--within), and gives every number the label vm="PARTITION". What a guest
says is a stranger's: only lines NAME NUMBER count, a guest sets no labels, and
one that does not answer is hv_guest_up 0, and holds nobody up.
"""
import argparse
import re
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hvsocket

PORT = 9100
MOST = 64 * 1024  # bytes of one guest
LINE = re.compile(r"guest_[a-z0-9_]{1,80} -?[0-9]{1,20}(\.[0-9]{1,20})?")


def ask(vm, within):
    """(up, lines)"""
    text, end = b"", time.monotonic() + within
    try:
        with hvsocket.create_connection((vm, PORT), within) as s:
            while len(text) < MOST:
                s.settimeout(max(0.001, end - time.monotonic()))
                if time.monotonic() > end:  # by drops is no way round it
                    break
                data = s.recv(MOST - len(text))
                if not data:
                    return 1, text.decode(errors="replace").splitlines()
                text += data
    except OSError:
        pass
    return 0, []


def metrics(vms, within):
    with ThreadPoolExecutor(max_workers=len(vms)) as pool:
        for vm, (up, lines) in zip(vms, pool.map(ask, vms,
                                                 [within] * len(vms))):
            label = '{vm="%s"}' % re.sub(r'(["\\])', r"\\\1", vm)
            yield "hv_guest_up%s %d\n" % (label, up)
            # of what is said twice the last: Prometheus takes each once
            for name, number in dict(
                    map(str.split, filter(LINE.fullmatch, lines))).items():
                yield "%s%s %s\n" % (name, label, number)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/metrics":
            return self.send_error(404)
        body = "".join(metrics(*self.server.asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--port", type=int, default=9101)
    p.add_argument("--within", type=float, default=1.0, metavar="SECONDS")
    p.add_argument("partition", nargs="+")
    args = p.parse_args()
    with ThreadingHTTPServer(("127.0.0.1", args.port), Handler) as server:
        server.asked = args.partition, args.within
        print("http://127.0.0.1:%d/metrics" % server.server_port, flush=True)
        server.serve_forever()


main()
