"""One refresh under way, which any number of threads wait for."""

from __future__ import annotations

import threading

from chatarmin_os.errors import ChatarminError
from chatarmin_os.gate.answers import Outcome
from chatarmin_os.gate.fences import Key

_MAX_WAIT_SECONDS = 1e9  # the platform counts no further


class Flight:
    """One refresh: of the listing of a key, or of one feature of it.

    Event and thread are looked up in `threading` each time: gevent may have replaced them since this was imported.

    Attributes:
        key: The organisation or the company.
        feature: The feature that is asked for alone; None: the listing.
        wanted: The feature because of which it began; None: all.
        number: Its number among refreshes and fences.
        refusal: The error because of which the service is not asked, only the shared cache; None: it is asked.
        is_first: Whether it is the first of its process, which has more time.
        is_probe: Whether it is the one refresh that goes through after a wait.
        has_listing: Whether the listing was asked for in the same check.
        company_id: The company, if that listing named one.
        is_doubted: Whether only the service can say: it does not know the feature, and the shared listing lacks it too.
        owner: The thread that runs it.
        outcome: Its result; None if it ended without one, and those that waited ask again.
        is_current: Whether the outcome was not outdated by a mutation that ended during the refresh.
    """

    __slots__ = (
        "_done",
        "company_id",
        "feature",
        "has_listing",
        "is_current",
        "is_doubted",
        "is_first",
        "is_over",
        "is_probe",
        "key",
        "number",
        "outcome",
        "owner",
        "refusal",
        "wanted",
    )

    def __init__(self, key: Key, feature: str | None, wanted: str | None, number: int) -> None:
        self.key, self.feature, self.wanted, self.number = key, feature, wanted, number
        self.is_first = self.is_probe = self.has_listing = self.is_doubted = False
        self.refusal: ChatarminError | None = None
        self.company_id: str | None = None
        self.owner = threading.get_ident()
        self.outcome: Outcome | None = None
        self.is_current = self.is_over = False
        self._done = threading.Event()

    def end(self) -> None:
        """Wake the threads that wait."""
        self.is_over = True
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended, at most so long; return whether it has."""
        return self._done.wait(min(max(0.0, seconds), _MAX_WAIT_SECONDS))
