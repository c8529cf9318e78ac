#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hvctl's verbs by way of a guest's agent: good ones, and all others."""
import json
import os
import signal
import subprocess
import threading
import time
import unittest

import fake
from broker import HVCTL, LIMIT, Case

SHORT = "1"  # of an answer that does not come, and all that comes before it


class AgentCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        subprocess.run([HVCTL, "service", "add", "qemu-guest-agent", "--port",
                        str(fake.PORT), "--ephemeral"], check=True,
                       env=cls.broker.env(), stdout=subprocess.DEVNULL)

    def vm(self, name, **more):
        vm = fake.Vm(self.broker, HVCTL, name, **more)
        self.addCleanup(self.forget, vm)
        return vm.ready()

    def forget(self, vm):
        vm.close()
        self.hvctl("vm", "remove", vm.name)

    def told(self, *words, code=0):
        """Standard output and error."""
        r = self.run_hvctl(*words)
        self.assertEqual(r.returncode, code, r.stderr)
        return r.stdout.decode(), r.stderr.decode()


class Verbs(AgentCase):
    def setUp(self):
        self.v = self.vm("web1")
        self.a = self.v.agent

    def test_heartbeat(self):
        self.assertEqual(self.told("heartbeat", "web1"), (
            "web1: ok, applications unknown\n",
            "hvctl: heartbeat web1: via agent\n"))
        out, err = self.told("heartbeat", "web1", "--json")
        self.assertEqual(json.loads(out), {
            "heartbeat": "ok", "application": "unknown", "via": "agent"})
        self.assertEqual(err, "")
        # what was asked for needs not be said
        self.assertEqual(self.told("heartbeat", "--via=agent", "web1")[1], "")
        self.assertIn("they need VMBus", self.fails(
            "heartbeat", "--via=vmbus", "web1"))
        self.assertIn("vmbus or agent", self.fails(
            "heartbeat", "--via=smoke", "web1", code=2))

    def test_shutdown(self):
        self.assertEqual(self.hvctl("shutdown", "web1"),
                         "web1: shuts down\n")
        self.assertEqual(self.a.mode, "powerdown")
        # the end of everything is an answer, too
        self.a.does["guest-shutdown"] = lambda a, q: a.conn.shutdown(2)
        self.assertEqual(self.hvctl("reboot", "web1"), "web1: reboots\n")
        self.a.does["guest-shutdown"] = lambda a, q: a.refuse(
            q, "GenericError", "child process has failed to shutdown")
        self.assertIn("guest-shutdown failed in the guest: child process",
                      self.fails("shutdown", "web1"))
        self.assertIn("--force", self.fails("shutdown", "--force", "web1"))
        self.assertIn("--message", self.fails("reboot", "-m", "x", "web1"))
        self.a.does["guest-suspend-disk"] = lambda a, q: None
        self.hvctl("shutdown", "--hibernate", "web1")
        # (it notes what it was asked once it has answered)
        self.a.wait("its own ping", lambda: self.a.asked[-2:] == [
            "guest-suspend-disk", "guest-ping"])

    def test_time(self):
        before = time.time_ns()
        self.assertEqual(self.hvctl("time", "web1"), "web1: clock set\n")
        self.assertTrue(before <= self.a.time <= time.time_ns())
        # the system's clock was hours away, and is right; hwclock(8) failed
        def no_hwclock(agent, q):
            agent.time = q["arguments"]["time"]
            agent.refuse(q, "GenericError", "hwclock failed to set hardware "
                         "clock to system time")
        self.a.does["guest-set-time"] = no_hwclock
        self.assertIn("clock set, but", self.hvctl("time", "web1"))
        def nothing(agent, q):
            agent.time = 0
            agent.refuse(q, "GenericError", "not today")
        self.a.does["guest-set-time"] = nothing
        self.assertIn("not today", self.fails("time", "web1"))

    def test_info(self):
        o = self.json("info", "web1")
        self.assertEqual(o, {
            "via": "agent", "host_name": "fake1", "uptime_s": 93784,
            "os": {"name": "Fake \x1b[31mOS", "version": "7",
                   "kernel": "1.2.3", "machine": "x86_64"},
            "addresses": ["192.0.2.7", "2001:db8::7"],
            "services": [{"name": "qemu-guest-agent", "state": "ok",
                          "version": "9.9", "disabled": ["guest-exec"]}]})
        out = self.hvctl("info", "web1")
        self.assertNotIn("\x1b", out)
        for text in ("Fake \\x1b[31mOS", "1 days 02:03:04", "2001:db8::7",
                     "1 of its commands disabled"):
            self.assertIn(text, out)
        # what is not allowed is left out
        for name in ("get-osinfo", "file-open", "network-get-interfaces"):
            self.a.does["guest-" + name] = lambda a, q: a.refuse(
                q, "CommandNotFound", "Command x has been disabled")
        self.assertEqual(set(self.json("info", "web1")),
                         {"via", "host_name", "services"})

    def test_info_of_what_it_said_itself(self):
        self.assertNotIn("state", self.hvctl("info", "web1"))
        self.assertNotIn("ready", self.json("info", "web1"))
        self.v.say(b"STATUS=Starting \xc3\xa9")
        self.assertIn("state     Starting \u00e9\n",
                      self.hvctl("info", "web1"))
        self.v.say(b"READY=1\nSTATUS=Up")
        self.assertIn("state     ready: Up\n", self.hvctl("info", "web1"))
        o = self.json("info", "web1")
        self.assertEqual((o["ready"], o["status"], o["via"]),
                         ("ready", "Up", "agent"))
        self.v.say(b"STOPPING=1\nSTATUS=")
        self.assertIn("state     stopping\n", self.hvctl("info", "web1"))
        # by its VmId, and among others
        vmid = self.json("vm", "show", "web1")["id"]
        self.assertEqual(self.json("info", vmid)["ready"], "stopping")
        self.vm("web2")
        many = self.json("info", "web*")
        self.assertEqual([many[n].get("ready") for n in ("web1", "web2")],
                         ["stopping", None])

    def test_together(self):
        """What needs no answer is said before there is one."""
        self.a.holds = 6  # the sync, and the five that tell something
        self.json("info", "web1")
        self.assertEqual(self.a.asked[:5], [
            "guest-ping", "guest-get-osinfo", "guest-get-host-name",
            "guest-network-get-interfaces", "guest-info"])
        # what does something waits until the agent has shown that it listens
        self.a.holds = 2
        self.assertIn("does not answer", self.fails(
            "thaw", "-t", SHORT, "web1"))

    def test_one_at_a_time(self):
        """An agent that cannot read several is asked for them one by one."""
        def no_json(agent, q):
            agent.does.pop("guest-ping")
            agent.send({"error": {"class": "GenericError",
                                  "desc": "JSON parse error"}})
        self.a.does["guest-ping"] = no_json
        self.assertEqual(self.json("info", "web1")["host_name"], "fake1")

    def test_disabled(self):
        self.a.does["guest-shutdown"] = lambda a, q: a.refuse(
            q, "CommandNotFound", "Command guest-shutdown has been disabled")
        err = self.fails("shutdown", "web1")
        self.assertIn("guest-shutdown is not allowed by the guest", err)
        self.assertIn("qemu-ga.conf", err)
        del self.a.does["guest-shutdown"]
        self.a.does["guest-ping"] = lambda a, q: a.refuse(
            q, "CommandNotFound", "The command guest-ping has not been found")
        self.assertIn("has no command guest-ping",
                      self.fails("heartbeat", "web1"))

    def test_kvp(self):
        for words in ("list", "web1"), ("get", "web1", "x"):
            err = self.fails("kvp", *words)
            self.assertIn("they need VMBus", err)
            self.assertIn("hvctl info", err)


