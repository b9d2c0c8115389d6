"""The fake as a transport: the JSON border, dispatch by path, the lock, the clock, faults and the log of calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import RLock
from typing import Any, TypeVar

from chatarmin_os._call import Call, copy_error
from chatarmin_os._input import at_field, boolean, optional_timestamp, text
from chatarmin_os._json import JSON, MAX_DEPTH, copy_json, describe, short_repr, timestamp_text, to_json
from chatarmin_os.errors import CODES, ApiError, ChatarminError, InvalidInput
from chatarmin_os.fake import billing, companies, contacts, features, links, onboarding, tiers
from chatarmin_os.fake.catalogue import Catalogue
from chatarmin_os.fake.router import ROUTES, read_input
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.state import State
from chatarmin_os.fake.stripe import Stripe
from chatarmin_os.transports.base import Transport

F = TypeVar("F", bound="FakeTransport")

_NOUNS = (billing, companies, contacts, features, links, onboarding, tiers)  # importing them declares procedures
# A whole input holds its arguments a few levels down, each as deep as an argument may be.
_travelled = at_field("input", partial(to_json, max_depth=MAX_DEPTH + 10, is_stored=False))


class _Fault:
    """An error that waits for its calls."""

    def __init__(self, path: str | None, error: ChatarminError, times: int, *, after: bool) -> None:
        self.path, self.error, self.times, self.after = path, error, times, after


class FakeTransport(Transport):
    """ChatarminOS in memory: one product, with every rule of the service, for tests and for trying things out.

    What a user of the service can do is done through a client; the methods here are what a test arranges besides.
    Wrong use of them is a `ValueError`. The rules, and which of them the service's README states, are in
    `chatarmin_os.fake.rules`.

    Args:
        catalogue: The features and tiers of the product, copied; None: an empty product.
        now: Returns the time as an aware datetime; default: the real clock.

    Attributes:
        calls: Every `Call` received, in order, the failed ones too.
        stripe: The little Stripe of the fake.

    Policies:
        - **Refusals**: unknown procedures, and unknown or mistyped keys of an input, are refused: a typo must not pass.
        - **Failed calls** change nothing, but those that `fail(after=True)` carries out before they fail.
        - **Threads** may share a fake: two calls at once behave as some order of the two.
        - **JSON**: what comes in and goes out is copied; nothing is shared with the caller.

    Example:
        >>> from chatarmin_os import ChatarminOS
        >>> fake = FakeTransport(demo_catalogue())
        >>> client = ChatarminOS(transport=fake)
        >>> fake.fail("tiers.list", error="TOO_MANY_REQUESTS")
        >>> client.tiers.list()
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.RateLimitError: TOO_MANY_REQUESTS: TOO_MANY_REQUESTS [tiers.list]
        >>> [tier.code for tier in client.tiers.list()]
        ['free', 'trial', 'pro', 'enterprise']
        >>> [call.path for call in fake.calls]
        ['tiers.list', 'tiers.list']
    """

    def __init__(self, catalogue: Catalogue | None = None, *, now: Callable[[], datetime] | None = None) -> None:
        if catalogue is not None and not isinstance(catalogue, Catalogue):
            raise ValueError(f"catalogue: expected a Catalogue or None, got {describe(catalogue)}")
        if now is not None and not callable(now):
            raise ValueError(f"now: expected a function that returns the time, got {describe(now)}")
        self._now = _real_clock if now is None else now
        self._lock = RLock()
        self._faults: list[_Fault] = []
        self._state = State(catalogue.copy() if catalogue else Catalogue())
        self.calls: list[Call] = []
        self.stripe = Stripe(self._locked)
        self._instant()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self._state.companies)} companies, {len(self.calls)} calls>"

    @contextmanager
    def _locked(self) -> Generator[State]:
        with self._lock:
            yield self._state

    def _instant(self) -> datetime:
        return self._instant_after(self._state.clock_offset, what="now")

    def _instant_after(self, offset: timedelta, what: str) -> datetime:
        now = self._now()
        if not isinstance(now, datetime) or now.utcoffset() is None:
            raise ValueError(f"now: expected an aware datetime of the clock, got {describe(now)}")
        try:
            return now + offset
        except OverflowError:
            raise ValueError(f"{what}: no calendar reaches {offset} beyond {now}") from None

    def send(self, call: Call) -> JSON:
        """Answer *call* as the service would."""
        given = _travelled(call.input)
        with self._lock:
            self.calls.append(Call(call.path, call.kind, given, call.safe_to_repeat))
            fault = self._fault(call.path)
            if fault is None:
                return self._answer(call, given)
            if fault.after:
                with suppress(ApiError):  # the answer is lost, whatever it was
                    self._answer(call, given)
        raise _raisable(fault.error, call.path)

    def _fault(self, path: str) -> _Fault | None:
        for fault in self._faults:
            if fault.path in {None, path}:
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
                return fault
        return None

    def _answer(self, call: Call, given: JSON) -> JSON:
        try:
            route = ROUTES.get(call.path)
            if route is None:
                raise ApiError.from_code("NOT_FOUND", f'No procedure found on path "{call.path}"')
            if route.kind != call.kind:
                raise ApiError.from_code(
                    "METHOD_NOT_SUPPORTED", f'"{call.path}" is a {route.kind} and was called as a {call.kind}'
                )
            self._state.now = self._instant()
            return copy_json(route.handler(self._state, read_input(route, given)))
        except ApiError as refusal:
            _tell_as_the_wire(refusal, call.path)
            raise

    # Handles

    def add_feature(
        self, code: str, *, name: str, has_quantity: bool = False, config: Mapping[str, Any] | None = None
    ) -> None:
        """Add a feature to the catalogue, or replace the one with this code; see `Catalogue.add_feature`."""
        with self._locked() as state:
            state.catalogue.add_feature(code, name=name, has_quantity=has_quantity, config=config)

    def add_tier(
        self,
        code: str,
        *,
        name: str,
        base_fee: int | None = None,
        currency: str = "eur",
        features: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Add a tier to the catalogue, or replace the one with this code; see `Catalogue.add_tier`."""
        with self._locked() as state:
            state.catalogue.add_tier(code, name=name, base_fee=base_fee, currency=currency, features=features)

    def add_company(self, name: str, *, domain: str | None = None, created_at: datetime | str | None = None) -> str:
        """Add a company that the service knows but that is not linked yet, and return its id.

        Example:
            >>> company = fake.add_company("Acme Inc", domain="acme.com")
            >>> client.companies.smart_link(external_org_id="org_1", hints={"domain": "acme.com"}).company_id == company
            True
        """
        name, normalised = at_field("name", text)(name), at_field("domain", _domain)(domain)
        moment = at_field("created_at", optional_timestamp)(created_at)
        with self._locked() as state:
            return state.add_company(name, normalised, None if moment is None else timestamp_text(moment))["id"]

    def advance(self, by: timedelta) -> None:
        """Move the fake's clock forward.

        Example:
            >>> from datetime import timedelta
            >>> fake.advance(timedelta(days=31))
        """
        if not isinstance(by, timedelta) or by < timedelta():
            raise ValueError(f"by: expected a timedelta that is not negative, got {describe(by)}")
        with self._locked() as state:
            offset = state.clock_offset + min(by, timedelta.max - state.clock_offset)
            self._instant_after(offset, what="by")
            state.clock_offset = offset

    def fail(
        self, path: str | None = None, *, error: str | ChatarminError, times: int = 1, after: bool = False
    ) -> None:
        """Let the next calls fail.

        Args:
            path: Only calls of this path on the wire count; None: all do.
            error: A code of the wire such as `"TOO_MANY_REQUESTS"`, or any error of the tree, raised as a copy; for a
                code that only your service has, an `ApiError(message, code=...)`.
            times: How many calls fail.
            after: Carry the call out first: it ran, and its answer is lost.

        Raises:
            ValueError: An unknown code, path or kind of error, or *times* is no int of at least 1.

        Example:
            >>> from chatarmin_os import TimedOut
            >>> fake.fail("onboard", error=TimedOut("the cable was pulled"), after=True)
        """
        if isinstance(error, str):
            error = _error_of_code(error)
        if not isinstance(error, ChatarminError):
            raise ValueError(f"error: expected a code or a ChatarminError, got {describe(error)}")  # noqa: TRY004 - one error for wrong use
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ValueError(f"times: expected an int of at least 1, got {describe(times)}")
        if path is not None and (not isinstance(path, str) or path not in ROUTES):
            raise ValueError(f'path: no procedure {path!r}; paths are those of the wire, such as "billing.trackUsage"')
        fault = _Fault(path, copy_error(error), times, after=at_field("after", boolean)(after))
        with self._lock:
            self._faults.append(fault)

    def mrr(self, company_id: str) -> int:
        """Return a company's monthly recurring revenue in minor units, of whatever currency its tier has."""
        with self._locked() as state:
            if not isinstance(company_id, str) or company_id not in state.companies:
                raise ValueError(f"no company {company_id!r}")
            return state.mrr.get(company_id, 0)

    def snapshot(self) -> JSON:
        """Return everything the fake knows as JSON, but for calls, faults and the `now` function."""
        from chatarmin_os.fake import (
            snapshot as snapshots,
        )  # it takes cattrs along, which the fake has no other use for

        with self._locked() as state:
            return snapshots.taken(state)

    @classmethod
    def from_snapshot(  # noqa: PYI019 - beartype takes no Self of a single method
        cls: type[F], snapshot: JSON, *, now: Callable[[], datetime] | None = None
    ) -> F:
        """Return a fake that knows what *snapshot* holds.

        Raises:
            ValueError: It is no snapshot, one of another format, or a broken one; the place is named.

        Example:
            >>> FakeTransport.from_snapshot(fake.snapshot()).snapshot() == fake.snapshot()
            True
        """
        from chatarmin_os.fake import snapshot as snapshots

        fake = cls(now=now)
        fake._state = snapshots.loaded(snapshot)
        fake._instant()
        return fake

    def reset(self) -> None:
        """Keep the catalogue and forget all else: state, calls, faults, and how far the clock was moved."""
        with self._lock:
            self._state = State(self._state.catalogue)
            self._faults.clear()
            self.calls.clear()


