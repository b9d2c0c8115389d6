"""Random scenarios for the drift check: days of an application, and sequences of any calls.

Against the service that was recorded nothing may drift, so each scenario that drifts is a false alarm. The tests run a
few of them; this prints how many of many drift:

    python tests/recorded/scenarios.py [COUNT]
"""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from chatarmin_os import ApiError, ChatarminOS
from chatarmin_os.drift import check_recording
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording.redactors import personal_data
from chatarmin_os.transports import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.drift import Report

FEATURES = ("ai_credit", "seats", "team_seats", "api_access", "sso")
TIERS = ("free", "trial", "pro", "enterprise")
PRO = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]


def check_day(seed: int, path: Path, *, is_late: bool = False, is_redacted: bool = False) -> Report:
    """Record a day of three customers, the first two of whom signed up before if *is_late*, and check it."""
    chance, fake = random.Random(seed), FakeTransport(demo_catalogue())  # noqa: S311 - not for secrets
    if is_late:
        for customer in range(2):
            _act(ChatarminOS(transport=fake), None, chance, customer)
    redact = personal_data if is_redacted else None
    recording = RecordingTransport(fake, path, overwrite=True, redact=redact, prologue=True)
    with ChatarminOS(transport=recording) as client:
        for customer in range(3):
            session = fake.stripe.add_checkout_session(PRO) if chance.random() < 0.2 else None
            _act(client, session, chance, customer)
    return check_recording(path)


def _act(client: ChatarminOS, session: str | None, chance: random.Random, customer: int) -> None:
    """Let a customer sign up and use the product."""
    org, tier = f"org_{customer}", chance.choice((None, *TIERS))
    company = client.onboard(
        external_org_id=org,
        hints={"company_name": f"Customer {customer}", "domain": f"customer{customer}.example"},
        contact_email=f"ann@customer{customer}.example",
        **({"checkout_session_id": session} if session else {"tier_code": tier} if tier else {}),
    ).company_id
    assert company
    acts: list[Callable[[], Any]] = [
        lambda: client.features.check_by_external_org_id(org, chance.choice(FEATURES)),
        lambda: client.features.check(company_id=company, feature_code=chance.choice(FEATURES)),
        lambda: client.features.list_access(company),
        lambda: client.billing.track_usage(
            company_id=company, feature_code=chance.choice(FEATURES), quantity=chance.choice((1, 5, 0.5, 50))
        ),
        lambda: client.features.set_access(
            company_id=company, feature_code=chance.choice(FEATURES[:3]), quantity_limit=chance.choice((None, 10, 50))
        ),
        lambda: client.tiers.apply(chance.choice(TIERS), company_id=company),
        lambda: client.tiers.get(chance.choice(TIERS)),
        lambda: client.billing.get_status(company),
        lambda: client.contacts.list(company),
        lambda: client.contacts.create(company_id=company, email=chance.choice("abc") + "@a.example", name="Ann"),
        lambda: client.companies.smart_link(external_org_id=org, hints={"company_name": "Customer"}),
        lambda: client.companies.get_by_product_link(external_org_id=org),
    ]
    for _ in range(chance.randint(3, 8)):
        with suppress(ApiError):
            chance.choice(acts)()


def check_sequence(seed: int, path: Path, *, size: int = 40) -> Report:
    """Record a sequence of random calls to a service in which others like it ran before, and check it."""
    chance, fake = random.Random(seed), FakeTransport(demo_catalogue())  # noqa: S311 - not for secrets
    sequence = _Sequence(fake, chance)
    client = ChatarminOS(transport=fake)
    for _ in range(chance.randint(0, size)):
        sequence.call(client)
    recording = RecordingTransport(fake, path, overwrite=True, prologue=True)
    with ChatarminOS(transport=recording) as client:
        for _ in range(size):
            sequence.call(client)
    return check_recording(path)


