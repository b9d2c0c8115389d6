"""Features of a request's organisation: lazy, and asked for at most once."""

from __future__ import annotations

from copy import copy

import pytest

from chatarmin_os import ChatarminOS, NotFoundError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import Gate
from chatarmin_os.web.features import Features
from chatarmin_os.web.organisation import check


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
    return Features(lambda code: check(lambda: gate, "org_1", code))


def test_features_ask_once(features: Features, fake: FakeTransport) -> None:
    """Nothing is asked before a feature is read, and all take one call."""
    assert fake.calls == []

    assert [features.ai_credit.allowed, features["sso"].allowed, features["api_access"].reason] == [
        True,
        False,
        "disabled",
    ]
    assert len(fake.calls) == 1


def test_mistakes_raise_outside_of_templates(features: Features) -> None:
    """An unknown feature is an error for Python."""
    with pytest.raises(NotFoundError):
        _ = features.nope


def test_nobody_needs_no_gate() -> None:
    """A request without an organisation is denied, also if no gate can be made."""

    def gate() -> Gate:
        raise AssertionError

    assert check(gate, None, "sso").reason == "not_linked"


def test_special_attributes_are_no_features(features: Features, fake: FakeTransport) -> None:
    """Libraries look for attributes with underscores; a copy is another object of the same features."""
    assert not hasattr(features, "__html__")
    assert copy(features).ai_credit.allowed
    assert len(fake.calls) == 1
