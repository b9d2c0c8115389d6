"""Many clients at once: their changes add up exactly."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import serve_fake

pytestmark = pytest.mark.slow

KEY = "os_sk_load"
CLIENTS = 8
MUTATIONS = 2_000 if os.environ.get("CHATARMIN_FULL") else 250
EVENTS, COMPANIES = MUTATIONS * 8 // 10, MUTATIONS // 10  # of each client; as many links of the companies


def test_changes_of_eight_clients_add_up() -> None:
    """Usage, repeated keys, companies and links of eight clients are counted once each."""
    fake = FakeTransport(demo_catalogue())
    company = ChatarminOS(transport=fake).onboard(external_org_id="org_0", tier_code="enterprise").company_id
    assert company

    def act(number: int) -> None:
        with ChatarminOS(KEY, base_url=url, timeout=120) as client:
            for turn in range(EVENTS):
                # Each key is sent by two clients, and counted for the first one.
                key = f"event-{number // 2}-{turn}"
                client.billing.track_usage(
                    company_id=company, feature_code="ai_credit", quantity=turn + 1, idempotency_key=key
                )
            for turn in range(COMPANIES):
                created = client.companies.create(
                    name=f"Company {number} {turn}", external_org_id=f"org_{number}_{turn}"
                )
                client.links.create(company_id=created.id, external_org_id=f"second_{number}_{turn}")

    with serve_fake({KEY: fake}) as url:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(act, range(CLIENTS)))
        with ChatarminOS(KEY, base_url=url) as client:
            access = client.features.check(company_id=company, feature_code="ai_credit")

    snapshot = fake.snapshot()
    assert access.current_usage == CLIENTS // 2 * EVENTS * (EVENTS + 1) // 2
    assert len(snapshot["events"]) == CLIENTS // 2 * EVENTS
    assert len(snapshot["companies"]) == 1 + CLIENTS * COMPANIES
    assert len(snapshot["links"]) == 1 + 2 * CLIENTS * COMPANIES
    assert len({row["shortId"] for row in snapshot["companies"]}) == len(snapshot["companies"])