def flood(agent, q):
    """Empty lines, for as long as somebody takes them."""
    while True:
        agent.raw(b"\n" * 65536)


class BadLuck(AgentCase):
    def setUp(self):
        self.v = self.vm("web1")
        self.a = self.v.agent

    def test_stale_client(self):
        """Half an answer to somebody who is gone, and whole ones."""
        self.a.prefix = (b'{"return": {"buf-b64": "AAAA\n'
                         b'\xff{"return": 5}\n{"return": {}}\n')
        self.hvctl("heartbeat", "web1")

    def test_late_double_wrong(self):
        def doubled(agent, q):
            agent.raw(b'{"return": {}, "id": 1}\n')  # somebody's
            agent.answer(q, {})
            agent.answer(q, {})
        self.a.does["guest-ping"] = doubled
        self.hvctl("heartbeat", "web1")
        self.a.does["guest-get-osinfo"] = doubled
        self.a.does["guest-get-host-name"] = doubled
        self.assertEqual(len(self.json("info", "web1")["addresses"]), 2)
        self.a.does["guest-ping"] = lambda a, q: a.raw(
            b'{"return": {}, "id": 1}\n' * 1000)
        self.assertIn("nobody asked for", self.fails("heartbeat", "web1"))

    def test_garbage(self):
        for data, why in (
                (b"\0" * 100 + b"\n", "no JSON object"),
                (b'{"return": "\xc3\x28"}\n', "in UTF-8"),
                (b'{"return": ' + b"[" * 100 + b"\n", "nested too deep"),
                (b"x" * (5 << 20), "longer than is taken")):
            self.a.does["guest-ping"] = lambda a, q, d=data: a.raw(d)
            self.assertIn(why, self.fails("heartbeat", "web1"))
        self.a.does["guest-ping"] = lambda a, q: a.refuse(
            q, "GenericError", "\x1b]0;owned\x07" + "x" * 100000)
        err = self.fails("heartbeat", "web1")
        self.assertIn("\\x1b]0;owned\\x07", err)
        self.assertLess(len(err), 1000)

    def test_silent(self):
        self.a.does["guest-ping"] = lambda a, q: None
        self.assertIn("has not answered guest-ping in time", self.fails(
            "heartbeat", "-t", SHORT, "web1"))
        del self.a.does["guest-ping"]
        self.hvctl("heartbeat", "web1")

    def test_flood(self):
        self.a.does["guest-ping"] = flood
        self.assertIn("that nobody asked for", self.fails(
            "heartbeat", "-t", SHORT, "web1"))

    def test_hung(self):
        """It takes nothing; later it does, and has nothing of us to do."""
        self.a.hangs.clear()
        self.assertIn("it hangs, or serves somebody else", self.fails(
            "shutdown", "-t", SHORT, "web1"))
        self.a.hangs.set()
        self.hvctl("heartbeat", "web1")
        self.assertEqual(self.a.asked, ["guest-ping"])

    def test_gone(self):
        self.a.does["guest-ping"] = lambda a, q: a.conn.shutdown(2)
        self.assertIn("ended the connection before it answered guest-ping",
                      self.fails("heartbeat", "web1"))

    def test_missing(self):
        self.vm("bare", agent=False)
        self.assertIn("no agent listens in the guest",
                      self.fails("heartbeat", "bare"))
        self.assertIn("no partition", self.fails("heartbeat", "none"))
        self.hvctl("service", "remove", "qemu-guest-agent")
        self.addCleanup(self.hvctl, "service", "add", "qemu-guest-agent",
                        "--port", str(fake.PORT), "--ephemeral")
        self.assertIn("hvctl service add qemu-guest-agent --port",
                      self.fails("heartbeat", "web1"))


