"""The client: its settings, its life, and its calls through any transport."""

from __future__ import annotations

import copy
import inspect
import pickle
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, cast

import pytest
from ids import words

from chatarmin_os import (
    UNSET,
    ApiError,
    ApplyTierInput,
    ChatarminError,
    ChatarminOS,
    ClaimCheckoutInput,
    Company,
    ConnectionFailed,
    ContactInput,
    FeatureCheckInput,
    GetByProductLinkInput,
    GetTierInput,
    InvalidInput,
    InvalidResponse,
    ListTiersInput,
    NotFoundError,
    TierSummary,
    TimedOut,
    TrackUsageInput,
)
from chatarmin_os._input import secret
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import Call, HTTPTransport, Transport
from chatarmin_os.transports import options as _options
from chatarmin_os.transports.http import settings as _settings

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = "os_sk_9f8e7d6c5b4a"
CHECK = FeatureCheckInput(company_id="c", feature_code="seats")
EVENT = TrackUsageInput(company_id="c", feature_code="seats", quantity=1)


class Small(Transport):
    """A transport with nothing but `send`: it passes calls on to a fake, and keeps them."""

    def __init__(self) -> None:
        """Start with the demo catalogue."""
        self.fake = FakeTransport(demo_catalogue())
        self.calls: list[Call] = []

    def send(self, call: Call) -> Any:
        """Pass *call* on."""
        self.calls.append(call)
        return self.fake.send(call)


class Scripted(Transport):
    """A transport that answers each batch with a given list, and counts how often it is closed."""

    def __init__(self, *answers: Any) -> None:
        """Prepare the *answers*; an exception is raised."""
        self.answers = list(answers)
        self.calls: list[Call] = []
        self.closed = 0

    def send(self, call: Call) -> Any:
        """Answer with the first of the answers."""
        self.calls.append(call)
        if isinstance(self.answers[0], BaseException):
            raise self.answers[0]
        return self.answers[0]

    def send_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer with all answers, however many calls there are."""
        self.calls += calls
        return self.answers

    def close(self) -> None:
        """Count."""
        self.closed += 1


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the key and the URL in the environment from every test."""
    monkeypatch.delenv("OS_API_KEY", raising=False)
    monkeypatch.delenv("OS_BASE_URL", raising=False)
    monkeypatch.delenv("OS_ALLOW_HTTP", raising=False)


def accepted(*arguments: Any, **settings: Any) -> None:
    """Make a client of the service with these settings; nothing is sent by that."""
    client = ChatarminOS(*arguments, **settings)

    assert type(client.transport) is HTTPTransport
    client.close()


def shown(error: BaseException) -> str:
    """Return everything that an error shows or carries, and those it came from."""
    texts = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen), repr(seen.args), repr(vars(seen)), repr(getattr(seen, "__notes__", ""))]
        texts += [ascii(text) for text in texts]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


# The key


def test_key_is_an_argument() -> None:
    """A key can be given by place or by name."""
    accepted(KEY)
    accepted(api_key=KEY)


def test_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the key is that of OS_API_KEY."""
    monkeypatch.setenv("OS_API_KEY", KEY)

    accepted()
    assert _settings.api_key(secret(None))() == KEY


def test_key_argument_has_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument overrides the environment."""
    monkeypatch.setenv("OS_API_KEY", "os_sk_of_the_environment")

    assert _settings.api_key(secret(KEY))() == KEY


