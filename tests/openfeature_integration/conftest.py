"""The SDK of OpenFeature without the providers, handlers and contexts of another test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from flag_world import FlagWorld
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.transaction_context import NoOpTransactionContextPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def clean_sdk() -> Iterator[None]:
    """Remove all state of the SDK after a test, also in versions whose `shutdown` leaves some of it."""
    yield
    api.clear_providers()
    api.clear_hooks()
    api.set_evaluation_context(EvaluationContext())
    api.set_transaction_context_propagator(NoOpTransactionContextPropagator())


@pytest.fixture
def world() -> FlagWorld:
    """Return a service with flags over a gate."""
    return FlagWorld()
