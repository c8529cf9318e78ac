# SPDX-License-Identifier: MIT
"""Hyper-V's integration services: a stock guest's hv_utils and daemons, asked
with hvctl."""
import hashlib
import json
import os
import signal
import subprocess
import time

import hv
import stack
import tap
from freezing import ends_by_itself, thaws, waits, writes
from guest_volume import replace


class Integrated(hv.HvStack):
    options = ("--integration", "all")

    def start_guest(self, name="guest", **more):
        more.setdefault("initramfs", hv.inner("initramfs-integration"))
        return super().start_guest(name, **more)

    def service_list(self):
        o = json.loads(self.control("integration", "list", self.name,
                                    "--json"))
        return {s["name"]: s for s in o["services"]}

    def until_ok(self, *names):
        stack.until("services of the guest", lambda: all(
            self.service_list()[n]["state"] == "ok" for n in names))

    def refused(self, *words):
        """hvctl's one line, of a verb that has to fail."""
        r = subprocess.run([self.hvctl] + list(words), text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=stack.WAIT_S)
        tap.check(r.returncode, "%s: not refused: %s" % (words, r.stdout))
        return r.stdout

    def attempt(self, *words):
        return self.control(*words, check=False)

    def start_control(self, *words):
        return subprocess.Popen([self.hvctl] + list(words),
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL)


STACK = Integrated
LATE_S = 9


def daemon(f, name):
    """Runs in the guest, also if this test is the first one there is."""
    f.guest.run("pgrep %s || %s" % (name[:15], name)).ok()


def disk(f):
    """An empty one, at /disk."""
    f.guest.run("grep -q ' /disk ' /proc/mounts || (mkdir -p /disk && "
                "mke2fs /dev/ram0 >/dev/null 2>&1 && "
                "mount -t ext4 /dev/ram0 /disk)").ok()


def test_services_and_heartbeat(f):
    f.until_ok("heartbeat", "shutdown", "timesync")
    said = f.guest.run("dmesg | grep -i ' IC version'").ok()
    for name, version in (("heartbeat", "3.0"), ("shutdown", "3.2"),
                          ("timesync", "4.0")):
        tap.same(f.service_list()[name]["version"], version, name)
    tap.check("Shutdown IC version 3.2" in said, said)

    def beats():
        o = json.loads(f.control("heartbeat", f.name, "--json"))
        return o["heartbeat"] == "ok" and o["answers"] >= 2
    stack.until("heartbeats", beats)
    tap.check(": ok, applications unknown" in
              f.control("heartbeat", "--all"), "for people")


def clock_is_wrong(f):
    f.guest.run("date -s '2020-01-01 00:00:00'").ok()


def clock_gets_right(f, within=5):
    """It is not late either, by more than asking takes."""
    def right():
        before = time.time()
        guest = int(f.guest.run("date +%s").ok())
        return before - within < guest < time.time() + within
    stack.until("the guest's clock", right)


def test_time(f):
    f.until_ok("timesync")
    clock_is_wrong(f)
    f.control("time", f.name)
    clock_gets_right(f)


def test_time_that_is_read_late(f):
    f.until_ok("timesync")
    clock_is_wrong(f)
    f.pause_guest()
    try:
        job = f.start_control("time", f.name, "--timeout", "120")
        time.sleep(LATE_S)
    finally:
        f.resume_guest()
    tap.same(job.wait(120), 0, "time")
    clock_gets_right(f, LATE_S / 3)


def test_disabled_and_enabled_again(f):
    f.until_ok("heartbeat")
    f.control("integration", "disable", f.name, "heartbeat")
    tap.same(f.service_list()["heartbeat"]["state"], "disabled", "state")
    tap.check("disabled for this VM" in f.refused("heartbeat", f.name), "why")
    f.control("integration", "enable", f.name, "heartbeat")
    f.until_ok("heartbeat")
    stack.until("heartbeats", lambda: ": ok" in f.control("heartbeat", f.name))


def test_driver_gone(f):
    f.until_ok("shutdown")
    f.guest.run("rmmod hv_utils").ok()
    stack.until("no driver", lambda: f.service_list()["shutdown"]["state"] ==
                "no driver")
    tap.check("hv_utils) is missing" in f.refused("shutdown", f.name), "why")
    f.guest.run("insmod /lib/modules/hv_utils.ko").ok()
    f.until_ok("heartbeat", "shutdown", "timesync")