@pytest.mark.parametrize("blank", ["", " ", "\n", "\t \r\n", "\u00a0"])
def test_missing_key_is_rejected(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    """Without a key in argument and environment, or with a blank one, the error names both."""
    with pytest.raises(InvalidInput) as without:
        ChatarminOS()
    with pytest.raises(InvalidInput) as given:
        ChatarminOS(blank)
    monkeypatch.setenv("OS_API_KEY", blank)
    with pytest.raises(InvalidInput) as of_environment:
        ChatarminOS()

    for refused in (without, given, of_environment):
        assert refused.value.field == "api_key"
        assert "api_key" in str(refused.value)
        assert "OS_API_KEY" in str(refused.value)


def test_blank_key_argument_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank argument is rejected, also if the environment has a key."""
    monkeypatch.setenv("OS_API_KEY", KEY)

    with pytest.raises(InvalidInput):
        ChatarminOS(" ")


@pytest.mark.parametrize("around", ["{}\n", " {}", "\t{}\r\n", "\u00a0{} "])
def test_key_is_stripped(monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    """The newline at the end of a secret's file is not part of the key."""
    padded = around.format(KEY)
    monkeypatch.setenv("OS_API_KEY", padded)

    accepted(padded)
    accepted()
    assert _settings.api_key(secret(padded))() == KEY
    assert _settings.api_key(secret(None))() == KEY


@pytest.mark.parametrize("bad", ["\n", "\x00", "\x7f", "\x1b", "\r\nX-Other: 1", "ä", "\u2013", "\U0001f511", "\ud800"])
def test_key_of_other_characters_is_rejected_and_not_shown(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    """A key with control or non-ASCII characters is refused, and no part of it is in the error."""
    key = f"{KEY}{bad}{KEY[6:]}"

    with pytest.raises(InvalidInput) as given:
        ChatarminOS(key)
    refusals = [given.value]
    if "\x00" not in key and "\ud800" not in key:  # no environment holds these
        monkeypatch.setenv("OS_API_KEY", key)
        with pytest.raises(InvalidInput) as of_environment:
            ChatarminOS()
        refusals.append(of_environment.value)

    for refused in refusals:
        assert refused.field == "api_key"
        assert "api_key" in str(refused)
        assert KEY[6:] not in shown(refused)


@pytest.mark.parametrize(
    ("pasted", "problem"),
    [
        ("Bearer {}", "white space"),
        ("{} {}", "white space"),
        ("{}  ", None),
        ("os_sk_ {}", "white space"),
        ("{}\t{}", "control"),
        ("{}\n{}", "control"),
        ("{}\u00a0{}", "non-ASCII"),
        ("{}\u3000{}", "non-ASCII"),
        ("\u200b{}", "non-ASCII"),
        ("{}\u200d", "non-ASCII"),
        ("\ufeff{}", "non-ASCII"),
        ("{}\u2060", "non-ASCII"),
        ("\u201c{}\u201d", "non-ASCII"),
        ('"{}"', "quotes"),
        ("'{}'", "quotes"),
        ("`{}`", "quotes"),
        (' "{}"\n', "quotes"),
        ('os_sk_"{}', None),
    ],
)
def test_pasted_key_is_rejected_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, pasted: str, problem: str | None
) -> None:
    """White space inside, invisible characters, quotes and the word Bearer are mistakes of pasting."""
    key = pasted.format(KEY, KEY)
    monkeypatch.setenv("OS_API_KEY", key)

    for arguments in ((key,), ()):
        if problem is None:
            accepted(*arguments)
            continue
        with pytest.raises(InvalidInput, match=problem) as refused:
            ChatarminOS(*arguments)
        assert refused.value.field == "api_key"
        assert KEY[6:] not in shown(refused.value)


@pytest.mark.parametrize("key", [5, True, KEY.encode(), [KEY], {"key": KEY}])
def test_non_text_key_is_rejected_and_not_shown(key: Any) -> None:
    """A value of another type may contain a key, and is not shown."""
    with pytest.raises(InvalidInput) as refused:
        ChatarminOS(key)

    assert refused.value.field == "api_key"
    assert KEY not in shown(refused.value)


@pytest.mark.parametrize(
    "settings", [{"timeout": -1}, {"max_retries": -1}, {"base_url": "nowhere"}, {"base_url": f"https://{KEY}@host"}]
)
def test_errors_of_other_settings_hide_the_key(settings: dict[str, Any]) -> None:
    """The error of another setting does not show the key."""
    with pytest.raises(InvalidInput) as refused:
        ChatarminOS(KEY, **settings)

    assert KEY not in shown(refused.value)


# The other settings


@pytest.mark.parametrize("timeout", [0.001, 1, 10.0, 3600, 1e9])
def test_timeout_is_a_number_of_seconds(timeout: float) -> None:
    """Any number above 0 is a timeout."""
    accepted(KEY, timeout=timeout)
    assert timeout == _options.timeout(timeout)


@pytest.mark.parametrize(
    "timeout",
    [0, 0.0, -1, -0.5, float("nan"), float("inf"), float("-inf"), True, "10", None, (1, 1), 10**400],
    ids=words,
)
def test_invalid_timeout_is_rejected(timeout: Any) -> None:
    """An invalid timeout is rejected by name."""
    with pytest.raises(InvalidInput, match=r"^timeout: ") as refused:
        ChatarminOS(KEY, timeout=timeout)

    assert refused.value.field == "timeout"


@pytest.mark.parametrize("max_retries", [0, 1, 2, 100])
def test_retries_are_an_int(max_retries: int) -> None:
    """Any int of at least 0 is a number of retries."""
    accepted(KEY, max_retries=max_retries)
    assert max_retries == _options.max_retries(max_retries)


@pytest.mark.parametrize("max_retries", [-1, 1.0, 0.5, True, False, "2", None, float("inf")])
def test_invalid_number_of_retries_is_rejected(max_retries: Any) -> None:
    """An invalid number of retries is rejected by name."""
    with pytest.raises(InvalidInput, match=r"^max_retries: ") as refused:
        ChatarminOS(KEY, max_retries=max_retries)

    assert refused.value.field == "max_retries"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://os.chatarmin.com/api/v1",
        "https://os.example.com",
        "https://os.example.com:8443/api/",
        "http://127.0.0.1:3001/api/v1",
        "http://localhost:3001",
        "http://[::1]:3001/api/v1",
    ],
)
def test_base_url_is_accepted(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    """A URL with a host, an optional port and an optional path is accepted as argument and in OS_BASE_URL."""
    accepted(KEY, base_url=base_url)
    assert base_url.rstrip("/") == _settings.base_url(base_url)

    monkeypatch.setenv("OS_BASE_URL", base_url)
    accepted(KEY)
    assert base_url.rstrip("/") == _settings.base_url(None)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        " ",
        "os.chatarmin.com",
        "os.chatarmin.com/api/v1",
        "//os.chatarmin.com",
        "ftp://os.chatarmin.com",
        "https://",
        "https:///api/v1",
        "https://user@os.chatarmin.com",
        "https://user:secret@os.chatarmin.com",
        "https://os.chatarmin.com?key=1",
        "https://os.chatarmin.com/#here",
        "https://os.chatarmin.com:port",
        "https://os.chatarmin.com:99999",
        "https://os.chatarmin.com:0",
        "https://os chatarmin.com",
        "https://os.chatarmin.com/\n",
        "https://[::1",
        "https://os..example.com",
        f"https://{'o' * 64}.example.com",
        5,
        b"https://os.chatarmin.com",
    ],
)
def test_invalid_base_url_is_rejected(base_url: Any) -> None:
    """A URL without http(s) or host, or with more than a path, is rejected by name."""
    with pytest.raises(InvalidInput, match=r"^base_url: ") as refused:
        ChatarminOS(KEY, base_url=base_url)

    assert refused.value.field == "base_url"


