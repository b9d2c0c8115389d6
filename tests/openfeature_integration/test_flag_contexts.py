"""The scenarios of the OpenFeature specification about contexts and hooks, written again for features of a service.

Of `tests/flag_suite.py`, which says where flags and values come from: `contextMerging.feature`, `hooks.feature`, and
the scenarios of `evaluation_v2.feature` about contexts, evaluation options and immutability.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from flag_suite import ANYBODY, DEFAULTS, KINDS, NON_ZERO_DEFAULTS, STATIC, ZEROS, SeenProvider, evaluated
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationOptions, Reason
from openfeature.hook import Hook, HookContext
from openfeature.transaction_context import ContextVarsTransactionContextPropagator

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient


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


def test_hooks_get_the_details(suite: OpenFeatureClient) -> None:
    """`after` and `finally` see the details of the caller."""
    recorder = Recorder()
    suite.add_hooks([recorder])

    suite.get_boolean_details("boolean-flag", False, ANYBODY)

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
def test_hooks_get_the_error(suite: OpenFeatureClient, kind: str, key: str, default: Any, code: ErrorCode) -> None:
    """`error` sees the error, and `finally` the fallback."""
    recorder = Recorder()
    suite.add_hooks([recorder])

    getattr(suite, f"get_{kind}_details")(key, default, ANYBODY)

    assert [name for name, _ in recorder.calls] == ["before", "error", "finally"]
    assert recorder.calls[1][1].error_code is code
    details = recorder.calls[2][1]
    assert (details.flag_key, details.value, details.variant) == (key, default, None)
    assert (details.reason, details.error_code) == (Reason.ERROR, code)


LEVELS = ("api", "transaction", "client", "invocation", "hook")


def _value_of_levels(suite: OpenFeatureClient, levels: dict[str, str]) -> Any:
    """Evaluate with the targeting keys of levels."""
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    api.set_evaluation_context(EvaluationContext(levels.get("api")))
    api.set_transaction_context(EvaluationContext(levels.get("transaction")))
    suite.context = EvaluationContext(levels.get("client"))
    hook = Recorder(EvaluationContext(levels["hook"])) if "hook" in levels else Recorder()
    return suite.get_string_value(
        "complex-targeted",
        "nobody",
        EvaluationContext(levels.get("invocation")),
        FlagEvaluationOptions(hooks=[hook]),
    )


@pytest.mark.parametrize("level", LEVELS)
def test_targeting_key_of_each_level_counts(suite: OpenFeatureClient, level: str) -> None:
    """A key at one level alone reaches the provider."""
    assert _value_of_levels(suite, {level: "ballmer"}) == "INTERNAL"


@pytest.mark.parametrize("number", range(1, 4))
def test_targeting_key_of_a_later_level_wins(suite: OpenFeatureClient, number: int) -> None:
    """API, transaction, client, invocation, in this order; a hook's place differs between versions of the SDK."""
    levels = dict.fromkeys(LEVELS[:number], "anybody") | {LEVELS[number]: "ballmer"}

    assert _value_of_levels(suite, levels) == "INTERNAL"


