"""A synchronous client for ChatarminOS: companies, feature access, metered usage, tiers, Stripe checkouts.

The tour, on the in-memory fake (a real client is `ChatarminOS(api_key=...)`):

    >>> from chatarmin_os import ChatarminOS, UsageLimitError
    >>> client = ChatarminOS.in_memory()
    >>> acme = client.sign_up(external_org_id="org_1", name="Acme Inc", starting_tier="free")
    >>> client.features.check(company_id=acme.company_id, feature_code="ai_credit").can_use
    True
    >>> usage = {"company_id": acme.company_id, "feature_code": "ai_credit"}
    >>> client.billing.track_usage(**usage, quantity=100).is_at_limit
    True
    >>> client.billing.track_usage(**usage, quantity=1)
    Traceback (most recent call last):
    ...
    chatarmin_os.errors.UsageLimitError: PRECONDITION_FAILED: ...

Where to look: a client has the methods in `resources`; each sends a request from `procedures` through a transport from
`transports` and returns a model from `models`. All errors are in `errors`; the in-memory service is in `fake`.

Views ask a `gate`, or have a decorator of `django` or `flask`. Usage that must not be lost waits in an `outbox`.
`backfill` brings in the customers that you have, and `explanation` says why one is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports
from chatarmin_os._unset import UNSET
from chatarmin_os._version import __version__
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import (
    ApiError,
    BadRequestError,
    CassetteError,
    ChatarminError,
    ConflictError,
    ConnectionFailed,
    ForbiddenError,
    InvalidInput,
    InvalidResponse,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimedOut,
    TransportError,
    UnauthorizedError,
    UsageLimitError,
)

if TYPE_CHECKING:
    from chatarmin_os.models.billing import (
        BillingStatus,
        ClaimResult,
        LinkSubscriptionResult,
        Subscription,
        UsageResult,
    )
    from chatarmin_os.models.companies import Company, SmartLinkResult, Suggestion
    from chatarmin_os.models.contacts import BulkUpsertResult, Contact
    from chatarmin_os.models.features import FeatureAccess, OrgFeatures
    from chatarmin_os.models.links import Link, ResetResult
    from chatarmin_os.models.onboarding import OnboardBilling, OnboardResult, SignUpResult
    from chatarmin_os.models.tiers import ApplyTierResult, BaseFee, StripePrice, Tier, TierFeature, TierSummary
    from chatarmin_os.procedures.billing import (
        ClaimCheckoutInput,
        GetStatusInput,
        LinkSubscriptionInput,
        TrackUsageInput,
    )
    from chatarmin_os.procedures.companies import (
        CreateCompanyInput,
        GetByProductLinkInput,
        Hints,
        SmartLinkInput,
        UpdateCompanyInput,
    )
    from chatarmin_os.procedures.contacts import BulkUpsertInput, ContactInput, CreateContactInput, ListContactsInput
    from chatarmin_os.procedures.features import (
        CheckByExternalOrgIdInput,
        FeatureCheckInput,
        FeatureSetAccessInput,
        GetAccessByExternalOrgIdInput,
        ListAccessInput,
    )
    from chatarmin_os.procedures.from_json import request_from_json
    from chatarmin_os.procedures.links import CreateLinkInput, ResetLinksInput
    from chatarmin_os.procedures.onboarding import OnboardInput
    from chatarmin_os.procedures.table import PROCEDURES
    from chatarmin_os.procedures.tiers import ApplyTierInput, GetTierInput, ListTiersInput

# Defining an attrs class takes half a millisecond: models and requests are imported at their first use.
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chatarmin_os.procedures.from_json": ("request_from_json",),
        "chatarmin_os.models.billing": (
            "BillingStatus",
            "ClaimResult",
            "LinkSubscriptionResult",
            "Subscription",
            "UsageResult",
        ),
        "chatarmin_os.models.companies": ("Company", "SmartLinkResult", "Suggestion"),
        "chatarmin_os.models.contacts": ("BulkUpsertResult", "Contact"),
        "chatarmin_os.models.features": ("FeatureAccess", "OrgFeatures"),
        "chatarmin_os.models.links": ("Link", "ResetResult"),
        "chatarmin_os.models.onboarding": ("OnboardBilling", "OnboardResult", "SignUpResult"),
        "chatarmin_os.models.tiers": (
            "ApplyTierResult",
            "BaseFee",
            "StripePrice",
            "Tier",
            "TierFeature",
            "TierSummary",
        ),
        "chatarmin_os.procedures.billing": (
            "ClaimCheckoutInput",
            "GetStatusInput",
            "LinkSubscriptionInput",
            "TrackUsageInput",
        ),
        "chatarmin_os.procedures.companies": (
            "CreateCompanyInput",
            "GetByProductLinkInput",
            "Hints",
            "SmartLinkInput",
            "UpdateCompanyInput",
        ),
        "chatarmin_os.procedures.contacts": (
            "BulkUpsertInput",
            "ContactInput",
            "CreateContactInput",
            "ListContactsInput",
        ),
        "chatarmin_os.procedures.features": (
            "CheckByExternalOrgIdInput",
            "FeatureCheckInput",
            "FeatureSetAccessInput",
            "GetAccessByExternalOrgIdInput",
            "ListAccessInput",
        ),
        "chatarmin_os.procedures.links": ("CreateLinkInput", "ResetLinksInput"),
        "chatarmin_os.procedures.onboarding": ("OnboardInput",),
        "chatarmin_os.procedures.table": ("PROCEDURES",),
        "chatarmin_os.procedures.tiers": ("ApplyTierInput", "GetTierInput", "ListTiersInput"),
    },
)

__all__ = [
    "PROCEDURES",
    "UNSET",
    "ApiError",
    "ApplyTierInput",
    "ApplyTierResult",
    "BadRequestError",
    "BaseFee",
    "BillingStatus",
    "BulkUpsertInput",
    "BulkUpsertResult",
    "CassetteError",
    "ChatarminError",
    "ChatarminOS",
    "CheckByExternalOrgIdInput",
    "ClaimCheckoutInput",
    "ClaimResult",
    "Company",
    "ConflictError",
    "ConnectionFailed",
    "Contact",
    "ContactInput",
    "CreateCompanyInput",
    "CreateContactInput",
    "CreateLinkInput",
    "FeatureAccess",
    "FeatureCheckInput",
    "FeatureSetAccessInput",
    "ForbiddenError",
    "GetAccessByExternalOrgIdInput",
    "GetByProductLinkInput",
    "GetStatusInput",
    "GetTierInput",
    "Hints",
    "InvalidInput",
    "InvalidResponse",
    "Link",
    "LinkSubscriptionInput",
    "LinkSubscriptionResult",
    "ListAccessInput",
    "ListContactsInput",
    "ListTiersInput",
    "NotFoundError",
    "OnboardBilling",
    "OnboardInput",
    "OnboardResult",
    "OrgFeatures",
    "RateLimitError",
    "ResetLinksInput",
    "ResetResult",
    "ServerError",
    "SignUpResult",
    "SmartLinkInput",
    "SmartLinkResult",
    "StripePrice",
    "Subscription",
    "Suggestion",
    "Tier",
    "TierFeature",
    "TierSummary",
    "TimedOut",
    "TrackUsageInput",
    "TransportError",
    "UnauthorizedError",
    "UpdateCompanyInput",
    "UsageLimitError",
    "UsageResult",
    "__version__",
    "request_from_json",
]
