"""Views that need a feature: functions, classes, blueprints, async views, and the responses to denied requests."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from asgiref.wsgi import WsgiToAsgi
from flask import Blueprint, Flask, abort, render_template_string
from flask.views import MethodView, View
from flask_apps import ACME, HTML, Shop
from werkzeug.local import LocalProxy

from chatarmin_os import ChatarminError, InvalidInput, TransportError
from chatarmin_os.flask import Chatarmin
from chatarmin_os.gate import Decision, FeatureDenied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


def _body(**values: Any) -> dict[str, Any]:
    """Return the JSON of a denial."""
    return {"error": "feature_denied", "limit": None, "current_usage": None, **values}


def _raise(error: Exception) -> Any:
    raise error


def _add_views(shop: Shop, feature: str = "ai_credit", **options: Any) -> None:
    """Add a view, and an async one."""
    requires = shop.chatarmin.requires_feature(feature, **options)

    @shop.app.get("/view")
    @requires
    def view() -> str:
        return "seen"

    @shop.app.get("/async-view")
    @requires
    async def async_view() -> str:
        await asyncio.sleep(0)
        return "seen"


VIEWS = pytest.mark.parametrize("path", ["/view", "/async-view"])

# Allowed and denied


@VIEWS
def test_allowed_request_reaches_the_view(path: str) -> None:
    """An organisation that may use the feature sees the view, and the second time nothing is asked."""
    shop = Shop()
    _add_views(shop)

    for _ in range(2):
        response = shop.browser.get(path, headers=ACME)
        assert (response.status_code, response.text) == (200, "seen")
    assert shop.paths == ["features.getAccessByExternalOrgId"]


@VIEWS
def test_denied_request_gets_json(path: str) -> None:
    """Without the feature the response is 403 with the documented body."""
    shop = Shop()
    _add_views(shop, "sso")

    response = shop.browser.get(path, headers=ACME)

    assert response.status_code == 403
    assert response.get_json() == _body(feature="sso", reason="disabled", current_usage=0)
    assert response.headers["Vary"] == "Accept"


def test_denied_browser_gets_the_page() -> None:
    """A browser gets the page, with the feature and without ids of the service."""
    shop = Shop()
    _add_views(shop, "sso")

    response = shop.browser.get("/view", headers={**ACME, "Accept": "text/html,*/*;q=0.8"})

    assert (response.status_code, response.mimetype) == (403, "text/html")
    assert "Your plan does not include this feature" in response.text
    assert "<dd>sso</dd>" in response.text
    assert shop.company_id not in response.text


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("template", [None, "{{ decision }} {{ feature }} {{ reason }}"], ids=["default", "own"])
def test_no_denial_has_an_id_of_the_service(accept: str, template: str | None) -> None:
    """Whatever the reason, also in an outage after which the company is known, and if a page prints the decision."""
    shop = Shop()
    if template:
        shop.app.jinja_env.loader = _Templates(**{"chatarmin_os/denied.html": template})
    for code in ("sso", "ai_credit", "api_access"):
        shop.app.add_url_rule(f"/{code}", code, view_func=shop.chatarmin.requires_feature(code)(lambda: "seen"))
    shop.client.billing.track_usage(company_id=shop.company_id, feature_code="ai_credit", quantity=100)

    def get(code: str) -> tuple[int, str]:
        response = shop.browser.get(f"/{code}", headers={**ACME, "Accept": accept})
        return response.status_code, response.text

    found = [get("sso"), get("ai_credit")]
    shop.fake.advance(timedelta(hours=1))
    shop.fake.fail(error="SERVICE_UNAVAILABLE", times=9)
    found.append(get("api_access"))

    assert [status for status, _ in found] == [403, 402, 503]
    assert not [text for _, text in found if shop.company_id in text or "injected" in text]


def test_limit_reached_is_402() -> None:
    """At the limit the response has the limit and the usage, and so has the page."""
    shop = Shop()
    _add_views(shop)
    shop.client.billing.track_usage(company_id=shop.company_id, feature_code="ai_credit", quantity=100)

    response = shop.browser.get("/view", headers=ACME)
    page = shop.browser.get("/view", headers={**ACME, **HTML})

    assert response.status_code == page.status_code == 402
    assert response.get_json() == _body(feature="ai_credit", reason="limit_reached", limit=100, current_usage=100)
    assert "You have reached your limit" in page.text
    assert "100 of 100" in page.text


@VIEWS
def test_outage_is_503(path: str) -> None:
    """If nothing is known and the service does not answer, the response says when to try again."""
    shop = Shop()
    _add_views(shop)
    shop.fake.fail(error="lost", times=9)

    response = shop.browser.get(path, headers=ACME)
    page = shop.browser.get(path, headers={**ACME, **HTML})

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "30"
    assert response.get_json() == _body(feature="ai_credit", reason="outage")
    assert "Please try again" in page.text


@VIEWS
def test_visitor_is_denied_without_asking(path: str) -> None:
    """A request without an organisation is denied as not linked, and nothing is asked."""
    shop = Shop()
    _add_views(shop)

    response = shop.browser.get(path)

    assert response.status_code == 403
    assert response.get_json() == _body(feature="ai_credit", reason="not_linked")
    assert shop.paths == []
    assert "has no plan yet" in shop.browser.get(path, headers=HTML).text


def test_unknown_organisation_is_not_linked() -> None:
    """An organisation that the service does not know is denied as not linked."""
    shop = Shop()
    _add_views(shop)

    assert shop.browser.get("/view", headers={"X-Org": "org_2"}).get_json()["reason"] == "not_linked"


def test_policies_decide_in_an_outage() -> None:
    """A feature whose policy allows stays open, and one whose policy raises raises."""
    shop = Shop(FEATURES={"ai_credit": {"on_outage": "allow"}, "seats": {"on_outage": "raise"}})
    _add_views(shop)
    shop.app.testing = True

    @shop.app.get("/seats")
    @shop.chatarmin.requires_feature("seats")
    def seats() -> str:
        return "seen"

    shop.fake.fail(error="lost", times=9)

    assert shop.browser.get("/view", headers=ACME).text == "seen"
    with pytest.raises(TransportError):
        shop.browser.get("/seats", headers=ACME)


def test_mistake_never_opens_a_view() -> None:
    """A feature that the service does not know is an error, not an open view."""
    shop = Shop(FEATURES={"expots": {"on_outage": "allow"}})
    _add_views(shop, "expots")

    assert shop.browser.get("/view", headers=ACME).status_code == 500


# Kinds of views


def test_classes_are_guarded() -> None:
    """The decorator guards whole classes by `decorators`, and single methods, async ones too."""
    shop = Shop()
    requires = shop.chatarmin.requires_feature

    class Page(View):
        decorators = [requires("sso")]  # noqa: RUF012 - as in Flask's documentation

        def dispatch_request(self) -> str:
            return "seen"

    class Item(MethodView):
        @requires("ai_credit")
        def get(self, number: int) -> str:
            return f"{type(self).__name__} {number}"

        @requires("sso")
        async def post(self, number: int) -> str:
            return f"never {number}"

    shop.app.add_url_rule("/page", view_func=Page.as_view("page"))
    shop.app.add_url_rule("/items/<int:number>", view_func=Item.as_view("item"))

    assert shop.browser.get("/page", headers=ACME).status_code == 403
    assert shop.browser.get("/items/5", headers=ACME).text == "Item 5"
    assert shop.browser.post("/items/5", headers=ACME).status_code == 403


def test_blueprints_are_guarded() -> None:
    """A view of a blueprint is guarded, and the name of a view is its own."""
    shop = Shop()
    blueprint = Blueprint("exports", "exports")

    @blueprint.get("/csv")
    @shop.chatarmin.requires_feature("sso")
    def csv() -> str:
        """Export."""
        return "never"

    shop.app.register_blueprint(blueprint, url_prefix="/exports")

    assert shop.browser.get("/exports/csv", headers=ACME).status_code == 403
    assert (csv.__name__, csv.__doc__) == ("csv", "Export.")
    assert "exports.csv" in shop.app.view_functions


def test_several_features_are_all_needed() -> None:
    """Decorators add up."""
    shop = Shop()

    @shop.app.get("/both")
    @shop.chatarmin.requires_feature("ai_credit")
    @shop.chatarmin.requires_feature("sso")
    def both() -> str:
        return "never"

    assert shop.browser.get("/both", headers=ACME).get_json()["feature"] == "sso"
    assert shop.paths == ["features.getAccessByExternalOrgId"]


def test_async_check_does_not_block_the_loop() -> None:
    """Under ASGI the view runs in the server's loop, which goes on while the check waits for the service."""
    shop = Shop()
    started, released = threading.Event(), threading.Event()

    def organisation() -> None:
        started.set()
        assert released.wait(timeout=10)

    _add_views(shop, organisation=organisation)

    async def request() -> list[Any]:
        sent: list[Any] = []
        received = asyncio.Queue[Any]()
        await received.put({"type": "http.request", "body": b"", "more_body": False})

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/async-view", "query_string": b"", "headers": []}
        asgi: Callable[..., Awaitable[None]] = WsgiToAsgi(shop.app)  # type: ignore[no-untyped-call]
        await asgi({**scope, "asgi": {"version": "3.0"}, "http_version": "1.1"}, received.get, send)
        return sent

    async def release() -> None:
        while not started.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.001)
        released.set()

    async def both() -> None:
        sent, _ = await asyncio.gather(request(), release())
        assert sent[0]["status"] == 403

    asyncio.run(both())


