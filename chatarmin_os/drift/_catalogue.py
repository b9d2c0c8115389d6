"""The features and tiers of a product, as far as recorded calls show them: no call can change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift._reading import LISTINGS, mapping, number, objects, refusal, sights, text, tier_applied
from chatarmin_os.fake.rules.tiers import OVERRIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os.drift._reading import Sight
    from chatarmin_os.fake.rows import Feature, Tier
    from chatarmin_os.recording.file import Recorded

_INCLUDED, _LIMIT = OVERRIDES
_OF_A_QUANTITY = frozenset({"PRECONDITION_FAILED", "FORBIDDEN", "CONFLICT"})
_KNOWS_THE_TIER = frozenset({None, "BAD_REQUEST", "CONFLICT"})


class ShownCatalogue:
    """Features and tiers by code; what tiers grant without being shown is added by `_grants`."""

    def __init__(self, calls: Sequence[Recorded]) -> None:
        self.features: dict[str, Feature] = {}
        self.tiers: dict[str, Tier] = {}
        self.defined: set[str] = set()  # tiers that tiers.get shows
        self.complete: set[str] = set()  # tiers of which every feature is known
        self.open: set[tuple[str, str]] = set()  # features of tiers whose limits are not known yet
        self.paid: dict[str, Tier | None] = {}  # by subscription, the tier it pays for
        self.is_listed = any(recorded.path == "tiers.list" and "answer" in recorded.came for recorded in calls)
        order = {**dict.fromkeys((*LISTINGS, "tiers.list"), 0), "tiers.get": 1}  # listings tell that of codes
        listings_first = sorted(calls, key=lambda recorded: order.get(recorded.path, 2))
        for recorded in listings_first:
            for sight in sights(recorded):
                self._see(sight)
        for recorded in listings_first:
            self._learn(recorded)

    def _see(self, sight: Sight) -> None:
        access = sight.access
        feature = self._feature(sight.feature, access.get("featureName"), has_quantity=access.get("hasQuantity"))
        if access.get("source") is None:  # a company without an access is shown the default
            feature["config"] = mapping(access.get("configValues"))

    def _learn(self, recorded: Recorded) -> None:
        answer, given = recorded.came.get("answer"), mapping(recorded.input)
        if recorded.path == "tiers.list":
            for tier in objects(answer):
                self.named(tier)
        elif recorded.path == "tiers.get":
            self._define(mapping(answer))
        elif recorded.path == "billing.trackUsage":
            self._learn_from_usage(recorded, given)
        for shown in objects(mapping(answer).get("activeSubscriptions")):
            self.paid.setdefault(text(shown.get("stripeSubscriptionId")) or "", self.named(shown.get("tier")))
        self._learn_from_application(recorded, text(given.get("tierCode")))

    def _learn_from_usage(self, recorded: Recorded, given: dict[str, Any]) -> None:
        code, refused = text(given.get("featureCode")), refusal(recorded)
        if code and ("answer" in recorded.came or refused in _OF_A_QUANTITY):
            self._feature(code, has_quantity=True)
        elif code and refused == "BAD_REQUEST" and number(given.get("quantity")):
            self._feature(code)  # it is there, and has none

    def _learn_from_application(self, recorded: Recorded, applied: str | None) -> None:
        """Learn that there is a tier, and that it has the features whose limits it was applied with."""
        if applied is None or refusal(recorded) not in _KNOWS_THE_TIER:
            return
        tier = self.tier(applied)
        for code in mapping(mapping(recorded.input).get("features")) if tier_applied(recorded) else ():
            self._feature(code, has_quantity=True)
            if code not in tier["features"]:
                self.grant(tier, code, {})
                self.open.add((tier["code"], code))

    def _feature(self, code: str, name: JSON = None, *, has_quantity: JSON = False) -> Feature:
        new: Feature = {"code": code, "name": code, "hasQuantity": False, "config": {}}
        feature = self.features.setdefault(code, new)
        feature["name"] = text(name) or feature["name"]
        feature["hasQuantity"] = feature["hasQuantity"] or has_quantity is True
        return feature

    def tier(self, code: str, name: JSON = None) -> Tier:
        """Return a tier, which is new to the catalogue or known."""
        # As long as nobody has shown it, it costs nothing, but has a price to be paid for by.
        new: Tier = {"code": code, "name": code, "baseFee": 0, "currency": "eur", "features": {}}
        tier = self.tiers.setdefault(code, new)
        tier["name"] = text(name) or tier["name"]
        return tier

    def named(self, summary: JSON) -> Tier | None:
        """Return the tier that is shown by its name, its code or both."""
        code, name = text(mapping(summary).get("code")), text(mapping(summary).get("name"))
        if code is None:
            known = (tier["code"] for tier in self.tiers.values() if tier["name"] == name)
            code = next(known, name)
        return self.tier(code, name) if code else None

    def _define(self, shown: dict[str, Any]) -> None:
        tier = self.named(shown)
        if tier is None:
            return
        self.defined.add(tier["code"])
        self.complete.add(tier["code"])
        base = mapping(shown.get("baseFee")).get("stripe")
        tier["baseFee"] = _amount(base)
        tier["currency"] = text(mapping(base).get("currency")) or tier["currency"]
        for item in objects(shown.get("features")):
            if code := text(item.get("code")):
                config = dict(mapping(item.get("configValues")))
                tells_limits = bool(config.keys() & {*OVERRIDES})
                feature = self._feature(code, item.get("name"), has_quantity=tells_limits)
                if feature["hasQuantity"] and not tells_limits:
                    self.open.add((tier["code"], code))
                limits = {key: config.pop(key, None) for key in OVERRIDES if feature["hasQuantity"]}
                shown_as = {"quantityLimit": limits.get(_LIMIT), "includedQuantity": limits.get(_INCLUDED)}
                self.grant(tier, code, {**shown_as, "configValues": config})
                tier["features"][code]["unitAmount"] = _amount(item.get("stripe"))

    def grant(self, tier: Tier, code: str, access: dict[str, Any]) -> None:
        """Let a tier grant a feature as an access to it is shown."""
        tier["features"][code] = {
            "quantityLimit": number(access.get("quantityLimit")),
            "includedQuantity": number(access.get("includedQuantity")),
            "config": mapping(access.get("configValues")),
            "unitAmount": None,
        }


def _amount(price: JSON) -> int | None:
    """Return the amount of a price of Stripe, None where there is no price."""
    amount = number(mapping(price).get("unitAmount"))
    return None if amount is None else int(amount)
