"""Requests, models, errors and a small product, in names that every version since 0.1.0 has.

`write.py` writes them with an older version, and `test_upgrade.py` compares what this version reads with them.
"""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import chatarmin_os as os_client
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import Call, Transport

if TYPE_CHECKING:
    from chatarmin_os import ChatarminOS

MODULES = (
    "chatarmin_os", "chatarmin_os.drift", "chatarmin_os.fake", "chatarmin_os.fake.server", "chatarmin_os.transports",
    "chatarmin_os.transports.redactors",
)  # fmt: skip
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
COMPANY, SESSION, SUBSCRIPTION = "cmp_upgrade_acme", "cs_test_upgrade", "sub_upgrade"


def public_names() -> dict[str, list[str]]:
    """Return the public names of the oldest modules, attributes of classes included, with their parameters."""
    found = {}
    for module in map(import_module, MODULES):
        exported = getattr(module, "__all__", None) or [
            name for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__
        ]
        for name in exported:
            one = getattr(module, name)
            found[f"{module.__name__}.{name}"] = _parameters(one)
            for attribute in dir(one) if inspect.isclass(one) else ():
                member = inspect.getattr_static(one, attribute)
                found[f"{module.__name__}.{name}.{attribute}"] = _parameters(getattr(member, "__func__", member))
    return {name: found[name] for name in sorted(found) if not any(part[0] == "_" for part in name.split(".")[1:])}


def _parameters(one: Any) -> list[str]:
    # Errors take the `args` of other errors too, so that their signatures do not show their arguments.
    if not callable(one) or (inspect.isclass(one) and issubclass(one, Exception)):
        return []
    try:
        return [name for name in inspect.signature(one).parameters if name != "self"]
    except ValueError:  # a class of Python itself
        return []


def requests() -> dict[str, Any]:
    """Return one request of each procedure, with most of its arguments."""
    of: dict[str, Any] = {"company_id": COMPANY}
    org: dict[str, Any] = {"external_org_id": "org_1"}
    feature: dict[str, Any] = {"feature_code": "ai_credit"}
    hints = os_client.Hints(company_name="Acme", domain="acme.com", emails=["a@b.co"])
    contact: dict[str, Any] = {"email": "ann@acme.com", "name": "Ann", "role": "owner", "is_primary": True}
    contact["metadata"] = {"seat": 1}
    found = [
        os_client.ApplyTierInput(tier_code="pro", **of, features={"seats": {"quantity_limit": 7}}),
        os_client.BulkUpsertInput(**of, contacts=[os_client.ContactInput(**contact)]),
        os_client.CheckByExternalOrgIdInput(**org, **feature),
        os_client.ClaimCheckoutInput(**of, checkout_session_id=SESSION),
        os_client.CreateCompanyInput(name="Acme", **org, domain="acme.com", created_at=NOON),
        os_client.CreateContactInput(**of, **contact),
        os_client.CreateLinkInput(**of, **org, label="Acme EU", external_user_id="user_1"),
        os_client.FeatureCheckInput(**of, **feature),
        os_client.FeatureSetAccessInput(**of, **feature, is_enabled=True, quantity_limit=None, config={"a": [1]}),
        os_client.GetAccessByExternalOrgIdInput(**org),
        os_client.GetByProductLinkInput(**org),
        os_client.GetStatusInput(**of),
        os_client.GetTierInput(tier_code="pro"),
        os_client.LinkSubscriptionInput(**of, stripe_subscription_id=SUBSCRIPTION, tier_code="pro"),
        os_client.ListAccessInput(**of),
        os_client.ListContactsInput(**of, primary_only=True),
        os_client.ListTiersInput(),
        os_client.OnboardInput(**org, hints=hints, tier_code="free", contact_email="ann@acme.com", created_at=NOON),
        os_client.ResetLinksInput(delete_contacts=True),
        os_client.SmartLinkInput(**org, hints=hints, min_confidence=0.7),
        os_client.TrackUsageInput(**of, **feature, quantity=2.5, idempotency_key="job-1", metadata={"a": None}),
        os_client.UpdateCompanyInput(**of, created_at=NOON),
    ]
    return {type(one).__name__: one for one in found}


