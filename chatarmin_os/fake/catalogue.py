"""The features and tiers of a product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from chatarmin_os._input import at_field, boolean, keywords, mapping, nullable_limit, text
from chatarmin_os._json import copy_json, describe, integer
from chatarmin_os.errors import InvalidInput
from chatarmin_os.fake.rules.tiers import price_ids_of

if TYPE_CHECKING:
    from chatarmin_os.fake.rows import Feature, Tier, TierFeature


class Catalogue:
    """The features and tiers of a product, in the order they were added.

    Example:
        >>> catalogue = Catalogue()
        >>> catalogue.add_feature("seats", name="Seats", has_quantity=True)
        >>> catalogue.add_tier("basic", name="Basic", base_fee=900, features={"seats": {"quantity_limit": 3}})
        >>> from chatarmin_os import ChatarminOS
        >>> client = ChatarminOS(transport=FakeTransport(catalogue))
        >>> client.tiers.get("basic").stripe_price_ids
        ('price_basic_base',)
    """

    def __init__(self) -> None:
        self.features: dict[str, Feature] = {}
        self.tiers: dict[str, Tier] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} features={list(self.features)} tiers={list(self.tiers)}>"

    def add_feature(
        self, code: str, *, name: str, has_quantity: bool = False, config: Mapping[str, Any] | None = None
    ) -> None:
        """Add a feature, or replace the one with this code; accesses that companies have to it stay.

        Args:
            code: Its code.
            name: Its name.
            has_quantity: Whether it is used in quantities, so that usage and limits apply.
            config: Its default settings.

        Raises:
            ValueError: Blank text, or a config that is not a JSON object.

        Example:
            >>> catalogue = Catalogue()
            >>> catalogue.add_feature("sso", name="Single sign-on")
            >>> list(catalogue.features)
            ['sso']
        """
        code = at_field("code", text)(code)
        self.features[code] = {
            "code": code,
            "name": at_field("name", text)(name),
            "hasQuantity": at_field("has_quantity", boolean)(has_quantity),
            "config": at_field("config", mapping)(config) or {},
        }

    def add_tier(
        self,
        code: str,
        *,
        name: str,
        base_fee: int | None = None,
        currency: str = "eur",
        features: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Add a tier, or silently replace the one with this code; companies keep the accesses it has granted.

        Args:
            code: Its code.
            name: Its name.
            base_fee: Its fee per billing period, in minor units (cents); None: no base fee.
            currency: The currency of all its prices.
            features: The features it grants: feature code -> any of quantity_limit (None: unlimited; 0 if omitted),
                included_quantity (None or omitted: not billed by usage), config, unit_amount (minor units).

        Raises:
            ValueError: Blank text, an unknown feature or key, a limit for a feature without a quantity, an amount
                that is not an int of at least 0, a price with the id of another price.

        Example:
            >>> catalogue = demo_catalogue()
            >>> catalogue.add_tier("team", name="Team", base_fee=1900, features={"seats": {"quantity_limit": 10}})
            >>> list(catalogue.tiers)
            ['free', 'trial', 'pro', 'enterprise', 'team']
        """
        code = at_field("code", text)(code)
        tier: Tier = {
            "code": code,
            "name": at_field("name", text)(name),
            "baseFee": at_field("base_fee", _amount)(base_fee),
            "currency": at_field("currency", text)(currency),
            "features": at_field("features", self._grants)(features),
        }
        at_field("code", self._ensure_unique_prices)(tier)
        self.tiers[code] = tier

    def _ensure_unique_prices(self, tier: Tier) -> None:
        """Refuse a tier if two prices have the same id: a payment of one would count as a payment of the other."""
        tiers = [other for other in self.tiers.values() if other["code"] != tier["code"]]
        ids = Counter(price_id for one in [*tiers, tier] for price_id in price_ids_of(one))
        for price_id in price_ids_of(tier):
            if ids[price_id] > 1:
                raise InvalidInput(f"two prices would have the id {price_id!r}; choose other codes")

    def _grants(self, features: Mapping[str, Mapping[str, Any]] | None) -> dict[str, TierFeature]:
        if features is None:
            return {}
        given = keywords(features, allowed=tuple(self.features), noun="feature")
        return {code: at_field(code, partial(_grant, feature=self.features[code]))(given[code]) for code in given}

    def copy(self) -> Catalogue:
        """Return a catalogue that shares nothing with this one.

        Example:
            >>> catalogue = demo_catalogue()
            >>> catalogue.copy().add_feature("exports", name="Exports")
            >>> "exports" in catalogue.features
            False
        """
        other = type(self)()
        other.features, other.tiers = copy_json(self.features), copy_json(self.tiers)
        return other


def _amount(value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise InvalidInput(f"expected minor units (cents) as an int of at least 0, got {describe(value)}")
    return None if value is None else integer(value)


def _grant(value: Mapping[str, Any], feature: Feature) -> TierFeature:
    """Return the row of *feature* in a tier."""
    given = keywords(value, allowed=("quantity_limit", "included_quantity", "config", "unit_amount"))
    quantity_limit, included = given.get("quantity_limit"), given.get("included_quantity")
    if not feature["hasQuantity"] and not quantity_limit is included is None:
        raise InvalidInput("a feature without a quantity has no limits; add it with has_quantity=True")
    row: TierFeature = {
        "includedQuantity": at_field("included_quantity", nullable_limit)(included),
        "config": at_field("config", mapping)(given.get("config")) or {},
        "unitAmount": at_field("unit_amount", _amount)(given.get("unit_amount")),
    }
    if "quantity_limit" in given:
        row["quantityLimit"] = at_field("quantity_limit", nullable_limit)(quantity_limit)
    return row


def demo_catalogue() -> Catalogue:
    """Return the catalogue of a small product: five features, and the tiers Free, Trial, Pro and Enterprise.

    Example:
        >>> list(demo_catalogue().tiers)
        ['free', 'trial', 'pro', 'enterprise']
    """
    catalogue = Catalogue()
    catalogue.add_feature("ai_credit", name="AI credits", has_quantity=True)
    catalogue.add_feature("seats", name="Seats", has_quantity=True)
    catalogue.add_feature("team_seats", name="Team seats", has_quantity=True)
    catalogue.add_feature("api_access", name="API access")
    catalogue.add_feature("sso", name="Single sign-on")
    catalogue.add_tier("free", name="Free", features={"ai_credit": _of(100, 100), "seats": _of(3, 3)})
    catalogue.add_tier(
        "trial", name="Trial", features={"ai_credit": _of(500, 500), "seats": _of(5, 5), "api_access": {}}
    )
    catalogue.add_tier(
        "pro",
        name="Pro",
        base_fee=4900,
        features={
            "ai_credit": _of(10000, 1000, 2),
            "seats": _of(25, 10, 900),
            "team_seats": _of(10, 5),
            "api_access": {},
        },
    )
    catalogue.add_tier(
        "enterprise",
        name="Enterprise",
        base_fee=49900,
        features={
            "ai_credit": _of(None, 10000, 1),
            "seats": _of(None, 100, 700),
            "team_seats": _of(None, 50),
            "api_access": {},
            "sso": {},
        },
    )
    return catalogue


def _of(limit: int | None, included: int, unit_amount: int | None = None) -> dict[str, Any]:
    return {"quantity_limit": limit, "included_quantity": included, "unit_amount": unit_amount}
