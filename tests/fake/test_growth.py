"""The time for an input grows in proportion to its length, so that no input stops a service that others use."""

from __future__ import annotations

from contextlib import suppress
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import PROCEDURES, ApiError, BadRequestError, ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.fake.contacts import MAX_REPEATED_CHARACTERS
from chatarmin_os.fake.rules.names import MAX_TRIGRAMS, normalised, slug, trigrams
from chatarmin_os.transports import Call

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

SIZE, FACTOR = 12_000, 4
ROUNDS = 5

ORG = {"externalOrgId": "org_1"}
CONTACT = {"companyId": "$company", "email": "ann@acme.com"}


def _named(name: str) -> dict[str, Any]:
    return {**ORG, "name": name}


def _numbers(size: int) -> str:
    return " ".join(map(str, range(size // 5)))


INPUTS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "accents": ("companies.create", lambda size: _named("x" + "\u0301\u0323" * (size // 2))),
    "marks": ("companies.create", lambda size: _named("x" + "\u05b0\u05c1\u0591" * (size // 3))),
    "marks-that-decompose": ("companies.create", lambda size: _named("x" + "\u0344\u0f73" * (size // 2))),
    "ligatures": ("companies.create", lambda size: _named("\ufdfa" * (size // 10))),
    "legal-forms": ("companies.create", lambda size: _named("gmbh " * (size // 5))),
    "hinted-name": (
        "companies.smartLink",
        lambda size: {**ORG, "hints": {"companyName": _numbers(size)}, "minConfidence": 0},
    ),
    "hinted-addresses": (
        "companies.smartLink",
        lambda size: {**ORG, "hints": {"emails": [f"a@b{number}.com" for number in range(size // 10)]}},
    ),
    "labels": ("companies.create", lambda size: {**_named("A"), "domain": "www." * (size // 4) + "com"}),
    "foreign-labels": ("companies.create", lambda size: {**_named("A"), "domain": "ä." * (size // 2) + "com"}),
    "path": ("companies.create", lambda size: {**_named("A"), "domain": "acme.com/" + "a@" * (size // 2)}),
    "address": ("companies.create", lambda size: {**_named("A"), "contactEmail": "a." * (size // 2)}),
    "address-host": (
        "companies.create",
        lambda size: {**_named("A"), "contactEmail": "a@" + "a-." * (size // 3) + "com"},
    ),
    "brackets-of-a-URL": ("contacts.create", lambda size: {**CONTACT, "avatarUrl": "https://" + "[" * size}),
    "numbers-of-a-URL": ("contacts.create", lambda size: {**CONTACT, "avatarUrl": "https://" + "1." * (size // 2)}),
    "labels-of-a-URL": ("contacts.create", lambda size: {**CONTACT, "avatarUrl": "https://" + "ä.xn--" * (size // 6)}),
    "port": ("contacts.create", lambda size: {**CONTACT, "avatarUrl": "https://acme.com:" + "9" * size}),
    "metadata": (
        "contacts.create",
        lambda size: {**CONTACT, "metadata": {str(key): [key] for key in range(size // 10)}},
    ),
    "long-key-of-a-long-list": (
        "contacts.create",
        lambda size: {**CONTACT, "metadata": {"k" * size * 10: [0] * (size // 2)}},
    ),
    "settings": (
        "features.setAccess",
        lambda size: {
            "companyId": "$company",
            "featureCode": "sso",
            "config": {str(key): "é" for key in range(size // 10)},
        },
    ),
    "many-primary-contacts": (
        "contacts.bulkUpsert",
        lambda size: {
            "companyId": "$company",
            "contacts": [{"email": f"a{number}@b.co", "isPrimary": True} for number in range(size // 20)],
        },
    ),
    "repeated-contact": (
        "contacts.bulkUpsert",
        lambda size: {
            "companyId": "$company",
            "contacts": [{"email": "ann@acme.com", "metadata": {str(key): "x" * 20}} for key in range(size // 2)],
        },
    ),
    "codes": (
        "tiers.apply",
        lambda size: {
            "companyId": "$company",
            "tierCode": "pro",
            "features": {str(code): {"max_quantity": 1} for code in range(size // 10)},
        },
    ),
    "keys": ("features.check", lambda size: {str(key): key for key in range(size // 10)}),
    "timestamp": ("companies.create", lambda size: {**_named("A"), "createdAt": "2024-01-01T00:00:00." + "1" * size}),
}


def _cost(path: str, given: Callable[[int], dict[str, Any]], size: int) -> float:
    """Return the shortest process time of a call in some rounds, each on a new fake."""
    taken = []
    for _ in range(ROUNDS):
        fake = FakeTransport(demo_catalogue())
        company = fake.add_company(_numbers(size), domain="acme.com")
        content = {key: company if value == "$company" else value for key, value in given(size).items()}
        call = Call(path, PROCEDURES[path].kind, content)
        before = process_time()
        with suppress(ApiError):
            fake.send(call)
        taken.append(process_time() - before)
    return min(taken)


@pytest.mark.parametrize(("path", "given"), INPUTS.values(), ids=INPUTS)
def test_a_longer_input_costs_in_proportion(path: str, given: Callable[[int], dict[str, Any]]) -> None:
    """Four times the input takes about four times as long, far from sixteen times as with quadratic growth."""
    short, long = _cost(path, given, SIZE), _cost(path, given, SIZE * FACTOR)

    assert long / short < FACTOR * 2.5


def test_a_name_with_endless_marks_is_still_a_name() -> None:
    """Splitting a long run of marks loses no letter, and equal names stay equal."""
    name = "Zalgo\u0301\u0323" + "\u05b0\u05c1" * 500 + " GmbH"

    assert normalised(name) == normalised(name.upper())
    assert normalised(name).startswith("zalgo\u05b0")
    assert normalised(name).count("\u05b0") == 500
    assert slug("Café" + "\u0301" * 5_000 + " Müller") == "cafe-muller"


@pytest.mark.parametrize(("words", "is_similar"), [(100, True), (300, False)])
def test_a_name_of_hundreds_of_words_is_found_if_it_is_equal(words: int, *, is_similar: bool) -> None:
    """Very long names are compared for equality only, not for similarity."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    name = " ".join(str(number**3) for number in range(words))
    company = fake.add_company(name)

    linked = client.companies.smart_link(external_org_id="org_1", hints={"company_name": name.upper()})
    similar = client.companies.smart_link(external_org_id="org_2", hints={"company_name": f"{name} more"})

    assert (len(trigrams(name)) <= MAX_TRIGRAMS) is is_similar
    assert (linked.status, linked.company_id) == ("linked", company)
    assert similar.status == ("suggestions" if is_similar else "no_match")


def test_contacts_that_repeat_are_upserted_up_to_a_bound() -> None:
    """An address may be repeated until its growing contact would fill the memory; then nothing is stored."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    company = fake.add_company("Acme")
    same = [{"email": "ann@acme.com", "metadata": {"plan": "pro"}}] * 2_000
    big: dict[str, Any] = {"email": "bob@acme.com", "metadata": {"note": "x" * 100_000}}
    small = [
        {"email": "BOB@acme.com", "metadata": {str(key): 1}} for key in range(MAX_REPEATED_CHARACTERS // 100_000 + 2)
    ]

    assert client.contacts.bulk_upsert(company_id=company, contacts=same).updated == 1_999
    before = fake.snapshot()
    with pytest.raises(BadRequestError, match=r"contacts\[\d+\]: too many entries for 'BOB@acme\.com'"):
        client.contacts.bulk_upsert(company_id=company, contacts=[big, *small])

    assert before == fake.snapshot()
    client.contacts.create(company_id=company, **big)
    with pytest.raises(BadRequestError, match="too many entries"):
        client.contacts.bulk_upsert(company_id=company, contacts=small)
