"""Values have the type that was asked for, and a denial never becomes the caller's default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flag_world import LISTING, ORG, SETTINGS, FlagWorld
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from chatarmin_os import ChatarminOS, TimedOut
from chatarmin_os.gate import Gate, Policy
from chatarmin_os.integrations.openfeature import UNLIMITED, ChatarminProvider, Flag
from chatarmin_os.transports import FunctionTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from openfeature.client import OpenFeatureClient
    from openfeature.flag_evaluation import FlagEvaluationDetails

pytestmark = pytest.mark.usefixtures("clean_sdk")

FEW, NOBODY = EvaluationContext("org_2"), EvaluationContext("org_9")

DEFAULTS: dict[str, Any] = {"boolean": True, "string": "own", "integer": 7, "float": 7.5, "object": {"own": 1}}


def details(
    flags: OpenFeatureClient, kind: str, key: str, context: EvaluationContext = ORG
) -> FlagEvaluationDetails[Any]:
    """Evaluate a flag as one of the five types, with a default that could not come from the service."""
    evaluate: Callable[..., FlagEvaluationDetails[Any]] = getattr(flags, f"get_{kind}_details")
    return evaluate(key, DEFAULTS[kind], context)


@pytest.mark.parametrize(
    ("kind", "key", "value", "variant"),
    [
        ("boolean", "sso", True, "allowed"),
        ("integer", "credits", 100, "remaining"),
        ("float", "credits", 100.0, "remaining"),
        ("integer", "seats", UNLIMITED, "unlimited"),
        ("float", "seats", float(UNLIMITED), "unlimited"),
        ("object", "exports", SETTINGS, "settings"),
        ("boolean", "exports:csv", True, "csv"),
        ("integer", "exports:rows", 100, "rows"),
        ("float", "exports:rows", 100.0, "rows"),
        ("float", "exports:rate", 0.5, "rate"),
        ("integer", "exports:whole", 3, "whole"),
        ("float", "exports:large", float(2**53 - 1), "large"),
        ("string", "exports:format", "xlsx", "format"),
        ("object", "exports:columns", ["name", "mail"], "columns"),
        ("object", "exports:page", {"size": 20}, "page"),
    ],
)
def test_value_of_a_feature_has_the_type_asked_for(
    shop: FlagWorld, kind: str, key: str, value: object, variant: str
) -> None:
    """A number is converted if nothing is lost, and a value is of exactly the type."""
    found = details(shop.flags, kind, key)

    assert (found.value, type(found.value), found.variant) == (value, type(value), variant)
    assert (found.reason, found.error_code) == (Reason.TARGETING_MATCH, None)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("integer", "sso"),
        ("float", "sso"),
        ("integer", "exports"),
        ("string", "sso"),
        ("object", "sso"),
        ("object", "credits:included_quantity"),
        ("integer", "exports:csv"),
        ("float", "exports:csv"),
        ("string", "exports:csv"),
        ("integer", "exports:rate"),
        ("boolean", "exports:rows"),
        ("boolean", "exports:format"),
        ("string", "exports:rows"),
        ("integer", "exports:format"),
        ("object", "exports:format"),
        ("string", "exports:page"),
        *[(kind, "exports:nothing") for kind in DEFAULTS],
    ],
)
def test_type_that_a_feature_has_not_is_a_mismatch(kind: str, key: str) -> None:
    """The caller's default is returned: a bool is no number, and 0.5 no integer."""
    shop = FlagWorld()
    shop.client.features.set_access(external_org_id="org_1", feature_code="credits", config={"included_quantity": 100})

    found = details(shop.flags, kind, key)

    assert (found.value, found.reason, found.error_code) == (DEFAULTS[kind], Reason.ERROR, ErrorCode.TYPE_MISMATCH)
    assert found.variant is None


def test_quantity_that_is_no_whole_number_is_no_integer(shop: FlagWorld) -> None:
    """Half a credit is not rounded: 99.5 is a float only."""
    shop.use(0.5)

    assert details(shop.flags, "integer", "credits").error_code is ErrorCode.TYPE_MISMATCH
    assert details(shop.flags, "float", "credits").value == 99.5


@pytest.mark.parametrize("context", [FEW, NOBODY], ids=["disabled", "not-linked"])
def test_whole_number_as_the_default_of_a_float_is_no_error(shop: FlagWorld, context: EvaluationContext) -> None:
    """A type checker takes 0 for a float, and the SDK would report a mismatch of the provider's value."""
    found = shop.flags.get_float_details("exports:rate", 7, context)

    assert (found.value, type(found.value), found.error_code) == (7.0, float, None)
    assert found.reason == (Reason.DISABLED if context is FEW else Reason.DEFAULT)


def test_other_default_of_a_float_is_not_converted(shop: FlagWorld) -> None:
    """True is no number; the SDK reports the caller's mistake, and returns it."""
    found = shop.flags.get_float_details("exports:rate", True, NOBODY)

    assert (found.value, found.error_code) == (True, ErrorCode.TYPE_MISMATCH)


