"""The form in which an outbox keeps an event: JSON, and its attempts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, cast

from attrs import fields, frozen

from chatarmin_os._input import at_field, identifier, items
from chatarmin_os._json import JSON, describe
from chatarmin_os._messages import printable
from chatarmin_os._usage_event import TriedEvent, UsageEvent, exactly_one
from chatarmin_os.errors import InvalidInput
from chatarmin_os.outbox.records import DeadEvent, OutboxStats
from chatarmin_os.procedures.billing import TrackUsageInput

_checks = {field.name: field.converter for field in fields(TrackUsageInput)}
_company, _feature, _quantity, _key, _metadata = (
    cast("Callable[[Any], Any]", _checks[name])
    for name in ("company_id", "feature_code", "quantity", "idempotency_key", "metadata")
)
_organisation = at_field("external_org_id", identifier)

_MAX_MILLISECONDS = 2**48 - 1

DAMAGES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""The errors with which a damaged text or row cannot be read."""


@frozen
class Stored:
    """An event as it was put.

    Attributes:
        key: Its idempotency key.
        input: The input of the call as JSON text, without the company.
        company: The company; None if only the organisation is known.
        organisation: Your id of the organisation; None if the company is known.
        created: The instant of its creation, in seconds.
        is_tried: Whether it was sent at that instant, and the service may have counted it.
    """

    key: str
    input: str
    company: str | None
    organisation: str | None
    created: float
    is_tried: bool = False

    def names(self) -> tuple[str, str]:
        """Return the key and the feature as they may be logged: on one line each."""
        return printable(self.key), printable(json.loads(self.input)["featureCode"])


def from_arguments(  # noqa: PLR0917 - by position, for speed
    now: float,
    company_id: Any,
    external_org_id: Any,
    feature_code: Any,
    quantity: Any,
    idempotency_key: Any,
    metadata: Any,
) -> Stored:
    """Return the event with the arguments of `put`, which are checked.

    Raises:
        InvalidInput: An invalid argument, which the error names.
    """
    if (company_id is None) == (external_org_id is None):
        exactly_one(external_org_id, company_id)
    return Stored(
        key := _new_key(now) if idempotency_key is None else _key(idempotency_key),
        _input(_feature(feature_code), _quantity(quantity), key, _metadata(metadata)),
        None if company_id is None else _company(company_id),
        None if external_org_id is None else _organisation(external_org_id),
        now,
    )


def _new_key(now: float) -> str:
    """Return a UUID in the form of version 4 that begins with the milliseconds of now, and has 74 random bits.

    Keys that grow are next to each other in an index: those of 500 events are in ten pages of it instead of 500, which
    each have to be written.

    Example:
        >>> from uuid import UUID
        >>> UUID(_new_key(1_700_000_000.0)).version, _new_key(1_700_000_000.0) < _new_key(1_700_000_000.001)
        (4, True)
    """
    begin, digits = f"{int(now * 1000) & _MAX_MILLISECONDS:012x}", os.urandom(10).hex()
    variant = "89ab"[int(digits[4], 16) & 3]
    return f"{begin[:8]}-{begin[8:]}-4{digits[1:4]}-{variant}{digits[5:8]}-{digits[8:]}"


def _input(feature: str, quantity: float, key: str, metadata: dict[str, Any] | None) -> str:
    """Return the JSON text of the input, without the company.

    Example:
        >>> _input("ai_credit", 0.5, "job_1", {"model": "small"})
        '{"featureCode": "ai_credit", "quantity": 0.5, "idempotencyKey": "job_1", "metadata": {"model": "small"}}'
    """
    more = "" if metadata is None else f', "metadata": {json.dumps(metadata)}'
    return f'{{"featureCode": {_quoted(feature)}, "quantity": {quantity!r}, "idempotencyKey": {_quoted(key)}{more}}}'


_events = at_field("events", lambda events: items(events, of="events"))


def from_events(now: float, events: Iterable[Any]) -> list[Stored]:
    """Return the events of `put_many`, an idempotency key once.

    Raises:
        InvalidInput: One of them is no event, or two have the same key and other values.
    """
    found: dict[str, Stored] = {}
    keys = []
    for place, event in enumerate(_events(events)):
        if isinstance(event, TrackUsageInput):
            organisation, created = None, now
        elif isinstance(event, UsageEvent):
            organisation, created = event.external_org_id, event.created_at.timestamp()
        else:
            problem = f"expected a TrackUsageInput or UsageEvent, got {describe(event)}"
            raise InvalidInput(problem).at(f"[{place}]").at("events")
        text = _input(event.feature_code, event.quantity, event.idempotency_key, event.metadata)
        is_tried = isinstance(event, TriedEvent)
        if is_tried:
            created = min(created, now)  # an attempt in the future would be none of this clock
        stored = Stored(event.idempotency_key, text, event.company_id, organisation, created, is_tried)
        same = found.setdefault(stored.key, stored)
        if not is_same(same, stored):
            raise other_values(stored.key).at(f"[{place}]").at("events")
        keys.append(stored.key)
    return [found[key] for key in keys]


def other_values(key: str) -> InvalidInput:
    """Return the error for a key that waits with other values."""
    problem = f"the event {key!r} waits with other values"
    return InvalidInput(problem, "use a key once per event; omit it for a new one").at("idempotency_key")


