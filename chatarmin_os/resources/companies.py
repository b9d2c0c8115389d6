"""Companies and their links to your organisations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from chatarmin_os._input import Number
from chatarmin_os.models.companies import Company, SmartLinkResult
from chatarmin_os.procedures.companies import (
    CreateCompanyInput,
    GetByProductLinkInput,
    Hints,
    SmartLinkInput,
    UpdateCompanyInput,
)
from chatarmin_os.resources._base import Resource


class Companies(Resource):
    """`client.companies`: companies and their links to your organisations."""

    __slots__ = ()

    def get_by_product_link(self, *, external_org_id: str | UUID) -> Company | None:
        """Return the company that your organisation id is linked to; None if it is not linked.

        Args:
            external_org_id: Your id of the organisation.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states that an unlinked id is not an error.

        Example:
            >>> client.companies.get_by_product_link(external_org_id="org_unknown") is None
            True
        """
        return self._send(GetByProductLinkInput(external_org_id=external_org_id))

    def create(
        self,
        *,
        name: str,
        external_org_id: str | UUID,
        domain: str | None = None,
        contact_email: str | None = None,
        contact_name: str | None = None,
        created_at: datetime | str | None = None,
    ) -> Company:
        """Create a company and its link to your organisation.

        It is never retried once it may have run: after an error check with `get_by_product_link` whether it did.

        Args:
            name: The company's name; `short_id` is derived from it.
            external_org_id: Your id of the organisation.
            domain: The company's domain, as a host or a URL.
            contact_email: The address of a primary contact to create.
            contact_name: That contact's name; ignored without an address.
            created_at: The instant the company was created: an aware datetime, or ISO 8601 text with an offset.

        Returns:
            The company, with its normalized domain.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            BadRequestError: *domain* is not a domain, or *contact_email* not an e-mail address.
            ConflictError: The organisation id is linked already; nothing was created.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states that it creates both. Assumed here: the conflict.

        Example:
            >>> client.companies.create(name="Acme Inc", external_org_id="org_1", domain="https://www.acme.com").domain
            'acme.com'
        """
        return self._send(
            CreateCompanyInput(
                name=name,
                external_org_id=external_org_id,
                domain=domain,
                contact_email=contact_email,
                contact_name=contact_name,
                created_at=created_at,
            )
        )

    def update(self, *, company_id: str | UUID, created_at: datetime | str) -> Company:
        """Change the instant a company was created.

        Args:
            company_id: The company.
            created_at: An aware datetime, or ISO 8601 text with an offset.

        Returns:
            The company. The README of the service shows no result: if the answer is empty, all fields are None.

        Raises:
            InvalidInput: An invalid argument, such as a naive datetime; nothing was sent.
            NotFoundError: The company does not exist.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> company = client.companies.create(name="Acme Inc", external_org_id="org_1")
            >>> client.companies.update(company_id=company.id, created_at="2023-06-01T00:00:00Z").created_at.year
            2023
        """
        return self._send(UpdateCompanyInput(company_id=company_id, created_at=created_at))

    def smart_link(
        self,
        *,
        external_org_id: str | UUID,
        hints: Hints | Mapping[str, Any] | None = None,
        min_confidence: Number | None = None,
    ) -> SmartLinkResult:
        """Find the company that *hints* describe, and link it to your organisation if the match is safe.

        Hints are claims: pass only facts that you have verified (the domain of a confirmed e-mail address, never a form
        field), for the matching company is handed over with its tier and its usage.

        Args:
            external_org_id: Your id of the organisation.
            hints: `Hints`, or a mapping with its keys: company_name, domain, emails.
            min_confidence: A fraction from 0 to 1: less likely companies are dropped; the default of the service is
                0.6.

        Returns:
            The status, and the linked company or suggestions; `confidence` is in percent.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            BadRequestError: A hint is not a domain, or not an e-mail address.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the confidence: 95 percent for a domain, up to 80 for a name, 70 for an e-mail
        domain. Assumed here: only a domain, an equal name, or an e-mail domain that is the company's own links, and
        only with 10 points more than the next; domains of free mail providers are not evidence; anything else is a
        suggestion.

        Example:
            >>> company = fake.add_company("Acme Inc", domain="acme.com")
            >>> match = client.companies.smart_link(external_org_id="org_1", hints={"domain": "www.acme.com"})
            >>> match.status, match.confidence, match.company_id == company
            ('linked', 95, True)
        """
        return self._send(SmartLinkInput(external_org_id=external_org_id, hints=hints, min_confidence=min_confidence))
