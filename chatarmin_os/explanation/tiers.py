"""Which tier a company has, and whether it sets the limit of an access; pure functions.

The service names the tier of an active subscription. A tier that was applied without one shows only in the accesses
that it gave: it is inferred, so a sentence about it says "most likely".
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from chatarmin_os._messages import printable
from chatarmin_os.explanation.evidence import Evidence
from chatarmin_os.models._base import Quantity
from chatarmin_os.models.features import FeatureAccess
from chatarmin_os.models.tiers import Tier, TierFeature, TierSummary

MAX_NAME_LENGTH = 100
"""Characters of a name that a sentence shows."""


@frozen(unsafe_hash=False)  # it holds mappings
class CompanyTier:
    """A tier of a company.

    Attributes:
        name: Its name to show.
        details: The tier; None if the service did not give it.
        is_stated: Whether the service stated it, such as for an active subscription; otherwise it is inferred.
    """

    name: str
    details: Tier | None
    is_stated: bool


def tiers_of(evidence: Evidence, known: str | None = None) -> list[CompanyTier]:
    """Return the tiers of the active subscriptions, else the only tier that fits the accesses, if there is one.

    If the code of the company's tier is *known* by other means, return that tier.
    """
    details = {tier.code: tier for tier in evidence.tiers}
    if known in details:
        return [CompanyTier(name_of(details[known]), details[known], is_stated=True)]
    subscriptions = evidence.status.active_subscriptions if evidence.status else ()
    stated = {one.tier.code: one.tier for one in subscriptions if one.tier}
    if stated:
        return [CompanyTier(name_of(tier), details.get(code), is_stated=True) for code, tier in stated.items()]
    fitting = [tier for tier in evidence.tiers if fits(tier, evidence.features)]
    if len(fitting) != 1 or "tiers" in evidence.failures:
        return []
    return [CompanyTier(name_of(fitting[0]), fitting[0], is_stated=False)]


def fits(tier: Tier, features: Iterable[FeatureAccess]) -> bool:
    """Return whether the accesses with the source `subscription` are those, and have the limits, that *tier* gives.

    Example:
        >>> features = [FeatureAccess(feature_code="sso", is_enabled=True, source="subscription")]
        >>> fits(Tier(code="pro", features=(TierFeature(code="sso"),)), features), fits(Tier(code="free"), features)
        (True, False)
    """
    given = {one.feature_code: one for one in features if one.is_enabled and one.source == "subscription"}
    granted = {one.code: one for one in tier.features}
    return bool(given) and given.keys() == granted.keys() and all(sets(granted[code], given[code]) for code in given)


def sets(granted: TierFeature, access: FeatureAccess) -> bool:
    """Return whether an access has the limits of a tier's feature."""
    if not access.has_quantity:
        return True
    return (limit_of(granted), included_of(granted)) == (access.quantity_limit, access.included_quantity)


def feature_of(tier: Tier | None, feature_code: str) -> TierFeature | None:
    """Return a feature of a tier; None if the tier lacks it or is unknown."""
    return next((one for one in tier.features if one.code == feature_code), None) if tier else None


def limit_of(granted: TierFeature) -> Quantity | None:
    """Return the limit that a tier gives; None: unlimited. A missing limit is 0 (assumed here)."""
    return _quantity(granted, "max_quantity", 0)


def included_of(granted: TierFeature) -> Quantity | None:
    """Return the quantity that a tier includes; None: usage is not billed."""
    return _quantity(granted, "included_quantity", None)


def _quantity(granted: TierFeature, key: str, default: Quantity | None) -> Quantity | None:
    value = (granted.config_values or {}).get(key, default)
    return value if value is None or type(value) in {int, float} else 0  # settings are JSON: any value is possible


def name_of(tier: Tier | TierSummary) -> str:
    """Return the name of a tier to show."""
    return printable(tier.name or tier.code, MAX_NAME_LENGTH)
