"""Usage of requests: counted after a response that succeeded, and never instead of it."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, abort, copy_current_request_context, redirect, stream_with_context
from flask_apps import ACME, Shop, organisation

from chatarmin_os import ApiError, ChatarminError, InvalidInput, NotFoundError
from chatarmin_os.flask import Chatarmin
from chatarmin_os.gate import FeatureDenied

if TYPE_CHECKING:
    from collections.abc import Iterator


class MyError(Exception):
    """An error of the app, which a handler turns into a successful response."""


def _shop_with(view: Any, **settings: Any) -> Shop:
    """Return a shop with a view that counts usage and then calls *view*."""
    shop = Shop(**settings)

    @shop.app.route("/", methods=["GET", "POST"])
    def tracked() -> Any:
        shop.chatarmin.track_usage("ai_credit", 5)
        assert shop.used() == 0
        return view()

    shop.app.register_error_handler(MyError, lambda _: "fine")
    return shop


def _raise(error: Exception) -> Any:
    raise error


# After the response


@pytest.mark.parametrize(
    ("view", "status", "used"),
    [
        (lambda: "fine", 200, 5),
        (lambda: redirect("/there"), 302, 5),
        (lambda: ("created", 201), 201, 5),
        (lambda: ("no", 399), 399, 5),
        (lambda: ("no", 400), 400, 0),
        (lambda: ("no", 503), 503, 0),
        (lambda: abort(404), 404, 0),
        (lambda: abort(redirect("/there")), 302, 0),
        (lambda: _raise(KeyError("x")), 500, 0),
        (lambda: _raise(MyError()), 200, 0),
    ],
    ids=["ok", "redirect", "created", "399", "400", "503", "abort", "abort-redirect", "exception", "handled"],
)
def test_usage_is_counted_if_the_request_succeeds(view: Any, status: int, used: int) -> None:
    """Usage counts after a response below 400, and not after an exception, whatever its response is."""
    shop = _shop_with(view)

    assert shop.browser.get("/", headers=ACME).status_code == status
    assert shop.used() == used


def test_usage_is_sent_once() -> None:
    """A response that the app processes again counts nothing again."""
    shop = Shop()

    with shop.app.test_request_context(headers=ACME):
        shop.chatarmin.track_usage("ai_credit")
        for _ in range(2):
            shop.app.process_response(Response())

    assert shop.used() == 1


def test_exception_that_the_view_catches_counts() -> None:
    """An exception that never leaves the view is none of the request."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> str:
        try:
            shop.chatarmin.track_usage("ai_credit")
            _raise(MyError())
        except MyError:
            return "caught"
        return "never"

    shop.browser.get("/", headers=ACME)

    assert shop.used() == 1


@pytest.mark.parametrize(
    "break_response", [lambda _: Response(status=500), lambda _: _raise(KeyError("x"))], ids=["status", "exception"]
)
@pytest.mark.parametrize("is_early", [True, False], ids=["before-init", "after-init"])
def test_response_that_fails_later_counts_nothing(break_response: Any, *, is_early: bool) -> None:
    """A function that the app runs after requests may still fail the request, whenever it was added."""
    shop = Shop()
    app = Flask("other")
    app.config["CHATARMIN_OS"] = {"TRANSPORT": shop.fake}
    chatarmin = Chatarmin(None if is_early else app)
    app.after_request(break_response)
    chatarmin.init_app(app)
    chatarmin.organisation_loader(organisation)

    @app.get("/")
    def view() -> str:
        chatarmin.track_usage("ai_credit")
        return "fine"

    assert app.test_client().get("/", headers=ACME).status_code == 500
    assert shop.used() == 0


def test_error_before_the_view_counts_nothing() -> None:
    """Usage of a function that runs before the view counts only if the request succeeds."""
    shop = Shop()

    @shop.app.before_request
    def before() -> None:
        shop.chatarmin.track_usage("ai_credit")

    shop.app.add_url_rule("/", view_func=lambda: "fine")

    assert shop.browser.get("/missing", headers=ACME).status_code == 404
    assert shop.used() == 0
    shop.browser.get("/", headers=ACME)
    assert shop.used() == 1


