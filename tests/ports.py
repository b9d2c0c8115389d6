"""Ports of loopback for servers in other processes, and ports where nobody listens.

The kernel gives ports of its own range to connections and to servers that ask for any: one of these that is closed may
be that of another test a moment later.
"""

from __future__ import annotations

import socket
from random import SystemRandom

_BELOW_THE_RANGE_OF_THE_KERNEL = range(15_000, 30_000)
_random = SystemRandom()  # tests seed the generator of the module `random`
_closed: list[socket.socket] = []


def free_port() -> int:
    """Return a free port, which nobody gets who does not ask for it."""
    while True:
        port = _random.choice(_BELOW_THE_RANGE_OF_THE_KERNEL)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def dead_port() -> int:
    """Return a port that refuses connections until this process ends."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))  # and does not listen
    _closed.append(bound)
    port: int = bound.getsockname()[1]
    return port
