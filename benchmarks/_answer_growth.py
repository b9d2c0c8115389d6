"""The cost of growing answers and errors of a service."""

from __future__ import annotations

import gc
from statistics import median
from typing import TYPE_CHECKING

from benchmarks._measure import Row, cpu_seconds, number
from chatarmin_os._messages import without_query
from chatarmin_os.transports.http import retry
from chatarmin_os.trpc import client, superjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIZES = (1_000, 10_000, 100_000)
_MAX_RATIO = 2  # of the cost per part


def _typed(size: int) -> Callable[[], object]:
    """Return the decoding of an answer of superjson with a type for each value."""
    values = {str(place): ["bigint"] for place in range(size)}
    envelope = {"json": ["1"] * size, "meta": {"values": values, "v": 1}}
    return lambda: superjson.decode({**envelope, "json": [*envelope["json"]]})


def _repeated(size: int) -> Callable[[], object]:
    """Return the decoding of an answer of superjson whose first row has the values of all rows."""
    repeats = {"0.config": [f"{row}.config" for row in range(1, size)]}
    meta = {"referentialEqualities": repeats, "v": 1}

    def decode() -> object:
        content = [{"config": None if row else {"plan": "pro"}} for row in range(size)]
        return superjson.decode({"json": content, "meta": meta})

    return decode


def _doubled(size: int) -> Callable[[], object]:
    """Return the decoding of an answer of superjson whose parts each repeat the one before twice."""
    repeats = {str(place): [f"{place + 1}.a", f"{place + 1}.b"] for place in range(size - 1)}
    meta = {"referentialEqualities": repeats, "v": 1}

    def refuse() -> object:
        content = {str(place): {"a": None, "b": None} for place in range(size)}
        try:
            return superjson.decode({"json": content, "meta": meta})
        except ValueError as error:
            return error

    return refuse


def _halves(size: int) -> Callable[[], object]:
    """Return the parsing of an answer with half a surrogate pair in each of its texts."""
    body = b"[" + b",".join([rb'"\ud83d"'] * size) + b"]"
    return lambda: client.parse(body)


def _database_message(size: int) -> Callable[[], object]:
    """Return the search of a long message for a query that is not in it."""
    text = "insert into the invalid `a " * size
    return lambda: without_query(text)


def _header(size: int) -> Callable[[], object]:
    """Return the reading of a Retry-After of many digits."""
    return lambda: retry.retry_after(429, "9" * size)


def answer_rows() -> Iterator[Row]:
    """Measure each kind of answer at three sizes, and yield a row with the cost of a part of it."""
    for what, prepare in (
        ("superjson, a type for each value", _typed),
        ("superjson, one object in each row", _repeated),
        ("superjson, repeats that double (refused)", _doubled),
        ("half a surrogate pair in each text", _halves),
        ("a database message of many words", _database_message),
        ("a Retry-After of many digits", _header),
    ):
        actions = [prepare(size) for size in _SIZES]
        taken: list[list[float]] = [[] for _ in _SIZES]
        for _ in range(5):
            for place, (size, action) in enumerate(zip(_SIZES, actions, strict=True)):
                gc.collect()
                taken[place].append(cpu_seconds(action) / size)
        medians = [median(figures) for figures in taken]
        ratios = [figure / medians[0] for figure in medians[1:]]
        ratio = " → ".join(map(number, ratios))
        figure = " → ".join(number(seconds * 1e6) for seconds in medians)
        yield Row(what, f"{figure} µs", ratio, f"1 (≤ {_MAX_RATIO})", max(ratios) <= _MAX_RATIO)
