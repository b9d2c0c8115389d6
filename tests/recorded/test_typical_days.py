"""Days of an application, made up at random and recorded: where the service is right next to nothing drifts."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ApiError, ChatarminOS
from chatarmin_os.drift import check_recording
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.recording.redactors import personal_data
from chatarmin_os.transports import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

FEATURES = ("ai_credit", "seats", "team_seats", "api_access", "sso")
TIERS = ("free", "trial", "pro", "enterprise")
PRO = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]


def _live(client: ChatarminOS, stripe_session: str | None, chance: random.Random, customer: int) -> None:
    """Let one customer sign up and use the product."""
    org, tier = f"org_{customer}", chance.choice((None, *TIERS))
    company = client.onboard(
        external_org_id=org,
        hints={"company_name": f"Customer {customer}", "domain": f"customer{customer}.example"},
        contact_email=f"ann@customer{customer}.example",
        **({"checkout_session_id": stripe_session} if stripe_session else {"tier_code": tier} if tier else {}),
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


def _drifted(seed: int, path: Path, *, is_late: bool = False, is_redacted: bool = False) -> bool:
    """Record a day of some customers, from its beginning or late, and return whether it drifts."""
    chance, fake = random.Random(seed), FakeTransport(demo_catalogue())  # noqa: S311 - nothing here is secret
    if is_late:
        for customer in range(2):
            _live(ChatarminOS(transport=fake), None, chance, customer)
    redact = personal_data if is_redacted else None
    with ChatarminOS(transport=RecordingTransport(fake, path, overwrite=True, redact=redact)) as client:
        for customer in range(3):
            session = fake.stripe.add_checkout_session(PRO) if chance.random() < 0.2 else None
            _live(client, session, chance, customer)
    return check_recording(path).is_drift


def test_a_day_that_is_recorded_whole(tmp_path: Path) -> None:
    """From the sign-up on, hardly anything cannot be known."""
    assert sum(_drifted(seed, tmp_path / "day.jsonl") for seed in range(120)) <= 6


def test_a_day_of_customers_that_were_there_before(tmp_path: Path) -> None:
    """What they were given and have used shows in what they are seen to have."""
    assert sum(_drifted(seed, tmp_path / "day.jsonl", is_late=True) for seed in range(120)) <= 6


def test_a_day_that_was_redacted(tmp_path: Path) -> None:
    """Pseudonyms are as good as names."""
    assert sum(_drifted(seed, tmp_path / "day.jsonl", is_redacted=True) for seed in range(120)) <= 6