def models() -> dict[str, Any]:
    """Return one of each model, with fields that later versions of the service may add."""
    price = os_client.StripePrice(price_id="price_1", unit_amount=1900, currency="eur")
    access = os_client.FeatureAccess(
        feature_code="ai_credit", feature_name="AI", is_enabled=True, can_use=True, has_quantity=True, current_usage=5,
        quantity_limit=100, included_quantity=10, remaining=95, config_values={"model": "small"}, source="tier",
        valid_until=NOON, extra={"newField": [1, None]},
    )  # fmt: skip
    contact = os_client.Contact(id="con_1", email="ann@acme.com", is_primary=True, metadata={"seat": 1}, is_new=False)
    pro = os_client.TierSummary(code="pro", name="Pro")
    found = [
        access,
        contact,
        price,
        pro,
        os_client.ApplyTierResult(tier_code="pro", features_applied=3),
        os_client.BaseFee(stripe=price),
        os_client.BillingStatus(
            has_billing_profile=True,
            active_subscriptions=(os_client.Subscription(id="1", stripe_subscription_id=SUBSCRIPTION, tier=pro),),
            enabled_features_count=3,
        ),
        os_client.BulkUpsertResult(created=1, updated=0, contacts=(contact,)),
        os_client.ClaimResult(already_claimed=True, subscription_id=SUBSCRIPTION),
        os_client.Company(id=COMPANY, short_id="A1", name="Acme", domain="acme.com", created_at=NOON, extra={"x": 1}),
        os_client.Link(company_id=COMPANY, external_org_id="org_1", label="Acme EU", external_user_id="user_1"),
        os_client.LinkSubscriptionResult(subscription_id=SUBSCRIPTION, already_linked=False, features_applied=2),
        os_client.OnboardResult(
            company_id=COMPANY,
            company_name="Acme",
            link_status="created",
            billing_status=os_client.OnboardBilling(claimed=None, linked=None, tier_applied=True, subscription_id=None),
        ),
        os_client.OrgFeatures(company_id=COMPANY, features=(access,)),
        os_client.ResetResult(links_deleted=1, contacts_deleted=None),
        os_client.SmartLinkResult(
            status="suggestions",
            suggestions=(
                os_client.Suggestion(company_id=COMPANY, customer_name="Acme", confidence=0.75, reason="name"),
            ),
        ),
        os_client.Tier(
            code="pro",
            name="Pro",
            base_fee=os_client.BaseFee(stripe=price),
            features=(os_client.TierFeature(code="seats", name="Seats", config_values={}, stripe=price),),
            stripe_price_ids=("price_1",),
        ),
        os_client.UsageResult(current_usage=5, remaining=95, billable_quantity=0.5, is_at_limit=False),
    ]
    return {type(one).__name__: one for one in found}


def errors() -> dict[str, Any]:
    """Return one of each error; those of calls have their request."""
    request = requests()["TrackUsageInput"]
    of_call: dict[str, Any] = {
        "http_status": 400,
        "path": "billing.trackUsage",
        "data": {"a": 1},
        "request_id": "req_1",
    }
    late: dict[str, Any] = {"outcome": "unknown", "attempts": 3}
    found: list[Any] = [
        os_client.ApiError("new refusal", code="NEW_CODE", **of_call),
        os_client.CassetteError("no such recording"),
        os_client.ConnectionFailed("refused", outcome="not_sent", attempts=2),
        os_client.InvalidInput("must be above 0", field="quantity"),
        os_client.InvalidResponse("no JSON", **late, retry_after=1.5),
        os_client.RateLimitError("slow down", code="TOO_MANY_REQUESTS", retry_after=2.5, http_status=429),
        os_client.ServerError("oops", code="INTERNAL_SERVER_ERROR", retry_after=None, http_status=500),
        os_client.TimedOut("too late", **late),
        os_client.TransportError("broken", **late),
    ]
    codes = {
        "BadRequestError": "BAD_REQUEST",
        "ConflictError": "CONFLICT",
        "ForbiddenError": "FORBIDDEN",
        "NotFoundError": "NOT_FOUND",
        "UnauthorizedError": "UNAUTHORIZED",
        "UsageLimitError": "PRECONDITION_FAILED",
    }
    found += [getattr(os_client, kind)(f"{kind} of the service", code=code, **of_call) for kind, code in codes.items()]
    for one in found:
        one.request = request
    return {type(one).__name__: one for one in found}