def test_requests_inside_a_request_have_usage_of_their_own() -> None:
    """A view may make a request to its own app; each counts its own usage by its own outcome."""
    shop = Shop()

    @shop.app.get("/inner/<int:status>")
    def inner(status: int) -> tuple[str, int]:
        shop.chatarmin.track_usage("ai_credit", 1)
        return "inner", status

    @shop.app.get("/outer")
    def outer() -> str:
        shop.chatarmin.track_usage("ai_credit", 10)
        assert shop.browser.get("/inner/200", headers=ACME).status_code == 200
        assert shop.browser.get("/inner/500", headers=ACME).status_code == 500
        assert shop.used() == 1
        return "outer"

    shop.browser.get("/outer", headers=ACME)

    assert shop.used() == 11


def test_requests_in_one_app_context_share_nothing() -> None:
    """Requests that share an app context, as in many tests, count their own usage once."""
    shop = Shop()

    @shop.app.get("/<int:status>")
    def view(status: int) -> tuple[str, int]:
        shop.chatarmin.track_usage("ai_credit")
        return "", status

    with shop.app.app_context():
        for status in (500, 200, 500, 200):
            shop.browser.get(f"/{status}", headers=ACME)

    assert shop.used() == 2


@pytest.mark.parametrize(("status", "used"), [(200, 3), (500, 0)])
def test_usage_while_streaming_is_sent_at_once(status: int, used: int) -> None:
    """The response is made before its body is streamed; usage inside the stream follows the status."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> Response:
        def lines() -> Iterator[str]:
            yield "a"
            shop.chatarmin.track_usage("ai_credit", 1)
            yield "b"

        shop.chatarmin.track_usage("ai_credit", 2)
        return Response(stream_with_context(lines()), status)

    assert shop.browser.get("/", headers=ACME).text == "ab"
    assert shop.used() == used


def test_usage_of_a_background_thread_is_not_lost() -> None:
    """A thread with a copy of the request's context counts with the request, or at once after it."""
    shop = Shop()
    finished = threading.Event()
    threads = []

    @shop.app.get("/")
    def view() -> str:
        @copy_current_request_context
        def early() -> None:
            shop.chatarmin.track_usage("ai_credit", 1)

        @copy_current_request_context
        def late() -> None:
            assert finished.wait(10)
            shop.chatarmin.track_usage("ai_credit", 2)

        threads.extend([threading.Thread(target=early), threading.Thread(target=late)])
        threads[0].start()
        threads[0].join()
        threads[1].start()
        return "fine"

    shop.browser.get("/", headers=ACME)
    assert shop.used() == 1
    finished.set()
    threads[1].join()

    assert shop.used() == 3


def test_async_views_count_usage() -> None:
    """Usage of an async view is sent after its response."""
    shop = Shop()

    @shop.app.get("/")
    async def view() -> str:
        shop.chatarmin.track_usage("ai_credit", 2, metadata={"job": 1})
        return "fine"

    shop.browser.get("/", headers=ACME)

    assert shop.used() == 2
    assert shop.fake.calls[-2].input["metadata"] == {"job": 1}


def test_usage_needs_no_lookup_where_the_gate_knows_the_company() -> None:
    """After a check usage is one call."""
    shop = Shop()

    @shop.app.get("/")
    @shop.chatarmin.requires_feature("ai_credit")
    def view() -> str:
        shop.chatarmin.track_usage("ai_credit", idempotency_key="key-1")
        return "fine"

    shop.browser.get("/", headers=ACME)

    assert shop.paths == ["features.getAccessByExternalOrgId", "billing.trackUsage"]
    assert shop.fake.calls[-1].input["idempotencyKey"] == "key-1"


# Failures


