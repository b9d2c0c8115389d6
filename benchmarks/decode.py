"""From JSON values to models, compared with `json.loads` of the same bytes.

The cost of a checked model matters for long lists only; there the whole must not exceed twice the cost of the parser.
A transport that answers with a prepared list removes the rest of a call from the figure. Both sides run with the
prepared lists alive and the garbage collector on: with 100,000 objects it is part of the cost.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks._measure import Part, Row, cpu_seconds, interleaved, micro, number, within_limit
from chatarmin_os import ChatarminOS
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.transports import Call

_MAX_RATIO = 2
_ROUNDS = {1_000: 100, 100_000: 12}


class _Prepared(Transport):
    """Answers every call with one list."""

    def __init__(self, answer: list[Any]) -> None:
        self._answer = answer

    def send(self, call: Call) -> Any:  # noqa: ARG002 - one answer for all
        return self._answer


def run() -> Part:
    """Measure lists of feature accesses, with and without fields that the models do not know."""
    rows = [row for count, rounds in _ROUNDS.items() for row in _measured(count, rounds)]
    note = (
        "Process time for each record of `features.list_access`: twelve fields, an instant and a small mapping among "
        "them, and two unknown fields (a text and an object) or none. Ratio to `json.loads` of the same bytes."
    )
    return Part("Decoding", note, rows)


def _measured(count: int, rounds: int) -> list[Row]:
    subjects: dict[str, Callable[[], float]] = {}
    for kind, unknown in (("known", False), ("unknown", True)):
        encoded = json.dumps([_record(index, unknown=unknown) for index in range(count)]).encode()
        list_access = ChatarminOS(transport=_Prepared(json.loads(encoded))).features.list_access
        subjects[kind] = partial(cpu_seconds, partial(list_access, "company"))
        subjects[f"{kind} parsed"] = partial(cpu_seconds, partial(json.loads, encoded))
    samples = interleaved(subjects, rounds=rounds)

    def row(kind: str, words: str, limit: float | None) -> Row:
        ours, parser = samples.median(kind) / count, samples.median(f"{kind} parsed") / count
        ratio = samples.ratio(kind, f"{kind} parsed")
        what, figure = f"{count:,} records, {words}", f"{micro(ours)} (`json.loads` {micro(parser)})"
        return (
            Row(what, figure, number(ratio)) if limit is None else within_limit(limit, ratio, what=what, figure=figure)
        )

    limit = _MAX_RATIO if count == max(_ROUNDS) else None
    return [row("unknown", "with unknown fields", limit), row("known", "without unknown fields", limit)]


def _record(index: int, *, unknown: bool) -> dict[str, Any]:
    """Return a feature access as the service answers it; no two records are alike."""
    record: dict[str, Any] = {
        "featureCode": f"feature_{index}",
        "featureName": f"Feature {index}",
        "isEnabled": True,
        "canUse": index % 3 > 0,
        "hasQuantity": True,
        "currentUsage": index % 1_000,
        "quantityLimit": 1_000 if index % 5 else None,
        "includedQuantity": 100,
        "remaining": 1_000 - index % 1_000 if index % 5 else None,
        "configValues": {"model": "large", "retries": index % 7},
        "source": ("subscription", "manual", "trial", "api")[index % 4],
        "validUntil": f"20{index % 50 + 25}-{index % 12 + 1:02}-{index % 28 + 1:02}T10:30:00.000Z",
    }
    if unknown:
        record |= {"grantedBy": f"user_{index}", "origin": {"tier": "pro", "version": index % 9}}
    return record
