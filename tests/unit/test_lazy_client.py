"""A lazy client: its arguments, when it reads key and environment, and that it works like any other."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
import responses

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import HTTPTransport, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.transports import Call

KEY = "os_sk_9f8e7d6c5b4a"
URL = "https://os.test/api/v1"
ANSWER: dict[str, Any] = {"result": {"data": []}}


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    """Answer calls to the service of the tests, and have no settings in the environment."""
    for name in ("OS_API_KEY", "OS_BASE_URL", "OS_ALLOW_HTTP", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{URL}/tiers.list", json=ANSWER)
        yield mock


class Regional(ChatarminOS):
    """A client with arguments of its own."""

    def __init__(self, region: str, **settings: Any) -> None:
        """Be of a region."""
        super().__init__(**settings)
        self.region = region


class Noting(Transport):
    """A transport that notes how often it is closed."""

    closed = 0

    def send(self, _: Call) -> Any:
        """Answer with nothing."""
        return []

    def close(self) -> None:
        """Note it."""
        self.closed += 1


def test_lazy_client_reads_key_and_environment_at_its_first_call(
    monkeypatch: pytest.MonkeyPatch, service: responses.RequestsMock
) -> None:
    """A client that is created before there is a key works afterwards, and reads the key once."""
    client = ChatarminOS.lazy()
    monkeypatch.setenv("OS_API_KEY", KEY)
    monkeypatch.setenv("OS_BASE_URL", URL)

    assert client.tiers.list() == []
    monkeypatch.setenv("OS_API_KEY", "os_sk_another")
    monkeypatch.setenv("OS_BASE_URL", "https://elsewhere.test")
    assert client.tiers.list() == []

    assert [call.request.headers["Authorization"] for call in service.calls] == [f"Bearer {KEY}"] * 2


def test_lazy_client_takes_the_arguments_of_the_constructor(service: responses.RequestsMock) -> None:
    """Arguments have the same meaning as in the constructor; the key may be positional."""
    for client in (ChatarminOS.lazy(KEY, base_url=URL), ChatarminOS.lazy(api_key=KEY, base_url=URL, timeout=3)):
        assert client.tiers.list() == []

    assert [call.request.headers["Authorization"] for call in service.calls] == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.tiers.list(),
        lambda client: client.call("tiers.list"),
        lambda client: client.features.check(company_id="c", feature_code="seats"),
        lambda client: client.transport,
    ],
    ids=["method", "call", "other-method", "transport"],
)
def test_missing_key_fails_each_call_until_there_is_one(
    monkeypatch: pytest.MonkeyPatch, service: responses.RequestsMock, use: Callable[[ChatarminOS], Any]
) -> None:
    """Without a key a call fails as the constructor would, and the client works once there is one."""
    client = ChatarminOS.lazy(base_url=URL)

    for _ in range(2):
        with pytest.raises(InvalidInput, match="OS_API_KEY") as refused:
            use(client)
        assert refused.value.field == "api_key"

    monkeypatch.setenv("OS_API_KEY", KEY)
    assert client.tiers.list() == []
    assert len(service.calls) == 1


def test_invalid_values_fail_the_first_call() -> None:
    """Values are checked with the environment, so that a module can be imported whatever its settings are."""
    wrong: dict[str, Any] = {"timeout": -1, "base_url": "x", "api_key": ""}
    for field, value in wrong.items():
        settings: dict[str, Any] = {"api_key": KEY, field: value}
        client = ChatarminOS.lazy(**settings)
        with pytest.raises(InvalidInput) as refused:
            client.tiers.list()
        assert refused.value.field == field


@pytest.mark.parametrize(
    ("arguments", "settings", "problem"),
    [
        ((), {"tmeout": 1}, "tmeout"),
        ((), {"apikey": KEY}, "apikey"),
        ((KEY, URL), {}, "positional"),
        ((), {"transport": FakeTransport(), "timeout": 1}, "timeout must not be given with a transport"),
        ((), {"transport": FakeTransport(), "allow_http": True}, "allow_http must not be given with a transport"),
        ((), {"transport": "https://os.test"}, "transport: expected"),
    ],
)
def test_unknown_arguments_fail_at_once(arguments: tuple[Any, ...], settings: dict[str, Any], problem: str) -> None:
    """An unknown argument is a TypeError at once, as in the constructor."""
    for make in (ChatarminOS, ChatarminOS.lazy):
        with pytest.raises(TypeError, match=problem):
            make(*arguments, **settings)


def test_lazy_client_takes_a_transport() -> None:
    """With a transport the client is not lazy."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS.lazy(transport=fake)

    assert repr(client) == "<ChatarminOS on FakeTransport>"
    assert client.transport is fake


