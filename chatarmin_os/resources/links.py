"""Links made and deleted by hand."""

from __future__ import annotations

from uuid import UUID

from chatarmin_os.models.links import Link, ResetResult
from chatarmin_os.procedures.links import CreateLinkInput, ResetLinksInput
from chatarmin_os.resources._base import Resource


class Links(Resource):
    """`client.links`."""

    __slots__ = ()

    def create(
        self,
        *,
        company_id: str | UUID,
        external_org_id: str | UUID,
        label: str | None = None,
        external_user_id: str | UUID | None = None,
    ) -> Link:
        """Link your organisation to a company that exists.

        Args:
            company_id: The company; it may have many links.
            external_org_id: Your own id of the organisation; it has at most one.
            label: What to show for it.
            external_user_id: Who made it.

        Raises:
            NotFoundError: No such company.
            ConflictError: The organisation is linked to another company.

        The same link again updates its label and user, decided by this project. A lost answer is not repeated: look
        with `companies.get_by_product_link` whether it was made. The service's README shows no result: should the
        service answer nothing, the model's fields are all None.

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
        """Delete all links of the product, before an import is made again.

        Companies, accesses and usage stay. A lost answer is never repeated: a second reset would delete what was
        linked since.

        Args:
            delete_contacts: Delete all contacts too.
            reset_mrr: Set the monthly recurring revenue of every company to 0.

        Example:
            >>> company = client.companies.create(name="Acme Inc", external_org_id="org_1")
            >>> client.links.reset(delete_contacts=True)
            ResetResult(links_deleted=1, contacts_deleted=0)
        """
        return self._send(ResetLinksInput(delete_contacts=delete_contacts, reset_mrr=reset_mrr))
