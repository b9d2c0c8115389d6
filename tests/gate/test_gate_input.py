"""Arguments are checked, and decisions and denials travel."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
import pytest
from steering import LISTING, Clock, Stage

from chatarmin_os import ChatarminError, ChatarminOS, InvalidInput, TimedOut
from chatarmin_os.gate import Decision, DictCache, FeatureDenied, Gate, Policy, UsageEvent

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport


@pytest.fixture
def stage(service: FakeTransport) -> Stage:
    """Return a service with one organisation, and a gate on it."""
    return Stage(service)


class Nothing:
    """An object without methods."""


def _names(cases: list[tuple[dict[str, Any], str]]) -> list[str]:
    """Return ids of cases."""
    return [f"{'-'.join(wrong) or 'nothing'}-{number}" for number, (wrong, _) in enumerate(cases)]


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"policies": [Policy()]}, "policies"),
    ({"policies": {"sso": {"max_age": 5}}}, "policies.sso"),
    ({"policies": {"sso": "deny"}}, "policies.sso"),
    ({"policies": {"": Policy()}}, "policies"),
    ({"policies": {5: Policy()}}, "policies"),
    ({"default": None}, "default"),
    ({"default": "deny"}, "default"),
    ({"timeout": 0}, "timeout"),
    ({"timeout": -1}, "timeout"),
    ({"timeout": None}, "timeout"),
    ({"timeout": True}, "timeout"),
    ({"timeout": "1"}, "timeout"),
    ({"timeout": float("inf")}, "timeout"),
    ({"timeout": float("nan")}, "timeout"),
    ({"first_timeout": 0}, "first_timeout"),
    ({"max_organisations": 0}, "max_organisations"),
    ({"max_organisations": 1.5}, "max_organisations"),
    ({"max_organisations": True}, "max_organisations"),
    ({"unlinked_max_age": -1}, "unlinked_max_age"),
    ({"unlinked_max_age": None}, "unlinked_max_age"),
    ({"shared": Nothing()}, "shared"),
    ({"shared": DictCache}, "shared"),
    ({"outbox": Nothing()}, "outbox"),
    ({"now": 5.0}, "now"),
]


@pytest.mark.parametrize(("wrong", "field"), SETTINGS, ids=_names(SETTINGS))
def test_bad_setting_is_refused(client: ChatarminOS, wrong: dict[str, Any], field: str) -> None:
    """The error names the argument."""
    with pytest.raises(InvalidInput) as caught:
        Gate(client, **wrong)
    assert caught.value.field == field


@pytest.mark.parametrize("wrong", [None, "os_sk_1", ChatarminOS, Nothing()], ids=["none", "key", "class", "object"])
def test_gate_needs_a_client(wrong: Any) -> None:
    """As a client needs a transport."""
    with pytest.raises(TypeError, match=r"client: expected a chatarmin_os\.ChatarminOS, got"):
        Gate(wrong)


POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"max_age": -1}, "max_age: must be seconds of at least 0, got int -1"),
    ({"max_stale": -0.5}, "max_stale: must be seconds of at least 0, got float -0.5"),
    ({"max_stale": None}, "max_stale: expected an int or float, got None"),
    ({"max_age": "5"}, "max_age: expected an int or float, got str '5'"),
    ({"max_age": True}, "max_age: expected an int or float, got True"),
    ({"max_stale": float("inf")}, "max_stale: expected a finite number, got float inf"),
    ({"max_age": 1000}, "max_stale: must be at least max_age, 1000.0, got 900.0; raise it or lower max_age"),
    (
        {"on_outage": "alow"},
        """on_outage: expected "deny", "allow" or "raise", got str 'alow'; did you mean 'allow'?""",
    ),
    ({"on_outage": None}, 'on_outage: expected "deny", "allow" or "raise", got None'),
    ({"on_outage": "x"}, """on_outage: expected "deny", "allow" or "raise", got str 'x'"""),
]


@pytest.mark.parametrize(("wrong", "message"), POLICIES, ids=_names(POLICIES))
def test_bad_policy_is_refused(wrong: dict[str, Any], message: str) -> None:
    """The error names the argument and says what to do."""
    with pytest.raises(InvalidInput) as caught:
        Policy(**wrong)
    assert str(caught.value) == message


def test_policy_is_frozen_and_travels() -> None:
    """Policies are values."""
    policy = Policy(max_age=5, on_outage="allow")
    assert pickle.loads(pickle.dumps(policy)) == copy.copy(policy) == policy  # noqa: S301 - our own
    assert policy.max_stale == 900
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy.max_age = 7  # type: ignore[misc]
    assert Policy(max_age=0, max_stale=0).max_age_of(None) == 0


QUESTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "external_org_id"),
    ({"external_org_id": "org_1", "company_id": "comp_1"}, "external_org_id"),
    ({"external_org_id": ""}, "external_org_id"),
    ({"external_org_id": "  "}, "external_org_id"),
    ({"external_org_id": 5}, "external_org_id"),
    ({"external_org_id": ["org_1"]}, "external_org_id"),
    ({"company_id": ""}, "company_id"),
    ({"company_id": 5}, "company_id"),
    ({"company_id": ["comp_1"]}, "company_id"),
]


@pytest.mark.parametrize(("who", "field"), QUESTIONS, ids=_names(QUESTIONS))
def test_bad_ids_are_refused(stage: Stage, who: dict[str, Any], field: str) -> None:
    """By every method, before anything is sent."""
    for ask in (
        lambda: stage.gate.check(**who, feature_code="sso"),
        lambda: stage.gate.require(**who, feature_code="sso"),
        lambda: stage.gate.features(**who),
        lambda: stage.gate.forget(**who),
        lambda: stage.gate.metered(**who, feature_code="sso"),
    ):
        with pytest.raises(InvalidInput) as caught:
            ask()
        assert caught.value.field == field
    assert stage.calls() == []


def test_both_ids_are_refused_although_both_are_known(stage: Stage) -> None:
    """What is fresh does not hide a mistake."""
    for _ in range(2):  # the second time the answers are fresh
        stage.check()
        stage.gate.check(company_id=stage.company, feature_code="api_access")
        stage.gate.features(company_id=stage.company)
    for ask in (
        lambda: stage.gate.check(external_org_id="org_1", company_id=stage.company, feature_code="api_access"),
        lambda: stage.gate.features(external_org_id="org_1", company_id=stage.company),
    ):
        with pytest.raises(InvalidInput, match="expected exactly one of external_org_id and company_id, got both"):
            ask()


def test_expected_usage_needs_its_key(stage: Stage) -> None:
    """A new key would be one that no delivery ends."""
    missing: Any = None
    with pytest.raises(InvalidInput, match="idempotency_key: required; pass the key of the usage"):
        stage.gate.expect_usage(external_org_id="org_1", feature_code="ai_credit", quantity=1, idempotency_key=missing)


@pytest.mark.parametrize(
    "feature", ["", " ", None, 5, ["sso"], b"sso"], ids=["empty", "blank", "none", "int", "list", "bytes"]
)
def test_bad_feature_code_is_refused(stage: Stage, feature: Any) -> None:
    """Cold and warm."""
    for _ in range(2):
        with pytest.raises(InvalidInput) as caught:
            stage.gate.check(external_org_id="org_1", feature_code=feature)
        assert caught.value.field == "feature_code"
        stage.check()


def test_ids_may_be_uuids(stage: Stage) -> None:
    """As everywhere in the client."""
    company = UUID(stage.company)
    assert stage.gate.check(company_id=company, feature_code="api_access").allowed
    assert stage.gate.check(company_id=stage.company, feature_code="api_access").source == "cache"


def test_pickled_decision_keeps_the_age_it_had(service: FakeTransport) -> None:
    """It has no clock where it arrives."""
    clock = Clock()
    stage = Stage(service, now=clock)
    decision = stage.check("sso")
    clock.seconds += 10
    travelled = pickle.loads(pickle.dumps(decision))  # noqa: S301 - our own
    clock.seconds += 10

    assert travelled == decision
    assert (travelled.age, decision.age) == (10, 20)
    assert copy.copy(travelled).age == copy.deepcopy(travelled).age == 10
    assert pickle.loads(pickle.dumps(travelled)).age == 10  # noqa: S301 - our own
    assert copy.copy(decision).age == 20
    assert copy.deepcopy(decision) == decision


def test_decision_is_frozen(stage: Stage) -> None:
    """Nobody turns a denial into a permission."""
    decision = stage.check("sso")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        decision.allowed = True
    with pytest.raises(TypeError, match="unhashable"):
        hash(decision)


def test_text_of_a_decision_has_no_id_of_the_service() -> None:
    """A template may print it."""
    client = ChatarminOS.in_memory()
    company_id = client.onboard(external_org_id="org_1", tier_code="free").company_id
    gate = Gate(client)

    assert str(gate.check(external_org_id="org_1", feature_code="sso")) == "sso: denied (reason disabled, source live)"
    allowed = gate.check(company_id=company_id, feature_code="seats")
    assert f"{allowed}" == "seats: allowed (reason allowed, source live)"


def test_decision_of_a_test_has_no_clock() -> None:
    """Tests make decisions by hand."""
    decision = Decision(allowed=True, reason="allowed", source="live", feature_code="sso")
    assert (bool(decision), decision.age, decision.external_org_id, decision.error) == (True, None, None, None)


def test_policy_decision_has_an_error_that_travels(service: FakeTransport) -> None:
    """With the decision."""
    stage = Stage(service)
    service.fail(LISTING, error="lost")
    decision = pickle.loads(pickle.dumps(stage.check("sso")))  # noqa: S301 - our own

    assert (decision.source, decision.age, decision.fetched_at) == ("policy", None, None)
    assert type(decision.error).__name__ == "ConnectionFailed"


@pytest.mark.parametrize("reason", ["disabled", "limit_reached", "not_linked", "outage"])
def test_denial_says_which_feature_which_organisation_and_why(reason: Any) -> None:
    """In its text."""
    decision = Decision(False, reason, "live", "sso", "org_1")
    error = FeatureDenied(decision)
    assert isinstance(error, ChatarminError)
    assert error.decision is decision
    assert str(error).startswith(f"sso: denied to organisation org_1: {reason}")
    assert "to company comp_1" in str(FeatureDenied(Decision(False, reason, "live", "sso", None, "comp_1")))


def test_denial_pickles_and_copies(service: FakeTransport) -> None:
    """With its decision."""
    stage = Stage(service)
    with pytest.raises(FeatureDenied) as caught:
        stage.gate.require(external_org_id="org_1", feature_code="sso")
    error = caught.value
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert type(other) is FeatureDenied
        assert other.decision == error.decision
        assert str(other) == str(error)


def test_denial_keeps_its_class_in_queues_that_store_errors_as_json(stage: Stage) -> None:
    """Its `args` are JSON, and make an equal denial, less access and error."""
    with pytest.raises(FeatureDenied) as caught:
        stage.gate.require(external_org_id="org_1", feature_code="sso")
    error = caught.value
    other = FeatureDenied(*json.loads(json.dumps(error.args)))

    assert str(other) == str(error)
    assert other.decision == attrs.evolve(error.decision, access=None)
    unknown = FeatureDenied(Decision(False, "outage", "policy", "sso", "org_1"))
    assert FeatureDenied(*unknown.args).decision == unknown.decision


def test_usage_event_checks_its_fields() -> None:
    """As a request does."""
    event = UsageEvent(external_org_id="org_1", feature_code="ai_credit", quantity=5, metadata={"a": (1,)})
    assert (event.company_id, event.metadata, len(event.idempotency_key)) == (None, {"a": [1]}, 36)
    assert datetime.now(UTC) - event.created_at < timedelta(minutes=1)
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 - our own
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.quantity = 7  # type: ignore[misc]
    for wrong, field in (
        ({"quantity": 0}, "quantity"),
        ({"company_id": "comp_1"}, "external_org_id"),
        ({"external_org_id": None}, "external_org_id"),
        ({"created_at": datetime(2026, 1, 1)}, "created_at"),  # noqa: DTZ001 - the point
    ):
        with pytest.raises(InvalidInput) as caught:
            UsageEvent(**({"external_org_id": "org_1", "feature_code": "ai_credit", "quantity": 5} | wrong))  # type: ignore[arg-type]
        assert caught.value.field == field


def test_error_in_a_decision_has_no_traceback(service: FakeTransport) -> None:
    """Each decision has an error of its own."""
    stage = Stage(service)
    service.fail(LISTING, error=TimedOut("slow"))
    first, second = stage.check("sso"), stage.check("sso")
    assert first.error is not second.error
    assert first.error.__traceback__ is second.error.__traceback__ is None