def _attributes(suite: OpenFeatureClient, provider: SeenProvider, levels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Evaluate with the attributes of levels, and return those that reached the provider."""
    api.set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    api.set_evaluation_context(EvaluationContext("anybody", levels.get("api", {})))
    api.set_transaction_context(EvaluationContext(attributes=levels.get("transaction", {})))
    suite.context = EvaluationContext(attributes=levels.get("client", {}))
    hook = Recorder(EvaluationContext(attributes=levels.get("hook", {})))
    found = suite.get_string_details(
        "string-flag",
        "bye",
        EvaluationContext(attributes=levels.get("invocation", {})),
        FlagEvaluationOptions(hooks=[hook]),
    )
    assert found.value == "hi"
    (context,) = provider.contexts
    assert context is not None
    assert context.targeting_key == "anybody"
    return dict(context.attributes)


@pytest.mark.parametrize("level", LEVELS)
def test_attribute_of_each_level_arrives(suite: OpenFeatureClient, suite_provider: SeenProvider, level: str) -> None:
    """An entry at one level alone reaches the provider."""
    assert _attributes(suite, suite_provider, {level: {"key": "value"}}) == {"key": "value"}


def test_attributes_of_all_levels_are_merged(suite: OpenFeatureClient, suite_provider: SeenProvider) -> None:
    """Entries with different keys are all there."""
    levels = {level: {level: f"{level} value"} for level in LEVELS}

    assert _attributes(suite, suite_provider, levels) == {level: f"{level} value" for level in LEVELS}


@pytest.mark.parametrize("number", range(4))
def test_attribute_of_a_later_level_wins(suite: OpenFeatureClient, suite_provider: SeenProvider, number: int) -> None:
    """API, transaction, client, invocation, in this order; a hook's place differs between versions of the SDK."""
    levels = {level: {"key": level} for level in LEVELS[: number + 1]}

    assert _attributes(suite, suite_provider, levels) == {"key": LEVELS[number]}


@pytest.mark.parametrize("kind", KINDS)
def test_empty_context_is_an_error(suite: OpenFeatureClient, kind: str) -> None:
    """Without an organisation there is nothing to decide: the fallback of each type is returned."""
    found = evaluated(suite, kind, f"{kind}-targeted-zero-flag", NON_ZERO_DEFAULTS[kind], EvaluationContext())

    assert (found.value, found.variant) == (NON_ZERO_DEFAULTS[kind], None)
    assert (found.reason, found.error_code) == (Reason.ERROR, ErrorCode.TARGETING_KEY_MISSING)


@pytest.mark.parametrize("kind", KINDS)
def test_attribute_may_be_null(suite: OpenFeatureClient, kind: str) -> None:
    """A context with a null is one like any other."""
    context = EvaluationContext("anybody", {"email": None})  # type: ignore[dict-item]

    found = evaluated(suite, kind, f"{kind}-targeted-zero-flag", DEFAULTS[kind], context)

    assert (found.value, found.reason, found.error_code) == (ZEROS[kind]["non-zero"], STATIC, None)


class _InTurn(Hook):
    """A hook that adds its name to the list of each of its methods."""

    def __init__(self, name: str, turns: dict[str, str]) -> None:
        self._name, self._turns = name, turns

    def _note(self, method: str) -> None:
        self._turns[method] = self._turns.get(method, "") + self._name

    def before(self, *_: Any, **__: Any) -> None:
        """Note the turn."""
        self._note("before")

    def after(self, *_: Any, **__: Any) -> None:
        """Note the turn."""
        self._note("after")

    def error(self, *_: Any, **__: Any) -> None:
        """Note the turn."""
        self._note("error")

    def finally_after(self, *_: Any, **__: Any) -> None:
        """Note the turn."""
        self._note("finally")


@pytest.mark.parametrize(("key", "value", "then"), [("boolean-flag", True, "after"), ("wrong-flag", False, "error")])
def test_hooks_of_an_evaluation_run_in_their_order(suite: OpenFeatureClient, key: str, value: bool, then: str) -> None:  # noqa: FBT001 - a case
    """`before` runs in the order API, client, evaluation, and all others run in the opposite order."""
    turns: dict[str, str] = {}
    of_api, of_client, first, second = (_InTurn(name, turns) for name in "abcd")
    api.add_hooks([of_api])
    suite.add_hooks([of_client])

    found = suite.get_boolean_value(key, False, ANYBODY, FlagEvaluationOptions(hooks=[first, second]))

    assert (found, turns) == (value, {"before": "abcd", then: "dcba", "finally": "dcba"})


def test_hooks_of_one_evaluation_are_not_those_of_the_next(suite: OpenFeatureClient) -> None:
    """Options count for their evaluation alone."""
    recorder = Recorder()
    suite.get_boolean_value("boolean-flag", False, ANYBODY, FlagEvaluationOptions(hooks=[recorder]))
    seen = len(recorder.calls)

    suite.get_boolean_value("boolean-flag", False, ANYBODY)

    assert seen == len(recorder.calls) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_changes_no_context_and_shares_no_details(suite: OpenFeatureClient, kind: str) -> None:
    """The caller's context stays as it was, and what a caller does to details is not seen by the next one."""
    context = EvaluationContext("anybody", {"email": "a@macrosoft.com", "roles": ["admin"]})
    before = deepcopy(context)

    first = evaluated(suite, kind, f"{kind}-flag", DEFAULTS[kind], context)
    value = deepcopy(first.value)
    first.flag_metadata["allowed"] = "changed"  # type: ignore[index]
    if kind == "object":
        first.value.clear()
    second = evaluated(suite, kind, f"{kind}-flag", DEFAULTS[kind], context)

    assert context == before
    assert (second.value, second.flag_metadata["allowed"]) == (value, True)
