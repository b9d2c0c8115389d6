"""The scenarios of the OpenFeature specification, written again for features of a service.

Their flags and values are those of https://github.com/open-feature/spec, `specification/assets/gherkin`:
`test-flags.json`, `evaluation.feature`, `evaluation_v2.feature`, `hooks.feature`, `metadata.feature` and
`contextMerging.feature` of commit 6fd4d54a (Apache License 2.0). Each flag is a feature there, its variants are
settings, and the flag is the setting of its default variant; so the variant is the name of that setting.

Three things differ, for a decision is always about an organisation: every evaluation has a targeting key; the reason is
TARGETING_MATCH or CACHED where the suite has STATIC; and an evaluation without a targeting key is an error where the
suite has DEFAULT. Targeting rules are tiers: organisations of another tier have other settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions, Reason
from openfeature.hook import Hook, HookContext
from openfeature.provider import ProviderStatus
from openfeature.transaction_context import ContextVarsTransactionContextPropagator

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import Catalogue, FakeTransport
from chatarmin_os.gate import Gate
from chatarmin_os.integrations.openfeature import ChatarminProvider, Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from openfeature.client import OpenFeatureClient

pytestmark = pytest.mark.usefixtures("clean_sdk")

TEMPLATE = {"showImages": True, "title": "Check out these pics!", "imagesPerPage": 100}

VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "boolean": ({"on": True, "off": False}, "on"),
    "string": ({"greeting": "hi", "parting": "bye"}, "greeting"),
    "integer": ({"one": 1, "ten": 10}, "ten"),
    "float": ({"tenth": 0.1, "half": 0.5}, "half"),
    "object": ({"empty": {}, "template": TEMPLATE}, "template"),
}
ZEROS: dict[str, dict[str, Any]] = {
    "boolean": {"zero": False, "non-zero": True},
    "string": {"zero": "", "non-zero": "str"},
    "integer": {"zero": 0, "non-zero": 1},
    "float": {"zero": 0.0, "non-zero": 1.0},
    "object": {"zero": {}, "non-zero": TEMPLATE},
}
DEFAULTS: dict[str, Any] = {"boolean": False, "string": "bye", "integer": 1, "float": 0.1, "object": {"a": 1}}
NON_ZERO_DEFAULTS: dict[str, Any] = DEFAULTS | {"boolean": True, "string": "hi"}
KINDS = list(VARIANTS)

STATIC = Reason.TARGETING_MATCH  # where the suite has STATIC
ANYBODY, SPECIAL = EvaluationContext("anybody"), EvaluationContext("ballmer")


def _flags() -> tuple[Catalogue, dict[str, Flag]]:
    """Return the features of the suite, and the flags that lead to them."""
    catalogue, flags = Catalogue(), {}
    tiers: dict[str, dict[str, Any]] = {"usual": {}, "special": {}}

    def add(key: str, variants: dict[str, Any], chosen: str, *, is_disabled: bool = False) -> None:
        catalogue.add_feature(key, name=key, config=variants)
        flags[key] = Flag(key, setting=chosen)
        for features in tiers.values():
            if not is_disabled:
                features[key] = {}

    for kind, (variants, chosen) in VARIANTS.items():
        add(f"{kind}-flag", variants, chosen)
        add(f"{kind}-disabled-flag", variants, chosen, is_disabled=True)
        add(f"{kind}-zero-flag", ZEROS[kind], "zero")
        value, other = ZEROS[kind]["non-zero"], ZEROS[kind]["zero"]
        add(f"{kind}-targeted-zero-flag", {"value": value}, "value")
        tiers["special"][f"{kind}-targeted-zero-flag"] = {"config": {"value": other}}
    add("wrong-flag", {"one": "uno", "two": "dos"}, "one")
    add("complex-targeted", {"value": "EXTERNAL"}, "value")
    tiers["special"]["complex-targeted"] = {"config": {"value": "INTERNAL"}}
    for code, features in tiers.items():
        catalogue.add_tier(code, name=code, features=features)
    return catalogue, flags


@pytest.fixture
def client() -> OpenFeatureClient:
    """Return a client with a stable provider: one organisation on the usual tier, and one that is targeted."""
    catalogue, flags = _flags()
    service = ChatarminOS(transport=FakeTransport(catalogue))
    service.onboard(external_org_id="anybody", tier_code="usual")
    service.onboard(external_org_id="ballmer", tier_code="special")
    api.set_provider(ChatarminProvider(Gate(service), flags=flags), domain="suite")
    return api.get_client("suite")


def evaluated(
    client: OpenFeatureClient,
    kind: str,
    key: str,
    default: Any,
    context: EvaluationContext | None = ANYBODY,
) -> FlagEvaluationDetails[Any]:
    """Evaluate a flag with details, and see that its plain value is the same."""
    evaluate: Callable[..., FlagEvaluationDetails[Any]] = getattr(client, f"get_{kind}_details")
    found = evaluate(key, default, context)
    assert getattr(client, f"get_{kind}_value")(key, default, context) == found.value
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_flag_has_value_variant_reason_and_key(client: OpenFeatureClient, kind: str) -> None:
    """A stable provider resolves each type with all details."""
    variants, chosen = VARIANTS[kind]

    found = evaluated(client, kind, f"{kind}-flag", DEFAULTS[kind])

    assert (found.flag_key, found.value, type(found.value)) == (
        f"{kind}-flag",
        variants[chosen],
        type(variants[chosen]),
    )
    assert (found.variant, found.reason, found.error_code) == (chosen, STATIC, None)
    assert not found.error_message


@pytest.mark.parametrize("kind", KINDS)
def test_value_may_be_zero(client: OpenFeatureClient, kind: str) -> None:
    """False, empty text, 0 and an empty object are values, and not missing ones."""
    found = evaluated(client, kind, f"{kind}-zero-flag", NON_ZERO_DEFAULTS[kind])

    assert (found.value, found.variant, found.reason) == (ZEROS[kind]["zero"], "zero", STATIC)


@pytest.mark.parametrize("kind", KINDS)
def test_targeted_value_may_be_zero(client: OpenFeatureClient, kind: str) -> None:
    """An organisation that is targeted has the zero, and any other one its own value."""
    key = f"{kind}-targeted-zero-flag"

    targeted = evaluated(client, kind, key, NON_ZERO_DEFAULTS[kind], SPECIAL)
    other = evaluated(client, kind, key, NON_ZERO_DEFAULTS[kind], ANYBODY)

    assert (targeted.value, targeted.reason) == (ZEROS[kind]["zero"], Reason.TARGETING_MATCH)
    assert (other.value, other.reason) == (ZEROS[kind]["non-zero"], Reason.TARGETING_MATCH)


def test_context_chooses_the_value(client: OpenFeatureClient) -> None:
    """Attributes next to the targeting key do not matter; without a targeting key the fallback is returned."""
    attributes: dict[str, Any] = {"email": "ballmer@macrosoft.com", "role": "admin", "age": 65, "customer": False}

    inside = evaluated(client, "string", "complex-targeted", "default", EvaluationContext("ballmer", attributes))
    outside = evaluated(client, "string", "complex-targeted", "default", EvaluationContext("anybody", attributes))
    empty = evaluated(client, "string", "complex-targeted", "EXTERNAL", EvaluationContext())

    assert (inside.value, inside.reason) == ("INTERNAL", Reason.TARGETING_MATCH)
    assert outside.value == "EXTERNAL"
    assert (empty.value, empty.reason, empty.error_code) == ("EXTERNAL", Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_flag_is_an_error(client: OpenFeatureClient, kind: str) -> None:
    """The fallback is returned for a flag that does not exist."""
    found = evaluated(client, kind, "non-existent-flag", DEFAULTS[kind])

    assert (found.value, found.variant) == (DEFAULTS[kind], None)
    assert (found.reason, found.error_code) == (Reason.ERROR, ErrorCode.FLAG_NOT_FOUND)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("boolean", "string-flag"),
        ("string", "boolean-flag"),
        ("integer", "boolean-flag"),
        ("float", "boolean-flag"),
        ("object", "boolean-flag"),
        ("integer", "wrong-flag"),
        ("boolean", "wrong-flag"),
    ],
)
def test_flag_of_another_type_is_an_error(client: OpenFeatureClient, kind: str, key: str) -> None:
    """The fallback is returned for a flag whose value has another type."""
    found = evaluated(client, kind, key, DEFAULTS[kind])

    assert (found.value, found.variant) == (DEFAULTS[kind], None)
    assert (found.reason, found.error_code) == (Reason.ERROR, ErrorCode.TYPE_MISMATCH)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "code"),
    [(ProviderStatus.NOT_READY, ErrorCode.PROVIDER_NOT_READY), (ProviderStatus.FATAL, ErrorCode.PROVIDER_FATAL)],
    ids=["not-ready", "fatal"],
)
def test_provider_that_is_not_ready_is_an_error(
    client: OpenFeatureClient,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: ProviderStatus,
    code: ErrorCode,
) -> None:
    """The SDK then answers by itself; this provider causes neither state while it is registered."""
    monkeypatch.setattr(type(client), "get_provider_status", lambda _: status)

    found = evaluated(client, kind, f"{kind}-flag", DEFAULTS[kind])

    assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], Reason.ERROR, code)


@pytest.mark.parametrize("kind", KINDS)
def test_second_evaluation_is_cached(client: OpenFeatureClient, kind: str) -> None:
    """A flag that is evaluated again comes from the gate."""
    evaluate = getattr(client, f"get_{kind}_details")
    evaluate(f"{kind}-flag", DEFAULTS[kind], ANYBODY)

    assert evaluate(f"{kind}-flag", DEFAULTS[kind], ANYBODY).reason == Reason.CACHED


@pytest.mark.parametrize("kind", KINDS)
def test_disabled_flag_is_the_fallback(client: OpenFeatureClient, kind: str) -> None:
    """A feature that is off has the reason DISABLED, and no error."""
    found = evaluated(client, kind, f"{kind}-disabled-flag", DEFAULTS[kind])

    assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], Reason.DISABLED, None)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_has_plain_values(client: OpenFeatureClient, kind: str) -> None:
    """Metadata is that of the decision, in texts, numbers and booleans; an error has no metadata."""
    metadata = evaluated(client, kind, f"{kind}-flag", DEFAULTS[kind]).flag_metadata

    assert (metadata["source"], metadata["allowed"], type(metadata["age"])) == ("live", True, float)
    assert not evaluated(client, kind, "non-existent-flag", DEFAULTS[kind]).flag_metadata


class Recorder(Hook):
    """A hook that writes down its calls; `before` adds to the context."""

    def __init__(self, context: EvaluationContext | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._context = context

    def before(self, hook_context: HookContext, hints: Any) -> EvaluationContext | None:  # noqa: ARG002 - as in the SDK
        """Write down the context, and add to it."""
        self.calls.append(("before", hook_context.flag_key))
        return self._context

    def after(self, hook_context: HookContext, details: Any, hints: Any) -> None:  # noqa: ARG002 - the same
        """Write down the details."""
        self.calls.append(("after", details))

    def error(self, hook_context: HookContext, exception: Exception, hints: Any) -> None:  # noqa: ARG002 - the same
        """Write down the error."""
        self.calls.append(("error", exception))

    def finally_after(self, hook_context: HookContext, details: Any, hints: Any) -> None:  # noqa: ARG002 - the same
        """Write down the details."""
        self.calls.append(("finally", details))


def test_hooks_get_the_details(client: OpenFeatureClient) -> None:
    """`after` and `finally` see the details of the caller."""
    recorder = Recorder()
    client.add_hooks([recorder])

    client.get_boolean_details("boolean-flag", False, ANYBODY)

    assert [name for name, _ in recorder.calls] == ["before", "after", "finally"]
    for _, details in recorder.calls[1:]:
        assert (details.flag_key, details.value, details.variant) == ("boolean-flag", True, "on")
        assert (details.reason, details.error_code) == (STATIC, None)


@pytest.mark.parametrize(
    ("kind", "key", "default", "code"),
    [
        ("string", "missing-flag", "uh-oh", ErrorCode.FLAG_NOT_FOUND),
        ("boolean", "wrong-flag", False, ErrorCode.TYPE_MISMATCH),
    ],
)
def test_hooks_get_the_error(client: OpenFeatureClient, kind: str, key: str, default: Any, code: ErrorCode) -> None:
    """`error` sees the error, and `finally` the fallback."""
    recorder = Recorder()
    client.add_hooks([recorder])

    getattr(client, f"get_{kind}_details")(key, default, ANYBODY)

    assert [name for name, _ in recorder.calls] == ["before", "error", "finally"]
    assert recorder.calls[1][1].error_code is code
    details = recorder.calls[2][1]
    assert (details.flag_key, details.value, details.variant) == (key, default, None)
    assert (details.reason, details.error_code) == (Reason.ERROR, code)


LEVELS = ("api", "transaction", "client", "invocation", "hook")


def _value_of_levels(client: OpenFeatureClient, levels: dict[str, str]) -> Any:
    """Evaluate with the targeting keys of levels."""
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    api.set_evaluation_context(EvaluationContext(levels.get("api")))
    api.set_transaction_context(EvaluationContext(levels.get("transaction")))
    client.context = EvaluationContext(levels.get("client"))
    hook = Recorder(EvaluationContext(levels["hook"])) if "hook" in levels else Recorder()
    return client.get_string_value(
        "complex-targeted",
        "nobody",
        EvaluationContext(levels.get("invocation")),
        FlagEvaluationOptions(hooks=[hook]),
    )


@pytest.mark.parametrize("level", LEVELS)
def test_targeting_key_of_each_level_counts(client: OpenFeatureClient, level: str) -> None:
    """A key at one level alone reaches the provider."""
    assert _value_of_levels(client, {level: "ballmer"}) == "INTERNAL"


@pytest.mark.parametrize("number", range(1, 4))
def test_targeting_key_of_a_later_level_wins(client: OpenFeatureClient, number: int) -> None:
    """API, transaction, client, invocation, in this order; a hook's place differs between versions of the SDK."""
    levels = dict.fromkeys(LEVELS[:number], "anybody") | {LEVELS[number]: "ballmer"}

    assert _value_of_levels(client, levels) == "INTERNAL"
