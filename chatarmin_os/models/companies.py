"""Companies, what is known of them, and what linking by hints found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import field, frozen

from chatarmin_os import _pydantic
from chatarmin_os._input import hint, hint_addresses, name_fields_in_errors
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields


@frozen
class Company(AcrossVersions):
    """A customer company.

    Attributes:
        short_id: A slug of its name, such as acme-inc.
    """

    id: str = required()
    short_id: str | None = None
    name: str | None = None
    domain: str | None = None
    created_at: datetime | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen(field_transformer=name_fields_in_errors)
class Hints(AcrossVersions, _pydantic.Instance):
    """What is known of a company that may exist already; blank text counts as not given.

    Hints are claims: what matches is handed over with its tier and its usage. Pass only what you have verified, such
    as the domain of a confirmed e-mail address, never a form field.

    Example:
        >>> Hints(company_name="Acme Inc", domain="")
        Hints(company_name='Acme Inc', domain=None, emails=())
    """

    company_name: str | None = field(default=None, converter=hint)
    domain: str | None = field(default=None, converter=hint)
    emails: tuple[str, ...] = field(default=(), converter=hint_addresses)


@frozen
class Suggestion(AcrossVersions):
    """A company that may be meant.

    Attributes:
        confidence: Percent.
        reason: domain, name or email_domain.
    """

    company_id: str | None = None
    customer_name: str | None = None
    confidence: Quantity | None = None
    reason: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class SmartLinkResult(AcrossVersions):
    """What linking by hints came to.

    Attributes:
        status: already_linked, linked, suggestions or no_match.
        confidence: Percent.
    """

    status: str = required()
    company_id: str | None = None
    customer_name: str | None = None
    confidence: Quantity | None = None
    suggestions: tuple[Suggestion, ...] = ()
    extra: dict[str, Any] = unknown_fields()
