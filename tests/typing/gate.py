"""The types of the gate and of its integrations with Django and Flask; read by mypy and pyright, never run."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, assert_type

from django.http import HttpRequest, HttpResponse
from flask import Flask

from chatarmin_os import ChatarminError, ChatarminOS, FeatureAccess, UsageResult
from chatarmin_os.django import get_gate, metered, requires_feature, track_usage
from chatarmin_os.django.test import override_service
from chatarmin_os.fake import FakeTransport
from chatarmin_os.flask import Chatarmin
from chatarmin_os.gate import Decision, DictCache, FeatureDenied, Gate, GateStats, Metered, Policy, SharedCache

if TYPE_CHECKING:
    from collections.abc import Callable


def gates(client: ChatarminOS) -> None:
    """A gate is made of typed settings, and its methods return typed results."""
    gate = Gate(client, policies={"sso": Policy(max_age=1, on_outage="allow")}, shared=DictCache(), timeout=1)
    assert_type(gate.client, ChatarminOS)
    assert_type(gate.check(external_org_id="org_1", feature_code="sso"), Decision)
    assert_type(gate.require(company_id="comp_1", feature_code="sso"), Decision)
    assert_type(gate.check_many([("org_1", "sso")]), list[Decision | ChatarminError])
    assert_type(gate.features(company_id="comp_1"), dict[str, Decision])
    assert_type(gate.stats(), GateStats)
    with gate.metered(external_org_id="org_1", feature_code="sso", quantity=2.5) as use:
        assert_type(use, Metered)
        use.quantity = 3
    assert_type(use.decision, Decision)
    assert_type(use.result, UsageResult | None)


def decisions(decision: Decision, denied: FeatureDenied) -> None:
    """A decision is typed, its reason and its source by their literals."""
    assert_type(decision.reason, Literal["allowed", "disabled", "limit_reached", "not_linked", "outage"])
    assert_type(decision.source, Literal["live", "cache", "stale", "policy"])
    assert_type(decision.access, FeatureAccess | None)
    assert_type(decision.error, ChatarminError | None)
    assert_type(decision.fetched_at, datetime | None)
    assert_type(decision.age, float | None)
    assert_type(denied.decision, Decision)


class NoCache:
    """A cache of a user, with parameter names of its own."""

    def get(self, _name: str) -> str | None:
        """Return nothing."""
        return None

    def set(self, name: str, text: str, ttl: float) -> None:
        """Store nothing."""

    def delete(self, name: str) -> None:
        """Delete nothing."""


no_cache: SharedCache = NoCache()


@requires_feature("exports", on_denied="denied.html", organisation=lambda _request: "org_1")
def export(_request: HttpRequest, pk: int) -> HttpResponse:
    """Keep the parameters of a view."""
    return HttpResponse(pk)


export_view: Callable[[HttpRequest, int], HttpResponse] = export
export(HttpRequest(), pk="one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@requires_feature("exports")
async def export_later(request: HttpRequest) -> HttpResponse:
    """Keep the type of a coroutine function."""
    async with metered(request, "ai_credit") as use:
        assert_type(use, Metered)
    return HttpResponse()


async def awaits() -> None:
    """The decorated view is awaited."""
    assert_type(await export_later(HttpRequest()), HttpResponse)


def django_view(request: HttpRequest) -> None:
    """The helpers of a view are typed."""
    with metered(request, "ai_credit", 5) as use:
        assert_type(use, Metered)
    track_usage(request, "ai_credit", 2)
    assert_type(get_gate(), Gate)
    with override_service(tier="pro") as fake:
        assert_type(fake, FakeTransport)


chatarmin = Chatarmin(Flask(__name__))


@chatarmin.organisation_loader
def organisation() -> str | None:
    """Keep the type of a loader."""
    return None


assert_type(organisation(), str | None)


@chatarmin.requires_feature("exports")
def flask_view(pk: int) -> str:
    """Keep the type of a view."""
    return str(pk)


assert_type(flask_view(1), str)
flask_view("one")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
with chatarmin.metered("ai_credit") as metered_in_flask:
    assert_type(metered_in_flask, Metered)
assert_type(chatarmin.gate, Gate)
