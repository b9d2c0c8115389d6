"""The scenario of the quickstart command: two customers from sign-up to upgrade, on the in-memory fake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os import ChatarminOS, FeatureAccess, UsageLimitError
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator


class Step(NamedTuple):
    """A step: its situation, the call, and the result."""

    title: str
    call: str
    outcome: str


class Scenario:
    """Two customers of a small product; `steps` runs once, `companies` shows the result."""

    def __init__(self) -> None:
        self._fake = FakeTransport(demo_catalogue())
        self._client = ChatarminOS(transport=self._fake)

    def steps(self) -> Iterator[Step]:
        """Run the scenario, and yield each step after its call."""
        client, fake = self._client, self._fake

        tiers = client.tiers.list()
        yield Step(
            "The product has tiers. Each grants features, some up to a limit.",
            "client.tiers.list()",
            ", ".join(tier.name or tier.code for tier in tiers),
        )

        fake.add_company("Acme GmbH", domain="acme.example")
        acme = client.sign_up(external_org_id="org_acme", name="Acme", verified_domain="acme.example")
        yield Step(
            "An organisation signs up. ChatarminOS finds the company by its verified domain, and links it.",
            'client.sign_up(external_org_id="org_acme", name="Acme", verified_domain="acme.example")',
            f"link_status {acme.link_status!r}: org_acme is {acme.company_name}, no second company is created",
        )

        bolt = client.sign_up(
            external_org_id="org_bolt",
            name="Bolt Ltd",
            verified_domain="bolt.example",
            starting_tier="free",
            contact_email="bea@bolt.example",
        )
        yield Step(
            "Another organisation signs up. No company matches: a new one is created, on the free tier.",
            'client.sign_up(external_org_id="org_bolt", name="Bolt Ltd", ..., starting_tier="free")',
            f"link_status {bolt.link_status!r}: {bolt.company_name} is a new company",
        )

        yield Step(
            "Bolt wants to use AI credits. Can it use them now?",
            'client.features.check(company_id=bolt.company_id, feature_code="ai_credit")',
            _quota(self._credits("org_bolt")),
        )

        for attempt in ("sent", "sent again"):
            used = client.billing.track_usage(
                company_id=bolt.company_id, feature_code="ai_credit", quantity=60, idempotency_key="job-1"
            )
            yield Step(
                f"Bolt uses 60 for job-1; the event is {attempt}."
                + (" Its key identifies it, so it counts once." if attempt == "sent again" else ""),
                'client.billing.track_usage(..., quantity=60, idempotency_key="job-1")',
                f"current_usage {used.current_usage}, remaining {used.remaining}",
            )

        used = client.billing.track_usage(
            company_id=bolt.company_id, feature_code="ai_credit", quantity=40, idempotency_key="job-2"
        )
        yield Step(
            "Another job uses 40: exactly up to the limit.",
            'client.billing.track_usage(..., quantity=40, idempotency_key="job-2")',
            f"current_usage {used.current_usage}, remaining {used.remaining}, is_at_limit {used.is_at_limit}",
        )

        try:
            client.billing.track_usage(
                company_id=bolt.company_id, feature_code="ai_credit", quantity=1, idempotency_key="job-3"
            )
        except UsageLimitError as error:
            yield Step(
                "One more exceeds the limit. The service refuses it and counts nothing.",
                'client.billing.track_usage(..., quantity=1, idempotency_key="job-3")',
                f"{type(error).__name__}: {error}",
            )

        pro = client.tiers.get("pro")
        session = fake.stripe.add_checkout_session(pro.stripe_price_ids, customer_name="Bolt Ltd")
        claim = client.billing.claim_checkout(company_id=bolt.company_id, checkout_session_id=session)
        yield Step(
            f"Bolt buys {pro.name} in a Stripe checkout with the tier's prices ({', '.join(pro.stripe_price_ids)}). "
            "The checkout is claimed.",
            "client.billing.claim_checkout(company_id=bolt.company_id, checkout_session_id=...)",
            f"already_claimed {claim.already_claimed}: the subscription is Bolt's, and its tier is applied",
        )

        yield Step(
            "The limit is higher; the usage is the same.",
            'client.features.check_by_external_org_id("org_bolt", "ai_credit")',
            _quota(self._credits("org_bolt")),
        )

    def companies(self) -> list[dict[str, Any]]:
        """Return the state of the companies, as rows of a table."""
        return [self._row("org_acme"), self._row("org_bolt")]

    def _row(self, external_org_id: str) -> dict[str, Any]:
        company = self._client.companies.get_by_product_link(external_org_id=external_org_id)
        assert company is not None  # noqa: S101 - linked in the first steps
        status = self._client.billing.get_status(company.id)
        tiers = [subscription.tier.name for subscription in status.active_subscriptions if subscription.tier]
        credits_ = self._credits(external_org_id)
        return {
            "company": company.name,
            "external_org_id": external_org_id,
            "paid_tier": ", ".join(filter(None, tiers)) or None,
            "features": status.enabled_features_count,
            "ai_credits_used": credits_.current_usage,
            "ai_credits_limit": credits_.quantity_limit,
        }

    def _credits(self, external_org_id: str) -> FeatureAccess:
        return self._client.features.check_by_external_org_id(external_org_id, "ai_credit")


def _quota(access: FeatureAccess) -> str:
    return f"can_use {access.can_use}, current_usage {access.current_usage}, quantity_limit {access.quantity_limit}"