def _error_of_code(code: str) -> ApiError:
    if code not in CODES:
        from difflib import get_close_matches

        meant = "".join(f"did you mean {close!r}? " for close in get_close_matches(code.strip().upper(), CODES, n=1))
        raise ValueError(
            f"error: unknown code {short_repr(code)}; {meant}"
            f"the wire has {', '.join(CODES)}; for another code pass ApiError(message, code=...)"
        )
    return ApiError.from_code(code)


def _real_clock() -> datetime:
    return datetime.now(UTC)


def _domain(given: str | None) -> str | None:
    if given is None:
        return None
    domain = addresses.domain(text(given))
    if domain is None:
        raise InvalidInput(f"expected a domain such as acme.com, or an unambiguous URL of one; got {short_repr(given)}")
    return domain


def _tell_as_the_wire(refusal: ApiError, path: str) -> None:
    """Let *refusal* tell what the service tells of the call."""
    refusal.path = path
    refusal.data = {"code": refusal.code, "httpStatus": refusal.http_status, "path": path, **(refusal.data or {})}


def _raisable(error: ChatarminError, path: str) -> ChatarminError:
    """Return an injected error for one call, so that each gets its own."""
    error = copy_error(error)
    if isinstance(error, ApiError) and error.path is None:
        error.path = path
    return error