def _logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the event in the one error that was logged."""
    (record,) = [record for record in caplog.records if record.getMessage().startswith("usage")]
    assert record.levelno == logging.ERROR
    event: dict[str, Any] = json.loads(record.getMessage()[record.getMessage().index("{") :])
    return event


@pytest.mark.parametrize("error", ["lost", "SERVICE_UNAVAILABLE", "PRECONDITION_FAILED", "UNAUTHORIZED"])
def test_failure_leaves_the_response_and_logs_the_event(error: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has everything that is needed to send the event again."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> str:
        shop.chatarmin.track_usage("ai_credit", 5, idempotency_key="key-1", metadata={"job": 1})
        return "fine"

    shop.fake.fail("billing.trackUsage", error=error)

    assert shop.browser.get("/", headers=ACME).text == "fine"
    assert _logged(caplog) == {
        "external_org_id": "org_1",
        "feature_code": "ai_credit",
        "quantity": 5,
        "idempotency_key": "key-1",
        "metadata": {"job": 1},
    }


def test_outage_of_the_lookup_logs_the_event(caplog: pytest.LogCaptureFixture) -> None:
    """The company cannot be looked up; the event names the organisation."""
    shop = _shop_with(lambda: "fine")
    shop.fake.fail("features.getAccessByExternalOrgId", error="lost", times=9)
    shop.fake.fail("companies.getByProductLink", error="lost", times=9)

    assert shop.browser.get("/", headers=ACME).text == "fine"
    assert _logged(caplog)["external_org_id"] == "org_1"


def test_company_is_looked_up_where_the_gate_cannot_say(caplog: pytest.LogCaptureFixture) -> None:
    """Features may be unreadable while companies are not."""
    shop = _shop_with(lambda: "fine", FEATURES={"ai_credit": {"on_outage": "raise"}})
    shop.fake.fail("features.getAccessByExternalOrgId", error="lost", times=9)

    shop.browser.get("/", headers=ACME)

    assert shop.used() == 5
    assert "send it again" not in caplog.text


def test_unknown_feature_logs_the_event(caplog: pytest.LogCaptureFixture) -> None:
    """A feature that the service does not know is an error in the log, not one of the response."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> str:
        shop.chatarmin.track_usage("nope")
        return "fine"

    assert shop.browser.get("/", headers=ACME).text == "fine"
    assert _logged(caplog)["feature_code"] == "nope"


def test_log_has_no_text_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    """A message of the service may name a company."""
    shop = _shop_with(lambda: "fine")
    shop.fake.fail("billing.trackUsage", error=ApiError.from_code("NOT_FOUND", "No company of-the-service"))

    shop.browser.get("/", headers=ACME)

    assert "NotFoundError NOT_FOUND" in caplog.text
    assert "of-the-service" not in caplog.text


def test_usage_of_an_unknown_organisation_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Usage of an organisation that is not linked cannot be counted."""
    shop = _shop_with(lambda: "fine")

    assert shop.browser.get("/", headers={"X-Org": "org_2"}).text == "fine"
    assert _logged(caplog)["external_org_id"] == "org_2"


def test_usage_of_a_visitor_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Usage of a request without an organisation is logged, and the response stays as it is."""
    shop = _shop_with(lambda: "fine")

    assert shop.browser.get("/").text == "fine"
    assert _logged(caplog)["quantity"] == 5
    assert "billing.trackUsage" not in shop.paths


def test_invalid_usage_is_an_error_of_the_view() -> None:
    """A wrong argument raises where the view makes it."""
    shop = Shop()
    shop.app.testing = True

    @shop.app.get("/")
    def view() -> str:
        shop.chatarmin.track_usage("ai_credit", -1)
        return "never"

    with pytest.raises(InvalidInput, match="quantity: expected a number above 0"):
        shop.browser.get("/", headers=ACME)
    with pytest.raises(InvalidInput, match="quantity: expected a number above 0"):
        shop.browser.get("/")


# Outside of a request


def test_usage_outside_of_a_request_needs_an_organisation() -> None:
    """Without a request there is no organisation to count for, so one has to be named."""
    shop = Shop()

    with shop.app.app_context(), pytest.raises(InvalidInput, match="external_org_id: is missing: there is no request"):
        shop.chatarmin.track_usage("ai_credit")


