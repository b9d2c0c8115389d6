"""Links between your organisation ids and companies."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import required, unknown_fields


@frozen
class Link(AcrossVersions):
    """The link of one of your organisation ids to a company.

    Attributes:
        company_id: The company.
        external_org_id: Your id of the organisation.
        label: The name to show for the link.
        external_user_id: Your id of the user who created it.
        extra: Fields that this version does not know, in wire names.
    """

    company_id: str | None = None
    external_org_id: str | None = None
    label: str | None = None
    external_user_id: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class ResetResult(AcrossVersions):
    """The result of a reset.

    Attributes:
        links_deleted: The number of deleted links.
        contacts_deleted: The number of deleted contacts.
        extra: Fields that this version does not know, in wire names.
    """

    links_deleted: int = required()
    contacts_deleted: int | None = None
    extra: dict[str, Any] = unknown_fields()
