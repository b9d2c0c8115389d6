"""The scenarios of the OpenFeature specification about values, written again for features of a service.

Of `tests/flag_suite.py`, which says where flags and values come from: `evaluation.feature`, `evaluation_v2.feature` and
`metadata.feature`. `test_flag_contexts.py` has those about contexts and hooks, `test_flag_concurrency.py` those about
asynchronous evaluations, and `test_flag_events.py` the status of the provider.

Four things differ, for a decision is always about an organisation: every evaluation has a targeting key; the reason is
TARGETING_MATCH or CACHED where the suite has STATIC; an evaluation without a targeting key is an error where the
suite has DEFAULT; and metadata is that of the decision, so that only an error has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flag_suite import ANYBODY, DEFAULTS, KINDS, NON_ZERO_DEFAULTS, SPECIAL, STATIC, VARIANTS, ZEROS, evaluated
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient


@pytest.mark.parametrize("kind", KINDS)
def test_flag_has_value_variant_reason_and_key(suite: OpenFeatureClient, kind: str) -> None:
    """A stable provider resolves each type with all details."""
    variants, chosen = VARIANTS[kind]

    found = evaluated(suite, kind, f"{kind}-flag", DEFAULTS[kind])

    assert (found.flag_key, found.value, type(found.value)) == (
        f"{kind}-flag",
        variants[chosen],
        type(variants[chosen]),
    )
    assert (found.variant, found.reason, found.error_code) == (chosen, STATIC, None)
    assert not found.error_message


@pytest.mark.parametrize("kind", KINDS)
def test_value_may_be_zero(suite: OpenFeatureClient, kind: str) -> None:
    """False, empty text, 0 and an empty object are values, and not missing ones."""
    found = evaluated(suite, kind, f"{kind}-zero-flag", NON_ZERO_DEFAULTS[kind])

    assert (found.value, found.variant, found.reason) == (ZEROS[kind]["zero"], "zero", STATIC)


@pytest.mark.parametrize("kind", KINDS)
def test_targeted_value_may_be_zero(suite: OpenFeatureClient, kind: str) -> None:
    """An organisation that is targeted has the zero, and any other one its own value."""
    key = f"{kind}-targeted-zero-flag"

    targeted = evaluated(suite, kind, key, NON_ZERO_DEFAULTS[kind], SPECIAL)
    other = evaluated(suite, kind, key, NON_ZERO_DEFAULTS[kind], ANYBODY)

    assert (targeted.value, targeted.reason) == (ZEROS[kind]["zero"], Reason.TARGETING_MATCH)
    assert (other.value, other.reason) == (ZEROS[kind]["non-zero"], Reason.TARGETING_MATCH)


def test_context_chooses_the_value(suite: OpenFeatureClient) -> None:
    """Attributes next to the targeting key do not matter; without a targeting key the fallback is returned."""
    attributes: dict[str, Any] = {"email": "ballmer@macrosoft.com", "role": "admin", "age": 65, "customer": False}

    inside = evaluated(suite, "string", "complex-targeted", "default", EvaluationContext("ballmer", attributes))
    outside = evaluated(suite, "string", "complex-targeted", "default", EvaluationContext("anybody", attributes))
    empty = evaluated(suite, "string", "complex-targeted", "EXTERNAL", EvaluationContext())

    assert (inside.value, inside.reason) == ("INTERNAL", Reason.TARGETING_MATCH)
    assert outside.value == "EXTERNAL"
    assert (empty.value, empty.reason, empty.error_code) == ("EXTERNAL", Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_flag_is_an_error(suite: OpenFeatureClient, kind: str) -> None:
    """The fallback is returned for a flag that does not exist."""
    found = evaluated(suite, kind, "non-existent-flag", DEFAULTS[kind])

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
def test_flag_of_another_type_is_an_error(suite: OpenFeatureClient, kind: str, key: str) -> None:
    """The fallback is returned for a flag whose value has another type."""
    found = evaluated(suite, kind, key, DEFAULTS[kind])

    assert (found.value, found.variant) == (DEFAULTS[kind], None)
    assert (found.reason, found.error_code) == (Reason.ERROR, ErrorCode.TYPE_MISMATCH)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "code"),
    [(ProviderStatus.NOT_READY, ErrorCode.PROVIDER_NOT_READY), (ProviderStatus.FATAL, ErrorCode.PROVIDER_FATAL)],
    ids=["not-ready", "fatal"],
)
def test_provider_that_is_not_ready_is_an_error(
    suite: OpenFeatureClient,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: ProviderStatus,
    code: ErrorCode,
) -> None:
    """The SDK then answers by itself; this provider causes neither state while it is registered."""
    monkeypatch.setattr(type(suite), "get_provider_status", lambda _: status)

    found = evaluated(suite, kind, f"{kind}-flag", DEFAULTS[kind])

    assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], Reason.ERROR, code)


@pytest.mark.parametrize("kind", KINDS)
def test_second_evaluation_is_cached(suite: OpenFeatureClient, kind: str) -> None:
    """A flag that is evaluated again comes from the gate."""
    evaluate = getattr(suite, f"get_{kind}_details")
    evaluate(f"{kind}-flag", DEFAULTS[kind], ANYBODY)

    assert evaluate(f"{kind}-flag", DEFAULTS[kind], ANYBODY).reason == Reason.CACHED


@pytest.mark.parametrize("kind", KINDS)
def test_disabled_flag_is_the_fallback(suite: OpenFeatureClient, kind: str) -> None:
    """A feature that is off has the reason DISABLED, and no error."""
    found = evaluated(suite, kind, f"{kind}-disabled-flag", DEFAULTS[kind])

    assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], Reason.DISABLED, None)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_has_plain_values(suite: OpenFeatureClient, kind: str) -> None:
    """Metadata is that of the decision, in texts, numbers and booleans; an error has no metadata."""
    metadata = evaluated(suite, kind, f"{kind}-flag", DEFAULTS[kind]).flag_metadata

    assert (metadata["source"], metadata["allowed"], type(metadata["age"])) == ("live", True, float)
    assert not evaluated(suite, kind, "non-existent-flag", DEFAULTS[kind]).flag_metadata
