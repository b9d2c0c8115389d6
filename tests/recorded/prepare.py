"""The state of the service before the scenarios were recorded."""

from __future__ import annotations

import json

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue

PRO = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]
PAID, FOREIGN, OPEN, NAMED = "cs_test_paid", "cs_test_foreign", "cs_test_open", "cs_test_named"
SUBSCRIPTION, OTHER, CANCELLED, CLAIMED = "sub_own", "sub_other", "sub_cancelled", "sub_claimed"
CUSTOMER = "cus_own"


def prepared_fake() -> FakeTransport:
    """Return a product with some companies, and with the checkouts and subscriptions of the scenarios, by fixed ids."""
    fake = FakeTransport(demo_catalogue())
    fake.add_company("Globex Corporation", domain="globex.example")
    fake.add_company("Initech")
    fake.add_company("Umbrella Labs", domain="umbrella.example")
    fake.add_company("Umbrella Works", domain="works.example")
    client, stripe = ChatarminOS(transport=fake), fake.stripe
    hooli = client.companies.create(name="Hooli", external_org_id="org_hooli", contact_email="gavin@hooli.example")
    client.contacts.create(company_id=hooli.id, email="richard@piper.example", role="owner", metadata={"seat": 1})
    client.tiers.apply("trial", company_id=hooli.id)
    client.billing.track_usage(company_id=hooli.id, feature_code="ai_credit", quantity=20)
    ids = {
        PAID: stripe.add_checkout_session(PRO),
        NAMED: stripe.add_checkout_session(PRO, customer_name="Vehement Capital"),
        FOREIGN: stripe.add_checkout_session(PRO),
        OPEN: stripe.add_checkout_session(PRO, complete=False),
        SUBSCRIPTION: stripe.add_subscription(PRO, customer_id=CUSTOMER),
        OTHER: stripe.add_subscription([]),
        CANCELLED: stripe.add_subscription(PRO),
        CLAIMED: stripe.add_subscription(PRO),
    }
    stripe.cancel(ids[CANCELLED])
    client.billing.claim_checkout(company_id=hooli.id, checkout_session_id=ids[FOREIGN])
    client.billing.link_subscription(company_id=hooli.id, stripe_subscription_id=ids[CLAIMED])
    text = json.dumps(fake.snapshot())
    for known, random in ids.items():
        text = text.replace(random, known)
    return FakeTransport.from_snapshot(json.loads(text))
