"""Decided: contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift._reading import objects
from chatarmin_os.drift.decided._rule import decided
from chatarmin_os.fake.rules import addresses

if TYPE_CHECKING:
    from chatarmin_os.drift.decided._rule import Situation


@decided("contacts.create", shows="isNew id email")
def contact_key(it: Situation) -> object:
    """A company has one contact for an address, also where it is written in capitals."""
    return it.contact_is_known


@decided("contacts.create", shows="name role isPrimary avatarUrl metadata")
def contact_update(it: Situation) -> object:
    """An update changes only what is given, and merges metadata by its keys."""
    return it.contact_is_known


@decided("contacts.bulkUpsert", shows="created updated contacts isNew")
def contact_bulk(it: Situation) -> object:
    """The answer to contacts.bulkUpsert is that of its contacts.create calls in order."""
    return it.answer


@decided("contacts.bulkUpsert")
def contact_bulk_refused(it: Situation) -> object:
    """One invalid entry refuses a contacts.bulkUpsert as a whole."""
    entries = objects(it.given.get("contacts"))
    is_one_invalid = any(addresses.email(str(entry.get("email"))) is None for entry in entries)
    return it.company and is_one_invalid and len(entries) > 1


@decided("contacts.list", shows="$ id email isNew")
def contact_list(it: Situation) -> object:
    """Contacts are listed in order of creation, without isNew."""
    return it.came.get("answer")


@decided("contacts.create", "contacts.bulkUpsert", "contacts.list", shows="isPrimary")
def contact_primary(it: Situation) -> object:
    """A company has one primary contact at most: a new one takes the place of the other."""
    return it.has_primary