# Other responses


@VIEWS
@pytest.mark.parametrize(
    ("on_denied", "expected"),
    [
        ("upgrade.html", (402, "upgrade for ai_credit: limit_reached")),
        ("plans", (302, "/plans")),
        (lambda request, decision: (f"{request.path} {decision.reason}", 409), (409, " limit_reached")),
    ],
    ids=["template", "endpoint", "function"],
)
def test_view_responds_in_its_own_way(path: str, on_denied: Any, expected: tuple[int, str], tmp_path: Path) -> None:
    """Text that ends in .html is a template, other text an endpoint; a function gets the request and the decision."""
    shop = Shop()
    (tmp_path / "upgrade.html").write_text("upgrade for {{ feature }}: {{ reason }}")
    shop.app.template_folder = str(tmp_path)
    shop.app.add_url_rule("/plans", "plans", lambda: "plans")
    _add_views(shop, on_denied=on_denied)
    shop.client.billing.track_usage(company_id=shop.company_id, feature_code="ai_credit", quantity=100)

    response = shop.browser.get(path, headers=ACME)

    assert response.status_code == expected[0]
    assert expected[1] in (response.headers.get("Location") or response.text)


@VIEWS
def test_view_stays_closed_if_its_response_is_missing(path: str) -> None:
    """A function that returns nothing is an error, and the view does not run."""
    shop = Shop()
    _add_views(shop, "sso", on_denied=lambda *_: None)

    assert shop.browser.get(path, headers=ACME).status_code == 500


