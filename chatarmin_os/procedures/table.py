"""The table of procedures: the one place to change if the service renames a path."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from chatarmin_os.procedures.billing import ClaimCheckoutInput, GetStatusInput, LinkSubscriptionInput, TrackUsageInput
from chatarmin_os.procedures.companies import (
    CreateCompanyInput,
    GetByProductLinkInput,
    SmartLinkInput,
    UpdateCompanyInput,
)
from chatarmin_os.procedures.contacts import BulkUpsertInput, CreateContactInput, ListContactsInput
from chatarmin_os.procedures.features import (
    CheckByExternalOrgIdInput,
    FeatureCheckInput,
    FeatureSetAccessInput,
    GetAccessByExternalOrgIdInput,
    ListAccessInput,
)
from chatarmin_os.procedures.links import CreateLinkInput, ResetLinksInput
from chatarmin_os.procedures.onboarding import OnboardInput
from chatarmin_os.procedures.tiers import ApplyTierInput, GetTierInput, ListTiersInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chatarmin_os._request import Request

PROCEDURES: Mapping[str, type[Request[Any]]] = MappingProxyType(
    {
        request.path: request
        for request in (
            GetByProductLinkInput,
            CreateCompanyInput,
            UpdateCompanyInput,
            SmartLinkInput,
            CreateContactInput,
            BulkUpsertInput,
            ListContactsInput,
            FeatureCheckInput,
            ListAccessInput,
            FeatureSetAccessInput,
            GetAccessByExternalOrgIdInput,
            CheckByExternalOrgIdInput,
            TrackUsageInput,
            ClaimCheckoutInput,
            LinkSubscriptionInput,
            GetStatusInput,
            ListTiersInput,
            GetTierInput,
            ApplyTierInput,
            CreateLinkInput,
            ResetLinksInput,
            OnboardInput,
        )
    }
)
"""Wire path -> request class: the counterpart of the TypeScript SDK's `AppRouter`."""
