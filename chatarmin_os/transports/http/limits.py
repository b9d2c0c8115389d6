"""How many calls go into one request: as many as the servers and proxies on the way accept."""

from __future__ import annotations

import sys
from bisect import bisect_left
from typing import TYPE_CHECKING, Literal, NamedTuple

from chatarmin_os._call import Call
from chatarmin_os.trpc import client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chatarmin_os.trpc.client import Transformer

Measure = Literal["calls", "path", "url", "body"]

_NOT_FOUND, _TOO_LARGE = 404, 413

REFUSES_SIZE = frozenset({_TOO_LARGE, 414, 431})
"""Statuses of a server that refuses a request for its size, whatever the body of the response."""

UNCERTAIN = frozenset({400, _NOT_FOUND})
"""Statuses of a server that refuses a request for its size, or for another reason."""

_MAX_CALLS = 50
_MAX_URL_LENGTH = 8_000  # proxies and servers refuse longer ones, and a batch of queries is one URL
_MIN_REFUSED_URL_LENGTH = 2_000  # IIS refuses URLs of 2,048 characters and more; no known server refuses a shorter one
_MIN_REFUSED_PATH_LENGTH = 100  # Fastify's default, and the lowest that is known
_BATCHING_OFF, _BATCH_TOO_LARGE = "Batching is not enabled on the server", "Batch call exceeds maximum size"


class Size(NamedTuple):
    """How large a request is, or may be.

    Attributes:
        calls: The number of its calls.
        path: Characters of their paths, with the commas between them.
        url: Characters of the whole URL.
        body: Bytes.
    """

    calls: int
    path: int
    url: int
    body: int


_LIMITS = Size(_MAX_CALLS, sys.maxsize, _MAX_URL_LENGTH, sys.maxsize)


class Limits:
    """The maximum sizes of requests that a service accepts, as far as it has shown.

    They are kept by kind, since queries are in the URL and mutations in the body: a large mutation makes no smaller
    batches of queries. The maximum number of calls is the same for both. Threads share them without a lock: a value
    that another thread overwrites is learned again.
    """

    def __init__(self, base_url: str, paths: Mapping[str, str]) -> None:
        self._base_url, self._paths = base_url, paths
        self.by_kind: dict[str, Size] = {"query": _LIMITS, "mutation": _LIMITS}

    def fitting(self, calls: Sequence[Call], transformer: Transformer | None) -> int:
        """Return how many of *calls*, all of one kind, go into one request; at least one."""
        part = calls[: self.by_kind[calls[0].kind].calls]
        if not self._is_too_large(part, transformer):
            return len(part)
        sizes = range(2, len(part))
        return 1 + bisect_left(sizes, True, key=lambda count: self._is_too_large(calls[:count], transformer))

    def _is_too_large(self, calls: Sequence[Call], transformer: Transformer | None) -> bool:
        limits = self.by_kind[calls[0].kind]
        if calls[0].kind == "mutation" and limits.body == sys.maxsize:
            calls = [Call(call.path, call.kind) for call in calls]  # the URL has no inputs of mutations
        return any(size > limit for size, limit in zip(self.size(calls, transformer), limits, strict=True))

    def size(self, calls: Sequence[Call], transformer: Transformer | None) -> Size:
        """Return the size of the request that carries *calls*."""
        # An unknown transformer may be superjson, which takes more characters.
        request = client.make_request(calls, transformer or "superjson", self._paths)
        path = sum(len(self._paths.get(call.path, call.path)) + 1 for call in calls) - 1
        return Size(len(calls), path, len(self._base_url) + len(request.target), len(request.body or b""))

    def describe(self, call: Call, transformer: Transformer | None) -> str:
        """Return the size of the request that carries one call, for a message."""
        size = self.size([call], transformer)
        return f"a URL of {size.url:,} characters" + (f" and a body of {size.body:,} bytes" if size.body else "")

    def shrink(
        self, calls: Sequence[Call], transformer: Transformer | None, *, status: int, body: bytes, message: str | None
    ) -> bool:
        """Lower a limit if a server refused a batch for its size, and return whether it did.

        Servers refuse before a call of the batch runs. tRPC names the maximum number of calls in the *message* of its
        error; None stands for a response that is not tRPC's. Others use one of three statuses, with HTML, JSON or
        nothing as the body; tRPC uses one of them for the size of a body, with an error for each call. Some servers
        refuse a long URL with 400 (nginx, HAProxy) or 404 (IIS), and a long path with 404 (older Fastify; newer
        versions use 414).
        """
        kind = calls[0].kind
        measure = self._measure(calls, transformer, status=status, body=body, message=message)
        if measure is None:
            return False
        half = self.size(calls[: len(calls) // 2], transformer)
        lower = max(getattr(half, measure), getattr(self.size(calls, transformer), measure) // 2)
        self.by_kind[kind] = self.by_kind[kind]._replace(**{measure: lower})
        if measure == "calls":
            maximum = 1 if message and _BATCHING_OFF in message else lower
            self.by_kind = {each: limits._replace(calls=maximum) for each, limits in self.by_kind.items()}
        return True

    def _measure(
        self, calls: Sequence[Call], transformer: Transformer | None, *, status: int, body: bytes, message: str | None
    ) -> Measure | None:
        """Return the measure by which a batch was too large, None if its size was not the reason."""
        if message is not None and (_BATCHING_OFF in message or _BATCH_TOO_LARGE in message):
            return "calls"
        kind = calls[0].kind
        if status in REFUSES_SIZE:
            return "body" if status == _TOO_LARGE and kind == "mutation" else "path" if b"_PARAM_" in body else "url"
        if message is None and status in UNCERTAIN:
            size = self.size(calls, transformer)
            if status == _NOT_FOUND and size.path > _MIN_REFUSED_PATH_LENGTH:
                return "path"
            return "url" if kind == "query" and size.url > _MIN_REFUSED_URL_LENGTH else None
        return None
