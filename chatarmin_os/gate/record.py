"""The answers about one organisation or company that processes share, as JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from attrs import fields

from chatarmin_os._converter import from_answer, wire_name
from chatarmin_os._json import JSON, timestamp_text
from chatarmin_os.gate.answers import Answer, Fetched, Listing, Unlinked
from chatarmin_os.models.features import FeatureAccess, OrgFeatures
from chatarmin_os.procedures.features import GetAccessByExternalOrgIdInput

_LISTING = GetAccessByExternalOrgIdInput(external_org_id="-")


class Record(NamedTuple):
    """The answers that a process had fetched about one organisation or company."""

    listing: Listing | Unlinked
    answers: dict[str, Answer]


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
            if not answer.is_invalidated
        },
    }


def decode(content: JSON, generation: str) -> Record | None:
    """Return the record that JSON holds; None if it is of another generation.

    Its instants on the gate's clock are not set yet; see `on_clock`.

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
