"""A tier writes the access to each of its features anew, and disables what the subscription before it had granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from chatarmin_os.fake.state import Access, Feature, Tier, TierFeature

OVERRIDES = {"included_quantity": "includedQuantity", "max_quantity": "quantityLimit"}
"""The keys of an override (README), and what of an access each sets."""


def config_values(feature: Feature, granted: TierFeature) -> dict[str, Any]:
    """Return what a tier shows of a feature: its settings and, for a quantity, its limits by the overrides' keys."""
    limits = {key: granted[limit] for key, limit in OVERRIDES.items()}  # type: ignore[literal-required]
    return {**feature["config"], **granted["config"], **(limits if feature["hasQuantity"] else {})}


def granted_access(feature: Feature, granted: TierFeature, override: Mapping[str, Any]) -> Access:
    """Return the access that a tier grants, whatever there was before; *override* counts more than the tier."""
    limits = {limit: override.get(key, granted[limit]) for key, limit in OVERRIDES.items()}  # type: ignore[literal-required]
    return {
        "isEnabled": True,
        "quantityLimit": limits["quantityLimit"],
        "includedQuantity": limits["includedQuantity"],
        "configValues": {**feature["config"], **granted["config"]},
        "source": "subscription",
        "validUntil": None,
    }


def is_withdrawn(access: Access) -> bool:
    """Return whether an access ends when a tier is applied that lacks its feature."""
    return access["source"] == "subscription"


def paid_for(tiers: Iterable[Tier], price_ids: Collection[str]) -> Tier | None:
    """Return the tier that a subscription with *price_ids* pays for: the one with most prices, all of them there.

    Example:
        >>> from chatarmin_os.fake import demo_catalogue
        >>> tiers = demo_catalogue().tiers.values()
        >>> paid_for(tiers, ["price_pro_base", "price_pro_ai_credit", "price_pro_seats", "price_x"])["code"]
        'pro'
        >>> paid_for(tiers, ["price_pro_base"]) is None
        True
    """
    matching = [(len(prices), tier) for tier in tiers if (prices := price_ids_of(tier)) and prices <= set(price_ids)]
    return max(matching, key=lambda found: found[0])[1] if matching else None


def price_ids_of(tier: Tier) -> set[str]:
    """Return the ids of all prices of a tier."""
    return {price["priceId"] for price in prices(tier)}


def base_price(tier: Tier) -> dict[str, Any] | None:
    """Return the price of a tier's base fee, None where it has none."""
    return None if tier["baseFee"] is None else _price(tier, "base", tier["baseFee"])


def feature_price(tier: Tier, code: str) -> dict[str, Any] | None:
    """Return the price of one unit of a tier's feature, None where it has none."""
    amount = tier["features"][code]["unitAmount"]
    return None if amount is None else _price(tier, code, amount)


def prices(tier: Tier) -> list[dict[str, Any]]:
    """Return all prices of a tier: the base fee's first, then the features' (README)."""
    return [price for price in (base_price(tier), *(feature_price(tier, code) for code in tier["features"])) if price]


def _price(tier: Tier, of: str, amount: int) -> dict[str, Any]:
    return {"priceId": f"price_{tier['code']}_{of}", "unitAmount": amount, "currency": tier["currency"]}
