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
        id: The service's id.
        email: The address, as it was given first.
        name: The contact's name.
        role: Its role, such as "CEO".
        is_primary: Whether it is the company's primary contact.
        avatar_url: The URL of its picture.
        metadata: Stored notes, as JSON.
        is_new: Whether the call created it; None in lists.
        extra: Fields that this version does not know, in wire names.
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
    """The result of creating or updating many contacts.

    Attributes:
        created: The number of created contacts.
        updated: The number of updated contacts.
        contacts: The contacts in the order of the input, each as it was after its step.
        extra: Fields that this version does not know, in wire names.
    """

    created: int = required()
    updated: int = required()
    contacts: tuple[Contact, ...] = ()
    extra: dict[str, Any] = unknown_fields()
