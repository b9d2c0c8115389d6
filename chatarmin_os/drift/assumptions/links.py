"""Links between external org ids and companies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.drift.assumptions.criterion import ACCESS_QUERIES, exercised_by

if TYPE_CHECKING:
    from chatarmin_os.drift.assumptions.context import Context

_CREATE = "links.create"
_LINKING = (_CREATE, "companies.create", "companies.smartLink", "onboard")


@exercised_by("link-fields", _CREATE, shows="$ companyId externalOrgId label externalUserId")
def _link_fields(call: Context) -> object:
    return call.answer


@exercised_by("link-many", _CREATE)
def _link_many(call: Context) -> object:
    has_another = call.last(*_LINKING) > call.last_reset
    return has_another and not call.linked


@exercised_by("link-again", _CREATE, shows="outcome $ companyId externalOrgId label externalUserId")
def _link_again(call: Context) -> object:
    return call.answer and call.linked


@exercised_by("link-foreign", _CREATE)
def _link_foreign(call: Context) -> object:
    return call.linked and call.code == "CONFLICT"


@exercised_by(
    "link-reset",
    *ACCESS_QUERIES,
    "billing.getStatus",
    "contacts.list",
    shows="outcome currentUsage isEnabled activeSubscriptions",
)
def _link_reset(call: Context) -> object:
    was_there = call.last("companies.create", "onboard", "tiers.apply", "billing.trackUsage")
    return call.company and 0 < was_there < call.last_reset


@exercised_by("link-reset-contacts", "contacts.list", shows="$ email")
def _link_reset_contacts(call: Context) -> object:
    was_there = call.last("contacts.create", "contacts.bulkUpsert", "companies.create", "onboard")
    return call.company and 0 < was_there < call.last_reset
