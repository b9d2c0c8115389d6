"""A decision about a feature, and the error that is a denial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal

from attrs import field, fields, frozen

from chatarmin_os.errors import ChatarminError
from chatarmin_os.models.features import FeatureAccess

Reason = Literal["allowed", "disabled", "limit_reached", "not_linked", "outage"]
Source = Literal["live", "cache", "stale", "policy"]


@frozen(unsafe_hash=False)  # its access holds a mapping
class Decision:
    """Whether an organisation may use a feature now, and why; true if it may (`allowed`).

    The README of the service states that `canUse` decides, and names no reason. Assumed here: a feature with a quantity
    that is enabled and cannot be used is at its limit, unless some of it remains.

    Attributes:
        allowed: Whether it may.
        reason: `"allowed"`, `"disabled"` (off, expired, not in the plan), `"limit_reached"`, `"not_linked"` (the
            service does not know the organisation or the company), or `"outage"`.
        source: `"live"` (asked just now), `"cache"` (younger than `max_age`), `"stale"` (older, but younger than
            `max_stale`), or `"policy"` (nothing is known; `on_outage` decided).
        feature_code: The feature.
        external_org_id: The organisation that was asked about; None if a company was.
        company_id: Its company; None if it is not known.
        access: The access that the decision rests on; None for `"not_linked"` and `"policy"`.
        error: What went wrong with the last refresh that ended; None if nothing did. It has no traceback.
        fetched_at: The instant at which the answer was asked for, in UTC; None for `"policy"`.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> company = client.onboard(external_org_id="org_1", tier_code="free")
        >>> decision = Gate(client).check(external_org_id="org_1", feature_code="sso")
        >>> decision.allowed, decision.reason, decision.source
        (False, 'disabled', 'live')
        >>> print(decision)
        sso: denied (reason disabled, source live)
    """

    allowed: bool
    reason: Reason
    source: Source
    feature_code: str
    external_org_id: str | None = None
    company_id: str | None = None
    access: FeatureAccess | None = None
    error: ChatarminError | None = None
    fetched_at: datetime | None = None
    _fetched: float | None = field(default=None, eq=False, repr=False, kw_only=True, alias="fetched")
    _clock: Callable[[], float] | None = field(default=None, eq=False, repr=False, kw_only=True, alias="clock")

    def __bool__(self) -> bool:
        """Return `allowed`."""
        return self.allowed

    def __str__(self) -> str:
        """Return feature, outcome, reason and source, for templates: without an id of the service."""
        outcome = "allowed" if self.allowed else "denied"
        return f"{self.feature_code}: {outcome} (reason {self.reason}, source {self.source})"

    @property
    def age(self) -> float | None:
        """The seconds since `fetched_at` on the gate's clock; None for `"policy"`. A pickled decision keeps its age.

        Example:
            >>> from datetime import timedelta
            >>> from chatarmin_os.gate import Gate
            >>> decision = Gate(client).check(external_org_id="org_1", feature_code="sso")
            >>> fake.advance(timedelta(seconds=10))
            >>> 10 <= decision.age < 20
            True
        """
        if self._fetched is None or self._clock is None:
            return self._fetched
        return max(0.0, self._clock() - self._fetched)

    def __getstate__(self) -> dict[str, Any]:
        state = {one.name: getattr(self, one.name) for one in fields(type(self))}
        return state | {"_fetched": self.age, "_clock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for one in fields(type(self)):
            object.__setattr__(self, one.name, state.get(one.name))

    def __copy__(self) -> Decision:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Decision:
        return self


class FeatureDenied(ChatarminError):  # noqa: N818 - a public name
    """An organisation must not use a feature.

    Args:
        decision: The decision, or its text with the attributes in the `args` of another error.

    Attributes:
        decision: The decision.

    Example:
        >>> from chatarmin_os.gate import Gate
        >>> company = client.onboard(external_org_id="org_1", tier_code="free")
        >>> Gate(client).require(external_org_id="org_1", feature_code="sso")
        Traceback (most recent call last):
        ...
        chatarmin_os.gate.decision.FeatureDenied: sso: denied to organisation org_1: disabled ...
    """

    decision: Decision
    _in_args: ClassVar[tuple[str, ...]] = ("_facts",)

    def __init__(self, decision: Decision | str, *from_args: Mapping[str, Any]) -> None:
        if isinstance(decision, str):  # the `args` of another one, from a queue that stores errors as JSON
            facts = from_args[0]["_facts"]
            fetched_at = facts["fetched_at"] and datetime.fromisoformat(facts["fetched_at"])
            decision = Decision(**(facts | {"fetched_at": fetched_at}))
        super().__init__(_text(decision))
        self.decision = decision

    @property
    def _facts(self) -> dict[str, Any]:
        """The decision as JSON, without its access and error."""
        one = self.decision
        return {
            "allowed": one.allowed,
            "reason": one.reason,
            "source": one.source,
            "feature_code": one.feature_code,
            "external_org_id": one.external_org_id,
            "company_id": one.company_id,
            "fetched_at": one.fetched_at and one.fetched_at.isoformat(),
            "fetched": one.age,
        }


_WHY = {
    "disabled": "disabled (off, expired, or not in its plan)",
    "limit_reached": "limit_reached",
    "not_linked": "not_linked (the service does not know it)",
    "outage": "outage (the service does not answer, and nothing is known)",
    "allowed": "allowed",
}


def _text(decision: Decision) -> str:
    who = decision.external_org_id
    of = f"organisation {who}" if who is not None else f"company {decision.company_id}"
    return f"{decision.feature_code}: denied to {of}: {_WHY.get(decision.reason, decision.reason)}"


def reason_of(access: FeatureAccess, *, is_expired: bool = False) -> Reason:
    """Return the reason of the decision about a known access.

    Example:
        >>> from chatarmin_os import FeatureAccess
        >>> reason_of(FeatureAccess(is_enabled=True, can_use=True))
        'allowed'
        >>> reason_of(FeatureAccess(is_enabled=True, can_use=True), is_expired=True)
        'disabled'
        >>> reason_of(FeatureAccess(is_enabled=True, can_use=False, has_quantity=True, remaining=0))
        'limit_reached'
        >>> reason_of(FeatureAccess(is_enabled=True))  # the service did not say
        'disabled'
    """
    if is_expired or access.is_enabled is not True or access.can_use is None:
        return "disabled"
    if access.can_use is True:
        return "allowed"
    is_below_limit = access.remaining is not None and access.remaining > 0
    return "disabled" if access.has_quantity is False or is_below_limit else "limit_reached"