def test_async_function_responds() -> None:
    """The function that responds may be async."""
    shop = Shop()

    async def respond(_request: Any, decision: Decision) -> tuple[str, int]:
        await asyncio.sleep(0)
        return decision.reason, 402

    _add_views(shop, "sso", on_denied=respond)

    assert shop.browser.get("/view", headers=ACME).text == "disabled"
    assert shop.browser.get("/async-view", headers=ACME).text == "disabled"


def test_app_responds_in_its_own_way() -> None:
    """ON_DENIED gets the request and the decision of every denial."""
    shop = Shop(ON_DENIED=lambda request, decision: (f"{request.path} {decision.feature_code}", 409))
    _add_views(shop, "sso")

    assert shop.browser.get("/view", headers=ACME).text == "/view sso"


@pytest.mark.parametrize("is_early", [True, False], ids=["before-init", "after-init"])
def test_handler_of_the_app_wins(is_early: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An app's own handler of denials is used, whenever it was registered, and its other handlers are not."""
    shop = Shop()
    app = Flask("other")
    app.config["CHATARMIN_OS"] = {"TRANSPORT": shop.fake}
    chatarmin = Chatarmin(None if is_early else app)

    @app.errorhandler(FeatureDenied)
    def denied(error: FeatureDenied) -> tuple[str, int]:
        return f"own {error.decision.reason}", 418

    @app.errorhandler(ChatarminError)
    def failed(error: ChatarminError) -> str:
        return f"never {error}"

    chatarmin.init_app(app)
    app.add_url_rule("/", view_func=chatarmin.requires_feature("sso", organisation=lambda: "org_1")(lambda: "never"))

    assert app.test_client().get("/").text == "own disabled"


def test_general_handler_gets_no_denial() -> None:
    """A denial is no other error: the app's handler of all exceptions does not get it."""
    shop = Shop()
    shop.app.register_error_handler(Exception, lambda error: f"never {error}")
    _add_views(shop, "sso")

    assert shop.browser.get("/view", headers=ACME).status_code == 403


def test_denial_inside_a_view_gets_the_same_response() -> None:
    """A denial that a view raises itself looks the same."""
    shop = Shop()

    @shop.app.get("/")
    def view() -> str:
        shop.chatarmin.gate.require(external_org_id="org_1", feature_code="sso")
        return "never"

    assert shop.browser.get("/").get_json()["reason"] == "disabled"


def test_project_overrides_the_page(tmp_path: Path) -> None:
    """A template of the app with the name of the page is used."""
    shop = Shop()
    (tmp_path / "chatarmin_os").mkdir()
    (tmp_path / "chatarmin_os" / "denied.html").write_text("our page: {{ feature }} {{ reason }} {{ decision.source }}")
    shop.app.template_folder = str(tmp_path)
    _add_views(shop, "sso")

    assert shop.browser.get("/view", headers={**ACME, **HTML}).text == "our page: sso disabled live"


def test_page_escapes_without_autoescape() -> None:
    """The code of a feature is escaped even if the app turns automatic escaping off."""
    shop = Shop()
    shop.app.jinja_env.autoescape = False

    @shop.app.get("/")
    def view() -> str:
        raise FeatureDenied(Decision(allowed=False, reason="disabled", source="live", feature_code="<b>&"))

    text = shop.browser.get("/", headers=HTML).text

    assert "&lt;b&gt;&amp;" in text
    assert "<b>" not in text


# Organisations


ORG = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    "value",
    [str(ORG), ORG, LocalProxy(lambda: ORG), LocalProxy(lambda: str(ORG))],
    ids=["text", "uuid", "proxy", "lazy"],
)
def test_organisation_is_text_or_a_uuid(value: Any) -> None:
    """A loader returns text or a UUID, or a lazy object of one of them."""
    shop = Shop()
    shop.client.onboard(external_org_id=ORG, tier_code="free")
    shop.chatarmin.organisation_loader(lambda: value)
    _add_views(shop)

    assert shop.browser.get("/view").text == "seen"


