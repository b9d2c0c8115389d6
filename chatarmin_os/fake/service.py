"""The fake's core: one product's tables with their clock and their lock, and the response to each call."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import TYPE_CHECKING

from chatarmin_os import _clock
from chatarmin_os._json import JSON, copy_json, describe
from chatarmin_os.errors import ApiError
from chatarmin_os.fake import billing, companies, contacts, features, links, onboarding, tiers
from chatarmin_os.fake.catalogue import Catalogue
from chatarmin_os.fake.router import ROUTES, read_input
from chatarmin_os.fake.state import State

if TYPE_CHECKING:
    from chatarmin_os._request import Kind

_NOUNS = (billing, companies, contacts, features, links, onboarding, tiers)  # importing them declares procedures


class Service:
    """ChatarminOS in memory, without a transport.

    `FakeTransport` sends its calls here. The local service and the drift check read and change the tables through these
    methods, so that threads take turns.

    Args:
        catalogue: The features and tiers of the product, copied; None: an empty product.
        now: Returns the time as an aware datetime; default: the real clock.

    Attributes:
        lock: Held while a call is answered. Hold it to make several steps as one.
        state: The tables. Hold the lock while you use them, as `read` and `change` do.
        revision: A number that each change raises, and a refused call does not: snapshots of one revision are equal.
    """

    def __init__(self, catalogue: Catalogue | None = None, *, now: Callable[[], datetime] | None = None) -> None:
        if catalogue is not None and not isinstance(catalogue, Catalogue):
            raise ValueError(f"catalogue: expected a Catalogue or None, got {describe(catalogue)}")
        if now is not None and not callable(now):
            raise ValueError(f"now: expected a function that returns the time, got {describe(now)}")
        self._clock = real_clock if now is None else now
        self.lock = RLock()
        self.revision = 0
        self._advanced_seconds = 0.0  # not a part of the state: replacing that must not turn a clock back
        self.state = State(catalogue.copy() if catalogue else Catalogue())
        self.now()

    def now(self) -> datetime:
        """Return the current time: that of the clock, plus the time that `advance` has added.

        Raises:
            ValueError: The clock did not return an aware datetime, or the time is beyond the year 9999.
        """
        return self._now_with(self.state.clock_offset, field="now")

    def _now_with(self, offset: timedelta, field: str) -> datetime:
        now = self._clock()
        if not isinstance(now, datetime) or now.utcoffset() is None:
            raise ValueError(f"now: the clock must return an aware datetime, got {describe(now)}")
        try:
            return now + offset
        except OverflowError:
            raise ValueError(f"{field}: {now} plus {offset} is beyond the year 9999") from None

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back: the machine's, plus the time that `advance` has added."""
        return _clock.monotonic() + self._advanced_seconds

    def advance(self, by: timedelta) -> None:
        """Move both clocks forward.

        Raises:
            ValueError: *by* is not a timedelta of at least 0, or the time would be beyond the year 9999.
        """
        if not isinstance(by, timedelta) or by < timedelta():
            raise ValueError(f"by: expected a timedelta that is not negative, got {describe(by)}")
        with self.change() as state:
            offset = state.clock_offset + min(by, timedelta.max - state.clock_offset)
            self._now_with(offset, field="by")
            state.clock_offset = offset
            self._advanced_seconds += by.total_seconds()

    @contextmanager
    def read(self) -> Generator[State]:
        """Yield the tables, with the current time; other threads wait."""
        with self.lock:
            self.state.now = self.now()
            yield self.state

    @contextmanager
    def change(self) -> Generator[State]:
        """Yield the tables for changes; other threads wait."""
        with self.lock:
            self.revision += 1
            yield self.state

    def answer(self, path: str, kind: Kind, input: JSON) -> JSON:
        """Return the response to a call, not shared with the tables.

        Args:
            path: The path of a procedure on the wire.
            kind: The kind of call.
            input: JSON that `to_json` accepts, which is neither changed nor kept; None: no input.

        Raises:
            ApiError: The service refuses the call, which then has changed nothing.
        """
        with self.lock:
            try:
                route = ROUTES.get(path)
                if route is None:
                    raise ApiError.from_code("NOT_FOUND", f'No procedure found on path "{path}"')
                if route.kind != kind:
                    raise ApiError.from_code(
                        "METHOD_NOT_SUPPORTED", f'"{path}" is a {route.kind} and was called as a {kind}'
                    )
                self.state.now = self.now()
                response = copy_json(route.handler(self.state, read_input(route, input)))
            except ApiError as refusal:
                _add_call(refusal, path)
                raise
            self.revision += kind == "mutation"
            return response

    def snapshot(self) -> JSON:
        """Return all tables as JSON."""
        from chatarmin_os.fake import snapshot  # late: it imports cattrs, which nothing else here needs

        with self.lock:
            tables = snapshot.tables(self.state)
        return copy_json(tables)

    def load(self, snapshot: JSON) -> State:
        """Return the tables that *snapshot* holds, for `replace`.

        Raises:
            ValueError: It is not a snapshot, has another format, or is broken; the message names the place.
        """
        from chatarmin_os.fake import snapshot as snapshots  # late: as in `snapshot`

        state = snapshots.load(snapshot)
        self._now_with(state.clock_offset, field="now")
        return state

    def replace(self, state: State) -> None:
        """Replace the tables by *state*, which the caller must not use again."""
        with self.lock:
            self.state = state
            self.revision += 1

    def reset(self) -> None:
        """Delete everything except the catalogue."""
        with self.lock:
            self.replace(State(self.state.catalogue))


def real_clock() -> datetime:
    """Return the time of the machine."""
    return datetime.now(UTC)


def _add_call(refusal: ApiError, path: str) -> None:
    """Add to *refusal* the facts of its call that are on the wire too."""
    refusal.path = path
    refusal.data = {"code": refusal.code, "httpStatus": refusal.http_status, "path": path, **(refusal.data or {})}
