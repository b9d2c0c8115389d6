"""The mapping `CHATARMIN_OS` of a project as typed settings, with all its problems at once.

A framework reads the settings when they are first needed:

    settings = read(app.config["CHATARMIN_OS"])     never raises, imports nothing of the project
    settings.problems                               for checks; `settings.ensure_valid()` raises them
    settings.late_problems()                        the same for dotted paths, and for a missing key
    client = settings.make_client()
    gate = settings.make_gate(client, settings.make_cache())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from attrs import evolve, field, frozen

from chatarmin_os._input import at_field, secret, text
from chatarmin_os._json import describe
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import Gate, Policy, SharedCache
from chatarmin_os.outbox import Outbox, SQLiteOutbox
from chatarmin_os.transports import Transport, options
from chatarmin_os.transports.http import settings as http
from chatarmin_os.web import converters
from chatarmin_os.web.importing import function_at, imported
from chatarmin_os.web.problems import Place, Problem

T = TypeVar("T")

NAME = "CHATARMIN_OS"
SETTINGS = (
    *("API_KEY", "BASE_URL", "TIMEOUT", "MAX_RETRIES", "TRANSPORT", "ORGANISATION"),
    *("DEFAULT", "FEATURES", "GATE", "CACHE", "OUTBOX", "ON_DENIED"),
)
GATE_OPTIONS = ("timeout", "first_timeout", "max_organisations", "unlinked_max_age")
FAKE, DJANGO = "fake", converters.DJANGO
TIMEOUT, MAX_RETRIES = 2.0, 1
_CHECKED_BY_CLIENT = ("api_key", "base_url")


@frozen
class Settings:
    """The settings of a project; a default stands in for each invalid value.

    Attributes:
        api_key: Returns the key; None: OS_API_KEY.
        base_url: The URL of the service; None: OS_BASE_URL, else the public service.
        timeout: Seconds for a whole call; None if omitted.
        max_retries: The maximum number of retries of a call; None if omitted.
        transport: None, `"fake"`, a `Transport`, a callable that returns one, or the dotted path of either.
        organisation: A function from a request to an external org id, or its dotted path.
        default: The policy of features without their own.
        features: Policies by feature code.
        gate: Further arguments of the gate.
        cache: Where processes share decisions; each framework says which texts it takes.
        outbox: None, an `Outbox`, `"django"`, or the path of a file.
        on_denied: A function from a request and a decision to a response, or its dotted path.
        problems: The problems of the mapping, as far as nothing has to be imported.
    """

    api_key: Callable[[], str | None] = field(default=secret(None), repr=False)
    base_url: str | None = None
    timeout: float | None = None
    max_retries: int | None = None
    transport: Any = None
    organisation: Any = None
    default: Policy = field(factory=Policy)
    features: Mapping[str, Policy] = field(factory=dict)
    gate: Mapping[str, Any] = field(factory=dict)
    cache: Any = None
    outbox: Outbox | str | None = None
    on_denied: Any = None
    problems: tuple[Problem, ...] = ()

    def ensure_valid(self) -> None:
        """Raise the problems, all in one text.

        Raises:
            InvalidInput: The settings have problems.
        """
        if self.problems:
            first, *others = (problem.error for problem in self.problems)
            hint = "; ".join(filter(None, [first.hint, *map(str, others)])) or None
            raise InvalidInput(str(first.args[0]), hint, field=first.field) from first

    def late_problems(self) -> list[Problem]:
        """Return the problems of a finished project: a missing key, and objects that cannot be imported.

        The imports may lead back to the module that reads the settings, so `read` does not make them.
        """
        place = Place(NAME)
        transport = None if self.transport == FAKE else self.transport
        place.inside("TRANSPORT").convert(converters.transport, transport, "not-importable")
        place.inside("ORGANISATION").convert(function_at, self.organisation, "not-importable")
        place.inside("ON_DENIED").convert(function_at, self.on_denied, "not-importable")
        if self.transport is None:
            place.inside("API_KEY").convert(
                lambda _: converters.without_field(http.api_key, self.api_key), None, "no-key"
            )
            place.inside("BASE_URL").convert(partial(converters.without_field, http.base_url), self.base_url)
        return place.problems

    def organisation_function(self) -> Callable[[Any], Any] | None:
        """Return ORGANISATION as a function; None if it was omitted.

        Raises:
            InvalidInput: It cannot be imported, or is not a function without `async`.
        """
        return _at("ORGANISATION", function_at, self.organisation)

    def denial_function(self) -> Callable[[Any, Any], Any] | None:
        """Return ON_DENIED as a function; None if it was omitted.

        Raises:
            InvalidInput: It cannot be imported, or is not a function without `async`.
        """
        return _at("ON_DENIED", function_at, self.on_denied)

    def make_client(self) -> ChatarminOS:
        """Return a new client.

        Raises:
            InvalidInput: The key is missing, a setting is invalid, or TRANSPORT is not a transport.
        """
        transport = self._make_transport()
        if transport is not None:  # it has its own options, unless the settings name others
            client = ChatarminOS(transport=transport)
            return client.with_options(timeout=self.timeout, max_retries=self.max_retries)
        timeout = TIMEOUT if self.timeout is None else self.timeout
        retries = MAX_RETRIES if self.max_retries is None else self.max_retries
        try:
            return ChatarminOS(self.api_key(), base_url=self.base_url, timeout=timeout, max_retries=retries)
        except InvalidInput as error:
            if error.field not in _CHECKED_BY_CLIENT:  # a variable of the environment
                raise
            raise InvalidInput(error.problem, error.hint).at(error.field.upper()).at(NAME) from None

    def _make_transport(self) -> Transport | None:
        if self.transport == FAKE:
            return ChatarminOS.in_memory().transport
        transport = _at("TRANSPORT", converters.transport, self.transport)
        if transport is None or isinstance(transport, Transport):
            return transport
        answer = transport()
        if not isinstance(answer, Transport):
            raise InvalidInput(f"must return a transport, got {describe(answer)}").at("TRANSPORT").at(NAME)
        return answer

    def make_cache(self) -> SharedCache | None:
        """Return CACHE if it is a `SharedCache`, a callable that returns one, or the dotted path of either.

        Raises:
            InvalidInput: It is something else, or cannot be imported.
        """
        cache: Any = _at("CACHE", imported, self.cache)
        if isinstance(cache, type) or (not converters.is_cache(cache) and callable(cache)):
            cache = cache()
        if cache is not None and not converters.is_cache(cache):
            expected = "a SharedCache of chatarmin_os.gate, or its dotted path"
            raise InvalidInput(f"expected {expected}, got {describe(cache)}").at("CACHE").at(NAME)
        shared: SharedCache | None = cache
        return shared

    def make_outbox(self) -> Outbox | None:
        """Return OUTBOX, which is not `"django"`.

        Raises:
            OutboxUnavailable: Its file cannot be used.
        """
        return SQLiteOutbox(self.outbox) if isinstance(self.outbox, str) else self.outbox

    def make_gate(self, client: ChatarminOS, shared: SharedCache | None = None, outbox: Any = None) -> Gate:
        """Return a new gate of *client* with the policies and options of the settings."""
        policies = dict(self.features)
        return Gate(client, policies=policies, default=self.default, shared=shared, outbox=outbox, **self.gate)


def read(given: object) -> Settings:
    """Return the settings of a mapping with all its problems; None is an empty mapping.

    Example:
        >>> settings = read({"TIMEOUT": "soon", "TRANSPRT": "fake", "FEATURES": {"exports": {"max_agee": 5}}})
        >>> for problem in settings.problems:
        ...     print(problem.kind, "-", problem.error)
        unknown - CHATARMIN_OS.TRANSPRT: no such setting; did you mean TRANSPORT?
        invalid - CHATARMIN_OS.TIMEOUT: must be seconds above 0, got str 'soon'
        unknown - CHATARMIN_OS.FEATURES.exports.max_agee: no such option; did you mean max_age?
    """
    place = Place(NAME)
    known = place.keywords({} if given is None else given, SETTINGS, "setting")

    def value(name: str, convert: Callable[[Any], T]) -> T | None:
        return place.inside(name).convert(convert, known[name]) if name in known else None

    gate = place.inside("GATE")
    gate_options = gate.keywords(known.get("GATE", {}), GATE_OPTIONS, "option")
    settings = Settings(
        api_key=secret(value("API_KEY", converters.key)),
        base_url=value("BASE_URL", text),
        timeout=value("TIMEOUT", partial(converters.without_field, options.timeout)),
        max_retries=value("MAX_RETRIES", partial(converters.without_field, options.max_retries)),
        transport=known.get("TRANSPORT"),
        organisation=known.get("ORGANISATION"),
        default=converters.policy(place.inside("DEFAULT"), known.get("DEFAULT", {})),
        features={
            code: converters.policy(place.inside("FEATURES").inside(code), given)
            for code, given in (value("FEATURES", converters.policies) or {}).items()
        },
        gate={
            name: given
            for name, given in gate_options.items()
            if gate.inside(name).convert(partial(converters.gate_with, name), given)
        },
        cache=known.get("CACHE"),
        outbox=value("OUTBOX", converters.outbox),
        on_denied=known.get("ON_DENIED"),
    )
    return evolve(settings, problems=tuple(place.problems))


def _at(name: str, convert: Callable[[Any], T], value: Any) -> T:
    """Return the converted value of a setting; its errors name it."""
    try:
        return at_field(name, convert)(value)
    except InvalidInput as error:
        raise error.at(NAME) from error.__cause__