class _Sequence:
    """Makes random calls of any procedure, about a few organisations, companies, keys, checkouts and subscriptions."""

    def __init__(self, fake: FakeTransport, chance: random.Random) -> None:
        self._chance, self._ids = chance, ["00000000-0000-4000-8000-000000000000"]
        for name, domain in (("Globex", "globex.example"), ("Globex GmbH", None), ("Initech Labs", "initech.example")):
            if chance.random() < 0.7:
                self._ids.append(fake.add_company(name, domain=domain))
        self._sessions = ["cs_none", *(fake.stripe.add_checkout_session(PRO) for _ in range(2))]
        self._sessions.append(fake.stripe.add_checkout_session(PRO, complete=False))
        self._subscriptions = ["sub_none", *(fake.stripe.add_subscription(prices) for prices in (PRO, PRO, []))]
        fake.stripe.cancel(self._subscriptions[-2])

    def call(self, client: ChatarminOS) -> None:
        """Make one call."""
        path = self._chance.choice([*_INPUTS])
        given = {
            key: self._value(key) for key in _INPUTS[path].split() if key[-1] != "?" or self._chance.random() < 0.4
        }
        with suppress(ApiError):
            answer = client.call(
                path, {key.rstrip("?"): value for key, value in given.items()} or None, kind=_KINDS[path]
            )
            company = (
                answer.get("id" if path == "companies.create" else "companyId") if isinstance(answer, dict) else None
            )
            if company and company not in self._ids:
                self._ids.append(company)

    def _value(self, key: str) -> Any:
        chance, key = self._chance, key.rstrip("?")
        hints = {"companyName": ("Globex", "Globexx", "Initech"), "domain": ("globex.example", "initech.example")}
        values: dict[str, Callable[[], Any]] = {
            "companyId": lambda: chance.choice(self._ids),
            "externalOrgId": lambda: f"org_{chance.randint(1, 5)}",
            "featureCode": lambda: chance.choice((*FEATURES, "teleport")),
            "tierCode": lambda: chance.choice((*TIERS, "gold")),
            "checkoutSessionId": lambda: chance.choice(self._sessions),
            "stripeSubscriptionId": lambda: chance.choice(self._subscriptions),
            "idempotencyKey": lambda: f"key_{chance.randint(1, 12)}",
            "quantity": lambda: chance.choice((1, 0.5, 30, -1)),
            "quantityLimit": lambda: chance.choice((None, 5, 100)),
            "includedQuantity": lambda: chance.choice((None, 0, 5)),
            "isEnabled": lambda: chance.random() < 0.7,
            "isPrimary": lambda: chance.random() < 0.5,
            "primaryOnly": lambda: chance.random() < 0.5,
            "deleteContacts": lambda: chance.random() < 0.5,
            "validUntil": lambda: chance.choice((None, "2020-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z")),
            "createdAt": lambda: chance.choice(("2020-01-01T00:00:00.000Z", "2021-01-01T00:00:00.000Z")),
            "source": lambda: chance.choice(("manual", "trial", "subscription")),
            "config": lambda: {chance.choice("ab"): chance.randint(0, 3)},
            "metadata": lambda: {chance.choice("ab"): chance.randint(0, 3)},
            "email": lambda: (
                chance.choice("abc") + chance.choice(("@globex.example", "@initech.example", "@gmail.com"))
            ),
            "name": lambda: chance.choice(("Globex", "Initech", "Umbrella")),
            "domain": lambda: chance.choice(hints["domain"]),
            "features": lambda: {chance.choice(FEATURES[:2]): {"max_quantity": chance.choice((None, 7))}},
            "hints": lambda: {name: chance.choice(hints[name]) for name in hints if chance.random() < 0.6},
            "contacts": lambda: [{"email": self._value("email")} for _ in range(chance.randint(0, 3))],
            "label": lambda: chance.choice(("Vienna", "Graz")),
            "displayName": lambda: "Main",
        }
        return values["email" if key == "contactEmail" else key]()


_INPUTS = {
    "companies.getByProductLink": "externalOrgId",
    "companies.create": "name externalOrgId domain? contactEmail?",
    "companies.update": "companyId createdAt",
    "companies.smartLink": "externalOrgId hints?",
    "contacts.create": "companyId email name? isPrimary? metadata?",
    "contacts.bulkUpsert": "companyId contacts",
    "contacts.list": "companyId primaryOnly?",
    "features.check": "companyId featureCode",
    "features.checkByExternalOrgId": "externalOrgId featureCode",
    "features.listAccess": "companyId",
    "features.getAccessByExternalOrgId": "externalOrgId",
    "features.setAccess": (
        "companyId featureCode isEnabled? quantityLimit? includedQuantity? config? source? validUntil?"
    ),
    "billing.trackUsage": "companyId featureCode quantity idempotencyKey?",
    "billing.claimCheckout": "companyId checkoutSessionId",
    "billing.linkSubscription": "companyId stripeSubscriptionId tierCode? displayName?",
    "billing.getStatus": "companyId",
    "tiers.list": "",
    "tiers.get": "tierCode",
    "tiers.apply": "companyId tierCode features?",
    "links.create": "companyId externalOrgId label?",
    "links.reset": "deleteContacts?",
    "onboard": "externalOrgId hints? tierCode? contactEmail? checkoutSessionId? stripeSubscriptionId?",
}
"""Procedure -> the keys of its input, optional ones with a question mark."""

_QUERIES = ("get", "list", "check")
_KINDS: dict[str, Any] = {
    path: "query" if path.rpartition(".")[2].startswith(_QUERIES) else "mutation" for path in _INPUTS
}


def main(count: int) -> None:
    """Print how many of many scenarios drift."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.jsonl"
        checks: dict[str, Callable[[int], Report]] = {
            "a day, recorded whole": lambda seed: check_day(seed, path),
            "a day of customers who signed up before": lambda seed: check_day(seed, path, is_late=True),
            "a redacted day": lambda seed: check_day(seed, path, is_redacted=True),
            "a sequence of 40 random calls": lambda seed: check_sequence(seed, path),
        }
        for name, check in checks.items():
            reports = [check(seed) for seed in range(count)]
            calls = [call for report in reports for call in report.calls]
            print(  # noqa: T201 - a script
                f"{name}: {sum(report.is_drift for report in reports)} of {count} drift, "
                f"{sum(bool(call.differences) for call in calls)} of {len(calls)} calls; "
                f"{sum(call.unknown is not None for call in calls)} calls not checked"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
