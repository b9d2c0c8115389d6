"""Two outcomes of one call, place by place.

Ids are matched by role, not by value: an id stands for what it stood for when it was first met. Instants that no input
gave are the clock's, and compared by type; of a short id the number at its end says only what else is there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from chatarmin_os._values import far_instant_of, instant_of
from chatarmin_os.drift._reading import number
from chatarmin_os.recording.redactors import personal_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from chatarmin_os._json import JSON

Came = dict[str, Any]
"""What came of a call, as recordings have it: one of `answer`, `error` and `failure`."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*")
_NUMBER = re.compile(r"-\d+$")
_CALLERS = frozenset({"externalOrgId", "externalUserId"})
_TYPES = {dict: "object", list: "list", str: "text", bool: "true or false", int: "number", float: "number"}
_FREE_FORM = frozenset({"metadata", "configValues"})  # in these the caller's own texts and numbers are not the same
_ABSENT = "absent"
_MOST_SHOWN = 40


class Difference(NamedTuple):
    """A difference between what was recorded and what came now.

    `kind` is "outcome" (one was answered, the other refused), "code" or "status" of two refusals, and inside of answers
    "field" (one lacks it), "type", "value" or "id" (it stands for something else than before). `place` is seen from the
    answer (`$.features[3].canUse`), `recorded` and `now` are short texts.
    """

    place: str
    kind: Literal["outcome", "code", "status", "field", "type", "value", "id"]
    recorded: str
    now: str


class Notation(Difference):
    """A difference of type between what the client reads as the same value, such as `"6.00"` and 6."""

    __slots__ = ()


class Matcher:
    """Knows which id of now stands for which recorded one, and which instants were given.

    Where personal data was redacted, what the fake makes of pseudonyms may be one that would be redacted once more.
    """

    def __init__(self, *, is_redacted: bool = False) -> None:
        self._is_redacted = is_redacted
        self._now: dict[str, str] = {}
        self._recorded: dict[str, str] = {}
        self._given: set[datetime] = set()

    def translated(self, given: JSON, key: str = "") -> JSON:
        """Return a recorded input with the ids of now."""
        if isinstance(given, dict):
            return {name: self.translated(value, name) for name, value in given.items()}
        if isinstance(given, list):
            return [self.translated(item, key) for item in given]
        if moment := instant(given):
            self._given.add(moment)
        return self._now.get(given, given) if isinstance(given, str) and _is_id(key) else given

    def differences(self, recorded: Came, now: Came) -> list[Difference]:
        """Return where two outcomes differ; ids that meet for the first time belong together from now on."""
        if "answer" in recorded and "answer" in now:
            return list(self._inside("$", "", recorded["answer"], now["answer"]))
        if "error" in recorded and "error" in now:
            return [
                Difference("", kind, str(recorded["error"][kind]), str(now["error"][kind]))
                for kind in ("code", "status")
                if recorded["error"][kind] != now["error"][kind]
            ][:1]
        return [Difference("", "outcome", told(recorded), told(now))]

    def _inside(self, place: str, key: str, recorded: JSON, now: JSON) -> Iterator[Difference]:
        sides = _shown(recorded), _shown(now)
        if _type(recorded) != _type(now):
            yield _of_types(place, *sides, is_one_value=_are_one_number(recorded, now))
        elif isinstance(recorded, dict):
            yield from self._inside_objects(place, recorded, now)
        elif isinstance(recorded, list):
            if len(recorded) != len(now):
                yield Difference(place, "value", f"{len(recorded)} items", f"{len(now)} items")
            for index, (one, other) in enumerate(zip(recorded, now, strict=False)):
                yield from self._inside(f"{place}[{index}]", key, one, other)
        elif isinstance(recorded, str) and _is_id(key):
            if not self._are_one(recorded, now):
                yield Difference(place, "id", *sides)
        elif not self._are_equal(key, recorded, now):
            yield Difference(place, "value", *sides)
        elif _is_plain_instant(recorded) != _is_plain_instant(now):
            yield _of_types(place, *sides, is_one_value=True)

    def _inside_objects(self, place: str, recorded: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
        for name in [*recorded, *(name for name in now if name not in recorded)]:
            below = f"{place}.{name}"
            if name in recorded and name in now:
                yield from self._inside(below, name, recorded[name], now[name])
            else:
                sides = (_shown(side[name]) if name in side else _ABSENT for side in (recorded, now))
                yield Difference(below, "field", *sides)

    def _are_one(self, recorded: str, now: str) -> bool:
        known = self._now.setdefault(recorded, now), self._recorded.setdefault(now, recorded)
        return known == (now, recorded)

    def _are_equal(self, key: str, recorded: JSON, now: JSON) -> bool:
        if recorded == now or (self._is_redacted and recorded == personal_data({key: now})[key]):
            return True
        if key == "shortId":
            return self._is_redacted or _NUMBER.sub("", recorded) == _NUMBER.sub("", now)
        moments = instant(recorded), instant(now)
        if None in moments:
            return False
        return moments[0] == moments[1] or moments[0] not in self._given


def fields_of(place: str) -> set[str]:
    """Return the names of the fields that a place lies in; `$` for the answer itself."""
    return {"$"} if place == "$" else {part.partition("[")[0] for part in place.split(".")[1:]}


def told(came: Came) -> str:
    """Return in a word what came of a call."""
    if "answer" in came:
        return "an answer"
    return came["error"]["code"] if "error" in came else f"no answer ({came['failure']['type']})"


def _is_id(key: str) -> bool:
    """Return whether ids of the service stand at a key; those of the caller, and of the eye (`shortId`), do not."""
    return key == "id" or (key.endswith(("Id", "PriceIds")) and key != "shortId" and key not in _CALLERS)


def instant(value: JSON) -> datetime | None:
    """Return the instant in UTC that a text says, None where it says none.

    A day is its start, and a year that a datetime does not hold its first or last instant, as the client reads them.

    Example:
        >>> [instant(text).year for text in ("2027-01-01", "+275760-09-13T00:00:00.000Z", "-000043-03-15T00:00:00Z")]
        [2027, 9999, 1]
    """
    if not isinstance(value, str):
        return None
    return instant_of(value) if _is_plain_instant(value) else far_instant_of(value)


def _of_types(place: str, recorded: str, now: str, *, is_one_value: bool) -> Difference:
    kind = Notation if is_one_value and not fields_of(place) & _FREE_FORM else Difference
    return kind(place, "type", recorded, now)


def _is_plain_instant(value: JSON) -> bool:
    return isinstance(value, str) and _INSTANT.fullmatch(value) is not None


def _are_one_number(one: JSON, other: JSON) -> bool:
    return number(one) is not None and number(one) == number(other)


def _type(value: JSON) -> str:
    return "null" if value is None else _TYPES[type(value)]


def _shown(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