PLAIN = "http://fake.example:3001/api/v1"


@pytest.mark.parametrize("value", ["1", "true", "True", "yes", "ON", " 1\n"])
def test_plain_http_can_be_allowed(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The argument or OS_ALLOW_HTTP allows plain http to other hosts; the variable overrides False."""
    accepted(KEY, base_url=PLAIN, allow_http=True)
    monkeypatch.setenv("OS_ALLOW_HTTP", value)
    accepted(KEY, base_url=PLAIN)
    accepted(KEY, base_url=PLAIN, allow_http=False)
    HTTPTransport(KEY, PLAIN).close()


@pytest.mark.parametrize("value", [None, "", " ", "0", "false", "No", "off"])
def test_plain_http_is_rejected_by_default(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Plain http to other hosts is rejected, and the error names the permission."""
    if value is not None:
        monkeypatch.setenv("OS_ALLOW_HTTP", value)

    with pytest.raises(InvalidInput, match="use https, or allow_http=True") as refused:
        ChatarminOS(KEY, base_url=PLAIN)

    assert refused.value.field == "base_url"
    accepted(KEY, base_url="http://127.0.0.1:3001")


@pytest.mark.parametrize("value", ["2", "tru", "ja", "-1", "true false"])
@pytest.mark.parametrize("base_url", [PLAIN, "https://os.example.com"])
def test_invalid_permission_in_the_environment_is_rejected(
    monkeypatch: pytest.MonkeyPatch, value: str, base_url: str
) -> None:
    """A typo in OS_ALLOW_HTTP is an error, whatever the base URL."""
    monkeypatch.setenv("OS_ALLOW_HTTP", value)

    with pytest.raises(InvalidInput, match=f"OS_ALLOW_HTTP must be 1 or 0, got str '{value}'") as refused:
        ChatarminOS(KEY, base_url=base_url)

    assert refused.value.field == "allow_http"


@pytest.mark.parametrize("value", [1, "yes", None])
def test_permission_is_a_boolean(value: Any) -> None:
    """Other values that are true in Python are errors."""
    with pytest.raises(InvalidInput, match=r"^allow_http: ") as refused:
        ChatarminOS(KEY, base_url=PLAIN, allow_http=value)

    assert refused.value.field == "allow_http"


def test_invalid_base_url_of_the_environment_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base URL of the environment is checked like the argument, which overrides it."""
    monkeypatch.setenv("OS_BASE_URL", "127.0.0.1:3001/api/v1")

    with pytest.raises(InvalidInput) as refused:
        ChatarminOS(KEY)
    assert str(refused.value) == (
        "base_url: must be an http(s) URL with a host, without user, query or fragment, got str "
        "'127.0.0.1:3001/api/v1' (from OS_BASE_URL); begin it with https://, or http:// for a local service"
    )
    accepted(KEY, base_url="https://os.example.com")


def test_settings_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults are the public service, ten seconds and two retries; a blank OS_BASE_URL counts as omitted."""
    monkeypatch.setenv("OS_BASE_URL", "")

    assert _settings.base_url(None) == "https://os.chatarmin.com/api/v1"
    signature = str(inspect.signature(ChatarminOS))
    assert "timeout: 'Number' = 10.0, max_retries: 'int' = 2, allow_http: 'bool' = False)" in signature


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"api_key": KEY}, "api_key "),
        ({"base_url": "https://os.example.com"}, "base_url "),
        ({"timeout": 10.0}, "timeout "),
        ({"timeout": 0}, "timeout "),
        ({"timeout": None}, "timeout "),
        ({"max_retries": None}, "max_retries "),
        ({"max_retries": 0}, "max_retries "),
        ({"max_retries": 2}, "max_retries "),
        ({"api_key": ""}, "api_key "),
        ({"api_key": KEY, "max_retries": 2}, "api_key, max_retries "),
        ({"allow_http": True}, "allow_http "),
        (
            {"max_retries": 2, "timeout": 1, "base_url": "x", "api_key": "y"},
            "api_key, base_url, timeout, max_retries ",
        ),
    ],
)
def test_settings_with_a_transport_are_rejected(settings: dict[str, Any], named: str) -> None:
    """With a transport, settings of HTTP are a TypeError that names them and shows no key."""
    with pytest.raises(TypeError) as refused:
        ChatarminOS(transport=Small(), **settings)

    assert str(refused.value).startswith(named)
    assert KEY not in shown(refused.value)


