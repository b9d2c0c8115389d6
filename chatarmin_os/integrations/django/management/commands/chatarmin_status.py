"""`manage.py chatarmin_status ORG`: the subscriptions of an organisation."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from chatarmin_os.integrations.django.command import ServiceCommand, document_of
from chatarmin_os.integrations.django.services import get_client


class Command(ServiceCommand):
    """Shows an organisation's subscriptions."""

    help = "Shows the subscriptions of an organisation."

    def run(self, org: str, options: dict[str, Any]) -> None:
        """Print the subscriptions."""
        client = get_client()
        company = client.companies.get_by_product_link(external_org_id=org)
        if company is None:
            raise CommandError(f"{org} is not linked to a company; link it with client.onboard or client.sign_up")
        status = client.billing.get_status(company.id)
        rows = [
            {
                "subscription": subscription.display_name or subscription.id,
                "tier": subscription.tier and (subscription.tier.name or subscription.tier.code),
                "stripe": subscription.stripe_subscription_id,
            }
            for subscription in status.active_subscriptions
        ]
        billing = [] if rows else ["No active subscriptions." if status.has_billing_profile else "No billing profile."]
        count = status.enabled_features_count
        features = [] if count is None else [f"{count} feature{' is' if count == 1 else 's are'} enabled."]
        self.print(options, {"company_id": company.id, **document_of(status)}, rows, *billing, *features)
