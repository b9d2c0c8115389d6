"""Everything that the gate keeps of one organisation or company."""

from __future__ import annotations

from attrs import evolve

from chatarmin_os.gate.answers import Answer, Listing, Unlinked
from chatarmin_os.gate.backoff import Backoff
from chatarmin_os.gate.decision import Decision
from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.flight import Flight

_NOT_READY: tuple[float, dict[str, Decision]] = float("-inf"), {}


class Entry:
    """Everything that the gate keeps of one organisation or company.

    Attributes:
        key: The organisation or the company.
        ready: By feature, the instant until which a decision is fresh, and the decision; read without a lock.
        ready_listing: The same for the decisions about all features.
        used: The number of its last use.
        listing: Its access to all features, or that the service does not know it; None if nothing is known.
        answers: Its access to features that were asked for alone.
        flights: The refreshes under way, by feature; None: that of the listing.
        waits: The failures in a row of these.
        is_suspect: Whether a mutation that succeeded may have changed it: others do not get it during a refresh.
        shared_until: The instant before which the shared cache need not be asked again.
        quiet_until: The instants before which nothing more is logged, by level.
    """

    __slots__ = (
        "answers",
        "backoffs",
        "flights",
        "is_suspect",
        "key",
        "listing",
        "quiet_until",
        "ready",
        "ready_listing",
        "shared_until",
        "used",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.ready: dict[str, tuple[float, Decision]] = {}
        self.ready_listing: tuple[float, dict[str, Decision]] = _NOT_READY
        self.used = 0
        self.listing: Listing | Unlinked | None = None
        self.answers: dict[str, Answer] = {}
        self.flights: dict[str | None, Flight] = {}
        self.backoffs: dict[str | None, Backoff] = {}
        self.is_suspect = False
        self.shared_until = float("-inf")
        self.quiet_until: dict[int, float] = {}

    @property
    def company_id(self) -> str | None:
        """The company, if it is known."""
        if self.key[0] == "company":
            return self.key[1]
        return self.listing.company_id if isinstance(self.listing, Listing) else None

    def known(self, feature: str, listing: Listing | Unlinked | None = None) -> Answer | Unlinked | None:
        """Return the known answer about a feature: from a listing, else from the answer about it alone."""
        listing = listing or self.listing
        return (listing and listing.about(feature)) or self.answers.get(feature)

    def backoffs_of(self, feature: str | None) -> list[Backoff]:
        """Return those that concern a feature: its own, and that of the listing."""
        targets = dict.fromkeys((feature, None))
        return [backoff for target in targets if (backoff := self.backoffs.get(target)) is not None]

    def keys(self) -> list[Key]:
        """Return the keys under which changes of this entry may be filed."""
        company = self.company_id
        return [self.key] if company is None or self.key[0] == "company" else [self.key, ("company", company)]

    def discard_ready(self) -> None:
        """Build each decision again."""
        self.ready = {}
        self.ready_listing = _NOT_READY

    def invalidate(self) -> None:
        """Keep the answers for outages only."""
        if self.listing is not None:
            self.listing = evolve(self.listing, is_invalidated=True)
        self.answers = {code: evolve(answer, is_invalidated=True) for code, answer in self.answers.items()}
        self.discard_ready()