class Kind(StrEnum):
    """Kinds of calls as a user may name them."""

    QUERY = "query"
    MUTATION = "mutation"


@pytest.mark.parametrize("kind", Kind)
def test_kind_may_be_an_enum_member(kind: Any) -> None:
    """A member that equals "query" or "mutation" is accepted and reaches the transport as plain text."""
    transport = Small()

    with pytest.raises(ApiError):
        ChatarminOS(transport=transport).call("nothing.here", kind=kind)

    [call] = transport.calls
    assert call.kind == kind.value
    assert not isinstance(call.kind, Enum)


def test_shared_error_keeps_its_cause() -> None:
    """An error for several calls of a batch becomes one per call, each with its cause."""
    shared = TimedOut("the cable was pulled")
    shared.__cause__ = OSError("no route")
    transport = Scripted(shared, shared)

    first, second = ChatarminOS(transport=transport).batch([CHECK, EVENT])

    assert isinstance(first, TimedOut)
    assert isinstance(second, TimedOut)
    assert (first.request, second.request) == (CHECK, EVENT)
    assert first.__cause__ is second.__cause__ is shared.__cause__


def test_positional_key_with_a_transport_is_rejected() -> None:
    """A positional key is named like one that is given by name."""
    with pytest.raises(TypeError, match=r"^api_key must not be given"):
        ChatarminOS(KEY, transport=Small())


