# SPDX-License-Identifier: MIT
"""crowd - hundreds of connections that move data both ways, in one thread

    with Crowd(library) as crowd:
        crowd.dial(vmid, service, 100)      # sends, and checks what comes back
        crowd.serve(vmid, service, 100)     # sends back what comes
        crowd.flow(100000)                  # that much more of each of them
        crowd.end(1 << 20)                  # all of it, and the ends

No connection sends more than it is let; with flow(None) all of them send for
ever.
"""
import os
import selectors
import socket
import threading
import time

import hvs

WAIT_S = 60
PIECE = 65536
TWICE = memoryview(hvs.PERIOD * 2)


class Flow:
    def __init__(self, s, echo):
        self.socket, self.echo = s, echo
        self.sent = self.received = 0
        self.held = b""  # of an echo
        self.over = None  # "eof", or why it has ended
        self.shut = self.wrong = False
        s.setblocking(False)

    def wanted(self, limit):
        """The events that it waits for."""
        events = 0
        if not self.over and len(self.held) < PIECE:
            events |= selectors.EVENT_READ
        if not self.shut and self.ready(limit):
            events |= selectors.EVENT_WRITE
        return events

    def ready(self, limit):
        if self.echo:
            return self.held and self.sent < limit
        return self.sent < limit and not self.over

    def read(self):
        data = self.socket.recv(PIECE)
        if not data:
            self.over = "eof"
            return
        at = self.received % len(hvs.PERIOD)
        if data != TWICE[at:at + len(data)]:
            self.wrong = True
        self.received += len(data)
        if self.echo:
            self.held += data

    def write(self, limit):
        most = min(PIECE, limit - self.sent)
        if self.echo:
            n = self.socket.send(self.held[:most])
            self.held = self.held[n:]
        else:
            at = self.sent % len(hvs.PERIOD)
            n = self.socket.send(TWICE[at:at + most])
        self.sent += n


class Crowd:
    def __init__(self, library):
        self.library = library
        self.flows, self.listener, self.awaited = [], None, 0
        self.limit, self.last = 0, None
        self.selector = selectors.DefaultSelector()
        self.changed = threading.Condition()
        self.bell, self.ring = os.pipe()
        os.set_blocking(self.ring, False)
        self.selector.register(self.bell, selectors.EVENT_READ)
        self.stop = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    # The thread

    def _run(self):
        while not self.stop:
            for key, events in self.selector.select():
                with self.changed:
                    if key.fileobj == self.bell:
                        os.read(self.bell, 4096)
                        self._look()
                    elif key.fileobj is self.listener:
                        s, _ = self.listener.accept()
                        self._add(Flow(s, True))
                    else:
                        self._move(key.data, events)
                    self.changed.notify_all()

    def _look(self):
        for flow in self.flows:
            self._register(flow)

    def _add(self, flow):
        self.flows.append(flow)
        self._register(flow)

    def _register(self, flow):
        """What it waits for may have changed."""
        s = flow.socket
        events = flow.wanted(self._most())
        if s in self.selector.get_map():
            if not events:
                self.selector.unregister(s)
            elif self.selector.get_key(s).events != events:
                self.selector.modify(s, events, flow)
        elif events:
            self.selector.register(s, events, flow)

    def _most(self):
        return 1 << 60 if self.limit is None else self.limit

    def _move(self, flow, events):
        try:
            if events & selectors.EVENT_READ:
                flow.read()
            if events & selectors.EVENT_WRITE and flow.ready(self._most()):
                flow.write(self._most())
            if not flow.shut and flow.sent == self.last:
                flow.socket.shutdown(socket.SHUT_WR)
                flow.shut = True
        except BlockingIOError:
            pass
        except OSError as e:
            flow.over = str(e)
            flow.shut = True
        self._register(flow)

    # Whoever uses it

    def _wait(self, what, function, seconds=WAIT_S):
        deadline = time.monotonic() + seconds
        with self.changed:
            while not function():
                left = deadline - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    raise AssertionError("%s: %s" % (what, self))

    def __str__(self):
        ends = [f.over for f in self.flows if f.over]
        return "%d connections, %d ended (%s), sent %s, received %s" % (
            len(self.flows), len(ends), ", ".join(sorted(set(ends))),
            min((f.sent for f in self.flows), default=0),
            min((f.received for f in self.flows), default=0))

    def _tell(self):
        os.write(self.ring, b"x")

    def dial(self, vmid, service, count):
        for _ in range(count):
            flow = Flow(self.library.dial(vmid, service), False)
            with self.changed:
                self.flows.append(flow)
        self._tell()

    def serve(self, vmid, service):
        self.listener = self.library.serve(vmid, service)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self._tell()

    def are(self, count):
        self._wait("%d connections" % count,
                   lambda: len(self.flows) == count)

    def flow(self, more, wait=True):
        """Each sends so much more; None: for ever. Return: what waits for it,
        if this did not"""
        with self.changed:
            self.limit = None if more is None else self.limit + more
        self._tell()

        def done():
            self._wait("%d bytes more" % more, lambda: all(
                f.sent == self.limit for f in self.flows))
        if wait and more is not None:
            done()
        return done

    def moves(self, more):
        """That much more has arrived of each."""
        with self.changed:
            least = [f.received + more for f in self.flows]
        self._wait("%d bytes more" % more, lambda: all(
            f.received >= n for f, n in zip(self.flows, least)))

    def let(self, size):
        """Each may send up to @size bytes in all, and then ends; end() waits."""
        with self.changed:
            self.limit = self.last = size
        self._tell()

    def end(self, size):
        """All have sent and received so much, and have ended well."""
        self._wait("%d bytes, and the end" % size, lambda: all(
            f.over for f in self.flows))
        for f in self.flows:
            assert (f.sent, f.received, f.over, f.wrong) == (
                size, size, "eof", False), \
                "sent %d, received %d of %d: %s%s" % (
                    f.sent, f.received, size, f.over,
                    ", and other bytes" if f.wrong else "")

    def over(self):
        """All have ended, whatever has become of the bytes."""
        self._wait("the end of all", lambda: all(f.over for f in self.flows))
        assert not any(f.wrong for f in self.flows), "other bytes"

    def forget(self):
        """These are over; others may come."""
        with self.changed:
            for f in self.flows:
                if f.socket in self.selector.get_map():
                    self.selector.unregister(f.socket)
                f.socket.close()
            self.flows = []
            self.limit, self.last = 0, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop = True
        self._tell()
        self.thread.join(5)
        for f in self.flows:
            f.socket.close()
        if self.listener:
            self.listener.close()
        self.selector.close()
        os.close(self.bell)
        os.close(self.ring)