class Freeze(AgentCase):
    def setUp(self):
        self.v = self.vm("web1")
        self.a = self.v.agent

    def thawed(self):
        self.a.wait("it thaws", lambda: "guest-fsfreeze-thaw" in self.a.asked
                    and not self.a.frozen)

    def test_hold_is_over(self):
        self.assertEqual(
            self.hvctl("freeze", "--hold", "0.2", "web1"),
            "web1: frozen; thaws by itself after 0 s\n")
        self.thawed()

    def test_thaw(self):
        self.assertEqual(self.json("freeze", "web1"), {
            "via": "agent", "file_systems": "frozen", "frozen": 2,
            "thaw_ms": 60000})
        self.assertTrue(self.a.frozen)
        self.assertEqual(self.hvctl("thaw", "web1"), "web1: thawed\n")
        self.assertFalse(self.a.frozen)
        self.assertIn("not frozen", self.fails("thaw", "web1"))
        # the first one's keeper has nothing to do with this one
        self.hvctl("freeze", "--hold", "60", "web1")
        self.hvctl("thaw", "web1")

    def test_command(self):
        r = self.run_hvctl("freeze", "web1", "--", "sh", "-c",
                           "echo runs; exit 7")
        self.assertEqual((r.returncode, r.stdout), (7, b"runs\n"))
        self.assertFalse(self.a.frozen)
        self.assertEqual(self.a.asked, ["guest-fsfreeze-freeze",
                                        "guest-fsfreeze-thaw"])
        r = self.run_hvctl("freeze", "web1", "--", HVCTL, "thaw", "web1")
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"was not frozen", r.stderr)

    def test_killed(self):
        p = self.popen("freeze", "web1", "--", "sh", "-c",
                       "echo runs; exec sleep 1000", stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL, start_new_session=True)
        self.assertEqual(p.stdout.readline(), b"runs\n")
        self.assertTrue(self.a.frozen)
        os.killpg(p.pid, signal.SIGKILL)
        self.thawed()

    def test_hold_in_command(self):
        """A command that takes longer than the hold loses it, and is told."""
        p = self.popen("freeze", "--hold", "0.2", "web1", "--", "cat",
                       stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self.thawed()
        p.stdin.close()
        self.assertEqual(p.wait(LIMIT), 1)
        self.assertIn(b"not frozen any more", p.stderr.read())

    def test_keeper_killed(self):
        """Who waits for the command's end thaws in its keeper's place."""
        p = self.popen("freeze", "web1", "--", "sh", "-c",
                       "echo $0; exec cat", "keeper-killed-%d" % os.getpid(),
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL)
        mark = p.stdout.readline().strip()
        keepers = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if b"freeze" in words and mark in words and int(pid) != p.pid:
                keepers.append(int(pid))
        self.assertEqual(len(keepers), 1)
        os.kill(keepers[0], signal.SIGKILL)
        self.assertTrue(self.a.frozen)
        p.stdin.close()
        self.assertEqual(p.wait(LIMIT), 0)
        self.assertFalse(self.a.frozen)

    def test_flood_beside(self):
        """One that never stops talking keeps no other one frozen."""
        other = self.vm("web2").agent
        self.a.does["guest-fsfreeze-thaw"] = flood
        self.hvctl("freeze", "--hold", "0.1", "web1", "web2")
        other.wait("it thaws", lambda: "guest-fsfreeze-thaw" in other.asked
                   and not other.frozen)
        del self.a.does["guest-fsfreeze-thaw"]
        self.thawed()

    def test_never_answered(self):
        def late(agent, q):
            agent.frozen = True
        self.a.does["guest-fsfreeze-freeze"] = late
        self.assertIn("has not answered guest-fsfreeze-freeze in time",
                      self.fails("freeze", "-t", SHORT, "web1"))
        self.thawed()

    def test_thaw_fails_at_first(self):
        tries = []
        def second(agent, q):
            tries.append(1)
            if len(tries) == 1:
                agent.conn.shutdown(2)
            else:
                agent.do_fsfreeze_thaw(q)
        self.a.does["guest-fsfreeze-thaw"] = second
        self.hvctl("freeze", "--hold", "0.1", "web1")
        self.thawed()
        self.assertEqual(len(tries), 2)

    def test_refused(self):
        self.a.does["guest-fsfreeze-freeze"] = lambda a, q: a.refuse(
            q, "CommandNotFound", "Command x has been disabled")
        self.assertIn("is not allowed", self.fails("freeze", "web1"))
        self.assertIn("is not allowed",
                      self.fails("freeze", "web1", "--", "true"))
        self.hvctl("heartbeat", "web1")
        self.assertNotIn("guest-fsfreeze-thaw", self.a.asked)


class Many(AgentCase):
    def test_some(self):
        for name in ("web1", "web2", "db1"):
            self.vm(name)
        self.vm("bare", agent=False)
        self.hvctl("vm", "add", "web-off", "--ephemeral")
        self.addCleanup(self.hvctl, "vm", "remove", "web-off")
        o = json.loads(self.told("heartbeat", "web*", "db1", "--json")[0])
        self.assertEqual({k: v["via"] for k, v in o.items()}, {
            "web1": "agent", "web2": "agent", "db1": "agent"})
        out, err = self.told("heartbeat", "--all", code=1)
        self.assertEqual(len(out.splitlines()), 3)
        self.assertIn("hvctl: heartbeat: via agent: 3 of 4\n", err)
        self.assertIn("heartbeat bare: no agent", err)
        self.assertIn("no VM is on VMBus", self.fails(
            "heartbeat", "--all", "--via=vmbus"))
        self.assertIn("no VM attached matches", self.fails("info", "x*"))
        self.assertIn("no VM is on VMBus", self.fails(
            "integration", "list", "--all"))

    def test_a_hundred(self):
        """They wait together: one that is slow costs no more than itself."""
        n = 100 if os.environ.get("HVSOCKET_TEST_LONG") else 12
        vms = [fake.Vm(self.broker, HVCTL, "n%d" % i) for i in range(n)]
        for vm in vms:
            self.addCleanup(self.forget, vm)
        for vm in vms:
            vm.ready()
        all_in = threading.Barrier(n)
        def together(agent, q):
            all_in.wait(LIMIT)  # each is asked before any is answered
            agent.answer(q, {})
        for vm in vms:
            vm.agent.does["guest-ping"] = together
        self.assertEqual(len(self.hvctl("heartbeat", "--all").splitlines()),
                         n)
        for vm in vms:
            vm.agent.does.clear()
        took = {}
        for words in ("n0",), ("--all",):
            took[words] = min(self.time("heartbeat", *words)
                              for _ in range(5))
        print("# one: %.1f ms, all %d: %.1f ms" % (
            took[("n0",)] * 1e3, n, took[("--all",)] * 1e3))

    def time(self, *words):
        start = time.monotonic()
        self.hvctl(*words)
        return time.monotonic() - start


class Work(AgentCase):
    """What hvctl exec and cp are made of (agent.h), with a program for it."""

    def setUp(self):
        self.v = self.vm("web1")
        self.a = self.v.agent

    def work(self, *words, code=0, data=b""):
        r = subprocess.run([os.environ["WORK"], "web1", *words], input=data,
                           capture_output=True, timeout=LIMIT,
                           env=self.broker.env())
        self.assertEqual(r.returncode, code, r.stderr[:1000])
        return r.stdout, r.stderr.decode(errors="replace")

    def test_exec(self):
        self.assertEqual(self.work("exec", "sh", "-c",
                                   "echo out; echo err >&2; exit 9", code=9),
                         (b"out\n", "err\n"))
        self.work("exec", "sh", "-c", "kill -9 $$", code=137)
        self.assertEqual(self.work("exec", "-e", "X=1 2", "-e",
                                   "PATH=/bin:/usr/bin", "sh", "-c",
                                   "echo $X")[0], b"1 2\n")
        data = os.urandom(300000)
        self.assertEqual(self.work("exec", "-i", "cat", data=data)[0], data)
        self.assertIn("32 MiB", self.work("exec", "-i", "cat", code=1,
                                          data=bytes((32 << 20) + 1))[1])
        # 10 MiB, that nobody reads as they come
        self.assertEqual(len(self.work("exec", "head", "-c", "10M",
                                       "/dev/zero")[0]), 10 << 20)
        self.assertIn("argument 1 is not UTF-8",
                      self.work("exec", "echo", b"\xff", code=1)[1])

    def test_exec_goes_on(self):
        self.a.does["guest-exec"] = lambda a, q: a.answer(q, {"pid": 5})
        self.a.does["guest-exec-status"] = lambda a, q: a.answer(
            q, {"exited": False})
        self.assertIn("goes on in the guest",
                      self.work("exec", "-t", "100", "x", code=1)[1])

    def test_exec_nonsense(self):
        for answer in ({}, {"exited": True}, {"exited": True, "exitcode": 0,
                                              "out-data": "!"}, []):
            self.a.does["guest-exec"] = lambda a, q: a.answer(q, {"pid": 5})
            self.a.does["guest-exec-status"] = lambda a, q, x=answer: (
                a.answer(q, x))
            self.assertIn("not what it should be" if answer != {} and
                          answer != [] else "goes on",
                          self.work("exec", "-t", "1", "x", code=1)[1])
        self.a.does["guest-exec"] = lambda a, q: a.answer(q, [])
        self.assertIn("not what it should be",
                      self.work("exec", "x", code=1)[1])

    def test_files(self):
        data = os.urandom((3 << 20) + 5)
        self.work("write", "/x", data=data)
        self.assertEqual(self.a.files["/x"], data)
        self.assertEqual(self.work("read", "/x")[0], data)
        self.assertIn("No such file", self.work("read", "/none", code=1)[1])
        self.work("write", "/empty")
        self.assertEqual(self.work("read", "/empty")[0], b"")
        self.assertEqual(self.a.handles, {})

    def test_files_nonsense(self):
        self.a.files["/x"] = bytearray(10)
        for answer in ({"count": 0, "buf-b64": "", "eof": False},
                       {"buf-b64": "A"}, 5):
            self.a.does["guest-file-read"] = lambda a, q, x=answer: (
                a.answer(q, x))
            self.assertIn("not what it should be",
                          self.work("read", "/x", code=1)[1])
        for count in 0, 6, -1:
            self.a.does["guest-file-write"] = lambda a, q, n=count: (
                a.answer(q, {"count": n}))
            self.assertIn("not what it should be",
                          self.work("write", "/x", code=1, data=b"12345")[1])
        self.assertEqual(self.a.handles, {})


if __name__ == "__main__":
    unittest.main()
