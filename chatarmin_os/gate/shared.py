"""Answers that several processes share through a cache; whatever goes wrong with it is a miss."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import uuid4

from attrs import fields

from chatarmin_os._converter import from_answer, wire_name
from chatarmin_os._json import JSON, timestamp_text
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.known import Answer, Fetched, Listing, Unlinked
from chatarmin_os.models.features import FeatureAccess, OrgFeatures
from chatarmin_os.procedures.features import GetAccessByExternalOrgIdInput

if TYPE_CHECKING:
    from chatarmin_os.client import ChatarminOS
    from chatarmin_os.gate.clock import Clock
    from chatarmin_os.gate.shared_cache import SharedCache

T = TypeVar("T")

_log = logging.getLogger("chatarmin_os")
_QUIET_SECONDS = 60.0
_GENERATION_SECONDS = 14 * 86_400.0
_LISTING = GetAccessByExternalOrgIdInput(external_org_id="-")


class Record(NamedTuple):
    """What a process had fetched of one organisation or company."""

    listing: Listing | Unlinked
    answers: dict[str, Answer]


class Shared:
    """The shared cache of a gate.

    Args:
        cache: The cache.
        client: The client, whose transport has a text that identifies the product, or None if it must not be shared.
        clock: The gate's clock.
    """

    def __init__(self, cache: SharedCache, client: ChatarminOS, clock: Clock) -> None:
        self._cache, self._client, self._clock = cache, client, clock
        self._quiet_until = float("-inf")

    def generation(self) -> str | None:
        """Return the present generation, which each record has; None if nothing can be shared now."""
        key = self._key("generation", "")
        if key is None:
            return None
        found: list[Any] = []
        if not self._try(lambda: found.append(self._cache.get(key))):
            return None
        return found[0] if isinstance(found[0], str) and found[0] else self.renew()

    def renew(self) -> str | None:
        """Make all records old; return the new generation."""
        key, name = self._key("generation", ""), uuid4().hex
        if key is None or not self._try(lambda: self._cache.set(key, name, _GENERATION_SECONDS)):
            return None
        return name

    def read(self, key: Key, generation: str) -> Record | None:
        """Return the record of a key in this generation; None if there is none."""
        name, found = self._key(*key), list[Any]()
        if name is None or not self._try(lambda: found.append(self._cache.get(name))) or found[0] is None:
            return None
        found_record: list[Record | None] = []
        self._try(lambda: found_record.append(decode(json.loads(found[0]), generation)))
        return found_record[0] if found_record else None

    def write(self, key: Key, record: Record, generation: str, seconds: float) -> None:
        """Write what was fetched, for so many seconds."""
        name = self._key(*key)
        if name is not None and seconds > 0:
            text = json.dumps(encode(record, generation))
            self._try(lambda: self._cache.set(name, text, seconds))

    def drop(self, keys: Iterable[Key]) -> None:
        """Delete the records of keys."""
        for key in keys:
            name = self._key(*key)
            if name is None or not self._try(lambda name=name: self._cache.delete(name)):  # type: ignore[misc]
                return

    def _key(self, kind: str, name: str) -> str | None:
        fingerprint = self._client.transport.fingerprint()
        # A hash has no letter that a cache forbids, and is short.
        return fingerprint and f"chatarmin_os:gate:1:{fingerprint}:{kind}:{sha256(name.encode()).hexdigest()}"

    def _try(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - a cache may raise anything, and a gate works without it
            now = self._clock.seconds()
            if now >= self._quiet_until:
                self._quiet_until = now + _QUIET_SECONDS
                _log.warning("the shared cache of the gate failed: %s", type(error).__name__)
            return False
        return True


def encode(record: Record, generation: str) -> JSON:
    """Return a record as JSON."""
    head = {"generation": generation, "fetchedAt": record.listing.fetched.at.isoformat()}
    if isinstance(record.listing, Unlinked):
        return head | {"companyId": None}
    return head | {
        "companyId": record.listing.company_id,
        "features": [_to_wire(access) for access in record.listing.accesses.values()],
        "answers": {
            code: {"fetchedAt": answer.fetched.at.isoformat(), "access": _to_wire(answer.access)}
            for code, answer in record.answers.items()
            if not answer.is_old
        },
    }


def decode(content: JSON, generation: str) -> Record | None:
    """Return the record that JSON holds; None if it is of another generation.

    Its instants on the gate's clock are not set yet; see `at_clock`.

    Raises:
        Exception: It is no record.
    """
    if content["generation"] != generation:
        return None
    fetched = _fetched(content["fetchedAt"])
    if content["companyId"] is None:
        return Record(Unlinked(fetched), {})
    found: OrgFeatures = from_answer(_LISTING, {"companyId": content["companyId"], "features": content["features"]})
    answers = {}
    for code, answer in content["answers"].items():
        one = from_answer(_LISTING, {"companyId": "-", "features": [answer["access"]]})
        answers[code] = Answer(one.features[0], _fetched(answer["fetchedAt"]))
    accesses = {access.feature_code: access for access in found.features if access.feature_code is not None}
    return Record(Listing(found.company_id, accesses, fetched), answers)


def _fetched(text: str) -> Fetched:
    at = datetime.fromisoformat(text)
    if at.utcoffset() is None:
        raise ValueError("the instant has no offset from UTC")
    return Fetched(0, 0.0, at)


def on_clock(fetched: Fetched, number: int, now: float, wall: datetime) -> tuple[Fetched, bool]:
    """Return when others fetched an answer, on the gate's clock, and whether that is in the future.

    Example:
        >>> from datetime import UTC, datetime, timedelta
        >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        >>> fetched, is_future = on_clock(Fetched(0, 0.0, noon), 7, 100.0, noon + timedelta(seconds=10))
        >>> fetched.seconds, is_future
        (90.0, False)
    """
    age = (wall - fetched.at) / timedelta(seconds=1)
    return Fetched(number, now - max(0.0, age), fetched.at), age < 0


def _to_wire(access: FeatureAccess) -> JSON:
    known = {one.name: getattr(access, one.name) for one in fields(FeatureAccess) if one.name != "extra"}
    if access.valid_until is not None:
        known["valid_until"] = timestamp_text(access.valid_until)
    return access.extra | {wire_name(name): value for name, value in known.items() if value is not None}
