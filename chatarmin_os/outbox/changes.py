"""The changes that a sender makes to its events."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from chatarmin_os.outbox.stored import Claimed


@frozen
class Try:
    """It is about to be sent, to this company; its lease is renewed.

    Attributes:
        tried_at: The instant of this attempt.
    """

    claimed: Claimed
    company: str
    tried_at: float

    @property
    def attempts(self) -> int:
        """How many times it may have reached the service, with this attempt."""
        return self.claimed.attempts + 1

    @property
    def first_tried(self) -> float:
        """The instant of its first attempt."""
        return self.tried_at if self.claimed.first_tried is None else self.claimed.first_tried


@frozen
class Keep:
    """Its lease is renewed."""

    claimed: Claimed


@frozen
class Remove:
    """The service counted it."""

    claimed: Claimed


@frozen
class Bury:
    """It is dead."""

    claimed: Claimed
    attempts: int
    reason: str
    error: str


@frozen
class Delay:
    """It can be sent again after *wait* seconds, 0: at once; its attempts and failures are those of *claimed*."""

    claimed: Claimed
    wait: float


Change: TypeAlias = Try | Keep | Remove | Bury | Delay