def test_lazy_nobody_is_nobody() -> None:
    """A lazy object of None is nobody."""
    shop = Shop()
    shop.chatarmin.organisation_loader(lambda: LocalProxy(lambda: None))
    _add_views(shop)

    assert shop.browser.get("/view").get_json()["reason"] == "not_linked"


async def _coroutine() -> str:
    return "org_1"


def _late() -> Any:
    return _coroutine()


@pytest.mark.parametrize(
    ("load", "problem"),
    [
        (lambda: 5, "organisation_loader: must be text or uuid.UUID, got int 5; pass str(5)"),
        (lambda: " ", "organisation_loader: must not be blank"),
        (lambda: True, "organisation_loader: must be text or uuid.UUID, got True"),
        (lambda: LocalProxy(lambda: 5), "organisation_loader: must be text or uuid.UUID, got int 5"),
        (_late, "organisation_loader: must not be async"),
    ],
    ids=["number", "blank", "boolean", "lazy-number", "coroutine"],
)
def test_invalid_organisation_is_named(load: Any, problem: str) -> None:
    """A loader that returns something else is an error that names it; the view stays closed."""
    shop = Shop()
    shop.app.testing = True
    shop.chatarmin.organisation_loader(load)
    _add_views(shop)

    with pytest.raises(InvalidInput) as raised:
        shop.browser.get("/view")
    assert str(raised.value).startswith(problem)
    assert shop.paths == []


