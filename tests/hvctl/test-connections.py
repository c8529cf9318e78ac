#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Direct connections: who holds them, and what hvctl connections shows."""
import os
import re
import subprocess
import unittest

from broker import Broker, Case


def sockets(pid):
    """The inodes of the sockets that a process holds."""
    found = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            where = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except FileNotFoundError:
            continue
        match = re.fullmatch(r"socket:\[(\d+)\]", where)
        if match:
            found.add(match.group(1))
    return found


class Direct(Case):
    def connect(self):
        """A connection from web1 to the host, both ends `hvctl nc`."""
        server = self.popen("nc", "-l", "children:direct",
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        inside = self.broker.env(HVSOCKET_PRELOAD="")  # hvctl needs none
        self.hvctl("as", "web1", "--", os.environ["HVCTL"], "wait",
                   "parent:direct", env=inside)
        client = self.popen("as", "web1", "--", os.environ["HVCTL"], "nc",
                            "parent:direct", stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, env=inside)
        client.stdin.write(b"there?\n")
        client.stdin.flush()
        self.assertEqual(server.stdout.readline(), b"there?\n")
        return server, client

    def setUp(self):
        self.broker.put(self.broker.admin, "services", "direct",
                        "[Service]\nElementName=direct\nPort=70001\n")
        self.broker.put(self.broker.admin, "partitions", "web1",
                        "[Partition]\nName=web1\nVmId=5a5a5a5a-0000-4000-8000-"
                        "00000000aaaa\nKind=container\n")

    def test_nobody_between(self):
        server, client = self.connect()
        before = sockets(self.broker.process.pid)
        ends = sockets(server.pid) | sockets(client.pid)
        # the ends are there, and the broker has none of them
        self.assertGreaterEqual(len(ends), 2)
        self.assertFalse(ends & before)
        # nor is there anybody else: it goes on without the broker
        self.broker.process.kill()
        self.broker.process.wait()
        client.stdin.write(b"still\n")
        client.stdin.flush()
        self.assertEqual(server.stdout.readline(), b"still\n")
        server.stdin.write(b"back\n")
        server.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"back\n")
        self.broker.start()
        rows = self.json("connections")["connections"]
        self.assertEqual(len(rows), 1)

    def test_of_this_broker_only(self):
        other = Broker()
        self.addCleanup(other.close)
        self.connect()
        rows = self.json("connections")["connections"]
        self.assertEqual(
            [(r["from"], r["to"], r["service_name"], r["type"], r["state"],
              r["via"], r["uid"]) for r in rows],
            [("web1", "host", "direct", "stream", "connected", "direct",
              os.geteuid())])
        self.assertEqual(self.json("connections", env=other.env())
                         ["connections"], [])


if __name__ == "__main__":
    unittest.main()
