"""Companies, and the result of linking by hints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import frozen

from chatarmin_os._lazy import lazy_exports
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import Quantity, required, unknown_fields

# Pickles of 0.1.0 have it here.
__getattr__, __dir__ = lazy_exports(__name__, {"chatarmin_os.procedures.companies": ("Hints",)})


@frozen
class Company(AcrossVersions):
    """A customer company.

    Attributes:
        id: The service's id.
        short_id: A slug of the name, such as acme-inc.
        name: Its name to show.
        domain: The host name, such as acme.com.
        created_at: The instant the company was created, in UTC.
        extra: Fields that this version does not know, in wire names.
    """

    id: str = required()
    short_id: str | None = None
    name: str | None = None
    domain: str | None = None
    created_at: datetime | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class Suggestion(AcrossVersions):
    """A company that the hints may describe.

    Attributes:
        company_id: The company, for `links.create`.
        customer_name: Its name to show.
        confidence: In percent.
        reason: The kind of the evidence: domain, name or email_domain.
        extra: Fields that this version does not know, in wire names.
    """

    company_id: str | None = None
    customer_name: str | None = None
    confidence: Quantity | None = None
    reason: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class SmartLinkResult(AcrossVersions):
    """The result of linking by hints.

    Attributes:
        status: already_linked, linked, suggestions or no_match.
        company_id: The linked company; None if none is linked.
        customer_name: Its name to show.
        confidence: In percent; None if it was not a match by hints.
        suggestions: Companies to confirm by hand, if `status` is suggestions.
        extra: Fields that this version does not know, in wire names.
    """

    status: str = required()
    company_id: str | None = None
    customer_name: str | None = None
    confidence: Quantity | None = None
    suggestions: tuple[Suggestion, ...] = ()
    extra: dict[str, Any] = unknown_fields()
