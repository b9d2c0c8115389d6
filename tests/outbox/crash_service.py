"""A service for processes that are killed: it counts each key once as long as it remembers it, and drops answers."""

from __future__ import annotations

import json
import mmap
import socket
import struct
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chatarmin_os import ConnectionFailed, _clock
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from chatarmin_os import ChatarminError
    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call

HOUR = 3600.0
MEMORY_SECONDS = 24 * HOUR  # the service forgets a key so long after it counted it


class Clock:
    """The time for all processes that are forked from this one, which can be moved forward."""

    def __init__(self) -> None:
        self._ahead = mmap.mmap(-1, 8)  # it is shared with children

    def now(self) -> float:
        """Return the seconds since 1970."""
        return _clock.wall() + float(struct.unpack("d", self._ahead[:])[0])

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._ahead[:] = struct.pack("d", self.now() + seconds - _clock.wall())

    def jumping(self, choose: random.Random) -> Callable[[], float]:
        """Return a clock of one process that is set a day forward or back now and then, and right again."""
        wrong = 0.0

        def now() -> float:
            nonlocal wrong
            if choose.random() < 0.02:
                wrong = choose.choice([-24 * HOUR, 0.0, 24 * HOUR])
            return self.now() + wrong

        return now


class Service:
    """The service itself, in a process of its own.

    Args:
        clock: Its time.
        drops: Of so many requests it drops one before it counts it, and the answer of another one.
        memory: Seconds for which it remembers a key.
    """

    def __init__(self, path: str, clock: Clock, *, drops: int, memory: float) -> None:
        self._clock, self._drops, self._memory = clock, drops, memory
        self._counts: Counter[str] = Counter()
        self._counted_at: dict[str, float] = {}
        self._requests = self._sent = 0  # requests, and events that were not dropped before they were counted
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(128)

    def serve(self) -> None:
        """Answer requests, one after the other, until the process ends."""
        while True:
            connection, _ = self._socket.accept()
            with connection, suppress(OSError, ValueError):  # the client was killed
                question = json.loads(connection.makefile("rb").readline())
                answer = getattr(self, f"_{question['ask']}")(question)
                if answer is not None:
                    connection.sendall(json.dumps(answer).encode() + b"\n")

    def _count(self, question: Any) -> object:
        place = self._place()
        if place == 0:
            return None
        now = self._clock.now()
        for key in question["keys"]:
            self._sent += 1
            if key not in self._counted_at or now - self._counted_at[key] >= self._memory:
                self._counts[key] += 1
                self._counted_at[key] = now
        return None if place == 1 else "counted"

    def _look_up(self, _: Any) -> object:
        return None if self._place() == 0 else "linked"

    def _place(self) -> int:
        """Return which of its kind a request is; 2 if all are to be answered."""
        self._requests += 1
        return self._requests % self._drops if self._drops else 2

    def _progress(self, _: Any) -> object:
        return self._requests

    def _settle(self, _: Any) -> object:
        self._drops = 0
        return "settled"

    def _report(self, _: Any) -> object:
        return {"sent": self._sent, "counts": self._counts}


def ask(path: str, question: str, **values: Any) -> Any:
    """Return the answer of the service, None if it was dropped."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(json.dumps({"ask": question, **values}).encode() + b"\n")
        line = connection.makefile("rb").readline()
    return json.loads(line) if line else None


class ToService(Transport):
    """The way of a client to the service."""

    def __init__(self, path: str) -> None:
        self._path = path

    def send(self, call: Call) -> JSON:
        """Send one call."""
        [answer] = self.send_many([call])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Send the calls in one request."""
        if calls[0].path == "billing.trackUsage":
            answer = ask(self._path, "count", keys=[call.input["idempotencyKey"] for call in calls])
            found: list[JSON] = [{"currentUsage": 1} for _ in calls]
        else:
            answer = ask(self._path, "look_up")
            found = [{"id": f"comp_{call.input['externalOrgId']}"} for call in calls]
        return [*found] if answer else [ConnectionFailed("lost") for _ in calls]
