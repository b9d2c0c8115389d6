"""Requests about companies and about linking them by hints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from attrs import field, fields, frozen

from chatarmin_os import _pydantic
from chatarmin_os._input import (
    company_identifier,
    fraction,
    hint,
    hint_addresses,
    identifier,
    keywords,
    name_fields_in_errors,
    optional_address,
    optional_text,
    optional_timestamp,
    text,
    timestamp,
)
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os._request import Request
from chatarmin_os.models.companies import Company, SmartLinkResult


@frozen(field_transformer=name_fields_in_errors)
class Hints(AcrossVersions, _pydantic.Instance):
    """Facts about a company that may exist already; blank text counts as omitted.

    Hints are claims: the matching company is handed over with its tier and its usage. Pass only facts that you have
    verified, such as the domain of a confirmed e-mail address, never a form field.

    Args:
        company_name: The company's name.
        domain: Its domain, as a host or a URL.
        emails: E-mail addresses of people at the company.

    Raises:
        InvalidInput: A field that is not text, or one text instead of a list of *emails*.

    Example:
        >>> Hints(company_name="Acme Inc", domain="")
        Hints(company_name='Acme Inc', domain=None, emails=())
    """

    company_name: str | None = field(default=None, converter=hint)
    domain: str | None = field(default=None, converter=hint)
    emails: tuple[str, ...] = field(default=(), converter=hint_addresses)


def hints(value: Hints | Mapping[str, Any] | None) -> Hints | None:
    """Return hints, given as such or as a mapping with their keys; None if all are omitted."""
    if value is None:
        return None
    if not isinstance(value, Hints):
        value = Hints(**keywords(value, allowed=tuple(field.name for field in fields(Hints))))
    return None if value == Hints() else value


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class GetByProductLinkInput(Request[Company | None]):
    """Get the company that an organisation id is linked to.

    `client.companies.get_by_product_link` describes the arguments, the result and the errors.

    Example:
        >>> client.send(GetByProductLinkInput(external_org_id="org_1")) is None
        True
    """

    path: ClassVar = "companies.getByProductLink"
    kind: ClassVar = "query"
    result: ClassVar = Company | None

    external_org_id: str = field(converter=identifier)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class CreateCompanyInput(Request[Company]):
    """Create a company and its link to an organisation.

    `client.companies.create` describes the arguments, the result and the errors.

    Example:
        >>> client.send(CreateCompanyInput(name="Acme Inc", external_org_id="org_1")).name
        'Acme Inc'
    """

    path: ClassVar = "companies.create"
    kind: ClassVar = "mutation"
    result: ClassVar = Company
    safe_to_repeat: ClassVar = False

    name: str = field(converter=text)
    external_org_id: str = field(converter=identifier)
    domain: str | None = field(default=None, converter=optional_text)
    contact_email: str | None = field(default=None, converter=optional_address)
    contact_name: str | None = field(default=None, converter=optional_text)
    created_at: datetime | None = field(default=None, converter=optional_timestamp)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class UpdateCompanyInput(Request[Company]):
    """Change the instant a company was created.

    `client.companies.update` describes the arguments, the result and the errors.

    Example:
        >>> company = client.onboard(external_org_id="org_1", tier_code="free").company_id
        >>> company = client.send(UpdateCompanyInput(company_id=company, created_at="2024-01-15T10:30:00Z"))
        >>> company.created_at.year
        2024
    """

    path: ClassVar = "companies.update"
    kind: ClassVar = "mutation"
    result: ClassVar = Company
    may_be_empty: ClassVar = True

    company_id: str = field(converter=company_identifier)
    created_at: datetime = field(converter=timestamp)


@frozen(kw_only=True, field_transformer=name_fields_in_errors)
class SmartLinkInput(Request[SmartLinkResult]):
    """Find the company that hints describe, and link it if the match is safe.

    `client.companies.smart_link` describes the arguments, the result and the errors.

    Example:
        >>> known = fake.add_company("Acme Inc", domain="acme.com")
        >>> client.send(SmartLinkInput(external_org_id="org_1", hints={"domain": "acme.com"})).status
        'linked'
    """

    path: ClassVar = "companies.smartLink"
    kind: ClassVar = "mutation"
    result: ClassVar = SmartLinkResult

    external_org_id: str = field(converter=identifier)
    hints: Hints | None = field(default=None, converter=hints)
    min_confidence: float | None = field(default=None, converter=fraction)
