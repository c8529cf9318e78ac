#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A double of a VMM that cannot run here, for the recipes of docs/recipes.md

    vmm-double.py cloud-hypervisor|crosvm|firecracker WORD...

Takes the VMM's own words and files, as far as the recipes have them, and none
that it does not know. A device of vhost-user is vhost-user-front's
($VHOST_USER_FRONT); of the Unix sockets the VMM's side is tests/hybrid/vmm.py,
and the guest is here: it serves port 6000 and calls port 5000, as the page's.
"""
import json
import os
import signal
import socket
import sys
import threading

from vmm import Vmm, read_all


def fail(text):
    sys.exit("%s: %s" % (sys.argv[1], text))


def check(truth, text):
    if not truth:
        fail(text)


def options(words, known, flags=()):
    """--name value, or a flag; @known are all that there may be."""
    found = {}
    words = list(words)
    while words:
        name = words.pop(0)
        if name in flags:
            found[name] = True
            continue
        check(name in known, "unknown option " + name)
        check(words, name + " needs a value")
        found[name] = words.pop(0)
    return found


def pairs(text, known):
    """a=b,c=[d,e]"""
    found, depth, part = {}, 0, ""
    for c in text + ",":
        depth += (c == "[") - (c == "]")
        if c == "," and not depth:
            name, _, value = part.partition("=")
            check(name in known, "unknown key %s in %s" % (name, text))
            found[name] = value
            part = ""
        else:
            part += c
    return found


def is_there(path):
    check(os.path.isfile(path), path + " is not there")


def vhost_user(name, path):
    os.execl(os.environ["VHOST_USER_FRONT"], "vhost-user-front", name, path)


def serve(s, answer):
    """The guest's program at port 6000."""
    s.sendall(answer)
    s.sendall(read_all(s).rstrip(b"\n")[::-1] + b"\n")
    s.close()


def hybrid(path, cid):
    check(int(cid) > 2, "a guest's CID is above 2")
    # one whose VMM was killed is still there: they do not start then
    check(not os.path.lexists(path), path + ": Address already in use")
    vmm = Vmm(path)
    vmm.guest[6000] = serve
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tick = threading.Event()
    while True:
        try:
            s = vmm.dial(5000)
            break
        except ConnectionResetError:
            tick.wait(1)  # as the guest's loop does
    s.sendall(b"hello from the guest\n")
    s.shutdown(socket.SHUT_WR)
    read_all(s)
    s.close()
    try:
        signal.pause()
    finally:
        os.unlink(path)


def cloud_hypervisor(words):
    o = options(words, ("--memory", "--kernel", "--initramfs", "--cmdline",
                        "--serial", "--console", "--vsock",
                        "--generic-vhost-user"))
    is_there(o["--kernel"])
    is_there(o["--initramfs"])
    memory = pairs(o["--memory"], ("size", "shared"))
    if "--vsock" in o:
        v = pairs(o["--vsock"], ("cid", "socket"))
        return hybrid(v["socket"], v["cid"])
    v = pairs(o["--generic-vhost-user"], ("socket", "device_type",
                                          "queue_sizes"))
    check(memory.get("shared") == "on", "vhost-user needs shared memory")
    check(v["device_type"] in ("vsock", "19"), "it is no vsock")
    sizes = v["queue_sizes"].strip("[]").split(",")
    check(sizes == ["128"] * 3, "three queues of 128 are what is replayed")
    return vhost_user("cloud-hypervisor", v["socket"])


def crosvm(words):
    check(words[0] == "run", "what to do?")
    check(len(words) % 2 == 0, "one kernel, at the end")
    is_there(words[-1])
    o = options(words[1:-1], ("--mem", "--initrd", "-p", "--serial",
                              "--vhost-user"))
    is_there(o["--initrd"])
    kind, _, rest = o["--vhost-user"].partition(",")
    check(kind == "vsock", "it is no vsock")
    return vhost_user("crosvm", pairs(rest, ("socket",
                                             "max-queue-size"))["socket"])


def firecracker(words):
    o = options(words, ("--config-file",), ("--no-api",))
    check(o.get("--no-api"), "an API socket is not replayed")
    with open(o["--config-file"]) as f:
        c = json.load(f)
    check(set(c) == {"boot-source", "drives", "machine-config", "vsock"},
          "sections: %s" % ", ".join(c))
    check(set(c["boot-source"]) <= {"kernel_image_path", "initrd_path",
                                    "boot_args"}, "boot-source")
    is_there(c["boot-source"]["kernel_image_path"])
    is_there(c["boot-source"]["initrd_path"])
    check(set(c["machine-config"]) == {"vcpu_count", "mem_size_mib"},
          "machine-config")
    check(set(c["vsock"]) == {"guest_cid", "uds_path"}, "vsock")
    return hybrid(c["vsock"]["uds_path"], c["vsock"]["guest_cid"])


{"cloud-hypervisor": cloud_hypervisor, "crosvm": crosvm,
 "firecracker": firecracker}[sys.argv[1]](sys.argv[2:])
