"""Links between your organisation ids and companies."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import required, unknown_fields


@frozen
class Link(AcrossVersions):
    """One of your organisation ids, tied to a company."""

    company_id: str | None = None
    external_org_id: str | None = None
    label: str | None = None
    external_user_id: str | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class ResetResult(AcrossVersions):
    """How much a reset deleted."""

    links_deleted: int = required()
    contacts_deleted: int | None = None
    extra: dict[str, Any] = unknown_fields()
