"""Programs with greenlets, each a function here; they print their results as JSON.

    python -W error greenlets.py (first | late | warm) FUNCTION

Python is patched for gevent first of all, or when client and all that it needs have been imported, or when it has made
calls already.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import warnings
from typing import Any

import gevent  # type: ignore[import-untyped]  # it has no types
from gevent import monkey

patched, function = sys.argv[1:]
if patched == "first":
    monkey.patch_all()

from echoing import HANGS, KEY, asked  # noqa: E402 - the test is about this order

from chatarmin_os import ChatarminOS  # noqa: E402
from chatarmin_os.transports import HTTPTransport  # noqa: E402

url = os.environ["OS_BASE_URL"]
client = ChatarminOS(transport=HTTPTransport(KEY, url, timeout=2 * HANGS, transformer="json", allow_http=True))
if patched == "warm":
    asked(client, "before")
if patched != "first":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gevent's advice to patch earlier
        monkey.patch_all()


def at_once() -> Any:
    """Ask from many greenlets, twice; the echo answers when all have asked."""
    numbers: list[set[int]] = []
    for turn in range(2):
        asking = [gevent.spawn(asked, client, f"code_{turn}_{number}", "gather:100") for number in range(100)]
        gevent.joinall(asking, raise_error=True)
        numbers.append({one.value for one in asking})
    return [len(numbers[0]), len(numbers[1]), numbers[0] == numbers[1]]


def in_turns() -> Any:
    """Ask from many greenlets, each one question after another."""

    def ask(greenlet: int) -> int:
        return len([asked(client, f"code_{greenlet}_{call}") for call in range(20)])

    asking = [gevent.spawn(ask, greenlet) for greenlet in range(30)]
    gevent.joinall(asking, raise_error=True)
    return sum(one.value for one in asking)


def by_name() -> Any:
    """Ask a service whose name is looked up, slowly, from several greenlets."""
    look_up = socket.getaddrinfo

    def slow(_: Any, *rest: Any, **named: Any) -> Any:
        gevent.sleep(0.05)
        return look_up("127.0.0.1", *rest, **named)

    vars(socket)["getaddrinfo"] = slow
    asking = [gevent.spawn(asked, client, f"code_{number}", "gather:10") for number in range(10)]
    gevent.joinall(asking, raise_error=True)
    return len({one.value for one in asking})


def beside_a_dead_address() -> Any:
    """Ask a service whose first address is dead, while another greenlet counts."""
    listening, waiting = socket.socket(), []
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    dead = listening.getsockname()
    for _ in range(8):  # until nobody is let in any more
        waiting.append(socket.socket())
        waiting[-1].settimeout(0.1)
        try:
            waiting[-1].connect(dead)
        except TimeoutError:
            break
    port = int(url.rpartition(":")[2].partition("/")[0])
    vars(socket)["getaddrinfo"] = lambda *_, **__: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, ("127.0.0.1", port))
    ]
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0.001)

    counting = gevent.spawn(count)
    asking = [gevent.spawn(asked, client, f"code_{number}", "gather:5") for number in range(5)]
    gevent.joinall(asking, raise_error=True)
    counting.kill()
    for sock in [*waiting, listening]:
        sock.close()
    return [len({one.value for one in asking}), turns > 20]


def given_up() -> Any:
    """Give up calls in the middle, and at any moment, each time followed by a call that is not given up."""

    def ask(greenlet: int) -> int:
        times = 0
        for call in range(50):
            wait = "wait:600" if call % 2 else "wait:0.001"
            try:
                with gevent.Timeout(random.uniform(0, 0.006)):  # noqa: S311 - nothing secret
                    asked(client, f"given_up_{greenlet}_{call}", wait)
            except gevent.Timeout:
                times += 1
            asked(client, f"code_{greenlet}_{call}")
        return times

    # gevent closes a socket that is waited on later, from its hub, and calls it unclosed; so with requests alone.
    warnings.simplefilter("ignore", ResourceWarning)
    asking = [gevent.spawn(ask, greenlet) for greenlet in range(6)]
    gevent.joinall(asking, raise_error=True)
    return sum(one.value for one in asking) >= 150


if __name__ == "__main__":
    with client:
        print(json.dumps(globals()[function]()))  # noqa: T201 - the test reads it
