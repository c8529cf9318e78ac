# SPDX-License-Identifier: MIT
"""Who and what: addresses, and the partition that this is"""
import ctypes
import uuid
from ctypes import byref, c_ubyte
from typing import NamedTuple

from ._errors import _check
from ._library import _c, _Sockaddr
from ._numbers import HV_GUID_VSOCK_TEMPLATE


class Address(NamedTuple):
    """Who and what, as GUIDs in lower case."""
    vm_id: str
    service_id: str

    @property
    def port(self):
        """The VSOCK port that the service is, or None."""
        if self.service_id[8:] != HV_GUID_VSOCK_TEMPLATE[8:]:
            return None
        return int(self.service_id[:8], 16)

    def text(self):
        """"web1:echo": names, where the broker knows them."""
        out = ctypes.create_string_buffer(256)
        _check(_c.hvs_address_format(byref(_raw(self)), out, len(out), 0))
        return out.value.decode(errors="replace")


def _cooked(raw):
    return Address(*(str(uuid.UUID(bytes_le=bytes(part)))
                     for part in (raw.vm_id, raw.service_id)))


def _raw(address):
    if not isinstance(address, (str, tuple, list)):
        raise TypeError("an address is \"PARTITION:SERVICE\" or a pair, not "
                        + type(address).__name__)
    if not isinstance(address, str):
        if len(address) != 2:
            raise ValueError("%r: an address has two parts" % (address,))
        for part in address:
            if isinstance(part, bool) or not isinstance(
                    part, (str, int, uuid.UUID)):
                raise TypeError("%r: no name, GUID or port" % (part,))
        address = "%s:%s" % tuple(address)
    if "\0" in address:
        raise ValueError("%r: a zero byte in an address" % address)
    raw = _Sockaddr()
    _check(_c.hvs_address_parse(address.encode(), byref(raw)))
    return raw


def resolve(address):
    """The Address of whatever stands for one; names are the broker's."""
    return _cooked(_raw(address))


def service_id(port):
    """The ServiceId of a VSOCK port."""
    if not 0 <= port <= 0xffffffff:
        raise ValueError("%r: a port has 32 bits" % port)
    return "%08x%s" % (port, HV_GUID_VSOCK_TEMPLATE[8:])


def new_guid():
    """A GUID for a service of one's own."""
    return str(uuid.uuid4())


class Partition(NamedTuple):
    vm_id: str
    name: str


def partition():
    """The partition that this process is in: of the host, vm_id is zero."""
    vm_id, name = (c_ubyte * 16)(), ctypes.create_string_buffer(512)
    _check(_c.hvs_partition(vm_id, name, len(name)))
    return Partition(str(uuid.UUID(bytes_le=bytes(vm_id))),
                     name.value.decode(errors="replace"))
