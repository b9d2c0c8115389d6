"""Decided: contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import objects
from chatarmin_os.drift.assumptions.rule import decided
from chatarmin_os.fake.rules import addresses

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.rule import Situation


@decided(
    "A company has one contact for an address, also where it is written in capitals.",
    "contacts.create",
    shows="isNew id email",
)
def _contact_key(it: Situation) -> object:
    return it.contact_is_known


@decided(
    "An update changes only what is given, and merges metadata by its keys.",
    "contacts.create",
    shows="name role isPrimary avatarUrl metadata",
)
def _contact_update(it: Situation) -> object:
    return it.contact_is_known


@decided(
    "The answer to contacts.bulkUpsert is that of its contacts.create calls in order.",
    "contacts.bulkUpsert",
    shows="created updated contacts isNew",
)
def _contact_bulk(it: Situation) -> object:
    return it.answer


@decided("One invalid entry refuses a contacts.bulkUpsert as a whole.", "contacts.bulkUpsert")
def _contact_bulk_refused(it: Situation) -> object:
    entries = objects(it.given.get("contacts"))
    is_one_invalid = any(addresses.email(str(entry.get("email"))) is None for entry in entries)
    return it.company and is_one_invalid and len(entries) > 1


@decided("Contacts are listed in order of creation, without isNew.", "contacts.list", shows="$ id email isNew")
def _contact_list(it: Situation) -> object:
    return it.came.get("answer")


@decided(
    "A company has one primary contact at most: a new one takes the place of the other.",
    "contacts.create",
    "contacts.bulkUpsert",
    "contacts.list",
    shows="isPrimary",
)
def _contact_primary(it: Situation) -> object:
    return it.has_primary