def test_transport_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a transport the environment is not read."""
    monkeypatch.setenv("OS_API_KEY", "\x01")
    monkeypatch.setenv("OS_BASE_URL", "nowhere")

    assert len(ChatarminOS(transport=Small()).tiers.list()) == 4


@pytest.mark.parametrize("transport", [5, "https://os.example.com", object(), Small, [], demo_catalogue()])
def test_non_transport_is_rejected(transport: Any) -> None:
    """Any other object is a TypeError that shows the value."""
    with pytest.raises(TypeError, match=r"^transport: expected a"):
        ChatarminOS(transport=transport)


def test_class_of_a_transport_is_rejected_with_a_hint() -> None:
    """The error of a class says that an instance is required."""
    kind: Any = FakeTransport

    with pytest.raises(TypeError, match=r"; pass an instance, such as FakeTransport\(\.\.\.\)$"):
        ChatarminOS(transport=kind)


@pytest.mark.parametrize("args", [(KEY, "https://os.example.com"), (None, Small())])
def test_settings_are_keyword_only(args: tuple[Any, ...]) -> None:
    """Only the key may be positional."""
    with pytest.raises(TypeError, match="positional"):
        ChatarminOS(*args)


def test_transport_requires_send() -> None:
    """A transport without `send` cannot be created."""

    class Silent(Transport):
        """Cannot send."""

    silent: Any = Silent
    with pytest.raises(TypeError, match="abstract"):
        silent()


# The client itself


def test_in_memory_client_needs_no_key() -> None:
    """An in-memory client is on a new fake, also for subclasses."""

    class Mine(ChatarminOS):
        """A client of my own."""

    one, other = ChatarminOS.in_memory(), Mine.in_memory()

    assert isinstance(one.transport, FakeTransport)
    assert type(other) is Mine
    assert one.transport is not other.transport


def test_repr_shows_no_secret() -> None:
    """The repr names the classes of client and transport, and no attribute of the transport."""

    class Secretive(Small):
        """Shows its key."""

        def __repr__(self) -> str:
            return f"<Secretive {KEY}>"

    client = ChatarminOS(transport=Secretive())

    assert repr(client) == str(client) == "<ChatarminOS on Secretive>"


def test_client_has_its_transport() -> None:
    """The transport that was given is the client's."""
    transport = Small()

    assert transport is ChatarminOS(transport=transport).transport


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy])
def test_copy_has_the_same_transport(act: Any) -> None:
    """A copied client, also inside another object, has the same transport and attributes."""

    class Mine(ChatarminOS):
        """A client that knows where it is."""

        region = "none"

    client = Mine(transport=Scripted([]))
    client.region = "eu"
    resource = client.tiers

    clone = act({"client": client})["client"] if act is copy.deepcopy else act(client)

    assert type(clone) is Mine
    assert clone is not client
    assert clone.transport is client.transport
    assert clone.region == "eu"
    assert clone.tiers is not resource
    assert clone.tiers.list() == []


def test_copy_of_a_configuration_keeps_the_transport_of_its_client() -> None:
    """A configuration that holds a client can be copied, though a transport cannot."""
    client = ChatarminOS(KEY)

    with copy.deepcopy([client])[0] as clone:
        assert clone.transport is client.transport


def test_resource_is_created_once() -> None:
    """A resource of a client is always the same object, and differs from another client's."""
    client, other = ChatarminOS.in_memory(), ChatarminOS.in_memory()

    for noun in ("companies", "contacts", "features", "billing", "tiers", "subscriptions", "links"):
        assert getattr(client, noun) is getattr(client, noun)
        assert getattr(client, noun) is not getattr(other, noun)


def test_close_closes_the_transport() -> None:
    """`close` is passed on."""
    transport = Scripted()

    ChatarminOS(transport=transport).close()

    assert transport.closed == 1


def test_context_manager_closes_the_transport_once() -> None:
    """The context is the client, open inside and closed afterwards."""
    transport = Scripted()
    client = ChatarminOS(transport=transport)

    with client as entered:
        open_inside = transport.closed

    assert client is entered
    assert (open_inside, transport.closed) == (0, 1)


@pytest.mark.parametrize("error", [NotFoundError("no", code="NOT_FOUND"), KeyboardInterrupt(), ValueError("mine")])
def test_context_manager_passes_exceptions_on(error: BaseException) -> None:
    """An exception inside the context is raised unchanged, and the transport is closed."""
    transport = Scripted()

    with pytest.raises(type(error)) as raised, ChatarminOS(transport=transport):
        raise error

    assert error is raised.value
    assert transport.closed == 1


def test_error_of_close_is_raised() -> None:
    """An error of the transport's `close` is not swallowed."""

    class Stuck(Small):
        """Cannot be closed."""

        def close(self) -> None:
            raise ConnectionFailed("stuck")

    client = ChatarminOS(transport=Stuck())

    with pytest.raises(ConnectionFailed), client:
        pass


def test_transport_may_lack_close() -> None:
    """A transport with nothing but `send` can be closed, and closed again."""
    client = ChatarminOS(transport=Small())

    client.close()
    client.close()

    assert len(client.tiers.list()) == 4


