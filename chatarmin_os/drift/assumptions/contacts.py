"""Contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.criterion import exercised_by
from chatarmin_os.drift.reading import objects
from chatarmin_os.fake.rules import addresses

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context


@exercised_by("contact-key", "contacts.create", shows="isNew id email")
def _contact_key(call: Context) -> object:
    return call.is_known_contact


@exercised_by("contact-update", "contacts.create", shows="name role isPrimary avatarUrl metadata")
def _contact_update(call: Context) -> object:
    return call.is_known_contact


@exercised_by("contact-bulk", "contacts.bulkUpsert", shows="created updated contacts isNew")
def _contact_bulk(call: Context) -> object:
    return call.answer


@exercised_by("contact-bulk-empty", "contacts.bulkUpsert", shows="outcome created updated")
def _contact_bulk_empty(call: Context) -> object:
    return call.company and call.given.get("contacts") == []


@exercised_by("contact-bulk-refused", "contacts.bulkUpsert")
def _contact_bulk_refused(call: Context) -> object:
    entries = objects(call.given.get("contacts"))
    is_one_invalid = any(addresses.email(str(entry.get("email"))) is None for entry in entries)
    return call.company and is_one_invalid and len(entries) > 1


@exercised_by("contact-list", "contacts.list", shows="$ id email isNew")
def _contact_list(call: Context) -> object:
    return call.outcome.get("answer")


@exercised_by("contact-primary", "contacts.create", "contacts.bulkUpsert", "contacts.list", shows="isPrimary")
def _contact_primary(call: Context) -> object:
    return call.has_primary