def test_settings_of_a_feature_as_text_are_json(shop: FlagWorld) -> None:
    """All settings of a feature are asked for as text, such as for a page."""
    import json

    assert json.loads(details(shop.flags, "string", "exports").value) == SETTINGS


@pytest.mark.parametrize("key", ["exports", "exports:page"])
def test_changed_value_changes_no_later_one(shop: FlagWorld, key: str) -> None:
    """An object is a copy, so that a caller cannot change the answers of the gate."""
    details(shop.flags, "object", key).value.clear()

    assert details(shop.flags, "object", key).value


@pytest.mark.parametrize("context", [FEW, NOBODY], ids=["disabled", "not-linked"])
@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("boolean", "sso", False),
        ("boolean", "exports:csv", False),
        ("integer", "credits", 0),
        ("float", "credits", 0.0),
    ],
)
def test_denied_feature_is_never_the_default(
    shop: FlagWorld, context: EvaluationContext, kind: str, key: str, value: object
) -> None:
    """A denial is False or 0, also with a default of True, and no error."""
    found = details(shop.flags, kind, key, context)

    assert (found.value, type(found.value), found.error_code) == (value, type(value), None)
    assert found.variant in {"disabled", "not_linked"} or key == "credits"
    is_disabled_setting = ":" in key and found.variant == "disabled"
    assert found.reason == (Reason.DISABLED if is_disabled_setting else Reason.TARGETING_MATCH)
    assert found.flag_metadata["allowed"] is False


def test_denied_boolean_setting_needs_not_exist(shop: FlagWorld) -> None:
    """A setting that is missing or no boolean is False while its feature is denied: its default might be True."""
    for key in ("exports:missing", "exports:rows"):
        assert details(shop.flags, "boolean", key, FEW).value is False


@pytest.mark.parametrize("kind", ["string", "integer", "float", "object"])
def test_setting_of_a_disabled_feature_is_the_default(shop: FlagWorld, kind: str) -> None:
    """The settings of a feature that is off do not hold: the caller's default does, and the reason says so."""
    key = {"string": "exports:format", "integer": "exports:rows", "float": "exports:rate", "object": "exports"}[kind]

    disabled, not_linked = details(shop.flags, kind, key, FEW), details(shop.flags, kind, key, NOBODY)

    assert (disabled.value, disabled.reason, disabled.variant) == (DEFAULTS[kind], Reason.DISABLED, "disabled")
    assert (not_linked.value, not_linked.reason, not_linked.variant) == (DEFAULTS[kind], Reason.DEFAULT, "not_linked")
    assert disabled.error_code is not_linked.error_code is None


def test_settings_hold_at_the_limit(shop: FlagWorld) -> None:
    """A quantity that is used up is denied, and its settings stay the same, but for booleans."""
    shop.client.features.set_access(
        external_org_id="org_1", feature_code="credits", config={"model": "large", "fast": True}
    )
    shop.use(100)

    assert details(shop.flags, "boolean", "credits").variant == "limit_reached"
    assert details(shop.flags, "integer", "credits").value == 0
    assert details(shop.flags, "string", "credits:model").value == "large"
    assert details(shop.flags, "boolean", "credits:fast").value is False


def test_setting_that_a_feature_has_not_is_not_found(shop: FlagWorld) -> None:
    """A misspelled setting is an error, and no grant."""
    found = details(shop.flags, "string", "exports:fromat")

    assert (found.value, found.error_code) == ("own", ErrorCode.FLAG_NOT_FOUND)


def test_flags_with_keys_of_their_own() -> None:
    """Keys that are in the code of a team already lead to features, and so do codes with a colon."""
    shop = FlagWorld(
        {
            "flags": {
                "new-export": Flag("exports"),
                "export-rows": Flag("exports", setting="rows"),
                "reports": Flag("team:reports"),
                "reports-csv": Flag("team:reports", setting="csv"),
            }
        }
    )

    assert details(shop.flags, "boolean", "new-export").value is True
    assert details(shop.flags, "integer", "export-rows").value == 100
    assert details(shop.flags, "boolean", "reports").variant == "allowed"
    assert details(shop.flags, "boolean", "reports-csv").variant == "csv"
    assert details(shop.flags, "boolean", "team:reports").error_code is ErrorCode.FLAG_NOT_FOUND


def test_reason_says_where_an_answer_comes_from(shop: FlagWorld) -> None:
    """A live answer, one of the gate, and an old one in an outage have different reasons."""
    reasons = [details(shop.flags, "boolean", "sso").reason, details(shop.flags, "boolean", "sso").reason]
    shop.make_old()
    shop.break_down()
    old = details(shop.flags, "boolean", "sso")

    assert reasons == [Reason.TARGETING_MATCH, Reason.CACHED]
    assert (old.value, old.reason, old.flag_metadata["error"]) == (
        True,
        Reason.STALE,
        "ServerError INTERNAL_SERVER_ERROR",
    )
    assert isinstance(old.flag_metadata["age"], float)
    assert old.flag_metadata["age"] >= 31


