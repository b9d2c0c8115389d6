"""Requests about links."""

from __future__ import annotations

from typing import ClassVar

from attrs import field, frozen

from chatarmin_os._input import (
    boolean,
    company_identifier,
    identifier,
    name_fields_in_errors,
    optional_identifier,
    optional_text,
)
from chatarmin_os._request import Request
from chatarmin_os.models.links import Link, ResetResult


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class CreateLinkInput(Request[Link]):
    """Link an organisation id to a company by hand.

    `client.links.create` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> client.send(CreateLinkInput(company_id=company, external_org_id="org_2")).external_org_id
        'org_2'
    """

    path: ClassVar = "links.create"
    kind: ClassVar = "mutation"
    result: ClassVar = Link
    safe_to_repeat: ClassVar = False
    may_be_empty: ClassVar = True

    company_id: str = field(converter=company_identifier)
    external_org_id: str = field(converter=identifier)
    label: str | None = field(default=None, converter=optional_text)
    external_user_id: str | None = field(default=None, converter=optional_identifier)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class ResetLinksInput(Request[ResetResult]):
    """Delete all links of the product.

    `client.links.reset` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> reset = client.send(ResetLinksInput())
        >>> client.companies.get_by_product_link(external_org_id="org_1") is None
        True
    """

    path: ClassVar = "links.reset"
    kind: ClassVar = "mutation"
    result: ClassVar = ResetResult
    safe_to_repeat: ClassVar = False

    delete_contacts: bool = field(default=False, converter=boolean)
    reset_mrr: bool = field(default=False, converter=boolean)
