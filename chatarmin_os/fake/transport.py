"""The fake as a transport: it sends calls to a service in memory; its test controls do more than a client can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from chatarmin_os._call import Call, copy_error
from chatarmin_os._input import at_field, boolean, optional_timestamp, text
from chatarmin_os._json import JSON, MAX_DEPTH, describe, short_repr, timestamp_text, to_json
from chatarmin_os.errors import CODES, ApiError, ChatarminError, ConnectionFailed, InvalidInput
from chatarmin_os.fake import lookup
from chatarmin_os.fake.catalogue import Catalogue
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.fake.rules import addresses
from chatarmin_os.fake.service import Service
from chatarmin_os.fake.state import State
from chatarmin_os.fake.stripe import Stripe
from chatarmin_os.transports.base import Transport

F = TypeVar("F", bound="FakeTransport")

LOST = "lost"
"""The code with which `fail` simulates a lost connection."""

_INJECTED = "injected by fake.fail()"

# An input holds its arguments a few levels down, and each of them may be as deep as an argument may be.
_to_json = at_field("input", partial(to_json, max_depth=MAX_DEPTH + 10, is_stored=False))


class InjectedFailure:
    """An error that the next calls raise.

    Attributes:
        path: The path of these calls; None: any.
        error: The error; each call raises a copy of it.
        times: The number of calls that will raise it.
        after: Whether the calls run first.
    """

    def __init__(self, path: str | None, error: ChatarminError, times: int, *, after: bool) -> None:
        self.path, self.error, self.times, self.after = path, error, times, after

    def error_for(self, path: str) -> ChatarminError:
        """Return a copy of the error for one call, with its path."""
        error = copy_error(self.error)
        if isinstance(error, ApiError) and error.path is None:
            error.path = path
        return error


class FakeTransport(Transport):
    """ChatarminOS in memory: one product, with every rule of the service, for tests and experiments.

    A client can do everything that users of the service can do. The methods here are test controls, for everything else
    that a test needs; misuse raises `ValueError`. The rules are in `chatarmin_os.fake.rules`; each says whether the
    service's README states it or this project assumes it.

    Args:
        catalogue: The features and tiers of the product, copied; None: an empty product.
        now: Returns the time as an aware datetime; default: the real clock.

    Attributes:
        calls: Every `Call` received, in order, including those that failed.
        stripe: The test controls of the fake's small Stripe.
        service: The service in memory that answers the calls; tests do not need it.

    Policies:
        - **Refusals**: the fake refuses unknown procedures, and unknown or mistyped keys of an input: a typo must not
          pass a test.
        - **Failed calls** change nothing, except those that `fail(after=True)` runs before they fail.
        - **Threads** may share a fake: concurrent calls run one after the other.
        - **JSON**: inputs and responses are copied; the fake shares nothing with its caller.

    Example:
        >>> from chatarmin_os import ChatarminOS
        >>> fake = FakeTransport(demo_catalogue())
        >>> client = ChatarminOS(transport=fake)
        >>> fake.fail("tiers.list", error="TOO_MANY_REQUESTS")
        >>> client.tiers.list()
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.RateLimitError: TOO_MANY_REQUESTS: injected by fake.fail() [tiers.list]
        >>> [tier.code for tier in client.tiers.list()]
        ['free', 'trial', 'pro', 'enterprise']
        >>> [call.path for call in fake.calls]
        ['tiers.list', 'tiers.list']
    """

    def __init__(self, catalogue: Catalogue | None = None, *, now: Callable[[], datetime] | None = None) -> None:
        self.service = Service(catalogue, now=now)
        self.calls: list[Call] = []
        self.stripe = Stripe(self.service)
        self._failures: list[InjectedFailure] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self.service.state.companies)} companies, {len(self.calls)} calls>"

    def send(self, call: Call) -> JSON:
        """Return the response of the service to *call*.

        Args:
            call: The call in wire names.

        Raises:
            InvalidInput: The input is not JSON-serializable.
            ApiError: The service refuses the call.
            ChatarminError: A failure that `fail` has injected.

        Example:
            >>> from chatarmin_os.transports import Call
            >>> fake.send(Call("tiers.list", "query"))[0]
            {'code': 'free', 'name': 'Free'}
        """
        given = _to_json(call.input)
        with self.service.lock:
            self.calls.append(Call(call.path, call.kind, given, call.safe_to_repeat))
            failure = self._next_failure(call.path)
            if failure is None:
                return self.service.answer(call.path, call.kind, given)
            if failure.after:
                with suppress(ApiError):  # the caller gets the injected error instead
                    self.service.answer(call.path, call.kind, given)
        raise failure.error_for(call.path)

    def _next_failure(self, path: str) -> InjectedFailure | None:
        for failure in self._failures:
            if failure.path in {None, path}:
                failure.times -= 1
                if not failure.times:
                    self._failures.remove(failure)
                return failure
        return None

    def now(self) -> datetime:
        """Return the time of the fake as an aware datetime in UTC.

        It is that of the clock that the fake was made with, plus the time that `advance` has added.

        Raises:
            ValueError: The clock did not return an aware datetime.

        Example:
            >>> from datetime import timedelta
            >>> before = fake.now()
            >>> fake.advance(timedelta(hours=1))
            >>> fake.now() - before >= timedelta(hours=1)
            True
        """
        return self.service.now().astimezone(UTC)

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back: the machine's, plus all time that `advance` has added.

        Neither `reset` nor `replace` takes any of that time away.

        Example:
            >>> from datetime import timedelta
            >>> before = fake.monotonic()
            >>> fake.advance(timedelta(minutes=1))
            >>> fake.reset()
            >>> fake.monotonic() - before >= 60
            True
        """
        return self.service.monotonic()

    # Test controls

    def add_feature(
        self, code: str, *, name: str, has_quantity: bool = False, config: Mapping[str, Any] | None = None
    ) -> None:
        """Add a feature to the catalogue, or silently replace the one with this code.

        Args:
            code: Its code.
            name: Its name.
            has_quantity: Whether it is used in quantities, so that usage and limits apply.
            config: Its default settings.

        Raises:
            ValueError: Blank text, or a config that is no JSON object.

        Example:
            >>> fake.add_feature("exports", name="Exports", has_quantity=True)
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> client.features.check(company_id=company, feature_code="exports").quantity_limit
            0
        """
        with self.service.change() as state:
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
        """Add a tier to the catalogue, or silently replace the one with this code.

        Args:
            code: Its code.
            name: Its name.
            base_fee: Its fee per billing period, in minor units (cents); None: no base fee.
            currency: The currency of its prices.
            features: Feature code -> a mapping with the keys that `Catalogue.add_tier` takes.

        Raises:
            ValueError: An invalid argument; see `Catalogue.add_tier`.

        Example:
            >>> fake.add_tier("team", name="Team", base_fee=1900, features={"seats": {"quantity_limit": 10}})
            >>> client.tiers.get("team").base_fee.stripe.unit_amount
            1900
        """
        with self.service.change() as state:
            state.catalogue.add_tier(code, name=name, base_fee=base_fee, currency=currency, features=features)

    def add_company(self, name: str, *, domain: str | None = None, created_at: datetime | str | None = None) -> str:
        """Add a company that the service knows but that is not linked yet, and return its id.

        Args:
            name: Its name.
            domain: Its domain, normalised as the service does; None: unknown.
            created_at: The instant it was created: an aware datetime, or ISO 8601 text with an offset; None: now.

        Raises:
            ValueError: A blank name, an invalid domain, or a time of creation that is invalid or has no offset.

        Example:
            >>> company = fake.add_company("Acme Inc", domain="acme.com")
            >>> client.companies.smart_link(external_org_id="org_1", hints={"domain": "acme.com"}).company_id == company
            True
        """
        name, normalised = at_field("name", text)(name), at_field("domain", _domain)(domain)
        moment = at_field("created_at", optional_timestamp)(created_at)
        with self.service.change() as state:
            return state.add_company(name, normalised, None if moment is None else timestamp_text(moment))["id"]

    def advance(self, by: timedelta) -> None:
        """Move the fake's clocks forward, that of `now` and that of `monotonic`.

        Args:
            by: How far, at least 0.

        Raises:
            ValueError: *by* is not a timedelta of at least 0, or the time would be beyond the year 9999.

        Example:
            >>> from datetime import timedelta
            >>> fake.advance(timedelta(days=31))
        """
        self.service.advance(by)

    def fail(
        self, path: str | None = None, *, error: str | ChatarminError, times: int = 1, after: bool = False
    ) -> None:
        """Make the next calls fail.

        Args:
            path: The path of these calls on the wire; None: any.
            error: A code of the wire such as `"TOO_MANY_REQUESTS"`; `"lost"` for a `ConnectionFailed` whose outcome is
                unknown; or any error of the tree, raised as a copy. For a code that only your service has, pass an
                `ApiError(message, code=...)`.
            times: The number of calls that fail.
            after: Run the call first, and lose its response.

        Raises:
            ValueError: An unknown code, path or kind of error, or *times* is not an int of at least 1.

        Example:
            >>> fake.fail("onboard", error="lost", after=True)
            >>> client.onboard(external_org_id="org_2")
            Traceback (most recent call last):
            ...
            chatarmin_os.errors.ConnectionFailed: the connection was lost: injected by fake.fail()
            >>> client.onboard(external_org_id="org_2").link_status
            'already_linked'
        """
        if isinstance(error, str):
            error = _error_of_code(error)
        if not isinstance(error, ChatarminError):
            raise ValueError(f"error: expected a code or a ChatarminError, got {describe(error)}")  # noqa: TRY004 - one error for wrong use
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ValueError(f"times: expected an int of at least 1, got {describe(times)}")
        if path is not None and (not isinstance(path, str) or path not in ROUTES):
            raise ValueError(f'path: no procedure {path!r}; paths are those of the wire, such as "billing.trackUsage"')
        failure = InjectedFailure(path, copy_error(error), times, after=at_field("after", boolean)(after))
        with self.service.lock:
            self._failures.append(failure)

    @property
    def injected_failures(self) -> list[InjectedFailure]:
        """The failures that `fail` has injected and that the next calls will raise.

        Example:
            >>> fake.fail("tiers.list", error="lost", times=2)
            >>> [failure.times for failure in fake.injected_failures]
            [2]
        """
        with self.service.lock:
            return list(self._failures)

    def mrr(self, company_id: str) -> int:
        """Return a company's monthly recurring revenue in minor units, in the currency of its tier.

        Args:
            company_id: The company.

        Raises:
            ValueError: The company is unknown.

        Example:
            >>> subscription = fake.stripe.add_subscription(client.tiers.get("pro").stripe_price_ids)
            >>> company = client.onboard(external_org_id="org_1", stripe_subscription_id=subscription).company_id
            >>> fake.mrr(company)
            4900
        """
        with self.service.read() as state:
            if not isinstance(company_id, str) or company_id not in state.companies:
                raise ValueError(f"company_id: no company {company_id!r}")
            return state.mrr.get(company_id, 0)

    def snapshot(self) -> JSON:
        """Return the state of the fake as JSON, without calls, injected failures and the `now` function.

        Example:
            >>> before = fake.snapshot()
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> fake.snapshot() == before
            False
        """
        return self.service.snapshot()

    @classmethod
    def from_snapshot(  # noqa: PYI019 - beartype takes no Self of a single method
        cls: type[F], snapshot: JSON, *, now: Callable[[], datetime] | None = None
    ) -> F:
        """Return a fake in the state of *snapshot*.

        Args:
            snapshot: The JSON that `snapshot` returned, of this version or an older one.
            now: Returns the time as an aware datetime; default: the real clock.

        Raises:
            ValueError: It is not a snapshot, has another format, or is broken; the message names the place.

        Example:
            >>> FakeTransport.from_snapshot(fake.snapshot()).snapshot() == fake.snapshot()
            True
        """
        fake = cls(now=now)
        fake.replace(fake.service.load(snapshot))
        return fake

    def replace(self, state: State) -> None:
        """Replace the state of the fake, and remove the injected failures; the calls stay.

        Args:
            state: The tables, which belong to the fake from now on.

        Example:
            >>> fake.replace(fake.service.load(FakeTransport().snapshot()))
            >>> client.tiers.list()
            []
        """
        with self.service.lock:
            self.service.replace(state)
            self._failures.clear()

    def reset(self) -> None:
        """Delete everything except the catalogue: state, calls, injected failures, and the offset of the clock.

        Example:
            >>> company = client.onboard(external_org_id="org_1").company_id
            >>> fake.reset()
            >>> client.companies.get_by_product_link(external_org_id="org_1") is None, len(fake.calls)
            (True, 1)
        """
        with self.service.lock:
            self.service.reset()
            self._failures.clear()
            self.calls.clear()


def _error_of_code(code: str) -> ChatarminError:
    if code == LOST:
        return ConnectionFailed(f"the connection was lost: {_INJECTED}")
    if code not in CODES:
        question = lookup.did_you_mean(code, CODES)
        raise ValueError(
            f"error: unknown code {short_repr(code)}; {f'{question} ' if question else ''}"
            f"the wire has {', '.join(CODES)}; for another code pass ApiError(message, code=...)"
        )
    return ApiError.from_code(code, _INJECTED)


def _domain(given: str | None) -> str | None:
    if given is None:
        return None
    domain = addresses.domain(text(given))
    if domain is None:
        raise InvalidInput(f"expected a domain such as acme.com, or an unambiguous URL of one; got {short_repr(given)}")
    return domain
