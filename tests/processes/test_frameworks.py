"""Views of Django and Flask that check and track over HTTP: one client for the process, as the README has it."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from echoing import needed
from flask import Flask, jsonify
from ports import dead_port

from chatarmin_os import ChatarminOS, FeatureCheckInput, TransportError, UnauthorizedError, UsageLimitError
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow


@pytest.fixture
def fake() -> FakeTransport:
    """Return the service's own side, where a company has the tier with 100 AI credits."""
    fake = FakeTransport(demo_catalogue())
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="free")
    return fake


@pytest.fixture
def client(fake: FakeTransport, fake_server: Any) -> Iterator[ChatarminOS]:
    """Return a client that reaches it over HTTP."""
    api_key = fake_server.add(fake)
    with ChatarminOS(api_key, base_url=fake_server.url) as client:
        yield client
    fake_server.forget(api_key)


def spent(client: ChatarminOS) -> tuple[dict[str, Any], int]:
    """Return the response of a view: it counts 60 credits if any are left."""
    try:
        access = client.features.check_by_external_org_id("org_1", "ai_credit")
        if not access.can_use:
            return {"error": "upgrade"}, 402
        company = client.companies.get_by_product_link(external_org_id="org_1")
        assert company
        used = client.billing.track_usage(company_id=company.id, feature_code="ai_credit", quantity=60)
    except UsageLimitError as error:
        return {"error": error.code}, 402
    except UnauthorizedError as error:
        return {"error": error.code, "status": error.http_status, "path": error.path, "text": str(error)}, 500
    except TransportError as error:
        return {"error": type(error).__name__, "outcome": error.outcome}, 503
    return {"remaining": used.remaining}, 200


def flask_app(client: ChatarminOS) -> Callable[[], tuple[int, Any]]:
    """Return how to ask a view of Flask."""
    app = Flask(__name__)
    app.config["PROPAGATE_EXCEPTIONS"] = True  # as Django's test client does

    @app.post("/spend")
    def spend() -> Any:
        answer, status = spent(client)
        return jsonify(answer), status

    def ask() -> tuple[int, Any]:
        with app.test_client() as browser:
            response = browser.post("/spend")
            return response.status_code, response.get_json()

    return ask


def django_app(client: ChatarminOS) -> Callable[[], tuple[int, Any]]:
    """Return how to ask a view of Django."""
    needed("django_project")  # configures Django
    urls, http, test = needed("django.urls"), needed("django.http"), needed("django.test")

    def spend(_: Any) -> Any:
        answer, status = spent(client)
        return http.JsonResponse(answer, status=status)

    routes = ModuleType("routes")
    vars(routes)["urlpatterns"] = [urls.path("spend", spend)]

    def ask() -> tuple[int, Any]:
        with test.override_settings(ROOT_URLCONF=routes):
            response = test.Client().post("/spend")
            return response.status_code, json.loads(response.content)

    return ask


frameworks = pytest.mark.parametrize("app", [flask_app, django_app], ids=["Flask", "Django"])


@frameworks
def test_view_checks_and_tracks(app: Callable[..., Any], client: ChatarminOS, fake: FakeTransport) -> None:
    """A view counts usage once per request, and refuses when the limit is reached, as the service says."""
    ask = app(client)

    assert ask() == (200, {"remaining": 40})
    assert ask() == (402, {"error": "PRECONDITION_FAILED"})
    assert [call.path for call in fake.calls].count("billing.trackUsage") == 2


@frameworks
def test_view_is_refused_with_a_wrong_key(app: Callable[..., Any], fake_server: Any) -> None:
    """A key that the service does not know is UNAUTHORIZED with its status and path, and without the key."""
    with ChatarminOS("os_sk_wrong_key", base_url=fake_server.url) as client:
        status, answer = app(client)()

    assert status == 500
    assert (answer["error"], answer["status"]) == ("UNAUTHORIZED", 401)
    assert answer["path"] == "features.checkByExternalOrgId"
    assert "os_sk_wrong_key" not in str(answer)


@frameworks
def test_view_gets_the_failed_connection(app: Callable[..., Any]) -> None:
    """Where nobody listens the view learns that nothing was sent, so that it can say to come again."""
    with ChatarminOS("os_sk_test", base_url=f"http://127.0.0.1:{dead_port()}/api/v1") as client:
        assert app(client)() == (503, {"error": "ConnectionFailed", "outcome": "not_sent"})


@frameworks
def test_uncaught_error_of_a_view_is_not_changed(
    app: Callable[..., Any], fake_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the framework comes the documented error itself, which knows its request."""
    request = FeatureCheckInput(company_id="c", feature_code="seats")
    monkeypatch.setitem(globals(), "spent", lambda client: client.send(request))
    with (
        ChatarminOS("os_sk_wrong_key", base_url=fake_server.url) as client,
        pytest.raises(UnauthorizedError) as refused,
    ):
        app(client)()

    assert refused.value.request is request
