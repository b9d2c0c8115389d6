"""The settings of a project: read at once, with all their problems."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import web_parts

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.fake import FakeTransport
from chatarmin_os.gate import DictCache, Policy
from chatarmin_os.transports import FunctionTransport, HTTPTransport, Transport
from chatarmin_os.web.settings import Settings, read

KEY = "os_sk_test_123456"

FULL: dict[str, Any] = {
    "API_KEY": KEY,
    "BASE_URL": "https://os.example.com/api/v1",
    "TIMEOUT": 3,
    "MAX_RETRIES": 0,
    "TRANSPORT": None,
    "ORGANISATION": "web_parts.organisation_of",
    "DEFAULT": {"max_age": 30, "max_stale": 900, "on_outage": "deny"},
    "FEATURES": {"exports": {"on_outage": "allow"}, "sso": Policy(max_age=1)},
    "GATE": {"timeout": 0.2, "max_organisations": 5},
    "CACHE": "web_parts.cache",
    "OUTBOX": None,
    "ON_DENIED": "web_parts.on_denied",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the environment."""
    for name in ("OS_API_KEY", "OS_BASE_URL", "OS_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)


def problems(settings: Settings) -> list[tuple[str, str, str]]:
    """Return kind, setting and text of each problem."""
    return [(kind, setting, str(error)) for kind, setting, error in settings.problems]


def late_problems(settings: Settings) -> list[tuple[str, str, str]]:
    """Return the same of each problem that is found late."""
    return [(kind, setting, str(error)) for kind, setting, error in settings.late_problems()]


# Reading


def test_all_settings_are_read() -> None:
    """Each setting has its typed value, and nothing is wrong with them."""
    settings = read(FULL)

    settings.ensure_valid()
    assert settings.late_problems() == []
    assert settings.default == Policy(max_age=30)
    assert settings.features == {"exports": Policy(on_outage="allow"), "sso": Policy(max_age=1)}
    assert settings.organisation_function() == web_parts.organisation_of
    assert settings.denial_function() == web_parts.on_denied
    assert settings.make_cache() is web_parts.cache


@pytest.mark.parametrize("given", [None, {}, dict.fromkeys(FULL)], ids=["none", "empty", "all-none"])
def test_omitted_settings_have_defaults(given: Any) -> None:
    """None and a missing setting mean the default."""
    settings = read(given)

    assert settings.problems == ()
    assert settings.default == Policy()
    assert settings.features == settings.gate == {}
    assert [settings.organisation_function(), settings.denial_function(), settings.make_cache()] == [None] * 3


def test_all_problems_are_found_at_once() -> None:
    """Each problem has its kind, its setting and its place, and the others are still read."""
    settings = read(
        {
            "API_KEY": "a key",
            "BASE_URL": 5,
            "TIMEOUT": 0,
            "MAX_RETRIES": -1,
            "timeout": 5,
            "OUTBOX": 5,
            "DEFAULT": {"max_agee": 5, "max_stale": -1},
            "FEATURES": {"exports": {"on_outage": "alow"}, "sso": 5, "": {}},
            "GATE": {"timeout": "x", "timout": 1, "max_organisations": 7, "now": None, "first_timeout": None},
            "CACHE": "default",
        }
    )

    assert sorted(str(error).partition(": ")[0].removeprefix("CHATARMIN_OS.") for _, _, error in settings.problems) == [
        "API_KEY",
        "BASE_URL",
        "DEFAULT.max_agee",
        "DEFAULT.max_stale",
        "FEATURES",
        "GATE.now",
        "GATE.timeout",
        "GATE.timout",
        "MAX_RETRIES",
        "OUTBOX",
        "TIMEOUT",
        "timeout",
    ]
    assert settings.gate == {"max_organisations": 7}
    assert settings.cache == "default"


@pytest.mark.parametrize(
    ("setting", "value", "place"),
    [
        ("API_KEY", "a key", "API_KEY: has white space inside"),
        ("API_KEY", 5, "API_KEY: must be text, got an object of type int"),
        ("BASE_URL", " ", "BASE_URL: must not be blank"),
        ("TIMEOUT", 0, "TIMEOUT: must be seconds above 0"),
        ("MAX_RETRIES", 1.5, "MAX_RETRIES: must be an int"),
        ("OUTBOX", 5, "OUTBOX: expected 'django', a path, or an Outbox of chatarmin_os.outbox, got int 5"),
        ("OUTBOX", " ", "OUTBOX: must not be blank"),
        ("OUTBOX", "redis://localhost", "OUTBOX: expected 'django' or a path, got a URL; pass an Outbox"),
        ("DEFAULT", 5, "DEFAULT: expected a mapping, got int 5"),
        ("DEFAULT", {"on_outage": "alow"}, "DEFAULT.on_outage: expected"),
        ("DEFAULT", {"max_age": 9, "max_stale": 1}, "DEFAULT.max_stale: must be at least max_age"),
        ("FEATURES", ["exports"], "FEATURES: expected a mapping of feature codes"),
        ("FEATURES", {"": {}}, "FEATURES: must not be blank"),
        ("FEATURES", {"exports": 5}, "FEATURES.exports: expected a mapping"),
        ("FEATURES", {"exports": {"max_age": "x"}}, "FEATURES.exports.max_age: expected an int or float"),
        ("GATE", 5, "GATE: expected a mapping"),
        ("GATE", {"timeout": 0}, "GATE.timeout: "),
        ("GATE", {"max_organisations": "x"}, "GATE.max_organisations: "),
    ],
)
def test_invalid_value_is_named(setting: str, value: Any, place: str) -> None:
    """The error names the place of a value, and no key."""
    settings = read({setting: value})

    (problem,) = settings.problems
    assert problem.kind == "invalid"
    assert problem.setting == setting
    assert str(problem.error).startswith(f"CHATARMIN_OS.{place}")
    assert "a key" not in str(problem.error)
    with pytest.raises(InvalidInput, match=place.partition(":")[0]):
        settings.ensure_valid()


def test_unknown_keys_of_any_type_are_named() -> None:
    """Keys that are not text are shown, and a key that resembles nothing gets the list of all."""
    found = problems(read({5: 1, "zzz": 2}))

    assert [text.partition(";")[0] for _, _, text in found] == [
        "CHATARMIN_OS.5: no such setting",
        "CHATARMIN_OS.zzz: no such setting",
    ]
    assert "API_KEY, BASE_URL" in found[1][2]


def test_settings_that_are_no_mapping_are_a_problem() -> None:
    """A list is no mapping of settings."""
    assert problems(read(["API_KEY"])) == [
        ("invalid", "", "CHATARMIN_OS: expected a mapping, got list ['API_KEY']"),
    ]


def test_error_has_all_problems() -> None:
    """The error that is raised names every problem."""
    with pytest.raises(InvalidInput) as raised:
        read({"TIMEOUT": 0, "OUTBOX": 5, "TRANSPRT": "fake"}).ensure_valid()

    for name in ("TIMEOUT", "OUTBOX", "TRANSPRT", "did you mean TRANSPORT?"):
        assert name in str(raised.value)


def test_settings_show_no_key() -> None:
    """The repr of settings has no key."""
    assert KEY not in repr(read({"API_KEY": KEY}))


# Late problems


def test_missing_key_is_found_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key and a transport there is a problem, unless the environment has the key; a blank one is none."""
    assert [found[:2] for found in late_problems(read({"API_KEY": " "}))] == [("no-key", "API_KEY")]
    assert late_problems(read({"TRANSPORT": "fake"})) == []

    monkeypatch.setenv("OS_API_KEY", KEY)
    assert late_problems(read({"API_KEY": ""})) == []
    assert read({"API_KEY": ""}).problems == ()


@pytest.mark.parametrize("setting", ["TRANSPORT", "ORGANISATION", "ON_DENIED"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("nodot", "expected a dotted path such as 'shop.billing.nodot'"),
        ("no_such_module.name", "'no_such_module.name' cannot be imported: No module named 'no_such_module'"),
        ("web_parts.no_such_name", "'web_parts.no_such_name' cannot be imported: module 'web_parts' has no"),
        ("broken_module.name", "'broken_module.name' cannot be imported: KeyError: 'DATABASE_URL'"),
        ("a..b", "'a..b' cannot be imported: ValueError"),
        ("web_parts.number", "expected"),
        (5, "expected"),
    ],
)
def test_object_that_cannot_be_imported_is_found_late(setting: str, value: Any, problem: str) -> None:
    """The settings are read without importing anything; the check imports, and names the setting."""
    settings = read({"TRANSPORT": "fake", setting: value})

    assert settings.problems == ()
    ((kind, name, text),) = late_problems(settings)
    assert (kind, name) == ("not-importable", setting)
    assert text.startswith(f"CHATARMIN_OS.{setting}: {problem}")
    with pytest.raises(InvalidInput, match=f"CHATARMIN_OS.{setting}"):
        {
            "TRANSPORT": settings.make_client,
            "ORGANISATION": settings.organisation_function,
            "ON_DENIED": settings.denial_function,
        }[setting]()


@pytest.mark.parametrize("path", ["async_organisation_of", "asynchronous"])
def test_function_must_not_be_async(path: str) -> None:
    """An async function would be called without being awaited."""
    with pytest.raises(InvalidInput, match="ORGANISATION: must not be async; define it without async"):
        read({"ORGANISATION": f"web_parts.{path}"}).organisation_function()


def test_url_is_checked_late() -> None:
    """Plain http to another host is a problem."""
    ((kind, setting, text),) = late_problems(read({"API_KEY": KEY, "BASE_URL": "http://os.example.com"}))

    assert (kind, setting) == ("invalid", "BASE_URL")
    assert text.startswith("CHATARMIN_OS.BASE_URL: plain http to os.example.com")


# Clients, caches and gates


def test_client_has_the_options() -> None:
    """The client is one over HTTP with its deadline and its number of retries; 2 seconds and 1 by default."""
    for given, options in ((FULL, (3.0, 0)), ({"API_KEY": KEY}, (2.0, 1))):
        client = read(given).make_client()
        assert isinstance(client.transport, HTTPTransport)
        assert (client.transport._timeout, client.transport._max_retries) == options


def test_missing_key_names_the_setting() -> None:
    """Without a key no client is created."""
    with pytest.raises(InvalidInput, match=r"^CHATARMIN_OS\.API_KEY: is missing"):
        read({}).make_client()


def test_wrong_variable_of_the_environment_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is no setting of the project."""
    monkeypatch.setenv("HTTPS_PROXY", "foo://proxy")

    with pytest.raises(InvalidInput, match=r"^HTTPS_PROXY: is not a valid URL"):
        read({"API_KEY": KEY}).make_client()


@pytest.mark.parametrize(
    "transport",
    [
        *("fake", "web_parts.transport", "web_parts.make_transport", "chatarmin_os.fake.FakeTransport"),
        *(web_parts.transport, web_parts.make_transport, FakeTransport),
    ],
    ids=["fake", "instance-path", "function-path", "class-path", "instance", "function", "class"],
)
def test_transport_is_given_in_many_ways(transport: Any) -> None:
    """A transport, a callable that returns one, or the dotted path of either; then no key is needed."""
    client = read({"TRANSPORT": transport}).make_client()

    assert isinstance(client.transport, FakeTransport)


def test_fake_has_the_demo_catalogue() -> None:
    """The transport "fake" is a new service in memory for each client."""
    settings = read({"TRANSPORT": "fake"})

    assert [tier.code for tier in settings.make_client().tiers.list()] == ["free", "trial", "pro", "enterprise"]
    assert settings.make_client().transport is not settings.make_client().transport


class Noting(Transport):
    """A transport that notes its options."""

    options: dict[str, Any] | None = None

    def send(self, call: Any) -> Any:
        """Send nothing."""
        raise NotImplementedError(call)

    def with_options(self, **options: Any) -> Noting:
        """Return a transport with the options."""
        derived = Noting()
        derived.options = options
        return derived


def test_transport_keeps_its_own_options() -> None:
    """Only options that the settings name are set on a given transport."""
    client = read({"TRANSPORT": Noting(), "TIMEOUT": 1}).make_client()

    assert isinstance(client.transport, Noting)
    assert client.transport.options == {"timeout": 1.0, "max_retries": None}


@pytest.mark.parametrize("value", ["web_parts.make_number", web_parts.make_number], ids=["path", "function"])
def test_callable_must_return_a_transport(value: Any) -> None:
    """A callable that returns something else is named."""
    with pytest.raises(InvalidInput, match=r"CHATARMIN_OS\.TRANSPORT: must return a transport, got int 5"):
        read({"TRANSPORT": value}).make_client()


@pytest.mark.parametrize("cache", ["web_parts.cache", web_parts.cache, DictCache, "chatarmin_os.gate.DictCache"])
def test_cache_is_given_in_many_ways(cache: Any) -> None:
    """A cache, a callable that returns one, or the dotted path of either."""
    assert isinstance(read({"CACHE": cache}).make_cache(), DictCache)


@pytest.mark.parametrize("cache", [5, "nodot", "web_parts.number", web_parts.make_number])
def test_cache_must_be_a_cache(cache: Any) -> None:
    """Something without get, set and delete is named."""
    with pytest.raises(InvalidInput, match=r"CHATARMIN_OS\.CACHE: expected a"):
        read({"CACHE": cache}).make_cache()


def test_gate_has_the_policies() -> None:
    """A feature has its own policy, and others the default one."""
    settings = read({"FEATURES": {"sso": {"on_outage": "allow"}}, "GATE": {"timeout": 0.2}})
    fake = FakeTransport()
    fake.fail(error="lost", times=9)
    gate = settings.make_gate(ChatarminOS(transport=fake))

    decisions = [gate.check(external_org_id="org_1", feature_code=code) for code in ("sso", "seats")]
    assert [(decision.allowed, decision.reason) for decision in decisions] == [(True, "outage"), (False, "outage")]


def test_reading_sends_nothing() -> None:
    """Options of the gate are checked without a call."""
    calls: list[Any] = []
    settings = read({"TRANSPORT": FunctionTransport(calls.append), "GATE": {"timeout": 1}})
    settings.make_gate(settings.make_client())

    assert calls == []


def test_web_layer_imports_no_framework() -> None:
    """Settings and denials need neither Django nor Flask."""
    code = (
        "import sys, chatarmin_os.web.settings, chatarmin_os.web.denial, chatarmin_os.web.features\n"
        "import chatarmin_os.web.usage, chatarmin_os.web.report\n"
        "print(sorted({'django', 'flask', 'jinja2', 'werkzeug', 'requests'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.stdout, done.stderr) == ("[]\n", "")