def test_error_of_a_loader_passes_through() -> None:
    """An error of a loader is the error of the request; `abort` gives its response."""
    shop = Shop()
    shop.chatarmin.organisation_loader(lambda: abort(401))
    _add_views(shop)

    assert shop.browser.get("/view").status_code == 401

    shop.app.testing = True
    shop.chatarmin.organisation_loader(lambda: _raise(KeyError("org")))
    with pytest.raises(KeyError, match="org"):
        shop.browser.get("/view")


def test_setting_names_the_organisation_without_a_loader() -> None:
    """ORGANISATION gets the request, and is used if there is no loader."""
    app = Flask("shop")
    shop = Shop()
    app.config["CHATARMIN_OS"] = {"TRANSPORT": shop.fake, "ORGANISATION": lambda request: request.args.get("org")}
    chatarmin = Chatarmin(app)
    app.add_url_rule("/", view_func=chatarmin.requires_feature("ai_credit")(lambda: "seen"))

    assert app.test_client().get("/?org=org_1").text == "seen"
    assert app.test_client().get("/").get_json()["reason"] == "not_linked"

    chatarmin.organisation_loader(lambda: "org_2")
    assert app.test_client().get("/?org=org_1").get_json()["reason"] == "not_linked"


def test_missing_loader_is_named() -> None:
    """Without a loader and the setting a guarded view is closed by an error with advice."""
    app = Flask("shop")
    app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake"}
    app.testing = True
    app.add_url_rule("/", view_func=Chatarmin(app).requires_feature("ai_credit")(lambda: "never"))

    with pytest.raises(InvalidInput, match=r"CHATARMIN_OS\.ORGANISATION: is missing; decorate a function"):
        app.test_client().get("/")


@pytest.mark.parametrize(
    ("decorate", "problem"),
    [
        (lambda chatarmin: chatarmin.requires_feature(""), "feature_code: must not be blank"),
        (lambda chatarmin: chatarmin.requires_feature(lambda: "view"), "feature_code: expected text, got function"),
        (lambda chatarmin: chatarmin.requires_feature("sso", on_denied=5), "on_denied: expected a template"),
        (lambda chatarmin: chatarmin.requires_feature("sso", organisation=5), "organisation: expected a function"),
        (lambda chatarmin: chatarmin.organisation_loader(_coroutine), "organisation_loader: must not be async"),
        (lambda chatarmin: chatarmin.organisation_loader(5), "organisation_loader: expected a function"),
    ],
    ids=["blank", "without-call", "on-denied", "organisation", "async-loader", "loader"],
)
def test_invalid_decorator_is_named(decorate: Callable[[Any], Any], problem: str) -> None:
    """A wrong argument raises where the view is defined."""
    with pytest.raises(InvalidInput) as raised:
        decorate(Chatarmin())
    assert str(raised.value).startswith(problem)


# Templates


def _rendered(shop: Shop, template: str, **headers: str) -> str:
    shop.app.add_url_rule("/page", view_func=lambda: render_template_string(template))
    response = shop.browser.get("/page", headers=headers)
    assert response.status_code == 200
    return response.text


