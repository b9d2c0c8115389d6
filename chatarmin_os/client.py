"""The client: resources by noun, and three ways to send a call.

Most of its lines are docstrings, from which the reference is made; each method is a line or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, ForwardRef, ParamSpec, Self, TypeVar
from uuid import UUID

import chatarmin_os.resources
from chatarmin_os._call import Call, copy_error
from chatarmin_os._input import Number, at_field, secret, text
from chatarmin_os._json import JSON, describe, to_json
from chatarmin_os._lazy import lockless_cached_property
from chatarmin_os._request import Kind, Request
from chatarmin_os._watching import Watch, Watcher, Watchers
from chatarmin_os.errors import ChatarminError, InvalidInput, InvalidResponse
from chatarmin_os.transports import options
from chatarmin_os.transports.base import Transport

if TYPE_CHECKING:
    from chatarmin_os.models.onboarding import OnboardResult, SignUpResult
    from chatarmin_os.procedures.companies import Hints
    from chatarmin_os.resources.billing import Billing
    from chatarmin_os.resources.companies import Companies
    from chatarmin_os.resources.contacts import Contacts
    from chatarmin_os.resources.features import Features
    from chatarmin_os.resources.links import Links
    from chatarmin_os.resources.subscriptions import Subscriptions
    from chatarmin_os.resources.tiers import Tiers
else:
    # Annotations are text. A program that resolves them (`typing.get_type_hints`, pydantic, beartype) finds references
    # that import a class when they are resolved: importing it now would take as long as the rest of this module.
    Hints, OnboardResult, SignUpResult = (
        ForwardRef(f"chatarmin_os.{name}") for name in ("Hints", "OnboardResult", "SignUpResult")
    )
    Billing, Companies, Contacts, Features, Links, Subscriptions, Tiers = (
        ForwardRef(f"chatarmin_os.resources.{name}") for name in chatarmin_os.resources.__all__
    )

C = TypeVar("C", bound="ChatarminOS")
P = ParamSpec("P")
T = TypeVar("T")


class _Seconds(float):
    """The default timeout: an object that is distinguishable from an equal number given by a caller."""


class _Count(int):
    """The default number of retries, distinguishable in the same way."""


_TIMEOUT, _MAX_RETRIES = _Seconds(10), _Count(2)


class ChatarminOS:
    """A client of ChatarminOS; one client serves a whole process.

    Args:
        api_key: The product's key (`os_sk_...`); default: the environment variable OS_API_KEY. Surrounding white space
            is stripped. No repr, log or error shows it.
        base_url: The URL of the service; default: OS_BASE_URL, else the public service.
        transport: The transport that answers the calls, instead of HTTP. The other arguments are settings of HTTP and
            must not be given with it.
        timeout: Seconds for a whole call, including retries and waits.
        max_retries: The maximum number of retries of a call.
        allow_http: Whether the base URL may be plain http on another host, such as the fake in a container: the network
            can read the key. The environment variable OS_ALLOW_HTTP=1 allows it too.

    Raises:
        InvalidInput: The key is missing, or a setting is invalid.
        TypeError: *transport* is not a transport, or is given together with settings of HTTP.

    Policies:
        - **Arguments** are checked before anything is sent; `InvalidInput` names the argument.
        - **Answers** are checked before they become models; `InvalidResponse` names the place.
        - **Threads**: any number of threads may share a client, if they may share its transport; all transports of this
          package can be shared.
        - **Errors** have their request: `client.send(error.request)` repeats exactly that call.
        - **Copies** (`copy.copy`, `copy.deepcopy`) are clients on the same transport. A client on HTTP does not pickle.

    Example:
        >>> client = ChatarminOS.in_memory()
        >>> company = client.onboard(external_org_id="org_1", tier_code="free")
        >>> client.features.check(company_id=company.company_id, feature_code="ai_credit").remaining
        100
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        transport: Transport | None = None,
        timeout: Number = _TIMEOUT,
        max_retries: int = _MAX_RETRIES,
        allow_http: bool = False,
    ) -> None:
        key, has_key = secret(api_key), api_key is not None
        del api_key
        if transport is None:

            def make_transport() -> Transport:
                # It imports requests, which a fake does not need.
                from chatarmin_os.transports.http.transport import HTTPTransport

                return HTTPTransport(key(), base_url, timeout=timeout, max_retries=max_retries, allow_http=allow_http)

            if self._is_lazy:
                self._make_transport = make_transport
                return
            transport = make_transport()
        elif not isinstance(transport, Transport):
            raise TypeError(
                f"transport: expected a chatarmin_os.transports.Transport, got {describe(transport)}"
                f"{_advice(transport)}"
            )
        else:
            is_given = {
                "api_key": has_key,
                "base_url": base_url is not None,
                "timeout": timeout is not _TIMEOUT,
                "max_retries": max_retries is not _MAX_RETRIES,
                "allow_http": allow_http is not False,
            }
            if any(is_given.values()):
                given = ", ".join(name for name in is_given if is_given[name])
                raise TypeError(f"{given} must not be given with a transport, which has its own settings")
        self.transport = transport

    _is_lazy = False
    _make_transport: Callable[[], Transport]

    @lockless_cached_property
    def transport(self) -> Transport:
        """The transport that answers the calls; a lazy client creates it when this is first read.

        Threads that read it at the same time get the same one. It takes no lock, so that a fork never leaves one
        locked.
        """
        return self._make_transport()

    if TYPE_CHECKING:

        @classmethod
        def lazy(cls: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:  # noqa: D102
            ...
    else:  # beartype cannot read the above

        @classmethod
        def lazy(cls, *args: Any, **kwargs: Any) -> ChatarminOS:
            """Return a client that reads key and environment at its first call, for modules that create one at import.

            Takes the arguments of the constructor. Commands that import the module and make no call, such as
            `manage.py check`, then need no key. `close()` before the first call does nothing. If a process forks while
            its threads make their first calls, make one call before.

            Raises:
                TypeError: An unknown argument, or a transport together with settings of HTTP. A missing key or an
                    invalid value raises `InvalidInput` in the first call, and in every call until it is corrected.

            Example:
                >>> client = ChatarminOS.lazy(timeout=2)
                >>> client
                <ChatarminOS on no transport yet>
            """
            given = secret((args, kwargs))
            del args, kwargs  # a key is among them
            client = cls.__new__(cls)
            vars(client)["_is_lazy"] = True
            client.__init__(*given()[0], **given()[1])
            return client

    @classmethod
    def in_memory(cls: type[C]) -> C:  # noqa: PYI019 - beartype takes no Self of a single method
        """Return a client on a new in-memory service with the demo catalogue; it needs no key and no network.

        To use the test controls of the fake, write
        `fake = FakeTransport(demo_catalogue()); client = ChatarminOS(transport=fake)`.

        Example:
            >>> [tier.code for tier in ChatarminOS.in_memory().tiers.list()]
            ['free', 'trial', 'pro', 'enterprise']
        """
        from chatarmin_os.fake import FakeTransport, demo_catalogue

        return cls(transport=FakeTransport(demo_catalogue()))

    def __repr__(self) -> str:
        transport = vars(self).get("transport")  # a traceback may show a lazy client before its first call
        return f"<{type(self).__name__} on {type(transport).__name__ if transport else 'no transport yet'}>"

    def __getstate__(self) -> object:
        if "_make_transport" in vars(self):
            raise TypeError("a lazy client does not pickle, as it may hold a key; create one in each process")
        # Watchers are objects of this process.
        return {name: value for name, value in vars(self).items() if name != "_watchers"}

    def __copy__(self) -> Self:
        return self._derive(lambda transport: transport)

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return copy(self)

    def with_options(  # noqa: PYI019 - as above
        self: C, *, timeout: Number | None = None, max_retries: int | None = None
    ) -> C:
        """Return a client on the same transport and connections, with another deadline or number of retries.

        It is cheap enough to make one for each call. Closing either client closes the transport of both.

        Args:
            timeout: Seconds for a whole call; None keeps the value of this client.
            max_retries: The maximum number of retries of a call; None keeps the value of this client.

        Raises:
            InvalidInput: An invalid value; the argument is named.

        A transport without deadline and retries, such as the in-memory fake, is returned unchanged.

        Example:
            >>> quick = client.with_options(timeout=0.5, max_retries=0)
            >>> [tier.code for tier in quick.tiers.list()]
            ['free', 'trial', 'pro', 'enterprise']
        """
        options.check(timeout, max_retries)
        return self._derive(lambda transport: transport.with_options(timeout=timeout, max_retries=max_retries))

    def _derive(self, convert: Callable[[Transport], Transport]) -> Self:
        """Return a client like this one on its converted transport; a lazy client converts it at its first call."""
        kind = type(self)
        derived = kind.__new__(kind)
        # Cached resources belong to this client; all other attributes, those of subclasses too, are shared.
        shared = {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(kind, name, None), lockless_cached_property)
        }
        vars(derived).update(shared, _watchers=self._watchers)
        if "transport" in vars(self):
            vars(derived)["transport"] = convert(self.transport)
        else:
            vars(derived)["_make_transport"] = lambda: convert(self.transport)
        return derived

    def close(self) -> None:
        """Close the transport; do nothing if a lazy client has none yet.

        Example:
            >>> with ChatarminOS.in_memory() as client:  # closes it at the end
            ...     tiers = client.tiers.list()
            >>> client.close()
        """
        transport = vars(self).get("transport")
        if transport is not None:
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Resources are created at their first use: a program that only checks features never defines the others.

    @lockless_cached_property
    def companies(self) -> Companies:
        """Companies and their links to your organisations."""
        from chatarmin_os.resources.companies import Companies

        return Companies(self)

    @lockless_cached_property
    def contacts(self) -> Contacts:
        """People at companies."""
        from chatarmin_os.resources.contacts import Contacts

        return Contacts(self)

    @lockless_cached_property
    def features(self) -> Features:
        """Access of companies to features."""
        from chatarmin_os.resources.features import Features

        return Features(self)

    @lockless_cached_property
    def billing(self) -> Billing:
        """Usage, Stripe checkouts and subscriptions."""
        from chatarmin_os.resources.billing import Billing

        return Billing(self)

    @lockless_cached_property
    def tiers(self) -> Tiers:
        """Subscription tiers."""
        from chatarmin_os.resources.tiers import Tiers

        return Tiers(self)

    @lockless_cached_property
    def subscriptions(self) -> Subscriptions:
        """The same as `tiers.apply`, under the name of the TypeScript SDK."""
        from chatarmin_os.resources.subscriptions import Subscriptions

        return Subscriptions(self)

    @lockless_cached_property
    def links(self) -> Links:
        """Links between companies and organisations, created and deleted by hand."""
        from chatarmin_os.resources.links import Links

        return Links(self)

    def onboard(
        self,
        *,
        external_org_id: str | UUID,
        hints: Hints | Mapping[str, Any] | None = None,
        tier_code: str | None = None,
        contact_email: str | None = None,
        contact_name: str | None = None,
        created_at: datetime | str | None = None,
        checkout_session_id: str | UUID | None = None,
        stripe_subscription_id: str | UUID | None = None,
        stripe_customer_id: str | UUID | None = None,
    ) -> OnboardResult:
        """Match or create a company, link it, claim or link its subscription and apply a tier: all or nothing.

        Call it at sign-up, not at log-in. Repeating it creates no duplicate, but it applies the tier literally: a
        *tier_code* replaces a higher tier of the company, and accesses set by hand. For a company that may exist
        already omit the tier code and check `link_status` first.

        Hints are claims: pass only facts that you have verified (the domain of a confirmed e-mail address, never a form
        field), for the matching company is handed over with its tier and its usage. Only hints are evidence;
        *contact_email* is not, nor is a checkout that another company has claimed.

        Args:
            external_org_id: Your id of the organisation.
            hints: Facts about the company, to find it if it exists: `Hints` or a mapping with its keys.
            tier_code: The tier to apply, after any checkout.
            contact_email: A contact to create or update; the primary one if the company has none.
            contact_name: That contact's name; ignored without an address.
            created_at: The instant the company was created: an aware datetime, or ISO 8601 text with an offset; applies
                to a new company only.
            checkout_session_id: A completed Stripe checkout to claim; not together with a subscription.
            stripe_subscription_id: A Stripe subscription to link.
            stripe_customer_id: The subscription's customer; the service looks it up if it is omitted.

        Returns:
            The company's id and name, `link_status` (created, linked or already_linked), and the state of its
            billing, if a checkout, a subscription or a tier was given.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The tier, the checkout or the subscription does not exist.
            BadRequestError: The checkout is not complete, the subscription is cancelled, or the customer is not its
                customer; or the service rejected a hint.
            ConflictError: The checkout or subscription belongs to another company.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the order of the steps and the meaning of `link_status`. Assumed here: a failed
        call leaves nothing behind, and suggestions lead to a new company.

        Example:
            >>> hints = {"company_name": "Acme Inc"}
            >>> client.onboard(external_org_id="org_1", hints=hints, tier_code="free").link_status
            'created'
        """
        from chatarmin_os.procedures.onboarding import OnboardInput

        return self.send(
            OnboardInput(
                external_org_id=external_org_id,
                hints=hints,
                tier_code=tier_code,
                contact_email=contact_email,
                contact_name=contact_name,
                created_at=created_at,
                checkout_session_id=checkout_session_id,
                stripe_subscription_id=stripe_subscription_id,
                stripe_customer_id=stripe_customer_id,
            )
        )

    def sign_up(
        self,
        *,
        external_org_id: str | UUID,
        name: str,
        verified_domain: str | None = None,
        starting_tier: str | None = None,
        contact_email: str | None = None,
        contact_name: str | None = None,
        created_at: datetime | str | None = None,
    ) -> SignUpResult:
        """Find, link or create the company of an organisation that signs up, and put a new customer on a tier.

        The company is the one that the organisation id is linked to; else the one with the *verified_domain*, which is
        then linked; else a new one. A name never matches: two customers may have the same one. The starting tier is
        applied only if the company has no feature enabled, no active subscription and, unless it is new, never had an
        access: a colleague's sign-up does not downgrade a paying customer, and signing up again changes nothing.

        It makes several calls and looks up each record before it creates one. If a call fails, call `sign_up` again
        with the same arguments: it continues with the first step that is missing.

        Args:
            external_org_id: Your id of the organisation.
            name: The name of a new company; an existing one keeps its name.
            verified_domain: A domain whose mail the person demonstrably receives, such as that of a confirmed e-mail
                address; never a form field, for a match grants that company's access. A free mail provider's domain
                links nothing.
            starting_tier: The tier of a new customer, such as `"free"`.
            contact_email: A contact to add, unless the company has it; the primary one if it is the first.
            contact_name: That contact's name; ignored without an address.
            created_at: The instant the company was created: an aware datetime, or ISO 8601 text with an offset; applies
                to a new company only.

        Returns:
            The company's id and name, `link_status` (created, linked or already_linked), and whether the tier was
            applied.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The tier does not exist; nothing was created.
            ApiError: The service refused one of the calls, which is `.request`.
            TransportError: No usable response to one of the calls was received; call `sign_up` again.

        The README of the service states the single calls; their order and conditions are chosen here.

        Example:
            >>> known = fake.add_company("Acme GmbH", domain="acme.com")
            >>> client.sign_up(external_org_id="org_1", name="Acme", verified_domain="acme.com").link_status
            'linked'
            >>> client.sign_up(external_org_id="org_2", name="Acme GmbH", starting_tier="free").tier_applied
            True
        """
        from chatarmin_os._sign_up import sign_up  # it imports requests and rules that most programs do not need

        return sign_up(
            self,
            external_org_id=external_org_id,
            name=name,
            verified_domain=verified_domain,
            starting_tier=starting_tier,
            contact_email=contact_email,
            contact_name=contact_name,
            created_at=created_at,
        )

    def send(self, request: Request[T]) -> T:
        """Send one typed request and return its typed result.

        Args:
            request: Any request, such as `GetTierInput(tier_code="pro")` or the `.request` of an error.

        Raises:
            TypeError: *request* is not a request; nothing was sent.
            ApiError: The service refused the call, or failed.
            TransportError: No usable response was received.

        Example:
            >>> from chatarmin_os import GetTierInput
            >>> client.send(GetTierInput(tier_code="pro")).base_fee.stripe.unit_amount
            4900
        """
        call = self._wire.to_call(request)
        watch = self._watch_calls([call])
        try:
            if watch:
                watch.begin(self.transport)
            answer = self.transport.send(call)
            result: T = self._wire.from_answer(request, answer)
            if watch:
                watch.end([answer])
        except BaseException as error:
            if isinstance(error, ChatarminError):
                error.request = request
            if watch:
                watch.fail(error)
            raise
        return result

    def batch(self, requests: Iterable[Request[T]]) -> list[T | ChatarminError]:
        """Send many requests in as few round trips as the transport can.

        The requests must not depend on each other: they may run in any order. A refusal hides no other answer.

        Args:
            requests: Any iterable of requests; an empty one sends nothing.

        Returns:
            For each request, in order, its result or its error. If no usable response was received, each call of that
            round trip has the `TransportError`, each with its own `.request`.

        Raises:
            TypeError: An item of *requests* is not a request; nothing was sent.

        Example:
            >>> from chatarmin_os import GetTierInput
            >>> free, gold = client.batch([GetTierInput(tier_code="free"), GetTierInput(tier_code="gold")])
            >>> free.name, gold.code
            ('Free', 'NOT_FOUND')
        """
        if not isinstance(requests, Iterable):
            raise TypeError(f"expected several requests, such as a list of them, got {describe(requests)}")
        ordered = list(requests)
        return self._exchange(ordered, [self._wire.to_call(request) for request in ordered])

    def _exchange(self, requests: Sequence[Request[T]], calls: Sequence[Call]) -> list[T | ChatarminError]:
        """Send *calls*, and return their answers as those of *requests*, in order."""
        watch = self._watch_calls(calls) if calls else None
        try:
            if watch:
                watch.begin(self.transport)
            answers = self.transport.send_many(calls) if calls else []
            outcomes = self._outcomes(requests, answers)
            if watch:
                pairs = zip(outcomes, answers, strict=True)
                watch.end([one if isinstance(one, ChatarminError) else answer for one, answer in pairs])
        except BaseException as error:
            if watch:
                watch.fail(error)
            raise
        return outcomes

    def _outcomes(
        self, requests: Sequence[Request[T]], answers: Sequence[JSON | ChatarminError]
    ) -> list[T | ChatarminError]:
        if len(answers) != len(requests):
            raise TypeError(
                f"{type(self.transport).__name__}.send_many must answer every call: {len(answers)} of {len(requests)}"
            )
        return [self._outcome(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _outcome(self, request: Request[T], answer: JSON | ChatarminError) -> T | ChatarminError:
        if isinstance(answer, ChatarminError):
            error = answer if answer.request is None else copy_error(answer)  # several calls may share one error
        else:
            try:
                result: T = self._wire.from_answer(request, answer)
            except InvalidResponse as mismatch:
                error = mismatch
            else:
                return result
        error.request = request
        return error

    @lockless_cached_property
    def _watchers(self) -> Watchers:
        return Watchers()

    def _watch_calls(self, calls: Sequence[Call]) -> Watch | None:
        """Return what notifies those that look on; None if nobody does."""
        watchers = self._watchers
        return watchers.watch(calls) if watchers or watchers.observer is not None else None

    def _watch(self, watcher: Watcher) -> None:
        """Notify *watcher*, as long as it exists, of each mutation of this client and of those derived from it."""
        self._watchers.add(watcher)

    @lockless_cached_property
    def _wire(self) -> ModuleType:
        """The converter, imported at its first use: cattrs takes as long as all other imports together."""
        from chatarmin_os import _converter

        return _converter

    def call(self, path: str, input: JSON = None, *, kind: Kind | None = None) -> JSON:
        """Call any procedure by its wire path, with wire names: the escape hatch for procedures without a method.

        Args:
            path: The procedure's path on the wire.
            input: The input as JSON; None for no input.
            kind: `"query"` or `"mutation"`; default: the kind in `PROCEDURES`, else `"query"`. A mutation called this
                way is never retried once it may have run.

        Returns:
            The answer as JSON, unchecked.

        Raises:
            InvalidInput: A blank path, an unknown kind, or an input that is not JSON-serializable.
            ApiError: The service refused the call, or failed.
            TransportError: No usable response was received.

        Example:
            >>> client.call("tiers.list")[0]
            {'code': 'free', 'name': 'Free'}
        """
        path, given = at_field("path", text)(path), at_field("input", to_json)(input)
        kind = at_field("kind", _kind)(kind)
        if kind is None:
            from chatarmin_os.procedures.table import PROCEDURES

            kind = PROCEDURES[path].kind if path in PROCEDURES else "query"
        call = Call(path, kind, given, safe_to_repeat=kind == "query")
        watch = self._watch_calls([call])
        try:
            if watch:
                watch.begin(self.transport)
            answer = self.transport.send(call)
            if watch:
                watch.end([answer])
        except BaseException as error:
            if watch:
                watch.fail(error)
            raise
        return answer


def _kind(value: Any) -> Kind | None:
    """Return a kind of procedure as plain text; None if it was omitted."""
    name = str.__str__(value) if isinstance(value, str) else value
    if name is None:
        return None
    if type(name) is str and name in {"query", "mutation"}:
        return "query" if name == "query" else "mutation"
    raise InvalidInput(f"expected 'query' or 'mutation', got {describe(value)}")


def _advice(transport: object) -> str:
    """Return advice if a class was passed instead of an instance."""
    if isinstance(transport, type) and issubclass(transport, Transport):
        return f"; pass an instance, such as {transport.__name__}(...)"
    return ""


def ensure_client(client: Any) -> ChatarminOS:
    """Return a client, and refuse anything else, such as a transport.

    Raises:
        TypeError: *client* is not a client.
    """
    if not isinstance(client, ChatarminOS):
        raise TypeError(f"client: expected a chatarmin_os.ChatarminOS, got {describe(client)}")
    return client