def test_usage_outside_of_a_request_is_sent_at_once() -> None:
    """A background job names the organisation; its errors raise."""
    shop = Shop()

    with shop.app.app_context():
        shop.chatarmin.track_usage("ai_credit", 2, external_org_id="org_1")
        assert shop.used() == 2
        with pytest.raises(NotFoundError, match="not linked"):
            shop.chatarmin.track_usage("ai_credit", external_org_id="org_2")
        shop.fake.fail("billing.trackUsage", error="lost")
        with pytest.raises(ChatarminError, match="injected"):
            shop.chatarmin.track_usage("ai_credit", external_org_id="org_1")


def test_usage_of_another_organisation() -> None:
    """A request may count for another organisation than its own; the loader is not asked."""
    shop = Shop()
    shop.chatarmin.organisation_loader(lambda: _raise(KeyError("never")))

    @shop.app.get("/")
    def view() -> str:
        shop.chatarmin.track_usage("ai_credit", 2, external_org_id="org_1")
        return "fine"

    shop.browser.get("/")

    assert shop.used() == 2


# Metered


def test_metered_block_counts_at_its_end() -> None:
    """The block runs if the feature may be used, and counts the quantity that it sets."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> dict[str, Any]:
        with shop.chatarmin.metered("ai_credit", 5, "key-1", {"job": 1}) as use:
            use.quantity = 3
            assert use.decision.allowed
        return {"remaining": use.result and use.result.remaining}

    assert shop.browser.get("/", headers=ACME).get_json() == {"remaining": 97}
    assert shop.fake.calls[-1].input["idempotencyKey"] == "key-1"
    assert shop.fake.calls[-1].input["metadata"] == {"job": 1}


@pytest.mark.parametrize(
    ("headers", "quantity", "expected"),
    [({}, 1, (403, "not_linked")), ({"X-Org": "org_2"}, 1, (403, "not_linked")), (ACME, 101, (402, "limit_reached"))],
    ids=["visitor", "unknown", "limit"],
)
def test_metered_block_is_denied(headers: dict[str, str], quantity: int, expected: tuple[int, str]) -> None:
    """A denied block does not run, and the response is that of every denial."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> str:
        with shop.chatarmin.metered("ai_credit", quantity):
            pytest.fail("the block ran")
        return "never"

    response = shop.browser.get("/", headers=headers)

    assert (response.status_code, response.get_json()["reason"]) == expected


def test_metered_block_counts_nothing_after_an_exception() -> None:
    """Work that failed costs nothing."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> str:
        with shop.chatarmin.metered("ai_credit"):
            raise MyError
        return "never"

    assert shop.browser.get("/", headers=ACME).status_code == 500
    assert shop.used() == 0


def test_nothing_is_shared_between_apps() -> None:
    """One extension serves several apps, each with its own service, gate and usage."""
    shops = [Shop(), Shop()]
    chatarmin = Chatarmin()
    chatarmin.organisation_loader(organisation)

    def view() -> str:
        chatarmin.track_usage("ai_credit")
        return "fine"

    apps = []
    for shop in shops:
        app = Flask("shop")
        app.config["CHATARMIN_OS"] = {"TRANSPORT": shop.fake}
        chatarmin.init_app(app)
        app.add_url_rule("/", view_func=view)
        apps.append(app)

    apps[0].test_client().get("/", headers=ACME)

    assert [shop.used() for shop in shops] == [1, 0]
    with apps[0].app_context():
        first = chatarmin.gate
        with apps[1].app_context():
            assert chatarmin.gate is not first
            assert chatarmin.client is chatarmin.gate.client
        assert chatarmin.gate is first


def test_denial_is_no_usage() -> None:
    """Usage before a denial is not counted, also if the app's handler responds with 200."""
    shop = Shop()
    shop.app.register_error_handler(FeatureDenied, lambda _: "upgrade")

    @shop.app.get("/")
    def view() -> str:
        shop.chatarmin.track_usage("ai_credit")
        shop.chatarmin.gate.require(external_org_id="org_1", feature_code="sso")
        return "never"

    assert shop.browser.get("/", headers=ACME).text == "upgrade"
    assert shop.used() == 0
