# SPDX-License-Identifier: MIT
"""nudge - interrupts for processors that have missed theirs

QEMU's emulation changes a word of each processor (interrupt_request) from
several threads without a lock. The bit that an interrupt waits is lost then:
the interrupt controller has it, and the processor sleeps on, most often for
good, as nobody sends what is pending already. An exit of a nested guest changes
that word each time, so it happens every few minutes.

Any other interrupt sets the bit again. So each processor has a serial port
whose interrupts are its own, and a byte comes in there ten times a second.
"""
import os
import socket
import threading
import time

FIRST = 2  # ttyS0 and ttyS1 are the console and guest-agent's
PERIOD_S = 0.1
SETUP = (
    "stty raw -echo <>/dev/ttyS%(port)d; "
    "{ cat </dev/ttyS%(port)d >/dev/null 2>&1 & }; "
    "irq=$(sed -n 's/^%(port)d: .* irq:\\([0-9]*\\) .*/\\1/p' "
    "/proc/tty/driver/serial); "
    "until [ -d /proc/irq/$irq ]; do :; done; "
    "echo %(cpu)d >/proc/irq/$irq/smp_affinity_list")


def paths(work, cpus):
    """Where guest-run is to make the ports."""
    return [os.path.join(work, "nudge%d" % i) for i in range(cpus)]


def _nudge(streams):
    while True:
        for s in streams:
            try:
                s.send(b".")
            except BlockingIOError:
                pass  # nobody reads while it boots again
            except OSError:
                return  # the machine is gone
        time.sleep(PERIOD_S)


def start(machine, where):
    """For as long as the machine is there."""
    streams = []
    for cpu, path in enumerate(where):
        machine.run(SETUP % {"port": FIRST + cpu, "cpu": cpu}).ok()
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(path)
        s.setblocking(False)
        streams.append(s)
    threading.Thread(target=_nudge, args=(streams,), daemon=True).start()
