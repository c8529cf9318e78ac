# SPDX-License-Identifier: MIT
"""service - a double of the service manager: its notify socket, and its store
of descriptors, as sd_notify(3) and sd_listen_fds(3) have them"""
import fcntl
import os
import socket
import threading

FIRST = 200  # of the store's descriptors: out of the way of 3, 4, ...
KEPT = 16


class Service:
    def __init__(self, work):
        self.path = os.path.join(work, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.kept = []  # name, descriptor
        self.ready = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, KEPT)
            if data == b"end":
                return
            lines = data.decode().splitlines()
            words = dict(l.split("=", 1) for l in lines if "=" in l)
            if "FDSTOREREMOVE" in words:
                self._forget(words["FDNAME"])
            for fd in fds:
                if "FDSTORE" in words:
                    self.kept.append((words["FDNAME"], fcntl.fcntl(
                        fd, fcntl.F_DUPFD_CLOEXEC, FIRST)))
                os.close(fd)
            if words.get("READY") == "1":
                self.ready.release()

    def _forget(self, name):
        for item in [i for i in self.kept if i[0] == name]:
            os.close(item[1])
            self.kept.remove(item)

    def start(self, command, spawn):
        """The service, with what was kept; it has said that it is ready."""
        there = " ".join("%d<&%d %d<&-" % (3 + i, fd, fd)
                         for i, (_, fd) in enumerate(self.kept))
        env = dict(os.environ, NOTIFY_SOCKET=self.path)
        if self.kept:
            env.update(LISTEN_FDS=str(len(self.kept)),
                       LISTEN_FDNAMES=":".join(n for n, _ in self.kept))
        process = spawn(
            ["bash", "-c", "LISTEN_PID=$$ exec \"$@\" " + there, "bash"] +
            command, env=env, pass_fds=[fd for _, fd in self.kept])
        if not self.ready.acquire(timeout=20):
            raise AssertionError("%s is not ready" % command[0])
        return process

    def end(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", self.path)
        self.thread.join(5)
        for _, fd in self.kept:
            os.close(fd)
        self.socket.close()