def test_templates_read_features() -> None:
    """`feature(...)` and `features` are decisions, and a page of five asks once."""
    shop = Shop()
    template = (
        "{% if feature('ai_credit') %}{{ feature('ai_credit').access.remaining }}{% endif %} "
        "{% if features.sso %}never{% else %}{{ features['sso'].reason }}{% endif %} {{ features.seats.allowed }} "
        "{{ features.team_seats.allowed }}"
    )

    assert _rendered(shop, template, **ACME) == "100 disabled True False"
    assert shop.paths == ["features.getAccessByExternalOrgId"]


def test_printed_decision_has_no_id_of_the_service() -> None:
    """A template that prints a decision shows what it is, and not the company."""
    text = _rendered(Shop(), "{{ feature('sso') }}; {{ features.seats }}", **ACME)

    assert text == "sso: denied (reason disabled, source live); seats: allowed (reason allowed, source cache)"


def test_templates_list_features() -> None:
    """A loop over `features` has every feature of the service in its order, and none for a visitor."""
    template = "{% for code in features %}{{ code }} {% endfor %}{{ features|length }}"

    assert _rendered(Shop(), template, **ACME) == "ai_credit seats team_seats api_access sso 5"
    assert _rendered(Shop(), template) == "0"


def test_features_are_closed_for_visitors() -> None:
    """A visitor may use nothing, and nothing is asked."""
    shop = Shop()

    assert _rendered(shop, "{{ feature('sso').reason }} {{ features.sso.allowed }}") == "not_linked False"
    assert shop.paths == []


def test_unused_features_ask_nothing() -> None:
    """A page that reads no feature asks nothing."""
    shop = Shop()

    assert _rendered(shop, "page", **ACME) == "page"
    assert shop.paths == []


def test_macros_read_features() -> None:
    """A template that is imported without a context has the same names."""
    shop = Shop()
    shop.app.jinja_env.loader = _Templates(
        macros="{% macro allowed() %}{{ feature('ai_credit').allowed }}{% endmacro %}"
    )

    assert _rendered(shop, "{% from 'macros' import allowed %}{{ allowed() }}", **ACME) == "True"


def _Templates(**templates: str) -> Any:  # noqa: N802 - like the class it returns
    from jinja2 import DictLoader

    return DictLoader(templates)


@pytest.mark.parametrize("template", ["{{ feature('nope').allowed }}", "{{ features.nope.allowed }}"])
def test_mistake_in_a_template_is_closed_and_logged(template: str, caplog: pytest.LogCaptureFixture) -> None:
    """An unknown feature in a template is closed, and the log names it."""
    assert _rendered(Shop(), template, **ACME) == "False"
    assert "the feature 'nope' is closed in a template" in caplog.text


@pytest.mark.parametrize("load", [lambda: 5, lambda: _raise(KeyError("org"))], ids=["number", "raises"])
def test_broken_loader_closes_templates(load: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A loader that fails closes the features of a page, which is still shown."""
    shop = Shop()
    shop.chatarmin.organisation_loader(load)

    assert _rendered(shop, "{{ feature('sso').allowed }} {{ features|length }}") == "False 0"
    assert "every feature is closed in a template" in caplog.text


def test_policies_decide_in_templates() -> None:
    """In an outage each feature of a template follows its policy; one that raises is closed."""
    shop = Shop(FEATURES={"sso": {"on_outage": "allow"}, "seats": {"on_outage": "raise"}})
    shop.fake.fail(error="lost", times=9)

    template = "{{ features.sso.allowed }} {{ features.seats.allowed }} {{ features.ai_credit.reason }}"
    assert _rendered(shop, template, **ACME) == "True False outage"


def test_app_overrides_names_of_templates() -> None:
    """Variables of a view have precedence."""
    shop = Shop()
    shop.app.add_url_rule("/", view_func=lambda: render_template_string("{{ feature }}", feature="own"))

    assert shop.browser.get("/").text == "own"
