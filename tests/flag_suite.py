"""The flags of the public suite of the OpenFeature specification, as features of a service.

Flags and values are those of `specification/assets/gherkin` in https://github.com/open-feature/spec: `test-flags.json`
and the files `.feature` of commit 6fd4d54a (Apache License 2.0). Each flag is a feature there, its variants are
settings, and the flag is the setting of its default variant; so the variant is the name of that setting. Targeting
rules are tiers: organisations of another tier have other settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import Catalogue, FakeTransport
from chatarmin_os.gate import Gate
from chatarmin_os.integrations.openfeature import ChatarminProvider, Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from openfeature.client import OpenFeatureClient
    from openfeature.flag_evaluation import FlagEvaluationDetails

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


class SeenProvider(ChatarminProvider):
    """A provider that keeps the contexts of texts: what was merged of all levels."""

    contexts: list[EvaluationContext | None]

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Keep the context, and resolve the flag."""
        self.contexts.append(evaluation_context)
        return super().resolve_string_details(flag_key, default_value, evaluation_context)


@pytest.fixture
def suite_provider(clean_sdk: None) -> SeenProvider:  # noqa: ARG001 - it runs after the test
    """Return a stable provider: one organisation on the usual tier, and one that is targeted."""
    catalogue, flags = _flags()
    service = ChatarminOS(transport=FakeTransport(catalogue))
    service.onboard(external_org_id="anybody", tier_code="usual")
    service.onboard(external_org_id="ballmer", tier_code="special")
    provider = SeenProvider(Gate(service), flags=flags)
    provider.contexts = []
    api.set_provider(provider, domain="suite")
    return provider


@pytest.fixture
def suite(suite_provider: SeenProvider) -> OpenFeatureClient:  # noqa: ARG001 - it is registered
    """Return a client with the stable provider."""
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
