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
    """`client.companies`."""

    __slots__ = ()

    def get_by_product_link(self, *, external_org_id: str | UUID) -> Company | None:
        """Return the company that your organisation id is linked to, None if there is none.

        Raises:
            InvalidInput: A blank id.

        An unlinked id is no error: stated by the service's README.

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

        Args:
            name: Its name; `short_id` is made of it.
            external_org_id: Your own id of the organisation.
            domain: Its domain, as a host or a URL.
            contact_email: Makes a primary contact.
            contact_name: That contact's name; ignored without an address.
            created_at: When it came into being, as an aware datetime or ISO 8601 text with an offset.

        Raises:
            InvalidInput: An argument that cannot be.
            BadRequestError: No domain, or no e-mail address.
            ConflictError: The organisation id is linked already; nothing was created.

        That it creates both is stated by the service's README; the conflict is decided by this project. A lost answer
        is not repeated: look with `get_by_product_link` whether it was created.

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
        """Change when a company came into being.

        Raises:
            InvalidInput: A naive datetime, or text that is no instant.
            NotFoundError: No such company.

        The service's README shows no result: should the service answer nothing, the model's fields are all None.

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
        """Find the company that *hints* describe, and link it to your organisation where that is safe.

        Hints are claims: pass only what you have verified (the domain of a confirmed e-mail address, never a form
        field), for what matches is handed over with its tier and its usage.

        Args:
            external_org_id: Your own id of the organisation.
            hints: `Hints`, or a mapping with its keys: company_name, domain, emails.
            min_confidence: A fraction from 0 to 1; candidates below it are dropped. The service takes 0.6.

        Raises:
            InvalidInput: An argument that cannot be.
            BadRequestError: A hint that is no domain, or no e-mail address.

        A domain gives 95 percent, a name up to 80, an e-mail domain 70: stated by the service's README. Decided by
        this project: only a domain, an equal name, or an e-mail domain that is the company's own can link, and only
        with 10 points more than the next; free mail providers are no evidence; anything else is a suggestion.

        Example:
            >>> company = fake.add_company("Acme Inc", domain="acme.com")
            >>> found = client.companies.smart_link(external_org_id="org_1", hints={"domain": "www.acme.com"})
            >>> found.status, found.confidence, found.company_id == company
            ('linked', 95, True)
        """
        return self._send(SmartLinkInput(external_org_id=external_org_id, hints=hints, min_confidence=min_confidence))
