"""Contexts, mistakes and their log; arguments of the provider."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from flag_world import LISTING, ORG, FlagWorld
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, FlagNotFoundError, GeneralError, TargetingKeyMissingError
from openfeature.flag_evaluation import FlagEvaluationOptions, Reason
from openfeature.hook import Hook
from openfeature.transaction_context import ContextVarsTransactionContextPropagator

from chatarmin_os import (
    ApiError,
    BadRequestError,
    ChatarminError,
    ForbiddenError,
    InvalidInput,
    InvalidResponse,
    NotFoundError,
    UnauthorizedError,
)
from chatarmin_os.gate import Policy
from chatarmin_os.integrations.openfeature import ChatarminProvider, Flag
from chatarmin_os.integrations.openfeature.failures import DefaultsLog

pytestmark = pytest.mark.usefixtures("clean_sdk")


@pytest.mark.parametrize(
    "context", [None, EvaluationContext(), EvaluationContext(""), EvaluationContext(None, {"a": 1})]
)
def test_context_without_targeting_key_is_an_error(shop: FlagWorld, context: EvaluationContext | None) -> None:
    """Nobody is asked about, so nothing is asked, and the default is returned."""
    found = shop.flags.get_boolean_details("sso", False, context)

    assert (found.value, found.reason, found.error_code) == (False, Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)
    assert found.error_message == "targeting key: missing; pass the external_org_id in the evaluation context"
    assert shop.gate.stats().refreshed == 0


def test_provider_without_a_context_raises(shop: FlagWorld) -> None:
    """A call of the provider without the SDK raises the error."""
    with pytest.raises(TargetingKeyMissingError):
        shop.provider.resolve_boolean_details("sso", default_value=False)


@pytest.mark.parametrize("key", ["  ", 7, "a\0b", ["org_1"], True, "\ud800"])
def test_targeting_key_that_is_no_id_is_an_invalid_context(shop: FlagWorld, key: Any) -> None:
    """A number in its place would be another organisation's id as text."""
    found = shop.flags.get_boolean_details("sso", True, EvaluationContext(key))

    assert found.error_code is ErrorCode.INVALID_CONTEXT
    assert found.error_message is not None
    assert found.error_message.startswith("external_org_id: ")


def test_uuid_is_a_targeting_key(shop: FlagWorld) -> None:
    """As everywhere, an id may be a UUID."""
    organisation = UUID(int=7)
    shop.client.onboard(external_org_id=organisation, tier_code="all")

    assert shop.flags.get_boolean_value("sso", False, EvaluationContext(organisation)) is True  # type: ignore[arg-type]


def test_attribute_holds_the_organisation() -> None:
    """Where the targeting key is the user, an attribute names the organisation, and the key is not used."""
    shop = FlagWorld({"attribute": "organisation"})

    def sso(**attributes: Any) -> Any:
        return shop.flags.get_boolean_details("sso", False, EvaluationContext("org_1", attributes))

    assert sso(organisation="org_1").value is True
    assert sso(organisation="org_2").value is False
    assert sso().error_code is sso(organisation="").error_code is ErrorCode.TARGETING_KEY_MISSING
    assert (
        sso().error_message == "attribute 'organisation': missing; pass the external_org_id in the evaluation context"
    )
    assert sso(organisation=7).error_code is ErrorCode.INVALID_CONTEXT


def test_targeting_key_may_be_a_company() -> None:
    """A product that stores the ids of companies needs no link."""
    shop = FlagWorld({"targeting": "company_id"})

    found = shop.flags.get_boolean_details("sso", False, EvaluationContext(shop.companies["org_1"]))
    unknown = shop.flags.get_boolean_details("sso", True, EvaluationContext("comp_9"))

    assert (found.value, unknown.value, unknown.variant) == (True, False, "not_linked")


def test_context_of_every_level_counts(shop: FlagWorld) -> None:
    """The organisation may be that of the API, the transaction, the client or the evaluation; the last one wins."""
    shop.client.onboard(external_org_id="org_3", tier_code="all")
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    seen = []
    for level in ("api", "transaction", "client"):
        for key in ("org_1", "org_2"):
            if level == "api":
                api.set_evaluation_context(EvaluationContext(key))
            elif level == "transaction":
                api.set_transaction_context(EvaluationContext(key))
            else:
                shop.flags.context = EvaluationContext(key)
            seen.append(shop.flags.get_boolean_value("sso", False))

    assert seen == [True, False] * 3
    assert shop.flags.get_boolean_value("sso", False, EvaluationContext("org_3")) is True


