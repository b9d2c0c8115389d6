"""Features of a request's organisation: lazy, and closed in templates."""

from __future__ import annotations

from copy import copy

import pytest

from chatarmin_os import ChatarminOS, NotFoundError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import Gate
from chatarmin_os.web.features import ClosedFeatures, Features


@pytest.fixture
def fake() -> FakeTransport:
    """Return a service with one organisation of the tier Free."""
    fake = FakeTransport(demo_catalogue())
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="free")
    fake.calls.clear()
    return fake


@pytest.fixture
def features(fake: FakeTransport) -> Features:
    """Return the features of that organisation."""
    gate = Gate(ChatarminOS(transport=fake))
    return Features(lambda: gate, lambda: "org_1")


def test_features_ask_once(features: Features, fake: FakeTransport) -> None:
    """Nothing is asked before a feature is read, and all take one call."""
    assert fake.calls == []

    assert [features.ai_credit.allowed, features["sso"].allowed, features["api_access"].reason] == [
        True,
        False,
        "disabled",
    ]
    assert [*features] == ["ai_credit", "seats", "team_seats", "api_access", "sso"]
    assert len(fake.calls) == 1


def test_features_see_changes_at_once(features: Features) -> None:
    """A change by the same client is seen by the next read."""
    assert not features.sso

    features._gate().client.features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=True)

    assert features.sso


def test_mistakes_raise_outside_of_templates(features: Features) -> None:
    """An unknown feature is an error for Python, and closed for a template."""
    with pytest.raises(NotFoundError):
        _ = features.nope

    closed = ClosedFeatures(features._gate, features._organisation)
    assert (closed.nope.allowed, closed.nope.reason, closed.nope.access) == (False, "outage", None)


def test_special_attributes_are_no_features(features: Features, fake: FakeTransport) -> None:
    """Libraries look for attributes with underscores; a copy is another object of the same features."""
    assert not hasattr(features, "__html__")
    assert copy(features).ai_credit.allowed
    assert len(fake.calls) == 1