def test_keys_and_values(f):
    f.until_ok("heartbeat")
    tap.same(f.service_list()["kvp"]["state"], "no answer", "no daemon")
    tap.check("hv_kvp_daemon does not run" in
              f.refused("kvp", "get", f.name, "a"), "why")
    f.guest.run("mkdir -p /var/lib/hyperv").ok()
    daemon(f, "hv_kvp_daemon")
    f.until_ok("kvp")
    entries = json.loads(f.control("kvp", "list", f.name, "--json"))["entries"]
    facts = {e["key"]: e["value"] for e in entries if e["pool"] == "auto"}
    tap.same(facts["OSBuildNumber"], f.guest.run("uname -r").ok().strip(),
             "the guest's kernel")
    tap.check("FullyQualifiedDomainName" in facts, str(facts))
    value = "z\u00e4hl \U0001f600 " + "x" * 900
    f.control("kvp", "set", f.name, "name of it", value)
    tap.same(f.control("kvp", "get", f.name, "name of it", "-p",
                       "external").rstrip("\n"), value, "what was set")
    tap.check("x" * 900 in f.guest.run(
        "tr -d '\\0' </var/lib/hyperv/.kvp_pool_0").ok(), "in the guest")
    f.control("kvp", "delete", f.name, "name of it")
    tap.check("no such key" in f.refused("kvp", "get", f.name, "name of it",
                                         "-p", "external"), "deleted")
    tap.check("longer than" in f.refused("kvp", "set", f.name, "k" * 300, "v"),
              "a long key")


ADAPTER = "{0c5a7d2e-3b1f-4a68-9e0d-7f21b35c8a4d}"
MAC = "00:15:5d:01:02:0a"
SCRIPT = "/usr/libexec/hypervkvpd/hv_set_ifconfig"
STAND_IN = " && ".join((
    "mkdir -p /var/lib/hyperv " + os.path.dirname(SCRIPT),
    "printf '#!/bin/sh\\ncp \"$1\" /was-set\\n' >" + SCRIPT,
    "chmod +x " + SCRIPT,
    "mount -t tmpfs none /sys/class/net",
    "mkdir -p /sys/class/net/dummy0/device",
    "echo '%s' >/sys/class/net/dummy0/device/device_id" % ADAPTER,
    "echo %s >/sys/class/net/dummy0/address" % MAC,
    "ifconfig dummy0 192.0.2.99 netmask 255.255.255.0 up"))


def was_set(f):
    """What hv_kvp_daemon gave to the distribution's script, which Debian's
    package has none of."""
    said = f.guest.run("cat /was-set; rm /was-set").ok()
    return dict(line.strip().split("=", 1) for line in said.splitlines()
                if "=" in line)


def test_addresses(f):
    """There is no netvsc: a dummy interface has the file by which the daemon
    finds Hyper-V's adapters."""
    f.guest.run("mkdir -p /var/lib/hyperv").ok()
    daemon(f, "hv_kvp_daemon")
    f.until_ok("kvp")
    set_ip = ("kvp", "set-ip", f.name)
    tap.check("no such adapter" in f.refused(
        *set_ip, ADAPTER, "--address", "192.0.2.1"), "not there yet")
    f.guest.run(STAND_IN).ok()
    try:
        f.control(*set_ip, ADAPTER.strip("{}").upper(),
                  "--address", "192.0.2.7;2001:db8::7",
                  "--mask", "255.255.255.0;64", "--gateway", "192.0.2.254",
                  "--dns", "192.0.2.53;192.0.2.54")
        facts = was_set(f)
        want = {"HWADDR": MAC.upper(), "DEVICE": "dummy0",
                "BOOTPROTO": "none", "IPADDR0": "192.0.2.7",
                "NETMASK0": "255.255.255.0", "GATEWAY": "192.0.2.254",
                "DNS1": "192.0.2.53", "DNS2": "192.0.2.54"}
        tap.same({k: facts.get(k) for k in want}, want, str(facts))
        tap.check(any(v.startswith("2001:") and v.endswith("0007")
                      for v in facts.values()), "IPv6: %s" % facts)
        f.control(*set_ip, ADAPTER, "--dhcp")
        facts = was_set(f)
        tap.same(facts["BOOTPROTO"], "dhcp", str(facts))
        tap.check("IPADDR0" not in facts, str(facts))
        tap.check("\"router\" is not an IP address" in f.refused(
            *set_ip, ADAPTER, "--address", "192.0.2.1", "--gateway",
            "router"), "no address")
        f.guest.run("test ! -e /was-set").ok()
        o = json.loads(f.control("kvp", "ip", f.name,
                                 MAC.upper().replace(":", "-"), "--json"))
        tap.check("192.0.2.99" in o["address"].split(";"), str(o))
        said = f.refused("kvp", "ip", f.name, "00155d010203")
        tap.check("the guest" in said, said)  # which says no more: 0x80004005
    finally:
        f.guest.run("umount /sys/class/net").ok()


def test_info(f):
    f.until_ok("heartbeat", "shutdown", "timesync")
    f.guest.run("mkdir -p /var/lib/hyperv").ok()
    daemon(f, "hv_kvp_daemon")
    f.until_ok("kvp")
    o = json.loads(f.control("info", f.name, "--json"))
    tap.same(o["via"], "vmbus", "the way")
    tap.same(o["os"]["kernel"], f.guest.run("uname -r").ok().strip(),
             "the guest's kernel")
    tap.same(o["os"]["machine"], f.guest.run("uname -m").ok().strip(),
             "its machine")
    tap.check(o["host_name"], "its name: %s" % o)
    tap.check(isinstance(o["addresses"], list), "addresses: %s" % o)
    tap.same({s["name"]: s["state"] for s in o["services"]}["kvp"], "ok",
             "services")
    tap.same(list(json.loads(f.control("info", "--all", "--json"))),
             [f.name], "of all")
    said = f.control("info", f.name)
    tap.check(o["os"]["kernel"] in said and "heartbeat" in said, said)


