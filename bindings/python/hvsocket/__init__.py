# SPDX-License-Identifier: MIT
"""Hyper-V sockets on Linux, in the shape of the socket module.

    import hvsocket

    with hvsocket.create_connection("web1:echo") as s:      # VM, service
        s.sendall(b"hello")
        print(s.recv(100))

    with hvsocket.create_server("children:echo") as listener:
        s, peer = listener.accept()
        print(peer.vm_id, peer.text())

An address is "PARTITION:SERVICE" or a pair of the two. Each part is a name, a
GUID (as text or uuid.UUID) or a word ("wildcard", "children", "parent",
"loopback", "silohost", "host"); a service may be a port number of VSOCK, too.
What comes back is an Address, a pair of GUIDs as text, as CPython has it on
Windows.

HvSocket is a socket.socket: it goes where those go (select, selectors,
asyncio's loop.sock_*). A refusal is an HvError, which is also the OSError that
fits (ConnectionRefusedError and so on), and says why. hvsocket-python(7) has
the details; all the work is done by libhvsocket, called through ctypes.
"""
from ._address import (Address, Partition, new_guid, partition, resolve,
                       service_id)
from ._errors import HvError, Reason
from ._library import _Reason  # for the tests
from ._numbers import *
from ._socket import HvSocket, create_connection, create_server
from ._streams import open_connection, start_server

__all__ = ["HvSocket", "HvError", "Reason", "Address", "create_connection",
           "create_server", "open_connection", "start_server", "partition",
           "new_guid", "service_id", "resolve"]

# Where each stands is of no interest to others, nor to pickle.
for _name in __all__ + ["Partition"]:
    globals()[_name].__module__ = __name__