def is_same(one: Stored, other: Stored) -> bool:
    """Return whether two events have the same values, apart from the instant of their creation.

    Example:
        >>> one, other = (Stored("k", text, "comp_1", None, 0) for text in ('{"a": 1, "b": 2}', '{"b": 2.0, "a": 1}'))
        >>> is_same(one, other), is_same(one, Stored("k", '{"a": true, "b": 2}', "comp_1", None, 0))
        (True, False)
    """
    if (one.company, one.organisation) != (other.company, other.organisation):
        return False
    try:
        return one.input == other.input or _comparable(json.loads(one.input)) == _comparable(json.loads(other.input))
    except (ValueError, TypeError):  # the stored one is damaged
        return False


def _comparable(value: JSON) -> Any:
    """Return JSON in a form in which `True` and `1` differ, and `1` and `1.0` do not."""
    if isinstance(value, dict):
        return {key: _comparable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_comparable(inner) for inner in value]
    return ("bool", value) if isinstance(value, bool) else value


def age_of(created: float | None, now: float) -> float | None:
    """Return the seconds since an event was created, never less than 0; None if there is no event.

    Example:
        >>> age_of(100.0, 160.0), age_of(100.0, 90.0), age_of(None, 90.0)
        (60.0, 0.0, None)
    """
    return None if created is None else max(0.0, now - created)


def sum_by_reason(dead: Iterable[tuple[str, str]]) -> tuple[int, dict[str, int | float]]:
    """Return how many dead events there are, and their quantity by reason, of the reason and the input of each.

    A damaged input counts as 0.

    Example:
        >>> sum_by_reason([("CONFLICT", '{"quantity": 0.1}'), ("FORBIDDEN", '{"quantity": 5}')] * 3)
        (6, {'CONFLICT': 0.3, 'FORBIDDEN': 15})
        >>> sum_by_reason([("damaged", '{"quantity"')])
        (1, {'damaged': 0})
    """
    return sum_quantities((reason, _quantity_in(given), 1) for reason, given in dead)


def sum_quantities(dead: Iterable[tuple[str, Decimal, int]]) -> tuple[int, dict[str, int | float]]:
    """Return how many dead events there are, and their quantity by reason, of groups of equal ones.

    Args:
        dead: Of each group the reason, the quantity of one event, and the number of events.

    Example:
        >>> sum_quantities([("CONFLICT", Decimal("0.1"), 3), ("CONFLICT", Decimal("5"), 1)])
        (4, {'CONFLICT': 5.3})
    """
    count, sums = 0, dict[str, Decimal]()
    for reason, quantity, number in dead:
        count += number
        sums[reason] = sums.get(reason, Decimal(0)) + quantity * number
    return count, {reason: _as_number(quantity) for reason, quantity in sums.items()}


def _quantity_in(text: str) -> Decimal:
    try:
        return Decimal(repr(json.loads(text)["quantity"]))
    except DAMAGES:
        return Decimal(0)


def _as_number(quantity: Decimal) -> int | float:
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)


def stats_of(
    waiting: int, leased: int, dead: tuple[int, dict[str, int | float]], *, age: float | None, size: int | None
) -> OutboxStats:
    """Return the content of an outbox; *waiting* includes the leased events, *dead* is a count and its quantities.

    Example:
        >>> stats_of(5, 2, (1, {"CONFLICT": 3}), age=0.5, size=None).ready
        3
    """
    count, quantities = dead
    return OutboxStats(
        ready=waiting - leased, leased=leased, dead=count, dead_quantity=quantities, oldest_age=age, bytes=size
    )


def to_event(stored: Stored) -> UsageEvent:
    """Return a stored event as one of the user's."""
    given = json.loads(stored.input)
    kind = TriedEvent if stored.is_tried else UsageEvent
    return kind(
        company_id=stored.company if stored.organisation is None else None,
        external_org_id=stored.organisation,
        feature_code=given["featureCode"],
        quantity=given["quantity"],
        idempotency_key=stored.key,
        metadata=given.get("metadata"),
        created_at=datetime.fromtimestamp(stored.created, UTC),
    )


def to_dead_event(stored: Stored, *, attempts: int, reason: str, error: str) -> DeadEvent:
    """Return a stored event that is dead."""
    given = json.loads(stored.input)
    return DeadEvent(
        key=stored.key,
        company_id=stored.company,
        external_org_id=stored.organisation,
        feature_code=given["featureCode"],
        quantity=given["quantity"],
        metadata=given.get("metadata"),
        created_at=datetime.fromtimestamp(stored.created, UTC),
        attempts=attempts,
        reason=reason,
        error=error,
    )


@frozen
class Claimed:
    """An event that a sender has.

    Attributes:
        place: Its identity in its outbox.
        event: The event as it was put, with the company that was found since.
        attempts: How many times it may have reached the service.
        failures: How many times in a row it was not counted.
        first_tried: The instant of the first attempt; None if there was none.
        looked_up: The instant at which the organisation was first found not to be linked; None if it was not.
    """

    place: Any
    event: Stored
    attempts: int = 0
    failures: int = 0
    first_tried: float | None = None
    looked_up: float | None = None


def call_inputs(batch: Sequence[Claimed]) -> list[JSON]:
    """Return the inputs of the calls for events with a company.

    Example:
        >>> call_inputs([Claimed(None, Stored("k", '{"quantity": 1.0}', "comp_1", None, 0.0))])
        [{'companyId': 'comp_1', 'quantity': 1.0}]
    """
    inputs = json.loads(f"[{','.join(claimed.event.input for claimed in batch)}]")
    return [{"companyId": claimed.event.company, **given} for claimed, given in zip(batch, inputs, strict=True)]