# A transport of one's own


def _everything(client: ChatarminOS, fake: FakeTransport) -> list[Any]:
    """Use every method of a client once."""
    session = fake.stripe.add_checkout_session(client.tiers.get("pro").stripe_price_ids)
    subscription = fake.stripe.add_subscription(["price_pro_base"])
    company = client.companies.create(name="Acme", external_org_id="org_1").id
    return [
        client.companies.get_by_product_link(external_org_id="org_1"),
        client.companies.update(company_id=company, created_at="2024-01-15T10:30:00Z"),
        client.companies.smart_link(external_org_id="org_2", hints={"company_name": "Acme"}),
        client.contacts.create(company_id=company, email="ann@acme.com"),
        client.contacts.bulk_upsert(company_id=company, contacts=[{"email": "bob@acme.com"}]),
        client.contacts.list(company),
        client.tiers.list(),
        client.tiers.apply("free", company_id=company),
        client.subscriptions.create("free", company_id=company),
        client.features.check(company_id=company, feature_code="seats"),
        client.features.list_access(company),
        client.features.set_access(company_id=company, feature_code="sso", is_enabled=True),
        client.features.get_access_by_external_org_id("org_1"),
        client.features.check_by_external_org_id("org_1", "seats"),
        client.billing.track_usage(company_id=company, feature_code="seats", quantity=1),
        client.billing.claim_checkout(company_id=company, checkout_session_id=session),
        client.billing.link_subscription(company_id=company, stripe_subscription_id=subscription),
        client.billing.get_status(company),
        client.links.create(company_id=company, external_org_id="org_3"),
        client.onboard(external_org_id="org_4", tier_code="free"),
        client.links.reset(),
    ]


def test_transport_needs_send_only() -> None:
    """Every method works on a transport that has nothing but `send`, one call each."""
    transport = Small()
    client = ChatarminOS(transport=transport)

    results = _everything(client, transport.fake)

    assert not any(isinstance(result, ChatarminError) for result in results)
    assert len(transport.calls) == len(results) + 2
    assert len({call.path for call in transport.calls}) == 22


def test_batch_without_send_many_sends_one_by_one() -> None:
    """Without a `send_many` of its own, a transport gets the calls in order; refusals become values."""
    transport = Small()
    client = ChatarminOS(transport=transport)

    answers = client.batch([ListTiersInput(), GetTierInput(tier_code="gold"), ListTiersInput()])

    assert isinstance(answers[1], NotFoundError)
    assert client.tiers.list() == answers[0] == answers[2]
    assert [call.path for call in transport.calls[:3]] == ["tiers.list", "tiers.get", "tiers.list"]


def test_foreign_error_of_a_transport_is_raised() -> None:
    """An error of another library in a transport is raised unchanged, alone and in a batch."""

    class Broken(Small):
        """Fails in a way that is not the tree's."""

        def send(self, call: Call) -> Any:
            del call
            raise ZeroDivisionError

    client = ChatarminOS(transport=Broken())

    with pytest.raises(ZeroDivisionError):
        client.send(ListTiersInput())
    with pytest.raises(ZeroDivisionError):
        client.batch([ListTiersInput()])


def test_call_needs_send_only() -> None:
    """`call` needs no more of a transport than `send`."""
    client = ChatarminOS(transport=Small())

    answer = client.call("tiers.list")

    assert [tier["code"] for tier in answer] == ["free", "trial", "pro", "enterprise"]


# Other objects than requests


class Lookalike:
    """Has everything a request has, and is none."""

    path = "tiers.list"
    kind = "query"
    result = list[TierSummary]
    safe_to_repeat = True


@pytest.mark.parametrize(
    "bad",
    [
        FeatureCheckInput,
        ListTiersInput,
        {"companyId": "c", "featureCode": "seats"},
        None,
        "tiers.list",
        Call("tiers.list", "query"),
        ContactInput(email="ann@acme.com"),
        Company(id="c"),
        Lookalike(),
    ],
    ids=words,
)
def test_non_request_is_a_type_error(bad: Any) -> None:
    """Any other object is a TypeError that shows the value, before the transport is used."""
    transport = Scripted([], [])
    client = ChatarminOS(transport=transport)

    for attempt in (
        lambda: client.send(bad),
        lambda: client.batch([bad]),
        lambda: client.batch([ListTiersInput(), bad]),
        lambda: client.batch(one for one in (ListTiersInput(), bad)),
    ):
        with pytest.raises(TypeError, match="expected a request"):
            attempt()

    assert transport.calls == []


