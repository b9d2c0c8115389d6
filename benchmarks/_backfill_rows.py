"""Rows of a backfill, and a run against a stand-in: `python -m benchmarks._backfill_rows CHECKPOINT ROWS`."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from chatarmin_os import ChatarminOS
from chatarmin_os.backfill.backfill import Backfill
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chatarmin_os import ChatarminError
    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call

_ANSWERS: dict[str, Any] = {
    "tiers.list": [{"code": "free", "name": "Free"}],
    "companies.getByProductLink": None,
    "companies.create": {"id": "comp_1", "shortId": "a", "name": "a", "domain": None, "createdAt": None},
    "tiers.apply": {"tierCode": "free", "featuresApplied": 2},
    "contacts.bulkUpsert": {"created": 2, "updated": 0, "contacts": []},
}


def make_rows(rows: int) -> Iterator[dict[str, Any]]:
    """Yield rows with a tier, a date and two contacts each."""
    for number in range(rows):
        yield {
            "external_org_id": f"org_{number}",
            "name": f"Company {number}",
            "tier_code": "free",
            "created_at": "2023-06-01T00:00:00Z",
            "contacts": [f"ann@company-{number}.example", f"bob@company-{number}.example"],
        }


class Constant(Transport):
    """A transport that answers at once, with the same JSON every time."""

    def send(self, call: Call) -> JSON:
        """Answer a call."""
        return _ANSWERS[call.path]

    def send_many(self, calls: Sequence[Call]) -> list[JSON | ChatarminError]:
        """Answer calls."""
        return [_ANSWERS[call.path] for call in calls]


def main(checkpoint: str, rows: str) -> None:
    """Run, and print the figures as JSON: seconds, bytes of memory at most, bytes of the checkpoint."""
    start = perf_counter()
    report = Backfill(lambda: ChatarminOS(transport=Constant()), checkpoint=checkpoint).run(make_rows(int(rows)))
    seconds = perf_counter() - start
    assert report.done + report.skipped == int(rows), report
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "memory": memory, "checkpoint": Path(checkpoint).stat().st_size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
