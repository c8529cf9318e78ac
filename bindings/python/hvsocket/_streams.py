# SPDX-License-Identifier: MIT
"""asyncio's streams"""
from ._errors import HvError, _error
from ._numbers import (HVSOCKET_CONNECT_TIMEOUT, HVSOCKET_WAIT_LISTENER,
                       SOL_HVSOCKET)
from ._socket import HvSocket, _ms


async def open_connection(address, *, timeout=None, wait=False, **streams):
    """As asyncio.open_connection(); timeout in seconds, and wait for a
    listener, are the broker's business. Other arguments go to asyncio."""
    import asyncio
    loop = asyncio.get_running_loop()
    s = HvSocket()
    try:
        if timeout is not None:
            s.setsockopt(SOL_HVSOCKET, HVSOCKET_CONNECT_TIMEOUT, _ms(timeout))
        if wait:
            s.setsockopt(SOL_HVSOCKET, HVSOCKET_WAIT_LISTENER, 1)
            s = await _wait_in_thread(loop, s, address)
        else:
            s.setblocking(False)
            try:
                await loop.sock_connect(s, address)
            except HvError:
                raise
            except OSError as e:  # asyncio's own, of SO_ERROR
                raise _error(e.errno, s.fileno()) from None
        return await asyncio.open_connection(sock=s, **streams)
    except BaseException:
        s.close()
        raise


async def _wait_in_thread(loop, s, address):
    """Only blocking connects wait. The thread has a descriptor of its own, as
    whoever cancels this closes s."""
    import asyncio
    own = s.dup()  # here: there s may be closed, and its number another's
    own.settimeout(None)
    future = loop.run_in_executor(None, own.connect, address)
    try:
        await asyncio.shield(future)
    except BaseException:
        future.add_done_callback(
            lambda f: (own.close(), f.cancelled() or f.exception()))
        raise
    s.close()
    own.setblocking(False)
    return own


async def start_server(client_connected_cb, address, **streams):
    """As asyncio.start_server()."""
    import asyncio
    s = HvSocket()
    try:
        s.bind(address)
        return await asyncio.start_server(client_connected_cb, sock=s,
                                          **streams)
    except BaseException:
        s.close()
        raise