def test_repr_shows_whether_there_is_a_transport() -> None:
    """The repr of a lazy client needs no key and creates no transport."""
    client = ChatarminOS.lazy(KEY)

    assert repr(client) == str(client) == "<ChatarminOS on no transport yet>"
    assert isinstance(client.transport, HTTPTransport)
    assert repr(client) == "<ChatarminOS on HTTPTransport>"


def test_lazy_client_can_be_closed_before_its_first_call(service: responses.RequestsMock) -> None:
    """Closing a client without a transport, or leaving its context, needs no key; it works afterwards."""
    without_a_key = ChatarminOS.lazy()
    without_a_key.close()
    with without_a_key as entered:
        assert entered is without_a_key

    with ChatarminOS.lazy(KEY, base_url=URL) as client:
        client.close()
        assert client.tiers.list() == []
    assert len(service.calls) == 1


def test_lazy_client_closes_its_transport() -> None:
    """A lazy client that has made calls is closed like any other."""
    transport = Noting()

    with ChatarminOS.lazy(transport=transport) as client:
        client.tiers.list()

    assert transport.closed == 1


def test_simultaneous_first_calls_share_a_transport() -> None:
    """Many first calls at the same time go through one transport."""
    for _ in range(20):
        client, barrier, transports = ChatarminOS.lazy(KEY, base_url=URL), Barrier(8), list[Transport]()

        def use(client: ChatarminOS = client, barrier: Barrier = barrier, seen: list[Transport] = transports) -> None:
            barrier.wait()
            seen.append(client.transport)

        threads = [Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(transports) == 8
        assert len({id(transport) for transport in transports}) == 1


def test_subclass_may_have_other_arguments(service: responses.RequestsMock) -> None:
    """The constructor of a subclass runs at once and sets its attributes; it checks its own arguments."""
    client = Regional.lazy("eu", api_key=KEY, base_url=URL)
    named = Regional.lazy(region="us")
    wrong: Any = Regional.lazy

    assert type(client) is Regional
    assert (client.region, named.region) == ("eu", "us")
    assert repr(named) == "<Regional on no transport yet>"
    assert client.tiers.list() == []
    assert len(service.calls) == 1
    with pytest.raises(TypeError, match="region"):
        wrong()


def test_lazy_client_does_not_pickle() -> None:
    """A lazy client does not pickle, before its first call and after."""
    client = ChatarminOS.lazy(KEY)

    for _ in range(2):
        with pytest.raises(TypeError, match="does not pickle") as refused:
            pickle.dumps(client)
        assert KEY not in str(refused.value)
        assert isinstance(client.transport, HTTPTransport)


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, lambda client: client.with_options(timeout=1)])
def test_derived_client_is_lazy(
    monkeypatch: pytest.MonkeyPatch, service: responses.RequestsMock, act: Callable[[ChatarminOS], ChatarminOS]
) -> None:
    """A copy, or a client with other options, needs no key either, and shares the one transport."""
    client = Regional.lazy("eu", base_url=URL)
    derived = act(client)
    assert repr(derived) == "<Regional on no transport yet>"
    with pytest.raises(InvalidInput, match="OS_API_KEY"):
        derived.tiers.list()

    monkeypatch.setenv("OS_API_KEY", KEY)
    assert derived.tiers.list() == []
    monkeypatch.setenv("OS_API_KEY", "os_sk_another")
    assert client.tiers.list() == []

    assert vars(client.transport) is vars(derived.transport)
    assert [call.request.headers["Authorization"] for call in service.calls] == [f"Bearer {KEY}"] * 2


def test_options_are_checked_at_once() -> None:
    """An invalid option fails at once, though the client has no transport yet."""
    with pytest.raises(InvalidInput, match=r"^timeout: "):
        ChatarminOS.lazy().with_options(timeout=0)


def test_transport_is_an_attribute_after_the_first_call() -> None:
    """After the first call the transport is an attribute of the instance, without further cost."""
    client = ChatarminOS.lazy(KEY)

    assert "transport" not in vars(client)
    built = client.transport
    assert vars(client)["transport"] is built


def test_signature_is_that_of_the_constructor() -> None:
    """The lazy client passes all its arguments on, so that the two signatures cannot differ."""
    kinds = [one.kind for one in inspect.signature(ChatarminOS.lazy).parameters.values()]

    assert kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]


def test_lazy_client_imports_no_http(run_code: Callable[[str], str]) -> None:
    """A module that makes a lazy client does not import requests for it."""
    values = run_code(
        "import sys; from chatarmin_os import ChatarminOS; client = ChatarminOS.lazy(); client.close(); "
        "client.with_options(timeout=1); print(repr(client), {'requests', 'urllib3'} & set(sys.modules))"
    )

    assert values == "<ChatarminOS on no transport yet> set()\n"


@pytest.fixture
def run_code() -> Callable[[str], str]:
    """Return how to run code in a new interpreter, without a key."""
    import os
    import subprocess

    def run(code: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        command = [sys.executable, "-W", "error", "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout  # noqa: S603

    return run
