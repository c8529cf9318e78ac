# SPDX-License-Identifier: MIT
"""qmp - QEMU's monitor, in its machine protocol"""
import json
import socket


class Monitor:
    def __init__(self, path, seconds=20):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.events = []
        json.loads(self.lines.readline())  # its greeting
        self.do("qmp_capabilities")

    def _next(self):
        line = self.lines.readline()
        if not line:
            raise EOFError("QEMU has closed its monitor")
        return json.loads(line)

    def do(self, command, **arguments):
        self.socket.sendall(json.dumps(
            {"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._next()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise OSError("%s: %s" % (command, answer["error"]["desc"]))
            else:
                return answer["return"]

    def wait(self, name, **data):
        """The first event of that name, with such data."""
        while True:
            for event in self.events:
                if event["event"] == name and \
                        data.items() <= event.get("data", {}).items():
                    self.events.remove(event)
                    return event
            self.events.append(self._next())

    def close(self):
        self.lines.close()
        self.socket.close()
