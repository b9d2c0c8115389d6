"""The features and tiers of a product. Any line of a recording can show them, as no call changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os.drift.reading import mapping, number, objects, observed_accesses, text
from chatarmin_os.fake.catalogue import Catalogue
from chatarmin_os.fake.rules.tiers import OVERRIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os.recording.line import RecordedCall

_INCLUDED, _LIMIT = OVERRIDES
LISTINGS = frozenset({"features.listAccess", "features.getAccessByExternalOrgId"})
_ORDER = {**dict.fromkeys((*LISTINGS, "tiers.list"), 0), "tiers.get": 1}  # listings have the order of the catalogue


class ObservedCatalogue:
    """The catalogue that lines show, and which parts of it they show.

    Attributes:
        catalogue: The features and tiers.
        complete: Codes of the tiers whose features and limits are known.
        has_all_features, has_all_tiers: Whether the lines list all of them.
        paid: Subscription -> code of the tier that it pays for, None if it pays for none.
    """

    def __init__(self, lines: Sequence[RecordedCall]) -> None:
        self.catalogue = Catalogue()
        self.complete: set[str] = set()
        self.has_all_features = self.has_all_tiers = False
        self.paid: dict[str, str | None] = {}
        for recorded in sorted(lines, key=lambda line: _ORDER.get(line.path, 2)):
            if "answer" in recorded.outcome:
                self._observe(recorded, recorded.outcome["answer"])

    def _observe(self, recorded: RecordedCall, answer: JSON) -> None:
        self.has_all_features = self.has_all_features or recorded.path in LISTINGS
        for _, _, code, access in observed_accesses(recorded):
            self._add_feature(code, access.get("featureName"), has_quantity=access.get("hasQuantity"))
            if access.get("source") is None:  # a company without an access has the default settings
                self.catalogue.features[code]["config"] = mapping(access.get("configValues"))
        if recorded.path == "tiers.list":
            self.has_all_tiers = True
            for tier in objects(answer):
                self._add_tier(tier)
        elif recorded.path == "tiers.get":
            self._complete_tier(mapping(answer))
        for shown in objects(mapping(answer).get("activeSubscriptions")):
            subscription = text(shown.get("stripeSubscriptionId"))
            if subscription and subscription not in self.paid:
                self.paid[subscription] = self._add_tier(mapping(shown.get("tier")))

    def _add_feature(self, code: str, name: JSON, *, has_quantity: JSON) -> None:
        feature = self.catalogue.features.setdefault(
            code, {"code": code, "name": text(name) or code, "hasQuantity": False, "config": {}}
        )
        feature["hasQuantity"] = feature["hasQuantity"] or has_quantity is True

    def _add_tier(self, shown: dict[str, Any]) -> str | None:
        """Return the code of a tier that is shown by code and name; add it if it is new."""
        code = text(shown.get("code"))
        if code:
            name = text(shown.get("name")) or code
            self.catalogue.tiers.setdefault(
                code, {"code": code, "name": name, "baseFee": 0, "currency": "eur", "features": {}}
            )
        return code

    def _complete_tier(self, shown: dict[str, Any]) -> None:
        code = self._add_tier(shown)
        if code is None:
            return
        tier, price = self.catalogue.tiers[code], mapping(mapping(shown.get("baseFee")).get("stripe"))
        tier["baseFee"] = _amount(price)
        tier["currency"] = text(price.get("currency")) or tier["currency"]
        self.complete.add(code)
        for item in objects(shown.get("features")):
            if feature := text(item.get("code")):
                config = dict(mapping(item.get("configValues")))
                limits = {key: number(config.pop(key)) for key in OVERRIDES if key in config}
                self._add_feature(feature, item.get("name"), has_quantity=bool(limits))
                if self.catalogue.features[feature]["hasQuantity"] and not limits:
                    self.complete.discard(code)
                tier["features"][feature] = {
                    "quantityLimit": limits.get(_LIMIT),
                    "includedQuantity": limits.get(_INCLUDED),
                    "config": config,
                    "unitAmount": _amount(mapping(item.get("stripe"))),
                }


def _amount(price: dict[str, Any]) -> int | None:
    """Return the amount of a Stripe price, None if the price is missing."""
    amount = number(price.get("unitAmount"))
    return None if amount is None else int(amount)
