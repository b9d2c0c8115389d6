"""`manage.py chatarmin_status ORG`: the company of an organisation, its subscriptions and its features."""

from __future__ import annotations

from typing import Any

from chatarmin_os._json import document_of
from chatarmin_os.errors import ApiError
from chatarmin_os.integrations.django.command import ServiceCommand
from chatarmin_os.integrations.django.services import get_client, get_gate
from chatarmin_os.web.report import status_lines


class Command(ServiceCommand):
    """Shows the company of an organisation, and what it may use."""

    help = "Shows the company of an organisation, and what it may use."

    def lines(self, options: dict[str, Any]) -> list[str]:
        """Return the company and a table of its features."""
        return status_lines(get_gate(), options["org"])

    def document(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the company as `chatarmin-os status --json` prints it, with its name and features.

        Raises:
            NotFoundError: The organisation is not linked to a company.
        """
        client, org = get_client(), options["org"]
        company = client.companies.get_by_product_link(external_org_id=org)
        if company is None:
            raise ApiError.from_code("NOT_FOUND", f"{org} is not linked to a company")
        return {
            "company_id": company.id,
            "company_name": company.name,
            **document_of(client.billing.get_status(company.id)),
            "features": document_of(client.features.list_access(company.id)),
        }