@pytest.mark.parametrize("bad", [None, 5, ListTiersInput()], ids=["None", "int", "one-request"])
def test_batch_requires_an_iterable(bad: Any) -> None:
    """An object that is not iterable is a TypeError, and nothing is sent."""
    transport = Scripted([])

    with pytest.raises(TypeError):
        ChatarminOS(transport=transport).batch(bad)

    assert transport.calls == []


def test_subclass_of_a_request_is_sent() -> None:
    """A subclass of a request is a request."""

    class Mine(GetTierInput):
        """A tier of mine."""

    client = ChatarminOS(transport=Small())

    assert client.tiers.get("pro") == client.send(Mine(tier_code="pro"))


# Errors and their requests


def test_error_has_the_request() -> None:
    """The transport's error is raised, with the very request."""
    error = TimedOut("too late", attempts=3)
    client = ChatarminOS(transport=Scripted(error))

    with pytest.raises(TimedOut) as raised:
        client.send(EVENT)

    assert error is raised.value
    assert EVENT is raised.value.request


def test_shared_error_has_a_copy_for_each_call() -> None:
    """If several calls share an error, each has a copy with its own request."""
    # Given a transport that lost a whole round trip
    lost = ConnectionFailed("reset", outcome="unknown", attempts=2)
    requests = [CHECK, EVENT, ListTiersInput()]
    client = ChatarminOS(transport=Scripted(lost, lost, lost))

    # When the batch is sent
    answers = client.batch(cast("list[Any]", requests))

    # Then there are three errors that say the same of three requests
    assert [answer.request for answer in answers] == requests
    assert len({id(answer) for answer in answers}) == 3
    for answer in answers:
        assert type(answer) is ConnectionFailed
        assert (str(answer), answer.outcome, answer.attempts) == ("reset", "unknown", 2)


def test_repeated_error_keeps_its_request() -> None:
    """If a transport returns the same error in another batch, it is copied there."""
    lost = TimedOut("too late")
    client = ChatarminOS(transport=Scripted(lost))

    first: Any = client.batch([CHECK])
    second: Any = client.batch([EVENT])

    assert (first[0].request, second[0].request) == (CHECK, EVENT)


@pytest.mark.parametrize("answers", [(), ([],), ([], [], [])], ids=["none", "too-few", "too-many"])
def test_wrong_number_of_answers_is_a_type_error(answers: tuple[Any, ...]) -> None:
    """A transport that returns another number of answers is a TypeError that names it."""
    client = ChatarminOS(transport=Scripted(*answers))

    with pytest.raises(TypeError, match=r"^Scripted.send_many must answer every call: "):
        client.batch([ListTiersInput(), ListTiersInput()])


def test_invalid_answer_in_a_batch_hides_no_other() -> None:
    """An answer of another shape is an InvalidResponse in the place of its call."""
    client = ChatarminOS(transport=Scripted([{"code": "a"}], [{"code": 5}], [{"code": "c"}]))
    requests = [ListTiersInput(), ListTiersInput(), ListTiersInput()]

    answers = client.batch(requests)

    assert answers[0] == [TierSummary(code="a")]
    assert isinstance(answers[1], InvalidResponse)
    assert "$[0].code" in str(answers[1])
    assert answers[1].request is requests[1]
    assert answers[2] == [TierSummary(code="c")]


def test_error_in_a_batch_is_a_value() -> None:
    """An error is in the place of its call, whatever its neighbours are."""
    refusal = ApiError.from_code("CONFLICT")
    client = ChatarminOS(transport=Scripted(None, refusal, None))
    requests: list[Any] = [
        GetByProductLinkInput(external_org_id="o"),
        ClaimCheckoutInput(company_id="c", checkout_session_id="s"),
        ApplyTierInput(tier_code="t", company_id="c"),
    ]

    answers = client.batch(requests)

    assert answers[0] is None
    assert refusal is answers[1]
    assert refusal.request is requests[1]
    assert type(answers[2]).__name__ == "ApplyTierResult"


def test_empty_batch_does_not_use_the_transport() -> None:
    """An empty batch has an empty result, without the transport."""
    transport = Scripted("nobody asked")

    assert ChatarminOS(transport=transport).batch(iter([])) == []
    assert transport.calls == []


