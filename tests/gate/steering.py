"""A transport whose answers a test holds back, threads whose results it awaits, and a clock that it sets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from waiting import PATIENCE

from chatarmin_os import ChatarminError, ChatarminOS
from chatarmin_os.gate import Gate
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.transports import Call

T = TypeVar("T")

LISTING = "features.getAccessByExternalOrgId"
SINGLE = "features.checkByExternalOrgId"


class Hold:
    """Calls of one path, each answered by the service when it arrives, whose answers wait for `release`."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._go = threading.Event()

    def arrive(self) -> None:
        """Say that a call has arrived, and wait until it may go on."""
        self._arrived.release()
        assert self._go.wait(PATIENCE)

    def wait(self) -> None:
        """Wait for the next call."""
        assert self._arrived.acquire(timeout=PATIENCE)

    def release(self) -> None:
        """Let all answers pass, also later ones."""
        self._go.set()


class Steered(Transport):
    """The service, with answers that a test holds back or replaces.

    Attributes:
        inner: The service.
        calls: The paths of the calls.
        rounds: The numbers of calls of each round trip.
        answers: A function for each path whose answers are replaced: it takes the call and the answer or error.
    """

    def __init__(self, inner: FakeTransport) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self.rounds: list[int] = []
        self.answers: dict[str, Callable[[Call, Any], Any]] = {}
        self.product: str | None = None
        self._holds: dict[str, Hold] = {}

    def hold(self, path: str) -> Hold:
        """Hold the answers of a path back."""
        hold = self._holds[path] = Hold()
        return hold

    def send(self, call: Call) -> Any:
        """Answer a call."""
        self.rounds.append(1)
        return self._answer(call)

    def send_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer calls, at most 50 in a round."""
        self.rounds.extend(len(calls[start : start + 50]) for start in range(0, len(calls), 50))
        return [self._caught(call) for call in calls]

    def _caught(self, call: Call) -> Any:
        try:
            return self._answer(call)
        except ChatarminError as error:
            return error

    def _answer(self, call: Call) -> Any:
        self.calls.append(call.path)
        try:
            answer = self.inner.send(call)
        except ChatarminError as error:
            answer = error
        if call.path in self.answers:
            answer = self.answers[call.path](call, answer)
        hold = self._holds.get(call.path)
        if hold is not None:
            hold.arrive()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def now(self) -> datetime:
        """Return the time of the service."""
        return self.inner.now()

    def monotonic(self) -> float:
        """Return the seconds of the service's clock."""
        return self.inner.monotonic()

    def fingerprint(self) -> str | None:
        """Return the name of the product."""
        return self.product


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Stage:
    """A service with one organisation `org_1` on the tier pro, and a gate on it.

    Attributes:
        fake: The service.
        transport: The transport in between.
        client: The client.
        company: The company of `org_1`.
        gate: The gate.
    """

    def __init__(self, fake: FakeTransport, **settings: Any) -> None:
        self.fake = fake
        self.transport = Steered(fake)
        self.client = ChatarminOS(transport=self.transport)
        self.company = self.client.onboard(external_org_id="org_1", tier_code="pro").company_id
        self.transport.calls.clear()
        self.transport.rounds.clear()
        self.gate = Gate(self.client, **{"timeout": PATIENCE, **settings})

    def another(self, **settings: Any) -> Gate:
        """Return the gate of another process on the same service: its client shares nothing with the first."""
        transport = Steered(self.fake)
        transport.product = self.transport.product
        return Gate(ChatarminOS(transport=transport), **{"timeout": PATIENCE, **settings})

    def check(self, feature: str = "api_access", organisation: str = "org_1") -> Any:
        """Return the gate's decision."""
        return self.gate.check(external_org_id=organisation, feature_code=feature)

    def calls(self) -> list[str]:
        """Return the paths of the calls since this was last called."""
        calls = list(self.transport.calls)
        self.transport.calls.clear()
        return calls

    def waiting(self, feature: str | None = None, organisation: str = "org_1") -> int:
        """Return the number of threads that wait for a refresh: of the listing, or of one feature."""
        flight = self.gate._state.store.organisations[organisation].flights[feature]
        return len(flight._done._cond._waiters)  # type: ignore[attr-defined]

    def set_access(self, feature: str = "api_access", **change: Any) -> None:
        """Change an access behind the gate's back."""
        ChatarminOS(transport=self.fake).features.set_access(company_id=self.company, feature_code=feature, **change)


class Running:
    """A function that runs in a thread."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the test
            self._error = error

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Return its result, or raise its error."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._result
