"""The log of calls that products have received, bounded in bytes."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict

from chatarmin_os._json import timestamp_text
from chatarmin_os.server.bounded_log import BoundedLog
from chatarmin_os.server.packed import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableSequence
    from datetime import datetime

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.fake.rows import Company

MAX_LOG_BYTES = 16 * 2**20
"""The limit for the calls of all products together; beyond it, the oldest call of any product is dropped."""
MAX_VALUE_BYTES = 64 * 2**10
"""An input or a response whose JSON is longer is not logged."""
MAX_MESSAGE_CHARACTERS = 1_000
"""An error's message is cut there."""
MAX_KEPT_CALLS = 2_000
"""The limit for the calls of one product."""
MAX_CALLS = 500
"""The most calls that are returned at once."""
MAX_SHOWN_CHARACTERS = 1_000
"""A list of calls has the longer inputs and responses as a note."""

_CALL_BYTES = 700  # a call without its input, response and message: measured 600 to 700
_MAX_JSON_RATIO = 7  # bytes of JSON for a packed one: `False` is "false, "


class Received(TypedDict):
    """A call and its response; `company` is the one that it was about."""

    number: int
    at: datetime
    real_at: datetime
    path: str
    kind: Kind
    company: Company | None
    input: JSON
    answer: JSON
    error: dict[str, str] | None
    ms: float


class CallLog(BoundedLog["dict[str, Any]"]):
    """The last calls of several owners; inputs and responses are packed."""

    def __init__(self, max_bytes: int = MAX_LOG_BYTES) -> None:
        super().__init__(max_bytes, MAX_KEPT_CALLS)

    def append(self, owner: MutableSequence[int], call: Received) -> None:
        """Add a call of an owner, which the caller must not use again."""
        entry: dict[str, Any] = call  # type: ignore[assignment]
        entry["input"], entry["answer"] = _packed(call["input"]), _packed(call["answer"])
        size = _CALL_BYTES + len(entry["input"]) + len(entry["answer"])
        if call["error"]:
            entry["error"] = {name: text[:MAX_MESSAGE_CHARACTERS] for name, text in call["error"].items()}
            size += len(entry["error"]["message"])
        self.add(owner, entry, size)

    def read(self, owner: MutableSequence[int], after: float = 0, last: int = MAX_CALLS) -> list[dict[str, JSON]]:
        """Return an owner's calls with a higher number than *after*, oldest first, at most the *last* ones."""
        return [_shown(call) for call in self.entries(owner)[-last:] if call["number"] > after]

    def find(self, owner: MutableSequence[int], number: int) -> dict[str, JSON] | None:
        """Return the call with a number; None if it is not kept."""
        return next((_shown(call) for call in self.entries(owner) if call["number"] == number), None)

    def page(
        self,
        owner: MutableSequence[int],
        *,
        search: str = "",
        company_id: str | None = None,
        before: float | None = None,
        limit: int,
    ) -> tuple[list[JSON], bool]:
        """Return the newest calls that match, newest first, and whether there are more.

        Args:
            owner: The owner.
            search: Text that path, error, input, response or the company must contain, in any case.
            company_id: The company that matches too, because *search* is one of its ids.
            before: Only calls with a lower number; None: all.
            limit: The highest number of calls.
        """
        wanted = search.casefold()
        matching = (
            call
            for call in reversed(self.entries(owner))
            if (before is None or call["number"] < before) and _matches(call, wanted, company_id)
        )
        shown: list[JSON] = [_shown(call, max_characters=MAX_SHOWN_CHARACTERS) for call in islice(matching, limit)]
        return shown, next(matching, None) is not None


def _matches(call: Mapping[str, Any], wanted: str, company_id: str | None) -> bool:
    if not wanted or (company_id is not None and (call["company"] or {}).get("id") == company_id):
        return True
    return any(wanted in text.casefold() for text in _texts(call))


def _texts(call: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a search looks at."""
    yield call["path"]
    for part in (call["error"], _named(call["company"])):
        yield from (part or {}).values()
    for packed in (call["input"], call["answer"]):
        yield json.dumps(unpack(packed), ensure_ascii=False)


def _named(company: Company | None) -> dict[str, str] | None:
    return company and {"id": company["id"], "name": company["name"]}


def _packed(value: JSON) -> bytes:
    try:
        packed = pack(value)
    except ValueError:
        return pack("(nested too deep, not logged)")
    if len(packed) * _MAX_JSON_RATIO > MAX_VALUE_BYTES and (length := len(json.dumps(value))) > MAX_VALUE_BYTES:
        return pack(f"({length:,} bytes of JSON, not logged)")
    return packed


def _shown(call: Mapping[str, Any], *, max_characters: float = float("inf")) -> dict[str, JSON]:
    shown = {
        **call,
        "at": timestamp_text(call["at"]),
        "real_at": timestamp_text(call["real_at"]),
        "company": _named(call["company"]),
    }
    for name in ("input", "answer"):
        shown[name] = unpack(call[name])
        if len(call[name]) * _MAX_JSON_RATIO > max_characters:
            length = len(json.dumps(shown[name]))
            if length > max_characters:
                shown[name], shown["isCut"] = f"({length:,} bytes of JSON)", True
    return shown
