"""Compares two outcomes of a call, place by place.

Ids are matched by role, not by value: an id must identify the same record throughout. Timestamps that no input gave
come from the clock, so only their type is compared; the number at the end of a short id depends on other companies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from chatarmin_os._json import JSON, short_json
from chatarmin_os._values import far_instant_of, instant_of
from chatarmin_os.drift.reading import number
from chatarmin_os.recording.redactors import personal_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

Outcome = dict[str, Any]
"""The outcome of a call, as recordings have it: one of `answer`, `error` and `failure`."""

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*")
_NUMBERS = re.compile(r"(-\d+)+$")
_CALLER_IDS = frozenset({"externalOrgId", "externalUserId"})
_TYPES = {dict: "object", list: "list", str: "text", bool: "true or false", int: "number", float: "number"}
_FREE_FORM = frozenset({"metadata", "configValues"})  # the caller chose these values: a number as text is another value
_ABSENT = "absent"
_MAX_SHOWN = 40


class Difference(NamedTuple):
    """A difference between the recorded outcome and the current one.

    Attributes:
        place: The place inside the answer, such as `$.features[3].canUse`; "" if it is not inside one.
        kind: "outcome" (one was answered, the other refused), "code" or "status" of two refusals; inside answers
            "field" (one lacks it), "type", "value" or "id" (it identifies another record than before).
        recorded: The recorded value, as a short text.
        now: The current value, as a short text.
    """

    place: str
    kind: Literal["outcome", "code", "status", "field", "type", "value", "id"]
    recorded: str
    now: str


class Notation(Difference):
    """A difference of type between two notations that the client reads as the same value, such as `"6.00"` and 6."""

    __slots__ = ()


class Matcher:
    """Compares outcomes; it remembers which current id replaces which recorded one, and the timestamps of inputs.

    In a redacted recording, two values are also equal if redacting the current one gives the recorded one: the fake
    derives values from pseudonyms.
    """

    def __init__(self, *, is_redacted: bool = False) -> None:
        self._is_redacted = is_redacted
        self._now: dict[str, str] = {}
        self._recorded: dict[str, str] = {}
        self._given: set[datetime] = set()

    def translate(self, given: JSON) -> JSON:
        """Return a recorded input with the current ids, and remember its timestamps."""
        self._given.update(_timestamps(given))
        return self.translate_ids(given)

    def translate_ids(self, content: JSON, key: str = "") -> JSON:
        """Return recorded content with the current ids."""
        if isinstance(content, dict):
            return {name: self.translate_ids(value, name) for name, value in content.items()}
        if isinstance(content, list):
            return [self.translate_ids(item, key) for item in content]
        return self._now.get(content, content) if isinstance(content, str) and _is_id(key) else content

    def differences(self, recorded: Outcome, now: Outcome) -> list[Difference]:
        """Return where two outcomes differ; two new ids at the same place belong together from now on."""
        if "answer" in recorded and "answer" in now:
            return list(self._inside("$", "", recorded["answer"], now["answer"]))
        if "error" in recorded and "error" in now:
            return [
                Difference("", kind, str(recorded["error"][kind]), str(now["error"][kind]))
                for kind in ("code", "status")
                if recorded["error"][kind] != now["error"][kind]
            ][:1]
        return [Difference("", "outcome", summary(recorded), summary(now))]

    def _inside(self, place: str, key: str, recorded: JSON, now: JSON) -> Iterator[Difference]:
        if _type(recorded) != _type(now):
            yield _of_types(place, recorded, now, is_equal=_are_equal_numbers(recorded, now))
        elif isinstance(recorded, dict):
            yield from self._inside_objects(place, recorded, now)
        elif isinstance(recorded, list):
            if len(recorded) != len(now):
                yield Difference(place, "value", f"{len(recorded)} items", f"{len(now)} items")
            for index, (one, other) in enumerate(zip(recorded, now, strict=False)):
                yield from self._inside(f"{place}[{index}]", key, one, other)
        elif isinstance(recorded, str) and _is_id(key):
            if not self._are_matched(recorded, now):
                yield Difference(place, "id", short_json(recorded, _MAX_SHOWN), short_json(now, _MAX_SHOWN))
        elif not self._are_equal(key, recorded, now):
            yield Difference(place, "value", short_json(recorded, _MAX_SHOWN), short_json(now, _MAX_SHOWN))
        elif _is_plain_timestamp(recorded) != _is_plain_timestamp(now):
            yield _of_types(place, recorded, now, is_equal=True)

    def _inside_objects(self, place: str, recorded: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
        for name in [*recorded, *(name for name in now if name not in recorded)]:
            below = f"{place}.{name}"
            if name in recorded and name in now:
                yield from self._inside(below, name, recorded[name], now[name])
            else:
                sides = (short_json(side[name], _MAX_SHOWN) if name in side else _ABSENT for side in (recorded, now))
                yield Difference(below, "field", *sides)

    def _are_matched(self, recorded: str, now: str) -> bool:
        known = self._now.setdefault(recorded, now), self._recorded.setdefault(now, recorded)
        return known == (now, recorded)

    def _are_equal(self, key: str, recorded: JSON, now: JSON) -> bool:
        if recorded == now or (self._is_redacted and recorded == personal_data({key: now})[key]):
            return True
        if key == "shortId":
            return self._is_redacted or _NUMBERS.sub("", recorded) == _NUMBERS.sub("", now)
        moments = timestamp(recorded), timestamp(now)
        if None in moments:
            return False
        return moments[0] == moments[1] or moments[0] not in self._given


def _timestamps(content: JSON) -> Iterator[datetime]:
    """Yield the timestamps in JSON."""
    if isinstance(content, (dict, list)):
        for inner in content.values() if isinstance(content, dict) else content:
            yield from _timestamps(inner)
    elif moment := timestamp(content):
        yield moment


def fields_of(place: str) -> set[str]:
    """Return the names of the fields around a place; `$` for the answer itself."""
    return {"$"} if place == "$" else {part.partition("[")[0] for part in place.split(".")[1:]}


def summary(outcome: Outcome) -> str:
    """Return a short text for an outcome."""
    if "answer" in outcome:
        return "an answer"
    return outcome["error"]["code"] if "error" in outcome else f"no answer ({outcome['failure']['type']})"


def _is_id(key: str) -> bool:
    """Return whether the values of a key are ids of the service: not the caller's, and not `shortId`."""
    return key == "id" or (key.endswith(("Id", "PriceIds")) and key != "shortId" and key not in _CALLER_IDS)


def timestamp(value: JSON) -> datetime | None:
    """Return the timestamp of a text in UTC, None if the text is not a timestamp.

    A day is its start. A year beyond those of `datetime` is its first or last instant, as in the client.

    Example:
        >>> [timestamp(text).year for text in ("2027-01-01", "+275760-09-13T00:00:00.000Z", "-000043-03-15T00:00:00Z")]
        [2027, 9999, 1]
    """
    if not isinstance(value, str):
        return None
    return instant_of(value) if _is_plain_timestamp(value) else far_instant_of(value)


def _of_types(place: str, recorded: JSON, now: JSON, *, is_equal: bool) -> Difference:
    kind = Notation if is_equal and not fields_of(place) & _FREE_FORM else Difference
    return kind(place, "type", short_json(recorded, _MAX_SHOWN), short_json(now, _MAX_SHOWN))


def _is_plain_timestamp(value: JSON) -> bool:
    return isinstance(value, str) and _TIMESTAMP.fullmatch(value) is not None


def _are_equal_numbers(one: JSON, other: JSON) -> bool:
    return number(one) is not None and number(one) == number(other)


def _type(value: JSON) -> str:
    return "null" if value is None else _TYPES[type(value)]
