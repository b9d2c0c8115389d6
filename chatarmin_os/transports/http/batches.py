"""How calls are put into requests: as many in each as the servers and proxies on the way take."""

from __future__ import annotations

import sys
from bisect import bisect_left
from typing import TYPE_CHECKING, Literal, NamedTuple

from chatarmin_os._call import Call
from chatarmin_os.trpc import client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from chatarmin_os.trpc.client import Transformer

Measure = Literal["calls", "path", "url", "body"]

_NOT_FOUND, _TOO_LARGE = 404, 413

REFUSES_SIZE = frozenset({_TOO_LARGE, 414, 431})
"""The statuses of a server that does not take a request because of its size, whatever the body of the answer."""

UNCERTAIN = frozenset({400, _NOT_FOUND})
"""The statuses by which it may be refused for its size, or for something else."""

_MAX_CALLS = 50
_MAX_URL = 8_000  # characters: proxies and servers refuse longer ones, and a batch of queries is one URL
_MIN_REFUSED_URL = 2_000  # characters: IIS refuses URLs from 2,048 on, and no known server refuses a shorter one
_MIN_REFUSED_PATH = 100  # characters: Fastify's default, and the lowest that is known
_BATCHING_OFF, _BATCH_TOO_LARGE = "Batching is not enabled on the server", "Batch call exceeds maximum size"


class Size(NamedTuple):
    """How large a request is, or may be.

    Attributes:
        calls: How many calls are in it.
        path: Characters of their paths, with the commas between them.
        url: Characters of the whole URL.
        body: Bytes.
    """

    calls: int
    path: int
    url: int
    body: int


_LIMITS = Size(_MAX_CALLS, sys.maxsize, _MAX_URL, sys.maxsize)


class Batches:
    """The sizes of requests that a service takes, as far as it has shown.

    They are remembered by kind, since queries are in the URL and mutations in the body: a large mutation makes no
    smaller batches of queries. How many calls tRPC takes is the same for both. Threads share them without a lock: what
    one overwrites is found out again.
    """

    def __init__(self, base_url: str, paths: Mapping[str, str]) -> None:
        self._base_url, self._paths = base_url, paths
        self.limits: dict[str, Size] = {"query": _LIMITS, "mutation": _LIMITS}

    def parts(self, calls: Sequence[Call], transformer: Transformer | None) -> Iterator[Sequence[Call]]:
        """Yield *calls*, all of one kind, in parts that go into one request each."""
        while calls:
            limits = self.limits[calls[0].kind]
            part = calls[: limits.calls]
            if self._is_too_large(part, transformer):
                sizes = range(2, len(part))
                fitting = bisect_left(sizes, True, key=lambda count: self._is_too_large(calls[:count], transformer))
                part = part[: 1 + fitting]
            yield part
            calls = calls[len(part) :]

    def _is_too_large(self, calls: Sequence[Call], transformer: Transformer | None) -> bool:
        limits = self.limits[calls[0].kind]
        if calls[0].kind == "mutation" and limits.body == sys.maxsize:
            calls = [Call(call.path, call.kind) for call in calls]  # their inputs are not in the URL
        return any(size > limit for size, limit in zip(self.size(calls, transformer), limits, strict=True))

    def size(self, calls: Sequence[Call], transformer: Transformer | None) -> Size:
        """Return the size of the request that carries *calls*."""
        # An unknown transformer may be superjson, which takes more characters.
        message = client.message(calls, transformer or "superjson", self._paths)
        path = sum(len(self._paths.get(call.path, call.path)) + 1 for call in calls) - 1
        return Size(len(calls), path, len(self._base_url) + len(message.target), len(message.body or b""))

    def described(self, call: Call, transformer: Transformer | None) -> str:
        """Return the size of the request that carries one call, for a message."""
        size = self.size([call], transformer)
        return f"a URL of {size.url:,} characters" + (f" and a body of {size.body:,} bytes" if size.body else "")

    def shrink(
        self, calls: Sequence[Call], transformer: Transformer | None, *, status: int, body: bytes, said: str | None
    ) -> bool:
        """Lower a limit if a server refused a batch for its size, and return whether it did.

        Servers do so before a call of it runs. tRPC says how many calls it takes in the message of its error, *said*;
        None stands for an answer that is not its own. Others use one of three statuses, with HTML, JSON or nothing as
        the body; tRPC uses one of them for the size of a body, with an error for each call. A long URL is also answered
        with 400 (nginx, HAProxy) or 404 (IIS), and a long path with 404 (Fastify, which has come to use 414).
        """
        kind = calls[0].kind
        measure = self._measure(calls, transformer, status=status, body=body, said=said)
        if measure is None:
            return False
        half = self.size(calls[: len(calls) // 2], transformer)
        lower = max(getattr(half, measure), getattr(self.size(calls, transformer), measure) // 2)
        self.limits[kind] = self.limits[kind]._replace(**{measure: lower})
        if measure == "calls":
            fewest = 1 if said and _BATCHING_OFF in said else lower
            self.limits = {each: limits._replace(calls=fewest) for each, limits in self.limits.items()}
        return True

    def _measure(
        self, calls: Sequence[Call], transformer: Transformer | None, *, status: int, body: bytes, said: str | None
    ) -> Measure | None:
        """Return the measure by which a batch was too large."""
        if said is not None and (_BATCHING_OFF in said or _BATCH_TOO_LARGE in said):
            return "calls"
        kind = calls[0].kind
        if status in REFUSES_SIZE:
            return "body" if status == _TOO_LARGE and kind == "mutation" else "path" if b"_PARAM_" in body else "url"
        if said is None and status in UNCERTAIN:
            size = self.size(calls, transformer)
            if status == _NOT_FOUND and size.path > _MIN_REFUSED_PATH:
                return "path"
            return "url" if kind == "query" and size.url > _MIN_REFUSED_URL else None
        return None
