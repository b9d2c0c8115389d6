"""A service, a checkpoint and a clock, for tests of runs: nothing waits, and everything happens in one thread."""

from __future__ import annotations

import queue
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from chatarmin_os import ChatarminError, ChatarminOS
from chatarmin_os.backfill import Backfill, BackfillReport
from chatarmin_os.backfill.timing import Timing
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    from chatarmin_os._json import JSON
    from chatarmin_os.transports import Call

MUTATIONS = {
    "companies.create",
    "onboard",
    "billing.linkSubscription",
    "tiers.apply",
    "links.create",
    "contacts.bulkUpsert",
}


class Inline(Executor):
    """Runs each call when it is submitted."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Run a call."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


class Hooked(Transport):
    """Passes calls on to a fake; a function may answer before they run, another one after."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.before: Callable[[Call], object] = lambda _: None
        self.after: Callable[[Call], object] = lambda _: None
        self.calls: list[Call] = []

    def send(self, call: Call) -> JSON:
        """Send a call; an error that a function returns is its answer."""
        self.calls.append(call)
        found = self.before(call)
        if isinstance(found, ChatarminError):
            raise found
        answer = self._inner.send(call)
        found = self.after(call)
        if isinstance(found, ChatarminError):
            raise found
        return answer

    def now(self) -> datetime:
        """Return the time of the fake."""
        return self._inner.now()


class World:
    """A service and a checkpoint.

    Attributes:
        transport: All calls to the service go through it.
        at: The time in seconds; a wait moves it forward.
        waits: The waits.
    """

    def __init__(self, folder: Path) -> None:
        self.serve(FakeTransport(demo_catalogue()))
        self.folder, self.checkpoint = folder, folder / "checkpoint"
        self.at = 1_000.0
        self.waits: list[float] = []

    def serve(self, fake: FakeTransport) -> None:
        """Replace the service."""
        self.fake, self.direct = fake, ChatarminOS(transport=fake)
        self.transport = Hooked(fake)
        self.client = ChatarminOS(transport=self.transport)

    def backfill(self, **settings: Any) -> Backfill:
        """Return a backfill on the clock of the test."""
        given = {"checkpoint": self.checkpoint, "executor": Inline(), **settings}
        backfill = Backfill(given.pop("make_client", lambda: self.client), **given)
        backfill._timing = Timing(lambda: self.at, lambda: 1.0, self._take)
        return backfill

    def run(self, rows: Iterable[Any], *, dry_run: bool = False, **settings: Any) -> BackfillReport:
        """Run a backfill."""
        return self.backfill(**settings).run(rows, dry_run=dry_run)

    def _take(self, source: queue.SimpleQueue[Any], seconds: float | None) -> Any:
        try:
            return source.get_nowait()
        except queue.Empty:
            assert seconds is not None, "it would wait for ever"
            self.waits.append(seconds)
            self.at += seconds
            return None

    def paths(self) -> list[str]:
        """Return the paths of all calls."""
        return [call.path for call in self.transport.calls]

    def mutations(self) -> list[str]:
        """Return the paths of all mutations."""
        return [path for path in self.paths() if path in MUTATIONS]

    def companies(self) -> list[str]:
        """Return the names of all companies, sorted."""
        return sorted(company["name"] for company in self.fake.snapshot()["companies"])

    def company(self, organisation: str = "org_1") -> str:
        """Return the id of the company of an organisation."""
        company = self.direct.companies.get_by_product_link(external_org_id=organisation)
        assert company is not None
        return company.id

    def tier(self, organisation: str = "org_1") -> str | None:
        """Return the tier of the company of an organisation."""
        tier: str | None = self.fake.snapshot()["tiers"].get(self.company(organisation))
        return tier

    def people(self) -> list[str]:
        """Return the addresses of all contacts, sorted."""
        contacts = self.fake.snapshot()["contacts"].values()
        return sorted(contact["email"] for some in contacts for contact in some)
