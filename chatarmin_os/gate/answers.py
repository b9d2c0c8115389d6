"""Answers of the service, as the gate keeps them, and the other results of a refresh."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from attrs import evolve, frozen

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.failures import is_outage
from chatarmin_os.gate.usage import apply_usage
from chatarmin_os.models.billing import UsageResult
from chatarmin_os.models.features import FeatureAccess


@frozen
class Fetched:
    """When an answer was asked for.

    Attributes:
        number: The number of the refresh.
        seconds: The instant on the gate's clock.
        at: The same instant on the wall clock.
    """

    number: int
    seconds: float
    at: datetime

    def expiry_of(self, access: FeatureAccess) -> float:
        """Return the instant on the gate's clock at which an access of this answer ends."""
        if access.valid_until is None:
            return float("inf")
        return self.seconds + (access.valid_until - self.at) / timedelta(seconds=1)


@frozen
class Listing:
    """The access of an organisation to all features.

    Attributes:
        company_id: The company.
        accesses: Its access by feature code, in the order of the service.
        fetched: When it was asked for.
        is_invalidated: Whether a later change may have outdated it.
    """

    company_id: str
    accesses: dict[str, FeatureAccess]
    fetched: Fetched
    is_invalidated: bool = False

    def about(self, feature: str) -> Answer | None:
        """Return its answer about a feature; None if it lacks the feature, or whether that can be used."""
        access = self.accesses.get(feature)
        if access is None or access.can_use is None:
            return None
        return Answer(access, self.fetched, self.is_invalidated)

    def after(self, feature: str, result: UsageResult | None) -> Listing:
        """Return the listing after usage, None if its answer is not known; old if the answer is below the listing."""
        access = self.accesses.get(feature)
        if access is None:
            return self if result else evolve(self, is_invalidated=True)
        after = apply_usage(access, result) if result else None
        if after is None:
            return evolve(self, is_invalidated=True)
        return evolve(self, accesses=self.accesses | {feature: after})


@frozen
class Answer:
    """The access to one feature that was asked for alone."""

    access: FeatureAccess
    fetched: Fetched
    is_invalidated: bool = False

    def after(self, result: UsageResult | None) -> Answer:
        """Return the access after usage, as for a listing."""
        after = apply_usage(self.access, result) if result else None
        return evolve(self, is_invalidated=True) if after is None else evolve(self, access=after)


@frozen
class Unlinked:
    """The service does not know the organisation or the company."""

    fetched: Fetched
    is_invalidated: bool = False

    def about(self, _feature: str) -> Unlinked:
        """Return its answer about a feature: the same about each."""
        return self


@frozen
class Missing:
    """The service did not know a feature, or its organisation; only a listing newer than *number* says which."""

    error: ChatarminError
    feature: str
    number: int


@frozen
class Failed:
    """A refresh failed."""

    error: ChatarminError

    @property
    def is_mistake(self) -> bool:
        """Whether the service answered, and a policy must not cover it."""
        return not is_outage(self.error)


Outcome: TypeAlias = Listing | Unlinked | Answer | Missing | Failed
"""The result of a refresh."""