# Procedures by their path


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("tiers.list", None, ("query", True)),
        ("billing.trackUsage", None, ("mutation", False)),
        ("companies.create", None, ("mutation", False)),
        ("contacts.create", None, ("mutation", False)),
        ("reports.weekly", None, ("query", True)),
        ("reports.weekly", "query", ("query", True)),
        ("reports.weekly", "mutation", ("mutation", False)),
        ("tiers.list", "mutation", ("mutation", False)),
        ("billing.trackUsage", "query", ("query", True)),
    ],
)
def test_call_has_a_kind(path: str, kind: Any, expected: tuple[str, bool]) -> None:
    """The kind is the argument, else that of the table, else query; mutations are never safe to repeat."""
    transport = Scripted("answer")

    answer = ChatarminOS(transport=transport).call(path, {"a_b": 1}, kind=kind)

    (call,) = transport.calls
    assert answer == "answer"
    assert expected == (call.kind, call.safe_to_repeat)
    assert (path, {"a_b": 1}) == (call.path, call.input)


@pytest.mark.parametrize("kind", ["subscription", "", "Query", 5, True, ["query"]])
def test_call_of_another_kind_is_rejected(kind: Any) -> None:
    """A kind is one of two words."""
    transport = Scripted(None)

    with pytest.raises(InvalidInput) as refused:
        ChatarminOS(transport=transport).call("tiers.list", kind=kind)

    assert refused.value.field == "kind"
    assert transport.calls == []


@pytest.mark.parametrize("path", ["", " ", "\n", None, 5, b"tiers.list"])
def test_call_requires_a_path(path: Any) -> None:
    """A path is text that is not blank."""
    transport = Scripted(None)

    with pytest.raises(InvalidInput) as refused:
        ChatarminOS(transport=transport).call(path)

    assert refused.value.field == "path"
    assert transport.calls == []


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        ({"order": {"paid_at": object()}}, "input.order.paid_at"),
        ({"rows": [1, {"sizes": {1, 2}}]}, "input.rows[1].sizes"),
        ([[float("nan")]], "input[0][0]"),
        (float("inf"), "input"),
        ({"n": 2**53}, "input.n"),
        ({"n": {5: "five"}}, "input.n"),
        (b"bytes", "input"),
    ],
)
def test_call_names_an_invalid_value(bad: Any, place: str) -> None:
    """A value that is not JSON-serializable is rejected with its place, and nothing is sent."""
    transport = Scripted(None)

    with pytest.raises(InvalidInput) as refused:
        ChatarminOS(transport=transport).call("tiers.list", bad)

    assert place == refused.value.field
    assert str(refused.value).startswith(f"{place}: ")
    assert refused.value.request is None
    assert transport.calls == []


def test_call_copies_its_input() -> None:
    """A transport that changes the input does not change the caller's, and tuples are sent as lists."""
    transport = Scripted(None)
    mine: dict[str, Any] = {"list": [1, (2, 3)]}

    ChatarminOS(transport=transport).call("reports.weekly", mine)
    transport.calls[0].input["list"].append("!")

    assert mine == {"list": [1, (2, 3)]}
    assert transport.calls[0].input == {"list": [1, [2, 3], "!"]}


def test_error_of_a_call_has_no_request() -> None:
    """The error of a call by path has no typed request, also if the transport fails."""
    client = ChatarminOS(transport=Scripted(TimedOut("too late")))

    with pytest.raises(TimedOut) as raised:
        client.call("tiers.list")

    assert raised.value.request is None


# UNSET


def test_unset_has_a_repr() -> None:
    """The repr of UNSET is its name."""
    assert (repr(UNSET), str([UNSET])) == ("UNSET", "[UNSET]")


def test_unset_is_one_object() -> None:
    """UNSET is the same object as a part of other objects, and falsy."""
    kept = {"limit": UNSET}

    copies = [copy.copy(kept), copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))]  # noqa: S301 - pickled here

    for clone in copies:
        assert clone["limit"] is UNSET
        assert not clone["limit"]


@pytest.mark.parametrize("wrong", [b"os_sk_secret", 123456789, ["os_sk_secret"]])
def test_key_of_another_type_is_not_shown(wrong: Any) -> None:
    """The error names the type; the value may still contain a key."""
    with pytest.raises(InvalidInput, match=f"api_key: .*{type(wrong).__name__}") as refused:
        ChatarminOS(wrong)

    assert refused.value.field == "api_key"
    assert "secret" not in repr(refused.value)
    assert "123456789" not in repr(refused.value)
