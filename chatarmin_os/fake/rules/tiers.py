"""A tier rewrites the access to each of its features, and disables those that only an earlier tier had granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from chatarmin_os.fake.rows import Access, Feature, Number, Tier, TierFeature

OVERRIDES = ("included_quantity", "max_quantity")
"""The keys of an override (README): the included quantity, and the limit."""


def limits(feature: Feature, granted: TierFeature) -> dict[str, Number | None]:
    """Return a tier's limits of a feature by the overrides' keys; a missing limit is 0, not unlimited."""
    default = 0 if feature["hasQuantity"] else None
    return dict(zip(OVERRIDES, (granted["includedQuantity"], granted.get("quantityLimit", default)), strict=True))


def config_values(feature: Feature, granted: TierFeature) -> dict[str, Any]:
    """Return a feature's settings in a tier and, for a quantity, its limits by the overrides' keys."""
    quantities = limits(feature, granted) if feature["hasQuantity"] else {}
    return {**feature["config"], **granted["config"], **quantities}


def granted_access(feature: Feature, granted: TierFeature, override: Mapping[str, Any]) -> Access:
    """Return the access that a tier grants in place of any earlier one; *override* replaces the tier's limits."""
    quantities = {**limits(feature, granted), **override}
    return {
        "isEnabled": True,
        "quantityLimit": quantities["max_quantity"],
        "includedQuantity": quantities["included_quantity"],
        "configValues": {**feature["config"], **granted["config"]},
        "source": "subscription",
        "validUntil": None,
    }


def is_withdrawn(access: Access) -> bool:
    """Return whether an access ends when a tier is applied that lacks its feature."""
    return access["source"] == "subscription"


def tier_of_prices(tiers: Iterable[Tier], price_ids: Collection[str]) -> Tier | None:
    """Return the tier all of whose prices are among a subscription's *price_ids*; of several the one with most prices.

    Example:
        >>> from chatarmin_os.fake import demo_catalogue
        >>> tiers = demo_catalogue().tiers.values()
        >>> tier_of_prices(tiers, ["price_pro_base", "price_pro_ai_credit", "price_pro_seats", "price_x"])["code"]
        'pro'
        >>> tier_of_prices(tiers, ["price_pro_base"]) is None
        True
    """
    paid = set(price_ids)
    matching = [tier for tier in tiers if (required := price_ids_of(tier)) and paid.issuperset(required)]
    return max(matching, key=lambda tier: len(price_ids_of(tier)), default=None)


def price_ids_of(tier: Tier) -> list[str]:
    """Return the ids of all prices of a tier, the base fee's first."""
    return [price["priceId"] for price in prices(tier)]


def base_price(tier: Tier) -> dict[str, Any] | None:
    """Return the price of a tier's base fee, None if it has no base fee."""
    return None if tier["baseFee"] is None else _price(tier, "base", tier["baseFee"])


def feature_price(tier: Tier, code: str) -> dict[str, Any] | None:
    """Return the price of one unit of a tier's feature, None if it has no price."""
    amount = tier["features"][code]["unitAmount"]
    return None if amount is None else _price(tier, code, amount)


def prices(tier: Tier) -> list[dict[str, Any]]:
    """Return all prices of a tier: the base fee's first, then the features' (README)."""
    return [price for price in (base_price(tier), *(feature_price(tier, code) for code in tier["features"])) if price]


def _price(tier: Tier, of: str, amount: int) -> dict[str, Any]:
    return {"priceId": f"price_{tier['code']}_{of}", "unitAmount": amount, "currency": tier["currency"]}