@pytest.mark.parametrize(("on_outage", "allowed"), [("deny", False), ("allow", True)])
def test_policy_decides_in_an_outage_without_answers(on_outage: str, allowed: bool) -> None:  # noqa: FBT001 - a case
    """The reason is DEFAULT: a policy is a value that was configured before, and not the caller's default."""
    shop = FlagWorld(default=Policy(on_outage=on_outage))
    shop.break_down()

    found = shop.flags.get_boolean_details("sso", not allowed, ORG)

    assert (found.value, found.reason, found.variant, found.error_code) == (allowed, Reason.DEFAULT, "outage", None)
    assert found.flag_metadata["source"] == "policy"


def test_numbers_and_settings_that_nobody_knows_are_the_default() -> None:
    """In an outage without answers a policy may allow a feature, and has no number for it; a denial leaves 0."""
    shop = FlagWorld(policies={"seats": Policy(on_outage="allow"), "exports": Policy(on_outage="allow")})
    shop.break_down()

    seats, rows = details(shop.flags, "integer", "seats"), details(shop.flags, "integer", "exports:rows")
    csv = details(shop.flags, "boolean", "exports:csv")

    assert (seats.value, seats.reason, rows.value, rows.reason) == (7, Reason.DEFAULT, 7, Reason.DEFAULT)
    assert (csv.value, csv.reason) == (True, Reason.DEFAULT)  # the default, as the policy allows the feature
    assert details(shop.flags, "integer", "credits").value == 0


def test_policy_that_raises_is_an_error() -> None:
    """The caller's default is returned with GENERAL, and the error names no text of the service."""
    shop = FlagWorld(default=Policy(on_outage="raise"))
    shop.break_down(TimedOut("os_sk_secret"))

    found = details(shop.flags, "boolean", "sso")

    assert (found.value, found.reason, found.error_code) == (True, Reason.ERROR, ErrorCode.GENERAL)
    assert found.error_message == "TimedOut"


ACCESS = {"isEnabled": True, "canUse": True, "featureCode": "credits"}


@pytest.mark.parametrize(
    ("access", "value"),
    [
        ({"hasQuantity": True}, UNLIMITED),
        ({"remaining": 5}, 5),  # whether it is counted was left out
        ({"hasQuantity": True, "quantityLimit": 10, "currentUsage": 4}, 6),
        ({"hasQuantity": True, "quantityLimit": 10}, ErrorCode.GENERAL),
        ({"hasQuantity": True, "remaining": 2.5}, ErrorCode.TYPE_MISMATCH),
        ({"hasQuantity": True, "remaining": 7.0}, 7),
        ({}, ErrorCode.TYPE_MISMATCH),
        ({"hasQuantity": False, "remaining": 5}, ErrorCode.TYPE_MISMATCH),
    ],
)
def test_remaining_quantity_of_a_service_that_says_less(access: dict[str, Any], value: int | ErrorCode) -> None:
    """A missing number is computed where it can be, and never guessed."""
    listing = {"companyId": "comp_1", "features": [ACCESS | access]}
    gate = Gate(ChatarminOS(transport=FunctionTransport(lambda call: listing if call.path == LISTING else None)))
    flags = FlagWorld().register(ChatarminProvider(gate))

    found = details(flags, "integer", "credits")

    assert (found.error_code or found.value) == value


def test_settings_that_the_service_left_out_are_a_mismatch() -> None:
    """Without settings there is no object, and no setting."""
    listing = {"companyId": "comp_1", "features": [ACCESS]}
    gate = Gate(ChatarminOS(transport=FunctionTransport(lambda _: listing)))
    flags = FlagWorld().register(ChatarminProvider(gate))

    assert details(flags, "object", "credits").error_code is ErrorCode.TYPE_MISMATCH
    assert details(flags, "string", "credits:model").error_code is ErrorCode.FLAG_NOT_FOUND


def test_metadata_describes_the_decision(shop: FlagWorld) -> None:
    """Metadata has texts, numbers and booleans only, and no id of the service."""
    shop.client.features.set_access(
        external_org_id="org_1", feature_code="credits", source="trial", valid_until="2100-01-01"
    )
    shop.use(40)

    found = details(shop.flags, "integer", "credits").flag_metadata

    assert found["valid_until"] == "2100-01-01T00:00:00+00:00"
    assert (found["current_usage"], found["remaining"], found["quantity_limit"]) == (40, 60, 100)
    assert (found["included_quantity"], found["access_source"]) == (100, "trial")
    assert (found["allowed"], found["decision"], found["source"]) == (True, "allowed", "live")
    assert {type(value) for value in found.values()} <= {bool, int, float, str}
    assert shop.companies["org_1"] not in found.values()


def test_usage_that_an_outbox_holds_is_subtracted(shop: FlagWorld) -> None:
    """The rest is that which the gate expects, before the service has counted the usage."""
    shop.gate.expect_usage(external_org_id="org_1", feature_code="credits", quantity=30, idempotency_key="job")

    assert details(shop.flags, "integer", "credits").value == 70
