"""Links between companies and organisations, created and deleted by hand."""

from __future__ import annotations

from uuid import UUID

from chatarmin_os.models.links import Link, ResetResult
from chatarmin_os.procedures.links import CreateLinkInput, ResetLinksInput
from chatarmin_os.resources._base import Resource


class Links(Resource):
    """`client.links`: links between companies and organisations, created and deleted by hand."""

    __slots__ = ()

    def create(
        self,
        *,
        company_id: str | UUID,
        external_org_id: str | UUID,
        label: str | None = None,
        external_user_id: str | UUID | None = None,
    ) -> Link:
        """Link your organisation to an existing company.

        It is never retried once it may have run: after an error check with `companies.get_by_product_link` whether it
        did.

        Args:
            company_id: The company; it may have many links.
            external_org_id: Your id of the organisation; it has at most one link.
            label: The name to show for the link.
            external_user_id: Your id of the user who created it.

        Returns:
            The link. The README of the service shows no result: if the answer is empty, all fields are None.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            NotFoundError: The company does not exist.
            ConflictError: The organisation is linked to another company.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Assumed here: the same link again updates its label and user.

        Example:
            >>> company = client.companies.create(name="Acme Inc", external_org_id="org_1")
            >>> client.links.create(company_id=company.id, external_org_id="org_2", label="Store Vienna").label
            'Store Vienna'
        """
        return self._send(
            CreateLinkInput(
                company_id=company_id,
                external_org_id=external_org_id,
                label=label,
                external_user_id=external_user_id,
            )
        )

    def reset(self, *, delete_contacts: bool = False, reset_mrr: bool = False) -> ResetResult:
        """Delete all links of the product, to repeat an import.

        Companies, accesses and usage stay. It is never retried once it may have run: a second reset would delete links
        that were created in between.

        Args:
            delete_contacts: Delete all contacts too.
            reset_mrr: Set the monthly recurring revenue of every company to 0.

        Returns:
            The numbers of deleted links and contacts.

        Raises:
            InvalidInput: An invalid argument; nothing was sent.
            ApiError: The service refused for another reason, or failed.
            TransportError: No usable response was received.

        Example:
            >>> company = client.companies.create(name="Acme Inc", external_org_id="org_1")
            >>> client.links.reset(delete_contacts=True)
            ResetResult(links_deleted=1, contacts_deleted=0)
        """
        return self._send(ResetLinksInput(delete_contacts=delete_contacts, reset_mrr=reset_mrr))
