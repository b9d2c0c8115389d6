"""People at a company."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from chatarmin_os._input import private
from chatarmin_os._pickling import AcrossVersions
from chatarmin_os.models._base import required, unknown_fields


@frozen(unsafe_hash=False, field_transformer=private)  # it holds a mapping
class Contact(AcrossVersions):
    """A person at a company; one per company and e-mail address.

    Attributes:
        is_new: None in lists.
    """

    id: str = required()
    email: str | None = None
    name: str | None = None
    role: str | None = None
    is_primary: bool | None = None
    avatar_url: str | None = None
    metadata: dict[str, Any] | None = None
    is_new: bool | None = None
    extra: dict[str, Any] = unknown_fields()


@frozen
class BulkUpsertResult(AcrossVersions):
    """What became of many contacts, each as it was after its own step."""

    created: int = required()
    updated: int = required()
    contacts: tuple[Contact, ...] = ()
    extra: dict[str, Any] = unknown_fields()
