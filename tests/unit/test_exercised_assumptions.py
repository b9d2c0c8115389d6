"""Calls that exercise an assumption: recorded as the fake answers they confirm it, else they contradict it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ApiError, ChatarminOS
from chatarmin_os.drift import check_recording
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chatarmin_os._json import JSON

Row = dict[str, Any]


def _company(client: ChatarminOS, org: str = "org_1", **fields: Any) -> str:
    return client.companies.create(name=f"Company of {org}", external_org_id=org, **fields).id


def _with(**fields: Any) -> Callable[[list[Row]], object]:
    """Return a function that changes fields of the last answer of a recording."""
    return lambda rows: rows[-1]["answer"].update(fields)


def _answered(answer: JSON) -> Callable[[list[Row]], object]:
    """Return a function that replaces the last outcome of a recording by an answer."""

    def change(rows: list[Row]) -> None:
        rows[-1].pop("error", None)
        rows[-1]["answer"] = answer

    return change


def _refused(rows: list[Row]) -> None:
    """Replace the last answer of a recording by a refusal."""
    del rows[-1]["answer"]
    rows[-1]["error"] = {"code": "BAD_REQUEST", "status": 400, "message": "No", "data": None}


def _forbidden(rows: list[Row]) -> None:
    """Replace the code of the last refusal of a recording."""
    rows[-1]["error"].update(code="FORBIDDEN", status=403)


def _linked(rows: list[Row]) -> None:
    """Let the last call of a recording find the company that an earlier one has created."""
    (created,) = (row["answer"] for row in rows if row.get("path") == "companies.create")
    rows[-1]["answer"].update(companyId=created["id"], companyName=created["name"], linkStatus="linked")


def _optional_null(client: ChatarminOS, _: FakeTransport) -> None:
    client.call("companies.create", {"name": "Acme", "externalOrgId": "org_1", "domain": None})


def _local_date(client: ChatarminOS, _: FakeTransport) -> None:
    client.call("companies.create", {"name": "Acme", "externalOrgId": "org_1", "createdAt": "2024-01-15T10:30:00"})


def _word_as_date(client: ChatarminOS, _: FakeTransport) -> None:
    client.call("companies.create", {"name": "Acme", "externalOrgId": "org_1", "createdAt": "yesterday"})


def _two_companies_of_a_domain(client: ChatarminOS, _: FakeTransport) -> None:
    for org in ("org_1", "org_2"):
        _company(client, org, domain="acme.example")


def _equal_name_at_80_percent(client: ChatarminOS, _: FakeTransport) -> None:
    _company(client)
    client.companies.smart_link(external_org_id="org_2", hints={"company_name": "Company of org_1"}, min_confidence=0.8)


def _no_contacts(client: ChatarminOS, _: FakeTransport) -> None:
    client.contacts.bulk_upsert(company_id=_company(client), contacts=[])


def _enabling_an_expired_access(client: ChatarminOS, _: FakeTransport) -> None:
    company, past = _company(client), datetime(2024, 1, 1, tzinfo=UTC)
    client.features.set_access(company_id=company, feature_code="seats", is_enabled=True, valid_until=past)
    client.features.set_access(company_id=company, feature_code="seats", is_enabled=True)


def _negative_override(client: ChatarminOS, _: FakeTransport) -> None:
    client.tiers.get("pro")
    features = {"ai_credit": {"max_quantity": -1}}
    client.call("tiers.apply", {"tierCode": "pro", "companyId": _company(client), "features": features})


def _override_without_a_quantity(client: ChatarminOS, _: FakeTransport) -> None:
    company = _company(client)
    client.tiers.get("enterprise")
    client.features.list_access(company)
    client.tiers.apply("enterprise", company_id=company, features={"sso": {"max_quantity": 3}})


def _linking_a_subscription_twice(client: ChatarminOS, fake: FakeTransport) -> None:
    company, subscription = _company(client), fake.stripe.add_subscription(["price_pro_base"])
    for _ in range(2):
        client.billing.link_subscription(company_id=company, stripe_subscription_id=subscription)


def _reset_of_links_alone(client: ChatarminOS, _: FakeTransport) -> None:
    company = _company(client, contact_email="ann@acme.example")
    client.links.reset()
    client.contacts.list(company)


def _contact_at_a_known_domain(client: ChatarminOS, _: FakeTransport) -> None:
    _company(client, domain="acme.example")
    client.onboard(external_org_id="org_2", contact_email="ann@acme.example")


def _date_of_a_known_company(client: ChatarminOS, _: FakeTransport) -> None:
    _company(client, created_at=datetime(2023, 1, 1, tzinfo=UTC))
    client.onboard(external_org_id="org_1", created_at=datetime(2024, 1, 1, tzinfo=UTC))
    client.companies.get_by_product_link(external_org_id="org_1")


def _tier_over_a_higher_one(client: ChatarminOS, _: FakeTransport) -> None:
    client.tiers.get("free")
    client.tiers.get("pro")
    company = _company(client)
    client.tiers.apply("pro", company_id=company)
    client.onboard(external_org_id="org_1", tier_code="free")
    client.features.check(company_id=company, feature_code="ai_credit")


_COMPANY = {"id": "1", "shortId": "acme", "name": "Acme", "domain": None, "createdAt": None}
_NO_MATCH = _with(status="no_match", companyId=None, customerName=None, confidence=None)
_APPLIED = {"tierCode": "pro", "featuresApplied": 4}

CASES = {
    "optional-null": ("input-null", _optional_null, _answered(_COMPANY)),
    "local-date": ("input-date", _local_date, _answered(_COMPANY)),
    "word-as-date": ("input-date", _word_as_date, _answered(_COMPANY)),
    "two-companies-of-a-domain": ("company-duplicate", _two_companies_of_a_domain, _refused),
    "equal-name-at-80-percent": ("link-exact-confidence", _equal_name_at_80_percent, _NO_MATCH),
    "no-contacts": ("contact-bulk-empty", _no_contacts, _refused),
    "enabling-an-expired-access": ("access-set-expired", _enabling_an_expired_access, _with(isEnabled=True)),
    "negative-override": ("tier-override-limits", _negative_override, _answered(_APPLIED)),
    "override-without-a-quantity": ("tier-override-limits", _override_without_a_quantity, _forbidden),
    "linking-a-subscription-twice": ("subscription-again", _linking_a_subscription_twice, _with(alreadyLinked=False)),
    "reset-of-links-alone": ("link-reset-contacts", _reset_of_links_alone, _answered([])),
    "contact-at-a-known-domain": ("onboard-evidence", _contact_at_a_known_domain, _linked),
    "date-of-a-known-company": (
        "onboard-created-at",
        _date_of_a_known_company,
        _with(createdAt="2024-01-01T00:00:00.000Z"),
    ),
    "tier-over-a-higher-one": ("onboard-tier", _tier_over_a_higher_one, _with(quantityLimit=1000, remaining=1000)),
}


def _verdict(path: Path, name: str) -> str:
    (found,) = [one.verdict for one in check_recording(path).assumptions if one.name == name]
    return found


@pytest.mark.parametrize(("name", "calls", "change"), CASES.values(), ids=CASES)
def test_calls_exercise_an_assumption(
    name: str,
    calls: Callable[[ChatarminOS, FakeTransport], None],
    change: Callable[[list[Row]], object],
    tmp_path: Path,
) -> None:
    """The last call confirms the assumption as the fake answers it, and contradicts it with another answer."""
    path, fake = tmp_path / "recording.jsonl", FakeTransport(demo_catalogue())
    with ChatarminOS(transport=RecordingTransport(fake, path, prologue=True)) as client, suppress(ApiError):
        calls(client, fake)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    assert _verdict(path, name) == "confirmed"

    change(rows)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    assert _verdict(path, name) == "contradicted"
