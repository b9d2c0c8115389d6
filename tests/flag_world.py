"""A service with features of all kinds, a gate, and a client of the SDK whose provider is on that gate."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.transaction_context.no_op_transaction_context_propagator import NoOpTransactionContextPropagator
from waiting import PATIENCE

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import Catalogue, FakeTransport
from chatarmin_os.gate import Gate
from chatarmin_os.integrations.openfeature import ChatarminProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openfeature.client import OpenFeatureClient

LISTING = "features.getAccessByExternalOrgId"
ORG = EvaluationContext("org_1")

SETTINGS: dict[str, Any] = {
    "csv": True,
    "rate": 0.5,
    "rows": 100,
    "whole": 3.0,
    "format": "xlsx",
    "columns": ["name", "mail"],
    "page": {"size": 20},
    "nothing": None,
    "large": 2**53 - 1,
}


def catalogue() -> Catalogue:
    """Return features with and without a quantity and settings, and the tiers that grant all of them or few."""
    found = Catalogue()
    found.add_feature("credits", name="Credits", has_quantity=True)
    found.add_feature("seats", name="Seats", has_quantity=True)
    found.add_feature("exports", name="Exports", config=SETTINGS)
    found.add_feature("sso", name="Single sign-on")
    found.add_feature("team:reports", name="Reports", config={"csv": True})
    all_of_them: dict[str, Any] = {
        "credits": {"quantity_limit": 100, "included_quantity": 100},
        "seats": {"quantity_limit": None},
        "exports": {},
        "sso": {},
        "team:reports": {},
    }
    found.add_tier("all", name="All", features=all_of_them)
    found.add_tier("few", name="Few", features={"credits": {"quantity_limit": 0}})
    return found


class FlagWorld:
    """A service where `org_1` has all features and `org_2` none, and flags over a gate on it.

    Attributes:
        fake: The service.
        client: The client of the service.
        gate: The gate.
        provider: The provider.
        flags: The client of the SDK.
        companies: The companies by organisation.
    """

    def __init__(self, provider: dict[str, Any] | None = None, **gate: Any) -> None:
        self.fake = FakeTransport(catalogue())
        self.client = ChatarminOS(transport=self.fake)
        self.companies = {
            organisation: self.client.onboard(external_org_id=organisation, tier_code=tier).company_id
            for organisation, tier in (("org_1", "all"), ("org_2", "few"))
        }
        self.gate = Gate(self.client, **{"timeout": PATIENCE, **gate})
        self.provider = ChatarminProvider(self.gate, **(provider or {}))
        self.flags = self.register(self.provider)

    def register(self, provider: ChatarminProvider, domain: str = "shop") -> OpenFeatureClient:
        """Register a provider, and return a client of the SDK with it."""
        api.set_provider(provider, domain=domain)
        return api.get_client(domain)

    def use(self, quantity: float) -> None:
        """Count usage of credits of `org_1`."""
        self.client.billing.track_usage(company_id=self.companies["org_1"], feature_code="credits", quantity=quantity)

    def make_old(self, seconds: float = 31) -> None:
        """Let the answers of the gate become stale."""
        self.fake.advance(timedelta(seconds=seconds))

    def break_down(self, error: Any = "INTERNAL_SERVER_ERROR", times: int = 1_000) -> None:
        """Let the service fail from now on."""
        self.fake.fail(error=error, times=times)

    def recover(self) -> None:
        """Let the service answer again."""
        self.fake._failures.clear()


@pytest.fixture
def clean_sdk() -> Iterator[None]:
    """Remove all state of the SDK after a test, also in versions whose `shutdown` leaves some of it."""
    yield
    api.clear_providers()
    api.clear_hooks()
    api.set_evaluation_context(EvaluationContext())
    api.set_transaction_context_propagator(NoOpTransactionContextPropagator())


@pytest.fixture
def shop(clean_sdk: None) -> FlagWorld:  # noqa: ARG001 - it runs after the test
    """Return a service with flags over a gate."""
    return FlagWorld()