def test_feature_that_the_service_does_not_know_is_no_flag(shop: FlagWorld) -> None:
    """A misspelled flag is an error also for a linked organisation, and denied for one that is not linked."""
    found = shop.flags.get_integer_details("credit", 3, ORG)

    assert (found.value, found.reason, found.error_code) == (3, Reason.ERROR, ErrorCode.FLAG_NOT_FOUND)
    assert shop.flags.get_boolean_value("credit", True, EvaluationContext("org_9")) is False


@pytest.mark.parametrize("key", ["", " ", ":", "exports:", ":rows", "exports: ", 7, None, ["sso"], "a\0b"])
def test_key_that_is_no_key_is_no_flag(shop: FlagWorld, key: Any) -> None:
    """A blank feature or setting is not found, and nothing is asked."""
    found = shop.flags.get_boolean_details(key, False, ORG)

    assert found.error_code is ErrorCode.FLAG_NOT_FOUND
    assert shop.gate.stats().refreshed == 0


def _code(error: ChatarminError) -> str:
    return f"{type(error).__name__}-{getattr(error, 'code', 'none')}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnauthorizedError("os_sk_secret", code="UNAUTHORIZED", http_status=401), ErrorCode.GENERAL),
        (ForbiddenError("os_sk_secret", code="FORBIDDEN", http_status=403), ErrorCode.GENERAL),
        (BadRequestError("os_sk_secret", code="BAD_REQUEST", http_status=400), ErrorCode.GENERAL),
        (NotFoundError('No procedure found on path "os_sk_secret"', code="NOT_FOUND"), ErrorCode.GENERAL),
        (ApiError("os_sk_secret", code="ODD", http_status=418), ErrorCode.GENERAL),
        (InvalidInput("os_sk_secret"), ErrorCode.GENERAL),
        (InvalidResponse("os_sk_secret", http_status=200), ErrorCode.PARSE_ERROR),
    ],
    ids=lambda value: _code(value) if isinstance(value, ChatarminError) else value.value,
)
def test_mistake_is_an_error_and_shows_no_text_of_the_service(
    shop: FlagWorld, caplog: pytest.LogCaptureFixture, error: ChatarminError, code: ErrorCode
) -> None:
    """The gate never allows after a mistake; the SDK returns the default, and the log says at which level of danger."""
    shop.break_down(error)
    with caplog.at_level(logging.WARNING, "chatarmin_os"):
        found = shop.flags.get_boolean_details("sso", True, ORG)

    assert (found.value, found.reason, found.error_code) == (True, Reason.ERROR, code)
    ours = [one for one in caplog.records if one.getMessage().startswith("flag ")]
    assert [(one.levelno, "granted by the default True" in one.getMessage()) for one in ours] == [(logging.ERROR, True)]
    assert "secret" not in caplog.text + str(found.error_message)


def test_default_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each flag and error code is logged again after a minute, and the log does not grow with the keys."""
    from chatarmin_os import _clock

    now = [1_000.0]
    monkeypatch.setattr(_clock, "monotonic", lambda: now[0])
    log = DefaultsLog()
    error = FlagNotFoundError("no such setting")
    with caplog.at_level(logging.WARNING, "chatarmin_os"):
        for later in (0, 59, 60):
            now[0] = 1_000.0 + later
            log.note("a:b", error, default=False)
        log.note("a:b", GeneralError("odd"), default=False)

    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("WARNING", "flag 'a:b': its default is used: no such setting (FLAG_NOT_FOUND)"),
        ("WARNING", "flag 'a:b': its default is used: no such setting (FLAG_NOT_FOUND)"),
        ("WARNING", "flag 'a:b': its default is used: odd (GENERAL)"),
    ]
    for number in range(2_500):
        log.note(f"key-{number}", error, default=False)
    assert len(log._quiet_until) <= 1_000


def test_exception_of_other_code_passes_to_the_sdk(shop: FlagWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A fault in a transport of your own is GENERAL, and logged by the SDK with its traceback."""

    def fail(_: Any) -> Any:
        raise RuntimeError("a fault")

    for name in ("send", "send_many"):
        setattr(shop.fake, name, fail)
    with caplog.at_level(logging.ERROR, "openfeature"):
        found = shop.flags.get_boolean_details("sso", False, ORG)

    assert (found.value, found.error_code) == (False, ErrorCode.GENERAL)
    assert "a fault" in caplog.text


class Raising(Hook):
    """A hook of an application that fails."""

    def after(self, *_: Any, **__: Any) -> None:
        """Fail after an evaluation."""
        raise RuntimeError("a fault of a hook")


