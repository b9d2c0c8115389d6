"""What tiers grant that were applied and never shown: what the companies that were given them are seen to have."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import (
    LISTINGS,
    company_of,
    mapping,
    number,
    sights,
    subscription_claimed,
    text,
    tier_applied,
    usage_told,
)
from chatarmin_os.fake.rules.tiers import price_ids_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os.drift._catalogue import ShownCatalogue
    from chatarmin_os.drift._reading import Sight
    from chatarmin_os.fake.rows import Tier
    from chatarmin_os.recording.file import Recorded

_SET = "features.setAccess"


def learn_grants(catalogue: ShownCatalogue, calls: Sequence[Recorded], of_org: dict[str, str]) -> None:
    """Add to a catalogue what tiers grant, and which of them subscriptions pay for."""
    grants = _Grants(catalogue, calls, of_org)
    for place, recorded in enumerate(calls):
        company = company_of(recorded) or ""
        grants.note_tiers(company, place)
        grants.note_usage(company, recorded)
        for sight in sights(recorded):
            grants.note_sight(sight, recorded)


class _Grants:
    def __init__(self, catalogue: ShownCatalogue, calls: Sequence[Recorded], of_org: dict[str, str]) -> None:
        self._catalogue, self._calls, self._of_org = catalogue, calls, of_org
        self._given: dict[str, list[Tier]] = {}  # by company
        self._changed: dict[str, set[str]] = {}  # by company, the features that were changed since
        self._claims: set[str] = set()  # subscriptions of checkouts; only the first claim applies a tier
        self._places: dict[str, list[int]] = {}  # of the calls that concern a company
        for place, recorded in enumerate(calls):
            for company in filter(None, {company_of(recorded), *(sight.company for sight in sights(recorded))}):
                self._places.setdefault(company, []).append(place)

    def note_tiers(self, company: str, place: int) -> None:
        """Note the tiers that a call gives a company."""
        recorded = self._calls[place]
        claim, code = subscription_claimed(recorded), tier_applied(recorded)
        if claim and claim not in self._claims:
            self._claims.add(claim)
            self._give(company, self._paid_by(claim, company, place))
        if code:
            self._give(company, self._catalogue.tier(code))

    def _give(self, company: str, tier: Tier | None) -> None:
        if tier:
            self._changed[company] = set()
            if self._given.setdefault(company, [])[-1:] != [tier]:
                self._given[company].append(tier)

    def note_usage(self, company: str, recorded: Recorded) -> None:
        """Learn from usage that a tier lets a feature be used; a sight of the access knows better."""
        usage, code = usage_told(recorded), text(mapping(recorded.input).get("featureCode"))
        if usage is None or code is None:
            return
        for tier in self._given.get(company, [])[-1:]:
            if code in self._changed[company]:
                continue
            granted = tier["features"].get(code)
            if granted is None and tier["code"] not in self._catalogue.defined:
                self._catalogue.grant(tier, code, usage)
                self._catalogue.open.add((tier["code"], code))
            elif granted and (tier["code"], code) in self._catalogue.open and granted.get("quantityLimit") is None:
                granted["quantityLimit"] = usage["quantityLimit"]

    def note_sight(self, sight: Sight, recorded: Recorded) -> None:
        """Learn from an access what the tier grants that gave it."""
        company = sight.company or self._of_org.get(sight.org or "", "")
        tiers, changed = self._given.get(company, []), self._changed.setdefault(company, set())
        if sight.feature in changed:
            return
        given = mapping(recorded.input) if recorded.path == _SET else {}
        is_enabled = sight.access.get("isEnabled") or {"isEnabled", "validUntil"} & given.keys()
        for tier in tiers[-1:] if is_enabled else tiers[-2:-1]:  # what is not, the one before may have given
            if recorded.path == _SET:
                self._learn_from_change(tier, sight, given)
            else:
                self._learn_from_sight(tier, sight)
        if recorded.path == _SET:
            changed.add(sight.feature)
            return
        if tiers and not changed and recorded.path in LISTINGS:
            self._catalogue.complete.add(tiers[-1]["code"])

    def _learn_from_sight(self, tier: Tier, sight: Sight) -> None:
        place = tier["code"], sight.feature
        is_new = tier["code"] not in self._catalogue.defined and sight.feature not in tier["features"]
        if sight.access.get("source") == "subscription" and (is_new or place in self._catalogue.open):
            self._catalogue.open.discard(place)
            self._catalogue.grant(tier, sight.feature, sight.access)

    def _learn_from_change(self, tier: Tier, sight: Sight, given: dict[str, Any]) -> None:
        """Learn what a tier had granted from what a change of it left alone."""
        place = tier["code"], sight.feature
        is_new = tier["code"] not in self._catalogue.defined and sight.feature not in tier["features"]
        is_granted = sight.access.get("source") == "subscription" if "source" not in given else "isEnabled" not in given
        if is_new and is_granted:
            settings = mapping(sight.access.get("configValues"))
            kept = {key: settings[key] for key in settings if key not in mapping(given.get("config"))}
            self._catalogue.grant(tier, sight.feature, {"configValues": kept})
            self._catalogue.open.add(place)
        if place in self._catalogue.open:
            granted = tier["features"][sight.feature]
            if "quantityLimit" not in given:
                granted["quantityLimit"] = number(sight.access.get("quantityLimit"))
            if "includedQuantity" not in given:
                granted["includedQuantity"] = number(sight.access.get("includedQuantity"))

    def _paid_by(self, claim: str, company: str, place: int) -> Tier | None:
        """Return the tier that a claimed checkout pays for: as it is shown, or else what fits."""
        paid = self._catalogue.paid
        if claim not in paid:
            billing = mapping(mapping(self._calls[place].came.get("answer")).get("billingStatus"))
            has_none = billing.get("tierApplied") is False
            paid[claim] = None if has_none else self._fitting(company, place) or self._made_up(claim)
        return paid[claim]

    def _fitting(self, company: str, place: int) -> Tier | None:
        """Return the tier that is for sale and grants what a company is seen to have after a call."""
        seen: dict[str, JSON] = {}
        places = self._places.get(company, [])
        for recorded in map(self._calls.__getitem__, places[bisect_right(places, place) :]):
            if company_of(recorded) == company and (recorded.path == _SET or tier_applied(recorded)):
                break
            for sight in sights(recorded):
                if sight.company == company and sight.access.get("source") == "subscription":
                    seen[sight.feature] = sight.access.get("quantityLimit")
        for tier in self._catalogue.tiers.values() if seen else ():
            grants = {code: granted.get("quantityLimit") for code, granted in tier["features"].items()}
            is_for_sale = tier["code"] in self._catalogue.defined and price_ids_of(tier)
            if is_for_sale and seen.items() <= grants.items():
                return tier
        return None

    def _made_up(self, claim: str) -> Tier | None:
        """Return a tier of which no call tells more than that a subscription has one: one of those that are listed."""
        if not self._catalogue.is_listed:
            return self._catalogue.tier(f"tier of {claim}")
        return next((tier for code, tier in self._catalogue.tiers.items() if code not in self._catalogue.defined), None)
