"""A request and a correct response of every procedure, and the check of a correct response."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import attrs

from chatarmin_os import PROCEDURES

if TYPE_CHECKING:
    from chatarmin_os._request import Request

_INSTANT = "2024-01-15T10:30:00.000Z"
_COMPANY = {"id": "c1", "shortId": "acme", "name": "Acme", "domain": "acme.com", "createdAt": _INSTANT, "new": [1]}
_CONTACT = {
    "id": "p1",
    "email": "ann@acme.com",
    "name": "Ann",
    "role": "CEO",
    "isPrimary": True,
    "avatarUrl": None,
    "metadata": {"a": [1, {"b": None}]},
    "isNew": True,
}
_ACCESS = {
    "featureCode": "seats",
    "featureName": "Seats",
    "isEnabled": True,
    "canUse": True,
    "hasQuantity": True,
    "currentUsage": 1,
    "quantityLimit": 10.5,
    "includedQuantity": None,
    "remaining": 9.5,
    "configValues": {"colour": "red"},
    "source": "subscription",
    "validUntil": _INSTANT,
}
_PRICE = {"priceId": "price_1", "unitAmount": 4900, "currency": "eur"}
_TIER = {
    "code": "pro",
    "name": "Pro",
    "baseFee": {"stripe": _PRICE},
    "features": [{"code": "seats", "name": "Seats", "configValues": {"x": 1}, "stripe": _PRICE}],
    "stripePriceIds": ["price_1"],
}

ANSWERS: dict[str, Any] = {
    "companies.getByProductLink": _COMPANY,
    "companies.create": _COMPANY,
    "companies.update": _COMPANY,
    "companies.smartLink": {
        "status": "suggestions",
        "companyId": None,
        "confidence": 80,
        "suggestions": [{"companyId": "c2", "customerName": "Acme", "confidence": 80.5, "reason": "name"}],
    },
    "contacts.create": _CONTACT,
    "contacts.bulkUpsert": {"created": 1, "updated": 0, "contacts": [_CONTACT]},
    "contacts.list": [_CONTACT, _CONTACT],
    "features.check": _ACCESS,
    "features.listAccess": [_ACCESS, _ACCESS],
    "features.setAccess": _ACCESS,
    "features.getAccessByExternalOrgId": {"companyId": "c1", "features": [_ACCESS]},
    "features.checkByExternalOrgId": _ACCESS,
    "billing.trackUsage": {"currentUsage": 5, "remaining": 95, "billableQuantity": 0, "isAtLimit": False},
    "billing.claimCheckout": {"alreadyClaimed": False, "subscriptionId": "sub_1"},
    "billing.linkSubscription": {"subscriptionId": "sub_1", "alreadyLinked": False, "featuresApplied": 3},
    "billing.getStatus": {
        "hasBillingProfile": True,
        "activeSubscriptions": [{"id": "s1", "stripeSubscriptionId": "sub_1", "tier": {"code": "pro", "name": "Pro"}}],
        "enabledFeaturesCount": 3,
    },
    "tiers.list": [{"code": "free", "name": "Free"}, {"code": "pro", "name": "Pro"}],
    "tiers.get": _TIER,
    "tiers.apply": {"tierCode": "pro", "featuresApplied": 5},
    "links.create": {"companyId": "c1", "externalOrgId": "org_1", "label": None, "externalUserId": None},
    "links.reset": {"linksDeleted": 1, "contactsDeleted": 0},
    "onboard": {
        "companyId": "c1",
        "companyName": "Acme",
        "linkStatus": "created",
        "billingStatus": {"claimed": True, "tierApplied": False, "subscriptionId": "sub_1"},
    },
}

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "companies.getByProductLink": {"external_org_id": "org_1"},
    "companies.create": {"name": "Acme", "external_org_id": "org_1"},
    "companies.update": {"company_id": "c1", "created_at": _INSTANT},
    "companies.smartLink": {"external_org_id": "org_1", "hints": {"company_name": "Acme"}},
    "contacts.create": {"company_id": "c1", "email": "ann@acme.com"},
    "contacts.bulkUpsert": {"company_id": "c1", "contacts": [{"email": "ann@acme.com"}]},
    "contacts.list": {"company_id": "c1"},
    "features.check": {"company_id": "c1", "feature_code": "seats"},
    "features.listAccess": {"company_id": "c1"},
    "features.setAccess": {"company_id": "c1", "feature_code": "seats", "is_enabled": True},
    "features.getAccessByExternalOrgId": {"external_org_id": "org_1"},
    "features.checkByExternalOrgId": {"external_org_id": "org_1", "feature_code": "seats"},
    "billing.trackUsage": {"company_id": "c1", "feature_code": "seats", "quantity": 5},
    "billing.claimCheckout": {"company_id": "c1", "checkout_session_id": "cs_test_1"},
    "billing.linkSubscription": {"company_id": "c1", "stripe_subscription_id": "sub_1"},
    "billing.getStatus": {"company_id": "c1"},
    "tiers.list": {},
    "tiers.get": {"tier_code": "pro"},
    "tiers.apply": {"tier_code": "pro", "company_id": "c1"},
    "links.create": {"company_id": "c1", "external_org_id": "org_1"},
    "links.reset": {},
    "onboard": {"external_org_id": "org_1"},
}


def request_of(path: str, **changed: Any) -> Request[Any]:
    """Return a request of a procedure."""
    return PROCEDURES[path](**{**_ARGUMENTS[path], **changed})


def answer_to(path: str, given: Any) -> Any:
    """Return a correct response, which echoes the input if the procedure's responses do."""
    answer = deepcopy(ANSWERS.get(path, {"path": path, "input": given}))
    asked = given if isinstance(given, dict) else {}
    for key, value in asked.items():
        if isinstance(answer, dict) and key in answer and isinstance(value, str):
            answer[key] = value
    if path == "tiers.get":
        answer["code"] = asked.get("tierCode")
    if path == "billing.trackUsage":
        answer["currentUsage"] = asked.get("quantity")
    return answer


def is_right(value: Any, kind: Any, *, lenient: bool = False) -> bool:  # noqa: PLR0911 - one return per kind of type
    """Return whether a value is of the type that a field or a result says; in a *lenient* model all may be None."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind is Any or (lenient and value is None):
        return True
    if origin in (Union, UnionType):
        return any(is_right(value, part) for part in inside)
    if origin in (list, tuple):
        return type(value) is origin and all(is_right(item, inside[0]) for item in value)
    if origin is dict:
        return type(value) is dict and all(
            type(key) is str and is_right(item, inside[1]) for key, item in value.items()
        )
    if attrs.has(kind):
        types = get_type_hints(kind)
        return type(value) is kind and all(
            is_right(getattr(value, field.name), types[field.name], lenient=lenient) for field in attrs.fields(kind)
        )
    if kind is datetime:
        return type(value) is datetime and value.tzinfo is UTC
    return type(value) is kind
