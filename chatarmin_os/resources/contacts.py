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
    """`client.contacts`: people at companies."""

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
        """Create a contact, or update the one with this e-mail address.

        An update keeps the omitted fields, and merges *metadata* key by key. A company has at most one primary contact:
        a new primary contact replaces the previous one. After a retry `is_new` may be False although this call created
        the contact, so do not send a welcome mail by it alone.

        Args:
            company_id: The company.
            email: The address, which identifies the contact whatever its case.
            name: The contact's name.
            role: Its role, such as "CEO".
            is_primary: Whether it is the company's primary contact.
            avatar_url: The URL of its picture.
            metadata: Notes to store with it, as JSON.

        Returns:
            The contact; `is_new` says whether it was created.

        Raises:
            InvalidInput: An invalid argument, or a place in *metadata*; nothing was sent.
            NotFoundError: The company does not exist.
            BadRequestError: *email* is not an e-mail address, or *avatar_url* not a URL.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states that it creates or updates. Everything else is assumed here.

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

        It is equal to `create` calls in order, but one invalid entry rejects the whole call.

        Args:
            company_id: The company.
            contacts: `ContactInput`s, or mappings with its keys.

        Returns:
            The numbers of created and updated contacts, and the contacts.

        Raises:
            InvalidInput: An invalid argument, with the index of the entry (`contacts[3].email`); nothing was sent.
            NotFoundError: The company does not exist.
            BadRequestError: An entry has an invalid address or URL; the message names its index.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        The README of the service states the result. Assumed here: all or none.

        Example:
            >>> company = client.companies.create(name="Acme Inc", external_org_id="org_1")
            >>> people = [{"email": "ann@acme.com", "is_primary": True}, {"email": "bob@acme.com"}]
            >>> client.contacts.bulk_upsert(company_id=company.id, contacts=people).created
            2
        """
        return self._send(BulkUpsertInput(company_id=company_id, contacts=contacts))

    def list(self, company_id: str | UUID, *, primary_only: bool = False) -> builtins.list[Contact]:
        """Return a company's contacts in order of creation.

        Args:
            company_id: The company.
            primary_only: Return the primary contact only.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company does not exist.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> company = client.companies.create(name="Acme", external_org_id="org_1", contact_email="ann@acme.com")
            >>> [contact.email for contact in client.contacts.list(company.id, primary_only=True)]
            ['ann@acme.com']
        """
        return self._send(ListContactsInput(company_id=company_id, primary_only=primary_only))
