"""The fake accepts the e-mail addresses that zod accepts and the URLs that JavaScript parses, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ids import words

from chatarmin_os import PROCEDURES, BadRequestError, ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.fake.rules.addresses import email
from chatarmin_os.fake.rules.urls import is_url
from chatarmin_os.transports import Call


def _vectors(name: str) -> list[list[Any]]:
    vectors: list[list[Any]] = json.loads(Path(__file__).with_name(name).read_text("utf-8"))["vectors"]
    return vectors


def test_addresses_are_those_of_both_versions_of_zod() -> None:
    """Several hundred odd texts have the same verdict as in zod 3.25.76 and 4.6.7, which agree."""
    vectors = _vectors("zod_emails.json")

    differing = [vector for vector in vectors if not (email(vector[0]) is not None) == vector[1] == vector[2]]

    assert differing == []
    assert {taken for _, taken, _ in vectors} == {True, False}
    assert len(vectors) > 900


def test_urls_are_those_of_javascript() -> None:
    """Over a thousand odd texts have the same verdict as that of `new URL()` in Node 20."""
    vectors = _vectors("node_urls.json")

    differing = [(text, parses) for text, parses in vectors if is_url(text) != parses]

    assert differing == []
    assert {parses for _, parses in vectors} == {True, False}
    assert len(vectors) > 1_000


ODD_ADDRESSES = [
    "ann@müller.de",
    "r&d@acme.com",
    "<ann@acme.com>",
    "ann@acme.com.",
    "a..b@c.co",
    "ann@acme.com ",
    " ann@acme.com",
    "a@b.c",
    "x@acme.com#.evil.example",
    "x@acme.com:80",
    "x@https://acme.com",
    "x@acme.com\\@evil.example",
    "x@evil.example@acme.com",
    "x@acme.com/evil.example",
    "x@\uff41cme.com",
    "x@acme\u3002com",
]
ORG: dict[str, Any] = {"externalOrgId": "org_1"}
PLACES: dict[str, tuple[str, str, Any]] = {
    "contact": ("contacts.create", "email", lambda company, text: {"companyId": company, "email": text}),
    "one-of-many-contacts": (
        "contacts.bulkUpsert",
        "contacts[1].email",
        lambda company, text: {"companyId": company, "contacts": [{"email": "bob@acme.com"}, {"email": text}]},
    ),
    "new-company": ("companies.create", "contactEmail", lambda _, text: {**ORG, "name": "A", "contactEmail": text}),
    "onboarding": ("onboard", "contactEmail", lambda _, text: {**ORG, "contactEmail": text}),
    "hint": (
        "companies.smartLink",
        "hints.emails[1]",
        lambda _, text: {**ORG, "hints": {"emails": ["bob@globex.com", text]}},
    ),
    "hint-of-an-onboarding": (
        "onboard",
        "hints.emails[1]",
        lambda _, text: {**ORG, "hints": {"emails": ["bob@globex.com", text]}},
    ),
}


@pytest.mark.parametrize("odd", ODD_ADDRESSES, ids=words)
@pytest.mark.parametrize(("path", "field", "given"), PLACES.values(), ids=PLACES)
def test_an_odd_address_is_refused_in_every_field(path: str, field: str, given: Any, odd: str) -> None:
    """The refusal names an address that zod refuses, and nothing is linked, created or stored."""
    fake = FakeTransport(demo_catalogue())
    company = fake.add_company("Acme", domain="acme.com")
    before = fake.snapshot()

    with pytest.raises(BadRequestError) as refused:
        ChatarminOS(transport=fake).call(path, given(company, odd))

    assert [place for place, _ in refused.value.issues] == [field]
    assert before == fake.snapshot()


@pytest.mark.parametrize("fine", ["O'Neill+x@mail.acme.com", "_@a.co", "-@1-.a.museum", "a.b-c'd@XN--A.COM"])
@pytest.mark.parametrize(("path", "field", "given"), PLACES.values(), ids=PLACES)
def test_an_address_that_zod_accepts_is_accepted_in_every_field(path: str, field: str, given: Any, fine: str) -> None:
    """No address that the service would accept is refused, however unusual it is."""
    fake = FakeTransport(demo_catalogue())
    company = fake.add_company("Acme", domain="acme.com")

    ChatarminOS(transport=fake).call(path, given(company, fine))

    assert [call.path for call in fake.calls] == [path], field


@pytest.mark.parametrize(
    ("path", "given", "field"),
    [
        ("companies.create", {**ORG, "name": "Ac\0me"}, "name"),
        ("companies.getByProductLink", {"externalOrgId": "\0"}, "externalOrgId"),
        ("features.check", {"companyId": "$", "featureCode": "seats\0"}, "featureCode"),
        (
            "features.setAccess",
            {"companyId": "$", "featureCode": "sso", "config": {"a": [{"b\0": 1}]}},
            "config.a[0].b\0",
        ),
        ("billing.trackUsage", {"companyId": "$", "metadata": {"a": ["x", "\0"]}}, "metadata.a[1]"),
        ("contacts.create", {"companyId": "$", "metadata": {"__proto__": {}}}, "metadata.__proto__"),
        ("contacts.create", {"companyId": "$", "metadata": {"a": {"constructor": 1}}}, "metadata.a.constructor"),
        (
            "contacts.bulkUpsert",
            {"companyId": "$", "contacts": [{"metadata": {"prototype": 1}}]},
            "contacts[0].metadata.prototype",
        ),
        ("tiers.apply", {"companyId": "$", "tierCode": "pro", "features": {"constructor": {}}}, "features.constructor"),
        ("onboard", {**ORG, "hints": {"__proto__": 1}}, "hints.__proto__"),
        ("tiers.list", {"__proto__": 1}, "__proto__"),
        ("tiers.list", "\0", "input"),
        ("tiers.list", ["\0"], "input[0]"),
    ],
    ids=words,
)
def test_values_that_cannot_be_stored_are_named(path: str, given: Any, field: str) -> None:
    """U+0000 anywhere, and keys with a meaning in JavaScript, are refused before other problems of an input."""
    fake = FakeTransport(demo_catalogue())
    before = fake.snapshot()

    with pytest.raises(BadRequestError) as refused:
        fake.send(Call(path, PROCEDURES[path].kind, given))

    assert [place for place, _ in refused.value.issues] == [field]
    assert before == fake.snapshot()
