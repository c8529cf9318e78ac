#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Options, the socket's file, one VMM after the other, the sandbox.

usage: test-options.py HVSOCKET-VMBUS HVCTL
"""
import os
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, HVCTL = map(os.path.abspath, sys.argv[1:3])
LIMIT = 20
SANDBOX = os.environ.get('VMBUS_SANDBOX', 'seccomp')
HELLO = struct.pack('<HHI', 1, 0, 1) + struct.pack('<IIQ', 1, 1, 15) + \
    bytes(16)


def run(*args, **env):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True,
                          timeout=LIMIT, check=False,
                          env=dict(os.environ, **env))


class Options(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.dir = self.temporary.name
        self.path = self.dir + '/vmbus'
        self.uds = self.dir + '/uds'
        self.proc = None

    def tearDown(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        self.temporary.cleanup()

    def start(self, *more, command=(PROGRAM,)):
        self.proc = subprocess.Popen([
            *command, '--uds-path', self.uds, '--socket-path', self.path,
            '--sandbox', SANDBOX, *more])
        while not os.path.exists(self.path):
            self.assertIsNone(self.proc.poll())
            select.select([], [], [], 0.01)

    def hello(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(LIMIT)
        for _ in range(LIMIT * 100):
            try:
                s.connect(self.path)
                break
            except ConnectionRefusedError:  # bound, not listening yet
                select.select([], [], [], 0.01)
        s.send(HELLO)
        frame = s.recv(8192)
        self.assertEqual(struct.unpack_from('<HHIII', frame),
                         (0x8001, 0, 1, 0, 0))
        self.assertEqual(len(frame), 56)
        return s

    def test_wrong(self):
        for args, says in (
                ([], 'one of --partition and --uds-path'),
                (['--partition', 'a', '--uds-path', 'b', '--fd', '3'],
                 'one of --partition and --uds-path'),
                (['--partition', 'a'], 'one of --socket-path and --fd'),
                (['--partition', 'a', '--fd', '3', '--socket-path', 'x'],
                 'one of --socket-path and --fd'),
                (['--partition', '', '--fd', '3'], '1 to 255 bytes'),
                (['--partition', 'a' * 256, '--fd', '3'], '1 to 255 bytes'),
                (['--uds-path', 'x', '--fd', 'three'], 'not a descriptor'),
                (['--uds-path', self.uds, '--fd', '0'], 'seqpacket'),
                (['--uds-path', self.uds, '--fd', '99'], 'seqpacket'),
                (['--uds-path', 'x', '--fd', '3', '--sandbox', 'box'],
                 'seccomp or none'),
                (['--uds-path', 'x', '--fd', '3', '--vm-id', 'me'],
                 'not a GUID'),
                (['--uds-path', 'x', '--fd', '3', 'more'], 'unexpected'),
                (['--uds-path', 'x', '--fd', '3', '--integration', 'kvp,x'],
                 'heartbeat, shutdown'),
                (['--uds-path', 'x' * 200, '--socket-path', self.path],
                 'too long'),
                (['--uds-path', self.uds, '--socket-path', 'x' * 200],
                 'too long'),
                (['--uds-path', self.uds, '--socket-path', self.path,
                  '--trace', self.dir + '/none/t'], 'No such file')):
            with self.subTest(args=args):
                r = run(*args)
                self.assertEqual(r.returncode, 1)
                self.assertIn(says, r.stderr)
                self.assertEqual(r.stdout, '')

    def test_no_broker(self):
        r = run('--partition', 'x', '--socket-path', self.path,
                HVSOCKET_RUNTIME_DIR=self.dir)
        self.assertEqual(r.returncode, 1)
        self.assertIn(self.dir, r.stderr)

    def test_help(self):
        r = run('--help')
        self.assertEqual(r.returncode, 0)
        for option in ('partition', 'uds-path', 'socket-path', 'fd', 'trace',
                       'inject', 'integration', 'sandbox', 'one-off', 'verbose', 'vm-id'):
            self.assertIn('--' + option, r.stdout)
        self.assertEqual(run('--version').returncode, 0)

    def test_one_vmm_after_the_other(self):
        self.start()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        first = self.hello()
        second = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        second.settimeout(LIMIT)
        second.connect(self.path)
        second.send(HELLO)
        # it waits for its turn
        self.assertEqual(select.select([second], [], [], 0.1)[0], [])
        first.close()
        self.assertEqual(len(second.recv(8192)), 56)
        second.close()
        self.hello().close()
        self.proc.send_signal(signal.SIGTERM)
        self.assertEqual(self.proc.wait(LIMIT), 0)
        self.assertEqual(os.listdir(self.dir), [])

    def test_one_off(self):
        self.start('--one-off')
        self.hello().close()
        self.assertEqual(self.proc.wait(LIMIT), 0)
        self.assertEqual(os.listdir(self.dir), [])

    def test_files_of_a_killed_one(self):
        self.start()
        self.hello().close()
        r = run('--uds-path', self.uds, '--socket-path', self.dir + '/other')
        self.assertEqual(r.returncode, 1)
        self.assertIn('in use', r.stderr)
        self.proc.kill()
        self.proc.wait()
        self.assertEqual(sorted(os.listdir(self.dir)), ['uds', 'vmbus'])
        self.start()
        self.hello().close()

    def test_hvctl(self):
        os.environ['HVSOCKET_LIBEXECDIR'] = os.path.dirname(PROGRAM)
        self.start(command=(HVCTL, 'attach', 'vmbus'))
        self.hello().close()

    @unittest.skipIf(SANDBOX == 'none', 'no sandbox under sanitizers')
    def test_sandbox(self):
        self.start()
        self.hello().close()
        with open('/proc/%d/status' % self.proc.pid, encoding='ascii') as f:
            status = dict(line.split(':\t', 1) for line in f
                          if ':\t' in line)
        self.assertEqual(status['Seccomp'].strip(), '2')
        self.assertEqual(status['NoNewPrivs'].strip(), '1')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
