"""The cost of inputs of three lengths in the fake; it should grow in proportion to the length."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from benchmarks._measure import Row, cpu_seconds, number
from chatarmin_os import BadRequestError, ChatarminOS
from chatarmin_os.fake import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTHS = (1_000, 10_000, 100_000)
_ROUNDS = 20
_MAX_RATIO = 150  # a quadratic cost would be ten thousand times as high

_INPUTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "a name of accents": lambda length: {"name": "x" + "\u0301\u0323" * (length // 2)},
    "a name of other marks": lambda length: {"name": "x" + "\u05b0\u05c1" * (length // 2)},
    "a name of short words": lambda length: {"name": "gmbh " * (length // 5)},
    "a domain of labels": lambda length: {"name": "Acme", "domain": "www." * (length // 4) + "com"},
    "an address of labels": lambda length: {"name": "Acme", "contact_email": "a@" + "a-." * (length // 3) + "com"},
}


def input_rows() -> list[Row]:
    """Measure creating a company with each kind of long input."""
    return [_row(what, given) for what, given in _INPUTS.items()]


def _row(what: str, given: Callable[[int], dict[str, Any]]) -> Row:
    taken: dict[int, list[float]] = {length: [] for length in _LENGTHS}
    for _ in range(_ROUNDS):
        for length in _LENGTHS:
            client = ChatarminOS(transport=FakeTransport())
            taken[length].append(cpu_seconds(partial(_create, client, given(length))))
    medians = [median(taken[length]) for length in _LENGTHS]
    slow = [quantiles(taken[length], n=10)[-1] for length in _LENGTHS]
    ratios = [figure / medians[0] for figure in medians[1:]]
    figure = f"{_arrows(medians)} µs (p90 {_arrows(slow)} µs)"
    is_met = max(ratios) <= _MAX_RATIO
    ratio = " → ".join(map(number, ratios))
    return Row(f"long inputs: `companies.create`, {what}", figure, ratio, f"100 (≤ {_MAX_RATIO})", is_met)


def _create(client: ChatarminOS, given: dict[str, Any]) -> None:
    with suppress(BadRequestError):  # the fake reads it to the end before it rejects it
        client.companies.create(external_org_id="org", **given)


def _arrows(seconds: list[float]) -> str:
    return " → ".join(number(taken * 1e6) for taken in seconds)
