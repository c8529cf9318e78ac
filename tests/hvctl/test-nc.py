#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""hvctl nc and hvctl forward: bytes, ends, many connections."""
import hashlib
import os
import signal
import socket
import subprocess
import threading
import unittest

from broker import LIMIT, Case

BIG = os.urandom(3 << 20)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def read_all(sock):
    parts = []
    while True:
        part = sock.recv(1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


class Echo:
    """A server that answers with what it got, once it has seen the end."""

    def __init__(self, listener):
        self.listener = listener
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,),
                             daemon=True).start()

    @staticmethod
    def serve(conn):
        with conn:
            try:
                data = read_all(conn)
                conn.sendall(b"got " + data)
                conn.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the client's own check tells

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(LIMIT)


class Talk(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in "talk", "fwd", "fwd2", "raw", "idle", "early":
            subprocess.run([os.environ["HVCTL"], "service", "add", name],
                           env=cls.broker.env(), check=True,
                           stdout=subprocess.DEVNULL, timeout=LIMIT)

    def listen(self, address, *options, **more):
        """hvctl nc -l, listening."""
        p = self.popen("nc", "-l", *options, address, stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, **more)
        raw = [o for o in options if o == "--raw"]
        self.hvctl("wait", address.replace("wildcard", "host"), "--timeout",
                   str(LIMIT), *raw)
        return p

    def dial(self, address, *options, **more):
        return self.popen("nc", *options, address, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, **more)

    @staticmethod
    def feed(p):
        p.stdin.write(BIG)
        p.stdin.close()

    def ended(self, *processes, code=0):
        for p in processes:
            self.assertEqual(p.wait(LIMIT), code)

    def test_both_ways(self):
        server = self.listen("host:talk")
        client = self.dial("host:talk")
        client.stdin.write(b"question\n")
        client.stdin.flush()
        self.assertEqual(server.stdout.readline(), b"question\n")
        server.stdin.write(b"answer\n")
        server.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"answer\n")
        client.stdin.close()
        self.assertEqual(server.stdout.read(), b"")
        server.stdin.write(b"after the end")
        server.stdin.close()
        self.assertEqual(client.stdout.read(), b"after the end")
        self.ended(server, client)

    def test_half_close_of_the_listener(self):
        server = self.listen("host:talk")
        client = self.dial("host:talk")
        server.stdin.write(b"all I say")
        server.stdin.close()
        self.assertEqual(client.stdout.read(), b"all I say")
        t = threading.Thread(target=self.feed, args=(client,))
        t.start()
        self.assertEqual(digest(server.stdout.read()), digest(BIG))
        t.join(LIMIT)
        self.ended(server, client)

    def test_much_at_once_in_both_directions(self):
        server = self.listen("host:talk")
        client = self.dial("host:talk")

        got = {}

        def drain(name, p):
            got[name] = digest(p.stdout.read())
        threads = [threading.Thread(target=f, args=a) for f, a in (
            (self.feed, (server,)), (self.feed, (client,)),
            (drain, ("s", server)), (drain, ("c", client)))]
        for t in threads:
            t.start()
        for t in threads:
            t.join(LIMIT)
        self.assertEqual(got, {"s": digest(BIG), "c": digest(BIG)})
        self.ended(server, client)

    def test_peer_that_is_gone_ends_it(self):
        """Standard input stays open: the peer's close alone must do."""
        server = self.listen("host:talk")
        client = self.dial("host:talk")
        client.stdin.write(b"x")
        client.stdin.flush()
        self.assertEqual(server.stdout.read(1), b"x")
        server.kill()
        self.assertEqual(client.stdout.read(), b"")
        self.ended(client)

    def test_reader_that_left(self):
        server = self.listen("host:talk")
        client = self.dial("host:talk")
        client.stdout.close()
        with self.assertRaises(BrokenPipeError):
            server.stdin.write(BIG)
        client.stdin.write(b"still talking")
        client.stdin.close()
        self.assertEqual(server.stdout.read(), b"still talking")
        self.ended(server, client)

    def test_files_and_null(self):
        server = self.listen("host:talk")
        with open(os.devnull, "rb") as null:
            path = os.path.join(self.broker.top, "out")
            with open(path, "wb") as out:
                client = self.popen("nc", "host:talk", stdin=null, stdout=out)
                server.stdin.write(BIG)
                server.stdin.close()
                self.ended(client, server)
        with open(path, "rb") as f:
            self.assertEqual(digest(f.read()), digest(BIG))

    def test_raw_keeps_messages(self):
        server = self.listen("host:raw", "--raw")
        client = self.dial("host:raw", "--raw")
        server.stdin.write(b"m" * 60000)
        server.stdin.flush()
        self.assertEqual(client.stdout.read(60000), b"m" * 60000)
        client.stdin.close()
        server.stdin.close()
        self.assertEqual((server.stdout.read(), client.stdout.read()),
                         (b"", b""))
        self.ended(server, client)

    def test_verbose(self):
        subprocess.run([os.environ["HVCTL"], "partition", "add", "cover1",
                        "--ephemeral"], env=self.broker.env(), check=True,
                       stdout=subprocess.DEVNULL, timeout=LIMIT)
        server = self.popen("nc", "-l", "-v", "wildcard:talk",
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        self.assertEqual(server.stderr.readline(),
                         b"listening on wildcard:talk\n")
        self.assertEqual(server.stderr.readline(), b"  cover1: yes\n")
        out = self.hvctl("listeners", "-v")
        self.assertRegex(out, r"(?m)^  cover1: (yes|no, .*)$")
        self.assertRegex(out, r"(?m)^wildcard:talk of host covers$")
        client = self.dial("host:talk", "-v", stderr=subprocess.PIPE)
        # the host as the host calls it
        self.assertRegex(client.stderr.readline(),
                         rb"\Aconnected to (host|loopback):talk\n\Z")
        client.stdin.close()
        server.stdin.close()
        self.ended(client, server)
        self.assertRegex(server.stderr.read(), rb"connection from \w+:")

    def test_wait_for_a_listener(self):
        client = self.dial("host:early", "--wait", "--timeout", str(LIMIT))
        server = self.popen("nc", "-l", "host:early", stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
        server.stdin.write(b"late")
        server.stdin.close()
        self.assertEqual(client.stdout.read(), b"late")
        client.stdin.close()
        self.ended(server, client)

    def test_refusals(self):
        self.assertIn("(no listener; broker " + self.broker.runtime,
                      self.fails("nc", "host:idle",
                                 stdin=subprocess.DEVNULL))
        self.assertIn("(no listener",
                      self.fails("nc", "--wait", "-t", "0.05", "host:idle",
                                 stdin=subprocess.DEVNULL)
                      .replace("no answer", "no listener"))
        self.fails("nc", "nobody:idle", stdin=subprocess.DEVNULL)
        self.fails("nc", "-l", "web9:talk")
        first = self.listen("host:idle")
        self.assertIn("(address taken", self.fails("nc", "-l", "host:idle"))
        first.kill()

    # ---- forward ---------------------------------------------------------

    def forward(self, listen, target, *options, **more):
        p = self.popen("forward", *options, listen, target,
                       stdout=subprocess.PIPE, **more)
        at = p.stdout.readline().decode().strip()
        self.assertTrue(at, "forward did not start")
        return p, at

    @staticmethod
    def tcp(at):
        host, _, port = at[4:].rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), LIMIT)

    def unix_echo(self, name):
        path = os.path.join(self.broker.top, name)
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(64)
        self.addCleanup(Echo(s).close)
        return path

    def exchange(self, sock, data):
        with sock:
            sock.settimeout(LIMIT)
            t = threading.Thread(target=lambda: (
                sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
            t.start()
            got = read_all(sock)
            t.join(LIMIT)
        self.assertEqual(digest(got), digest(b"got " + data))

    def test_forward_tcp_to_service_to_unix(self):
        """TCP -> forward -> Hyper-V socket -> forward -> Unix socket."""
        path = self.unix_echo("behind")
        inner, at = self.forward("host:fwd", "unix:" + path)
        self.assertEqual(at, "host:fwd")
        outer, at = self.forward("tcp:127.0.0.1:0", "host:fwd")
        self.assertRegex(at, r"\Atcp:127\.0\.0\.1:[1-9]\d*\Z")
        self.exchange(self.tcp(at), BIG)
        self.exchange(self.tcp(at), b"")
        # many at once
        threads = [threading.Thread(target=self.exchange,
                                    args=(self.tcp(at), BIG[:n * 999]))
                   for n in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(LIMIT)
        for p in outer, inner:
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(LIMIT), 0)

    def test_forward_unix_to_service_to_tcp(self):
        tcp = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = tcp.getsockname()[1]
        self.addCleanup(Echo(tcp).close)
        _, _ = self.forward("host:fwd2", "tcp:127.0.0.1:%d" % port)
        path = os.path.join(self.broker.top, "front")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()  # a file that nobody listens on is replaced
        front, at = self.forward("unix:" + path, "host:fwd2", "-v",
                                 stderr=subprocess.PIPE)
        self.assertEqual(at, "unix:" + path)
        for data in BIG, b"small":
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            self.exchange(s, data)
        self.assertIn("Address already in use",
                      self.fails("forward", "unix:" + path, "host:fwd2"))
        front.send_signal(signal.SIGINT)
        self.assertEqual(front.wait(LIMIT), 0)
        self.assertFalse(os.path.exists(path))
        log = front.stderr.read().decode()
        self.assertIn("connection 1: host:fwd2\n", log)
        self.assertIn("connection 1: ended, %d bytes to the target, %d "
                      "from it\n"
                      % (len(BIG), len(BIG) + 4), log)

    def test_forward_server_ends_first(self):
        """The server's half-close passes; the client may go on sending."""
        path = os.path.join(self.broker.top, "first")
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(1)
        self.addCleanup(s.close)
        _, at = self.forward("tcp:127.0.0.1:0", "unix:" + path)
        with self.tcp(at) as client:
            client.settimeout(LIMIT)
            server, _ = s.accept()
            with server:
                server.settimeout(LIMIT)
                server.sendall(b"bye")
                server.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(client), b"bye")
                client.sendall(b"but I go on")
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(server), b"but I go on")

    def test_forward_closed_target_ends_the_client(self):
        path = os.path.join(self.broker.top, "closed")
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(1)
        self.addCleanup(s.close)
        p, at = self.forward("tcp:127.0.0.1:0", "unix:" + path, "-v",
                             stderr=subprocess.PIPE)
        with self.tcp(at) as client:
            client.settimeout(LIMIT)
            server, _ = s.accept()
            server.close()
            self.assertEqual(client.recv(1), b"")
            # the relay is over although the client has not closed
            self.assertIn(b"connection 1: unix:", p.stderr.readline())
            self.assertIn(b"connection 1: ended", p.stderr.readline())

    def test_forward_refuses_descriptors(self):
        path = self.unix_echo("fds")
        front = os.path.join(self.broker.top, "fds-front")
        self.forward("unix:" + front, "unix:" + path)
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(LIMIT)
        s.connect(front)
        r, w = os.pipe()
        with s:
            try:
                socket.send_fds(s, [b"x"], [w])
            except OSError:
                pass  # the kernel refuses for us
            os.close(w)
            # nobody else holds it: the end of the pipe comes
            with os.fdopen(r, "rb") as f:
                self.assertEqual(f.read(), b"")

    def test_forward_removes_its_own_file_only(self):
        for replaced in False, True:
            path = os.path.join(self.broker.top, "own")
            p, at = self.forward("unix:" + path, "host:idle")
            self.assertEqual(at, "unix:" + path)
            if replaced:
                os.unlink(path)
                with open(path, "w"):
                    pass
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(LIMIT), 0)
            self.assertEqual(os.path.exists(path), replaced)

    def test_forward_target_missing(self):
        p, at = self.forward("tcp:127.0.0.1:0", "host:idle",
                             stderr=subprocess.PIPE)
        with self.tcp(at) as client:
            client.settimeout(LIMIT)
            self.assertEqual(client.recv(1), b"")
        self.assertIn(b"hvctl: forward host:idle: ", p.stderr.readline())
        self.assertIsNone(p.poll())  # it goes on
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(LIMIT), 0)


if __name__ == "__main__":
    unittest.main()
