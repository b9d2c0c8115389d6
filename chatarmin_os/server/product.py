"""The product of one API key: its fake, the calls that it received, and what they changed."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from chatarmin_os import _clock
from chatarmin_os._call import Call
from chatarmin_os._clock import perf_counter
from chatarmin_os._unset import UNSET
from chatarmin_os.errors import ApiError, ChatarminError, InvalidInput
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.procedures.table import PROCEDURES
from chatarmin_os.server.call_log import MAX_CALLS, CallLog
from chatarmin_os.server.changes import CHECKS, RESET, Watch, company_of, denial, of_product, refusal
from chatarmin_os.server.timeline import Event, Timeline

if TYPE_CHECKING:
    from collections.abc import Generator

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.fake import FakeTransport
    from chatarmin_os.fake.state import State
    from chatarmin_os.server.call_log import Received
    from chatarmin_os.server.changes import Change
    from chatarmin_os.server.timeline import Logs

InjectedFailure = Literal["refused", "lost"]
"""Fails a request on purpose: before it is carried out, or by losing its response."""

_NO_LOCK = nullcontext()
_NEVER = datetime.min.replace(tzinfo=UTC)


class Product:
    """The product of one API key.

    Attributes:
        id: Identifies it wherever its key must not be shown.
        name: The beginning of the key and its last four characters.
        fake: The fake that answers.
        is_given: Whether the fake was made in Python and passed in, so that others may use it too.
        next_expiry: When the next access expires, if a view has looked for it.
        index: What a view has sorted and keeps until the next change.
    """

    def __init__(
        self,
        id: str,
        name: str,
        fake: FakeTransport,
        log: CallLog | None = None,
        timelines: Logs | None = None,
        *,
        is_given: bool = False,
    ) -> None:
        self.id, self.name, self.fake, self.is_given = id, name, fake, is_given
        self.next_expiry: datetime | None = None
        self.index: Any = None
        self._state, self._timeline = fake.service.state, Timeline(timelines)
        self._log = log or CallLog()
        self._entries: deque[int] = deque()  # of the log
        self._count = 0
        self._touches = secrets.randbits(40)  # a page that is still open notices a restart
        self._failures: list[tuple[str | None, int]] = []  # as a view has last seen them
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        """A number that grows with each call and each change; it differs after a restart."""
        return self._touches + self.revision

    @property
    def revision(self) -> int:
        """A number that grows with each change of the snapshot."""
        return self.fake.service.revision

    @property
    def is_fresh(self) -> bool:
        """Whether it equals a new product, so that nothing is lost without it."""
        return not (self.is_given or self.revision or self.fake.injected_failures)

    @property
    def count(self) -> int:
        """How many calls it has received since the last reset."""
        return self._count

    def touch(self) -> None:
        """Make `version` grow for a change that no snapshot shows."""
        with self._lock:
            self._touches += 1

    def notice(self) -> None:
        """Touch the product if something has changed that no call announces: an expiry, or a failure of Python."""
        failures = [(failure.path, failure.times) for failure in self.fake.injected_failures]
        is_expired = self.next_expiry is not None and self.next_expiry <= self.fake.service.now()
        if is_expired or failures != self._failures:
            self._failures = failures
            self.touch()

    def calls(self, after: float = 0, *, last: int = MAX_CALLS) -> list[dict[str, JSON]]:
        """Return the logged calls with a higher number than *after*, oldest first, at most the *last* ones."""
        return self._log.read(self._entries, after, last)

    def call(self, number: int) -> dict[str, JSON] | None:
        """Return the logged call with a number; None if it is not kept."""
        return self._log.find(self._entries, number)

    def page_of_calls(self, **wanted: Any) -> tuple[list[JSON], bool]:
        """Return the newest logged calls that match, and whether there are more; see `CallLog.page`."""
        return self._log.page(self._entries, **wanted)

    def clear_calls(self) -> None:
        """Delete the logged calls, and count from 1 again."""
        with self._lock:
            self._log.clear(self._entries)
            self._timeline.clear()
            self._count = 0

    def answer(self, path: str, kind: Kind, input: JSON, failure: InjectedFailure | None = None) -> JSON:
        """Return the fake's response, and log the call.

        Args:
            path: The path of a procedure on the wire.
            kind: The kind of call.
            input: The input; `UNSET`: none.
            failure: Fails the call on purpose.

        Raises:
            ApiError: The fake refuses the call, or *failure* does.
            TransportError: A test control of the fake loses the response.
        """
        started, service = perf_counter(), self.fake.service
        call: Received = {
            "number": 0,
            "at": _NEVER,
            "real_at": _NEVER,
            "path": path,
            "kind": kind,
            "company": None,
            "input": None if input is UNSET or failure == "refused" else input,  # nobody has read a refused one
            "answer": None,
            "error": {"code": "INTERNAL_SERVER_ERROR", "message": "A defect of the fake"},
            "ms": 0.0,
        }
        # No other call changes the company during a mutation.
        with service.lock if kind == "mutation" else _NO_LOCK:
            watch = Watch(service.state, path, call["input"]) if kind == "mutation" else None
            try:
                if failure == "refused":
                    raise ApiError.from_code(
                        "SERVICE_UNAVAILABLE", "Injected failure: refused before it was carried out"
                    )
                response = call["answer"] = self._send(path, kind, input)
                call["error"] = None
            except InvalidInput as refusal:
                call["input"] = "(not shown: the input cannot be written as JSON)"
                call["error"] = {"code": "BAD_REQUEST", "message": str(refusal)}
                raise ApiError.from_code("BAD_REQUEST", str(refusal)) from None
            except ApiError as refusal:
                call["error"] = {"code": refusal.code, "message": refusal.message}
                raise
            except ChatarminError as lost:
                call["error"] = {"code": "LOST", "message": str(lost)}
                raise
            finally:
                if failure == "lost":
                    call["error"] = {"code": "LOST", "message": "Injected failure: carried out, and the response lost"}
                call["ms"] = round((perf_counter() - started) * 1000, 3)
                self._log_call(call, watch)
        return response

    def _send(self, path: str, kind: Kind, input: JSON) -> JSON:
        known = PROCEDURES.get(path)
        if input is None and ROUTES[path].schema:  # null on the wire, which is not the same as no input
            raise ApiError.from_code("BAD_REQUEST", "input: expected an object, got null")
        call = Call(path, kind, None if input is UNSET else input, known is not None and known.safe_to_repeat)
        try:
            return self.fake.send(call)
        finally:
            if not self.is_given:
                self.fake.calls.clear()  # the log here has them, and only the last ones

    def _log_call(self, call: Received, watch: Watch | None) -> None:
        service, path, error = self.fake.service, call["path"], call["error"]
        state = service.state
        change: Change | Watch | None = None  # nothing to show
        at = state.now if watch and not error else service.now()  # that of the answer
        if watch and watch.state is state:  # a fake in Python may replace its state
            watch.end(call["answer"], error["message"] if error else None)
            company_id, change = watch.company_id, watch
        else:
            company_id = company_of(state, call["input"])
            if error:
                change = refusal(error["message"])
            elif path in CHECKS:
                change = denial(call["answer"], at)
        call["at"], call["real_at"] = at, _clock.now()
        call["company"] = company = state.companies.get(company_id or "")
        with self._lock:
            self._touches += 1
            self._count = number = call["number"] = self._count + 1
            self._log.append(self._entries, call)
            if change is not None and (company or path == RESET) and state is service.state:
                event = Event(number, at, path, error["code"] if error else "ok", change)
                self._timeline_of(state).record(company_id, event)

    def timeline_of(self, state: State) -> Timeline:
        """Return what has happened to each company of the present *state*; the caller holds the lock of the service."""
        with self._lock:
            timeline = self._timeline_of(state)
            timeline.settle()
            return timeline

    def _timeline_of(self, state: State) -> Timeline:
        if state is not self._state:  # Python has replaced it, and the new one has another past
            self._state = state
            self._timeline.clear()
        return self._timeline

    @contextmanager
    def controlled(self, name: str, given: JSON) -> Generator[None]:
        """Add to a timeline what a test control does, if it succeeds."""
        service = self.fake.service
        with service.lock:
            state = service.state
            watch = Watch(state, name, given)
            yield
            if service.state is not state:  # it was replaced, and the timeline with it
                return
            watch.end(None)
            change = watch.change() or of_product(name, given)
            if change or (watch.company_id and name == "stripe.renew"):
                event = Event(None, service.now(), name, "ok", change)
                with self._lock:
                    self._timeline_of(state).record(watch.company_id, event)

    def restore(self, snapshot: JSON) -> None:
        """Replace all that the fake knows by a snapshot.

        Raises:
            ValueError: It is not a snapshot; the message names the place.
        """
        self.replace(self.fake.service.load(snapshot))

    def replace(self, state: State) -> None:
        """Replace all that the fake knows by *state*, and delete the logged calls."""
        self.fake.replace(state)
        self.clear_calls()

    def reset(self) -> None:
        """Keep the catalogue and delete everything else."""
        self.fake.reset()
        self.clear_calls()
