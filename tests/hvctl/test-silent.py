#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A broker that takes connections and says nothing does not keep hvctl."""
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from broker import CLEAN, HVCTL, LIMIT


class Silent(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="hvctl-test-")
        self.addCleanup(shutil.rmtree, self.top)

    def test_silent(self):
        """Before HELLO is answered, after it, and with nobody at all there."""
        procs = []
        for i in range(3):
            where = os.path.join(self.top, str(i))
            os.mkdir(where)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(s.close)
            s.bind(os.path.join(where, "control"))
            s.listen(0)
            s.settimeout(LIMIT)
            if i == 2:  # full: the next connect waits
                filler = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self.addCleanup(filler.close)
                filler.connect(os.path.join(where, "control"))
            p = subprocess.Popen([HVCTL, "status"], stderr=subprocess.PIPE,
                                 env={**CLEAN, "HVSOCKET_RUNTIME_DIR": where})
            self.addCleanup(p.stderr.close)
            procs.append(p)
            if i == 2:
                continue
            conn, _ = s.accept()
            self.addCleanup(conn.close)
            ask = conn.recv(65536)
            if i == 1:
                conn.send(b"\1\x80\0\0" + ask[4:8] + b"\0" * 8
                          + (1).to_bytes(4, "little")
                          + (65536).to_bytes(4, "little") + b"\1" * 32)
        for p in procs:
            _, err = p.communicate(timeout=LIMIT)
            self.assertEqual(p.returncode, 1)
            self.assertIn(b"(no broker; broker %s/" % self.top.encode(), err)


if __name__ == "__main__":
    unittest.main()