@pytest.mark.filterwarnings("ignore")
def test_hook_that_fails_returns_the_default(shop: FlagWorld) -> None:
    """The SDK then drops the decision: a default of True grants, which is why the default has to be False."""
    options = FlagEvaluationOptions(hooks=[Raising()])

    assert shop.flags.get_boolean_value("sso", False, EvaluationContext("org_2"), options) is False
    assert shop.flags.get_boolean_value("sso", True, EvaluationContext("org_2"), options) is True


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"flags": ["sso"]}, "flags: expected a mapping of keys to Flag"),
        ({"flags": {"new": "sso"}}, "flags.new: expected a Flag, got str 'sso'; write Flag('feature_code')"),
        ({"flags": {" ": Flag("sso")}}, "flags: must not be blank"),
        ({"flags": {7: Flag("sso")}}, "flags: expected text, got int 7"),
        ({"targeting": "user"}, 'targeting: expected "external_org_id" or "company_id", got str \'user\''),
        ({"targeting": ["company_id"]}, "targeting: expected"),
        ({"attribute": " "}, "attribute: must not be blank"),
        ({"attribute": 7}, "attribute: expected text"),
    ],
)
def test_invalid_argument_is_named(shop: FlagWorld, arguments: dict[str, Any], problem: str) -> None:
    """Each one is refused when the provider is made."""
    with pytest.raises(InvalidInput) as caught:
        ChatarminProvider(shop.gate, **arguments)

    assert str(caught.value).startswith(problem)


def test_provider_needs_a_gate(shop: FlagWorld) -> None:
    """A client in its place is a mistake of the caller."""
    with pytest.raises(TypeError, match=r"gate: expected a chatarmin_os\.gate\.Gate, got"):
        ChatarminProvider(shop.client)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "field"), [(("",), "feature_code"), ((7,), "feature_code"), (("sso", " "), "setting")]
)
def test_invalid_flag_names_its_field(arguments: tuple[Any, ...], field: str) -> None:
    """A flag leads to a feature that can exist."""
    with pytest.raises(InvalidInput) as caught:
        Flag(*arguments)

    assert caught.value.field == field


def test_later_change_of_the_mapping_changes_no_flag(shop: FlagWorld) -> None:
    """The provider has a copy."""
    flags = {"new": Flag("sso")}
    client = shop.register(ChatarminProvider(shop.gate, flags=flags))
    flags["new"] = Flag("nothing")

    assert client.get_boolean_value("new", False, ORG) is True


def test_policies_are_those_of_the_gate() -> None:
    """Two domains with two gates decide apart."""
    shop = FlagWorld()
    other = FlagWorld(default=Policy(on_outage="allow"))
    flags = other.register(other.provider, "other")
    shop.register(shop.provider)
    for one in (shop, other):
        one.break_down()

    assert shop.flags.get_boolean_value("sso", True, ORG) is False
    assert flags.get_boolean_value("sso", False, ORG) is True


def test_tracking_counts_nothing_and_says_so_once(shop: FlagWorld, caplog: pytest.LogCaptureFixture) -> None:
    """An event of an experiment must cost nothing; who meant usage reads in the log how it is counted."""
    before = len(shop.fake.calls)
    with caplog.at_level(logging.WARNING, "chatarmin_os"):
        for name in ("credits", "credits", "checkout\n"):
            assert shop.provider.track(name, ORG) is None  # type: ignore[func-returns-value]

    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        (
            "WARNING",
            (
                "track('credits') counts no usage, nor does any other call of it: use gate.metered, "
                "billing.track_usage or an outbox"
            ),
        )
    ]
    assert len(shop.fake.calls) == before


def test_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the import says how to install it."""
    name = "chatarmin_os.integrations.openfeature"
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openfeature.provider", None)

    with pytest.raises(
        ImportError, match=rf"^{name} needs the SDK of OpenFeature: pip install 'chatarmin-os\[openfeature\]'$"
    ):
        import_module(name)


def test_nothing_else_imports_the_sdk() -> None:
    """A gate costs no import of OpenFeature."""
    code = "import sys, chatarmin_os.gate.gate, chatarmin_os.client; print('openfeature' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own

    assert found.stdout.strip() == "False"


def test_one_request_for_all_flags_of_an_organisation(shop: FlagWorld) -> None:
    """Flags of one organisation are answered from one listing."""
    paths: list[str] = []
    send = shop.fake.send

    def counted(call: Any) -> Any:
        paths.append(call.path)
        return send(call)

    shop.fake.send = counted  # type: ignore[method-assign]
    for key in ("sso", "credits", "exports", "seats"):
        shop.flags.get_boolean_value(key, False, ORG)

    assert paths == [LISTING]