def test_freeze_and_thaw(f):
    f.until_ok("vss")
    tap.check("hv_vss_daemon does not run" in f.refused("freeze", f.name),
              "no daemon")
    disk(f)
    daemon(f, "hv_vss_daemon")
    stack.until("frozen", lambda: "frozen" in f.attempt("freeze", f.name))
    tap.same(f.service_list()["vss"]["file_systems"], "frozen", "state")
    job = writes(f)
    tap.check("thaw it first" in f.refused("integration", "disable", f.name,
                                           "vss"), "it could not be thawed")
    tap.check("frozen already" in f.refused("freeze", f.name), "twice")
    waits(f)
    thaws(f, job)
    ends_by_itself(f)
    # the caller is killed; its command is not, and ends by itself
    with f.start_control("freeze", f.name, "--", "sh", "-c",
                         "while kill -0 $PPID 2>&-; do sleep 1; done") as p:
        stack.until("frozen", lambda: f.service_list()["vss"][
            "file_systems"] == "frozen")
        p.kill()
    writes(f).ok()


def test_file_copied(f):
    source = os.path.join(f.work, "source")
    with open(source, "wb") as out:
        out.write(os.urandom(50001))
    kernel = f.guest.run("uname -r").ok().split(".")
    if (int(kernel[0]), int(kernel[1])) >= (6, 10):
        # its hv_utils has no such driver any more
        said = f.refused("fcopy", f.name, source, "/tmp/x/copy")
        tap.check("Linux 6.1 and before) is missing" in said, said)
        return
    f.until_ok("fcopy")
    said = f.refused("fcopy", f.name, source, "/tmp/x/copy")
    tap.check("hv_fcopy_daemon does not run" in said, said)
    daemon(f, "hv_fcopy_daemon")
    stack.until("copied", lambda: f.attempt(
        "fcopy", f.name, source, "/tmp/x/", "--mkdir", "--overwrite") == "")
    with open(source, "rb") as data:
        want = hashlib.md5(data.read()).hexdigest()
    tap.same(f.guest.run("md5sum /tmp/x/source").ok().split()[0], want, "sum")
    tap.check("exists there already" in f.refused(
        "fcopy", f.name, source, "/tmp/x/source"), "not over another")
    tap.check("without .." in f.refused(
        "fcopy", f.name, source, "/tmp/../x"), "..")


def test_another_process_goes_on(f):
    f.guest.run("mkdir -p /var/lib/hyperv").ok()
    disk(f)
    daemon(f, "hv_kvp_daemon")
    daemon(f, "hv_vss_daemon")
    f.until_ok("heartbeat", "kvp", "vss")
    stack.until("frozen", lambda: "frozen" in f.attempt(
        "freeze", f.name, "--hold", "600"))
    replace(f)
    stack.until("attached again", lambda: "vss" in f.attempt(
        "integration", "list", f.name, "--json"))
    f.until_ok("heartbeat", "kvp", "vss")
    tap.same(f.service_list()["vss"]["file_systems"], "frozen", "state")
    # killed, it leaves nobody who knows: the next one thaws
    os.kill(f.guest.transport(), signal.SIGKILL)
    writes(f).ok()
    f.until_ok("heartbeat", "shutdown")


def killed(f):
    before = f.guest.transport()
    os.kill(before, signal.SIGKILL)

    def other():
        try:
            return f.guest.transport() != before
        except (OSError, hv.vm.GuestError):
            return False
    stack.until("another hvsocket-vmbus", other)


def test_time_after_another_transport(f):
    """(One that was killed has the next one thaw the guest, for a while.)"""
    for replaces in (replace, killed):
        f.until_ok("timesync")
        clock_is_wrong(f)
        replaces(f)
        stack.until("it is asked", lambda: "timesync" in f.attempt(
            "integration", "list", f.name))
        f.until_ok("timesync")
        tap.same(f.service_list()["timesync"]["version"], "4.0",
                 replaces.__name__)
        clock_gets_right(f)


def reboots(f):
    f.guest.begin_again()
    tap.check("reboots" in f.control("reboot", f.name), "reboot")
    f.guest.ready.expect("^ready$", 60)
    f.guest.jobs.clear()
    f.until_ok("shutdown", "timesync")
    # its reference counter has begun anew
    tap.same(f.service_list()["timesync"]["version"], "4.0", "timesync")
    clock_is_wrong(f)
    f.control("time", f.name)
    clock_gets_right(f)


def test_reboot_and_shutdown(f):
    f.until_ok("shutdown")
    if hv.LONG:
        reboots(f)
    said = f.refused("shutdown", "--hibernate", f.name)
    tap.check("refuses shutdown" in said, said)
    tap.check("shuts down" in f.control("shutdown", f.name), "shutdown")
    tap.same(f.guest.wait(), 0, "status")
