"""People at companies."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from chatarmin_os.models.contacts import BulkUpsertResult, Contact
from chatarmin_os.procedures.contacts import BulkUpsertInput, ContactInput, CreateContactInput, ListContactsInput
from chatarmin_os.resources._base import Resource


class Contacts(Resource):
    """`client.contacts`."""

    __slots__ = ()

    def create(
        self,
        *,
        company_id: str | UUID,
        email: str,
        name: str | None = None,
        role: str | None = None,
        is_primary: bool | None = None,
        avatar_url: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Contact:
        """Create a contact, or update the one with this e-mail address; `is_new` tells which.

        On an update what is not given stays, and *metadata* is merged key by key. A company has at most one primary
        contact: making one primary demotes the other. After a retry `is_new` may be False for a contact that this
        call made: no welcome mail should hang on it alone.

        Raises:
            InvalidInput: An argument that cannot be; the place in metadata is named.
            NotFoundError: No such company.
            BadRequestError: No e-mail address.

        That it creates or updates is stated by the service's README, the rest is decided by this project.

        Example:
            >>> company = client.companies.create(name="Acme Inc", external_org_id="org_1")
            >>> client.contacts.create(company_id=company.id, email="ann@acme.com", role="CEO").is_new
            True
            >>> client.contacts.create(company_id=company.id, email="Ann@acme.com", name="Ann").role
            'CEO'
        """
        return self._send(
            CreateContactInput(
                company_id=company_id,
                email=email,
                name=name,
                role=role,
                is_primary=is_primary,
                avatar_url=avatar_url,
                metadata=metadata,
            )
        )

    def bulk_upsert(
        self, *, company_id: str | UUID, contacts: Iterable[ContactInput | Mapping[str, Any]]
    ) -> BulkUpsertResult:
        """Create or update many contacts, all or none.

        It is the sequence of `create` calls in order, but one invalid entry rejects the whole call.

        Args:
            company_id: The company.
            contacts: `ContactInput`s, or mappings with its keys.

        Raises:
            InvalidInput: An entry that cannot be, with its index: `contacts[3].email`.
            NotFoundError: No such company.
            BadRequestError: An entry has no e-mail address; the message names its index.

        What it answers is stated by the service's README, all or none is decided by this project.

        Example:
            >>> company = client.companies.create(name="Acme Inc", external_org_id="org_1")
            >>> people = [{"email": "ann@acme.com", "is_primary": True}, {"email": "bob@acme.com"}]
            >>> client.contacts.bulk_upsert(company_id=company.id, contacts=people).created
            2
        """
        return self._send(BulkUpsertInput(company_id=company_id, contacts=contacts))

    def list(self, company_id: str | UUID, *, primary_only: bool = False) -> builtins.list[Contact]:
        """Return a company's contacts in order of creation, or only the primary one.

        Raises:
            NotFoundError: No such company.

        Example:
            >>> company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="ann@acme.com")
            >>> [contact.email for contact in client.contacts.list(company.id, primary_only=True)]
            ['ann@acme.com']
        """
        return self._send(ListContactsInput(company_id=company_id, primary_only=primary_only))
