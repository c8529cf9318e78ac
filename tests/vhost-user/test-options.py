#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Options, conventions, the socket's file, the sandbox.

usage: test-options.py PROGRAM MANIFEST
"""
import ctypes
import errno
import json
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

PROGRAM, MANIFEST = sys.argv[1:3]
LIMIT = 20
BAD_REQUEST = 17  # HVS_REASON_
SECCOMP = os.environ.get('VHOST_USER_SANDBOX', 'seccomp')


def reply(kind, serial, payload=b'', error=0, reason=0):
    return struct.pack('<HHIII', kind | 0x8000, 0, serial, error,
                       reason) + payload


class Broker:
    """Enough of section 5 to be attached to."""

    def __init__(self, directory, refuse=None, error=16, reason=21):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.directory = directory
        # a path that is too long for an address goes by the directory
        fd = os.open(directory, os.O_PATH)
        self.listener.bind('/proc/self/fd/%d/control' % fd)
        os.close(fd)
        self.listener.listen(4)
        self.listener.settimeout(LIMIT)
        self.refuse = refuse, error, reason

    def serve_attach(self):
        self.conn, _ = self.listener.accept()
        self.conn.settimeout(LIMIT)
        for _ in range(2):
            frame, fds, _, _ = socket.recv_fds(self.conn, 65536, 8)
            kind, _, serial = struct.unpack_from('<HHI', frame)
            if kind == 1:
                self.conn.send(reply(1, serial,
                                     struct.pack('<II', 1, 65536) + bytes(32) +
                                     b'host'))
            elif kind == 16 and self.refuse[0]:
                self.flags, = struct.unpack_from('<I', frame, 28)
                self.conn.send(reply(16, serial, *self.refuse))
            else:
                self.name = frame[32:]
                # the transport calls listen(): it must have an address
                for fd in fds:
                    s = socket.socket(fileno=fd)
                    s.bind('')
                    s.close()
                fds = []
                self.conn.send(reply(16, serial, bytes(16) + self.name))
            for fd in fds:
                os.close(fd)

    def close(self):
        self.listener.close()
        if hasattr(self, 'conn'):
            self.conn.close()


def run(*args, **env):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True,
                          timeout=LIMIT, env=dict(os.environ, **env))


def landlock():
    libc = ctypes.CDLL(None)
    return libc.syscall(444, None, 0, 1) > 0  # landlock_create_ruleset


class Options(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory(prefix='hvs-')
        self.dir = self.tmp.name
        self.processes = []

    def tearDown(self):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
            p.wait()
            p.stderr.close()
        self.tmp.cleanup()

    def start(self, *args, broker, pass_fds=()):
        p = subprocess.Popen(
            [PROGRAM, '--partition', 'web1', '--sandbox', SECCOMP, *args],
            stderr=subprocess.PIPE, text=True, pass_fds=pass_fds,
            env=dict(os.environ, HVSOCKET_RUNTIME_DIR=broker.directory))
        self.processes.append(p)
        return p

    def started(self, *args, broker=None, **kw):
        broker = broker or Broker(self.dir)
        self.addCleanup(broker.close)
        p = self.start(*args, broker=broker, **kw)
        broker.serve_attach()
        self.assertIn('attached', self.line(p))
        return p, broker

    def line(self, p):
        ready, _, _ = select.select([p.stderr], [], [], LIMIT)
        self.assertTrue(ready, 'no message')
        return p.stderr.readline()

    def end(self, p, sig=signal.SIGTERM):
        p.send_signal(sig)
        self.assertEqual(p.wait(LIMIT), 0)

    def queue_num(self, s):
        s.settimeout(LIMIT)
        s.send(struct.pack('<III', 17, 1, 0))
        got = s.recv(20)
        self.assertEqual(got, struct.pack('<IIIQ', 17, 5, 8, 3))

    def connect(self, path):
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.connect(path)
        return s

    def test_information(self):
        r = run('--print-capabilities')
        self.assertEqual(r.returncode, 0)
        self.assertEqual(json.loads(r.stdout), {'type': 'vsock'})
        r = run('--help')
        self.assertEqual(r.returncode, 0)
        for option in ('--socket-path', '--fd', '--partition', '--guest-cid',
                       '--one-off', '--print-capabilities', '--sandbox',
                       '--replace'):
            self.assertIn(option, r.stdout)
        r = run('--version')
        self.assertRegex(r.stdout, r'^hvsocket-vhost-user \d+\.\d+')

    def test_manifest(self):
        with open(MANIFEST) as f:
            m = json.load(f)
        self.assertEqual(m['type'], 'vsock')
        self.assertTrue(m['binary'].endswith('/hvsocket-vhost-user'))
        self.assertTrue(m['description'])

    def test_wrong_options(self):
        for args, words in (
                ((), '--partition'),
                (('--partition', ''), '--partition'),
                (('--partition', 'x' * 256), '255'),
                (('--partition', 'a'), '--socket-path'),
                (('--partition', 'a', '--fd', '3', '--socket-path', 'x'),
                 '--socket-path'),
                (('--fd', 'x'), '--fd x'),
                (('--fd', '-1'), '--fd -1'),
                (('--guest-cid', '2'), '--guest-cid 2'),
                (('--guest-cid', '4294967295'), '4294967295'),
                (('--guest-cid', '3x'), '3x'),
                (('--sandbox', 'maybe'), 'maybe'),
                (('--partition', 'a', '--fd', '3', '--replace'), '--replace'),
                (('--unheard-of',), 'unheard-of'),
                (('more',), 'more')):
            with self.subTest(args):
                r = run(*args)
                self.assertEqual(r.returncode, 1)
                self.assertIn(words, r.stderr)
                self.assertEqual(r.stdout, '')

    def test_no_broker(self):
        r = run('--partition', 'a', '--socket-path', self.dir + '/s',
                HVSOCKET_RUNTIME_DIR=self.dir)
        self.assertEqual(r.returncode, 1)
        self.assertIn(self.dir + '/control', r.stderr)
        self.assertIn('No such file', r.stderr)
        self.assertFalse(os.path.exists(self.dir + '/s'))

    def test_refused(self):
        broker = Broker(self.dir, b'held by pid 7\x1b[31m')
        self.addCleanup(broker.close)
        p = self.start('--socket-path', self.dir + '/s', broker=broker)
        broker.serve_attach()
        self.assertEqual(p.wait(LIMIT), 1)
        text = p.stderr.read()
        self.assertIn('held by pid 7', text)
        self.assertNotIn('\x1b', text)

    def test_refused_for_another_reason(self):
        """Nothing that fewer flags would change: it is asked once."""
        for text, error in ((b'no memory', errno.ENOMEM),
                            (b'ATTACH: a rendezvous socket cannot be bound',
                             errno.EACCES),
                            (b'ATTACH: a rendezvous socket is of the wrong '
                             b'type, or bound to something else',
                             errno.EINVAL)):
            with tempfile.TemporaryDirectory(prefix='hvs-') as place:
                broker = Broker(place, text, error, BAD_REQUEST)
                p = self.start('--socket-path', place + '/s', broker=broker)
                broker.serve_attach()
                self.assertEqual(broker.conn.recv(65536), b'')
                self.assertEqual(p.wait(LIMIT), 1)
                self.assertIn(text.decode(), p.stderr.read())
                broker.close()

    def test_older_broker(self):
        """It knows fewer flags; that it is asked for less is said."""
        broker = Broker(self.dir, b'ATTACH is malformed', errno.EINVAL,
                        BAD_REQUEST)
        self.addCleanup(broker.close)
        p = self.start('--socket-path', self.dir + '/s', broker=broker)
        broker.serve_attach()
        flags = broker.flags
        self.assertTrue(flags)
        while flags:
            frame, fds, _, _ = socket.recv_fds(broker.conn, 65536, 8)
            for fd in fds:
                os.close(fd)
            kind, _, serial = struct.unpack_from('<HHI', frame)
            less, = struct.unpack_from('<I', frame, 28)
            self.assertEqual(kind, 16)
            self.assertEqual((less & flags, less != flags), (less, True))
            self.assertIn('older', self.line(p))
            broker.conn.send(reply(16, serial, *broker.refuse))
            flags = less
        self.assertEqual(p.wait(LIMIT), 1)
        self.assertIn('malformed', p.stderr.read())

    def test_long_runtime_directory(self):
        long = os.path.join(self.dir, 'x' * 150)
        os.mkdir(long)
        p, b = self.started('--socket-path', self.dir + '/s',
                            broker=Broker(long))
        self.assertEqual(b.name, b'web1')
        self.end(p)

    def test_socket_file(self):
        path = self.dir + '/vm.sock'
        # what an earlier process left
        left = socket.socket(socket.AF_UNIX)
        left.bind(path)
        left.close()
        p, broker = self.started('--socket-path', path)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        first = self.connect(path)
        self.queue_num(first)
        first.close()
        # another one does not take it away
        broker.close()
        os.unlink(self.dir + '/control')
        again = Broker(self.dir)
        self.addCleanup(again.listener.close)
        q = self.start('--socket-path', path, broker=again)
        while q.poll() is None:
            # (the first one comes back too)
            ready, _, _ = select.select([again.listener], [], [], 0.1)
            if ready:
                again.serve_attach()
                self.addCleanup(again.conn.close)
        self.assertEqual(q.wait(LIMIT), 1)
        self.assertIn('Address already in use', q.stderr.read())
        self.queue_num(self.connect(path))
        self.end(p)
        # in the sandbox only Landlock can let it remove that one file
        if SECCOMP == 'none' or landlock():
            self.assertFalse(os.path.exists(path))

    def test_no_socket_there(self):
        path = self.dir + '/file'
        with open(path, 'w') as f:
            f.write('precious')
        broker = Broker(self.dir)
        self.addCleanup(broker.close)
        p = self.start('--socket-path', path, broker=broker)
        broker.serve_attach()
        self.assertEqual(p.wait(LIMIT), 1)
        self.assertIn(path, p.stderr.read())
        with open(path) as f:
            self.assertEqual(f.read(), 'precious')

    def test_front_end_again(self):
        path = self.dir + '/s'
        p, _ = self.started('--socket-path', path)
        for _ in range(3):
            s = self.connect(path)
            self.queue_num(s)
            s.close()
        self.end(p, signal.SIGINT)

    def test_counters(self):
        path = self.dir + '/s'
        p, _ = self.started('--socket-path', path)
        self.queue_num(self.connect(path))
        p.send_signal(signal.SIGUSR1)
        self.assertRegex(self.line(p), r'packets: 0 from the guest, 0 to it; '
                         r'interrupts 0; reads 0, writes 0, probes 0; '
                         r'waits [0-9]+; connections: 0; resets 0')
        self.end(p)

    def test_one_off(self):
        path = self.dir + '/s'
        p, _ = self.started('--socket-path', path, '--one-off')
        # one that only looks is no monitor
        for _ in range(2):
            s = self.connect(path)
            self.queue_num(s)
            s.close()
        s = self.connect(path)
        s.send(struct.pack('<III', 3, 1, 0))  # SET_OWNER
        self.queue_num(s)
        s.close()
        self.assertEqual(p.wait(LIMIT), 0)

    def test_replace(self):
        path = self.dir + '/s'
        # nobody is there yet
        p, broker = self.started('--socket-path', path, '--replace')
        vmm = self.connect(path)
        vmm.send(struct.pack('<III', 3, 1, 0))
        self.queue_num(vmm)
        for _ in range(3):
            q = self.start('--socket-path', path, '--replace', broker=broker)
            self.assertEqual(p.wait(LIMIT), 0)
            self.assertIn('taken over', self.line(q))
            self.queue_num(vmm)
            self.queue_num(self.connect(path))
            p = q
        self.end(p)
        if SECCOMP == 'none' or landlock():
            self.assertFalse(os.path.exists(path))

    def test_replace_another(self):
        path = self.dir + '/s'
        p, broker = self.started('--socket-path', path)
        for args, words in ((('--guest-cid', '4'), 'CID'),
                            (('--partition', 'db1'), 'partition')):
            q = self.start('--socket-path', path, '--replace', *args,
                           broker=broker)
            self.assertEqual(q.wait(LIMIT), 1)
            text = q.stderr.read()
            self.assertIn('--replace ' + path, text)
            self.assertIn(words, text)
        self.queue_num(self.connect(path))
        self.end(p)

    def test_replace_something_else(self):
        path = self.dir + '/s'
        broker = Broker(self.dir)
        self.addCleanup(broker.close)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            other.listen()
            other.settimeout(LIMIT)
            for answer in (b'', b'x' * 20, bytes(20), bytes(3)):
                q = self.start('--socket-path', path, '--replace',
                               broker=broker)
                s, _ = other.accept()
                s.recv(12)
                s.send(answer)
                s.close()
                self.assertEqual(q.wait(LIMIT), 1)
                self.assertIn('hands nothing over', q.stderr.read())

    def test_connected_fd(self):
        a, b = socket.socketpair()
        self.addCleanup(a.close)
        p, _ = self.started('--fd', str(b.fileno()), pass_fds=[b.fileno()])
        b.close()
        self.queue_num(a)
        a.close()
        self.assertEqual(p.wait(LIMIT), 0)

    def test_fd_is_no_socket(self):
        broker = Broker(self.dir)
        self.addCleanup(broker.close)
        r, w = os.pipe()
        p = self.start('--fd', str(r), broker=broker, pass_fds=[r])
        os.close(r)
        os.close(w)
        broker.serve_attach()
        self.assertEqual(p.wait(LIMIT), 1)
        self.assertIn('--fd', p.stderr.read())

    @unittest.skipIf(SECCOMP == 'none', 'built with sanitizers')
    def test_sandbox(self):
        p, _ = self.started('--socket-path', self.dir + '/s')
        self.queue_num(self.connect(self.dir + '/s'))
        for task in os.listdir('/proc/%d/task' % p.pid):
            with open('/proc/%d/task/%s/status' % (p.pid, task)) as f:
                status = dict(x.split(':\t', 1) for x in f if ':\t' in x)
            self.assertEqual(status['Seccomp'].strip(), '2')
            self.assertEqual(status['NoNewPrivs'].strip(), '1')
        # not dumpable: its files in /proc are root's
        self.assertEqual(os.stat('/proc/%d/mem' % p.pid).st_uid, 0)
        self.end(p)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