def prepared_fake() -> FakeTransport:
    """Return the product at noon, before its calls."""
    return FakeTransport(demo_catalogue(), now=lambda: NOON)


def use(client: ChatarminOS, session: str) -> str:
    """Sign a company up, use its features, pay, and be refused; return its id."""
    company = client.onboard(
        external_org_id="org_1", tier_code="free", contact_email="ann@acme.com", contact_name="Ann", created_at=NOON,
        hints=os_client.Hints(company_name="Acme Inc", domain="acme.com"),
    ).company_id  # fmt: skip
    of: dict[str, Any] = {"company_id": company}
    client.links.create(**of, external_org_id="org_2", label="Acme EU")
    client.contacts.bulk_upsert(**of, contacts=[{"email": "bob@acme.com", "role": "owner", "metadata": {"seat": 2}}])
    client.billing.track_usage(**of, feature_code="ai_credit", quantity=5, idempotency_key="job-1")
    client.billing.track_usage(**of, feature_code="ai_credit", quantity=2.5, idempotency_key="job-2")
    client.features.set_access(**of, feature_code="sso", is_enabled=True, config={"domain": "acme.com"})
    client.billing.claim_checkout(**of, checkout_session_id=session)
    client.tiers.apply("pro", **of)
    try:
        client.billing.track_usage(**of, feature_code="teapot", quantity=1, idempotency_key="job-3")
    except os_client.ApiError:
        pass
    else:
        raise AssertionError("the demo catalogue has no teapot")
    return company


def facts(client: ChatarminOS) -> dict[str, Any]:
    """Return the answers to a client about that company."""
    listing = client.features.get_access_by_external_org_id("org_2")
    of: dict[str, Any] = {"company_id": listing.company_id}
    company = client.companies.get_by_product_link(external_org_id="org_1")
    assert company is not None
    assert company.id == listing.company_id
    status = client.billing.get_status(**of)
    return {
        "company": (company.name, company.domain, company.created_at),
        "contacts": sorted((one.email, one.name, one.role, one.is_primary) for one in client.contacts.list(**of)),
        "features": {
            one.feature_code: (one.is_enabled, one.current_usage, one.quantity_limit, one.config_values)
            for one in listing.features
        },
        "billing": (status.has_billing_profile, [one.tier and one.tier.code for one in status.active_subscriptions]),
    }


def rows() -> list[dict[str, Any]]:
    """Return the rows of a backfill; the product has no tier `gold`."""
    return [
        {"external_org_id": "org_1", "name": "Acme Inc", "tier_code": "free", "contacts": ["ann@acme.com"]},
        {"external_org_id": "org_2", "name": "Globex", "tier_code": "gold"},
        {"external_org_id": "org_3", "name": "Initech", "domain": "initech.example"},
    ]


class Records:
    """A shared cache of gates without a clock.

    Attributes:
        values: The values by key.
    """

    def __init__(self, values: dict[str, str] | None = None) -> None:
        """Start with *values*."""
        self.values = dict(values or {})

    def get(self, key: str) -> str | None:
        """Return the value of a key."""
        return self.values.get(key)

    def set(self, key: str, value: str, seconds: float) -> None:  # noqa: ARG002 - the interface of a shared cache
        """Set the value of a key."""
        self.values[key] = value

    def delete(self, key: str) -> None:
        """Delete a key."""
        self.values.pop(key, None)


class Identified(Transport):
    """A service whose fingerprint is the same in each process: gates share nothing without one."""

    def __init__(self, inner: Transport) -> None:
        """Pass calls on to *inner*."""
        self.inner = inner

    def send(self, call: Call) -> Any:
        """Answer a call."""
        return self.inner.send(call)

    def fingerprint(self) -> str:
        """Return the fixed text."""
        return "upgrade"

    def now(self) -> datetime:
        """Return noon."""
        return NOON

    def monotonic(self) -> float:
        """Return seconds that stand still."""
        return 0.0
