"""The seam for integrations: they hear of refreshes and of changes."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.failures import is_outage


@frozen
class Trouble:
    """Why the gate gets no new answers.

    Attributes:
        error: The error of a refresh: a key that is refused, or an outage of five refreshes in a row or of 429.
        has_answers: Whether the old answers are young enough to be used until then, by the gate's default policy.
    """

    error: ChatarminError
    has_answers: bool

    @property
    def is_outage(self) -> bool:
        """Whether the service does not answer; else it refuses the key."""
        return is_outage(self.error)


class Listener(Protocol):
    """An object that a gate calls after refreshes and changes, without a lock; it must not raise.

    It may be called by many threads at once.
    """

    def refreshed(self) -> None:
        """Take note that refreshes have ended: the trouble may be another."""

    def changed(self, organisation: str | None, company: str | None, feature: str | None) -> None:
        """Take note of a change of access: of whom and to what; None: of any."""
