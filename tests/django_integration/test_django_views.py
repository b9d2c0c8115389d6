"""Views that need a feature: functions and classes, sync and async, and the responses to denials."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.utils.functional import SimpleLazyObject
from django.views import View
from django_project.models import Membership
from django_project.views import AsyncView

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.django import RequiresFeatureMixin, requires_feature
from chatarmin_os.django.test import override_service
from chatarmin_os.transports import FunctionTransport
from chatarmin_os.web.denial import TEMPLATE, TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]

TOKEN = {"token": "t"}

VIEWS = (
    "function",
    "async-function",
    "mixin",
    "async-mixin",
    "decorated",
    "async-decorated",
    "async-decorated-method",
    "twice-decorated",
    "async-twice-decorated",
)
ORGANISATION = {"X-Organisation": "org_1"}


def view_of(view_class: type[View]) -> Callable[[HttpRequest], Any]:
    """Return a class as a view."""
    view: Callable[[HttpRequest], Any] = view_class.as_view()
    return view


def wsgi_get(url: str, **headers: str) -> Any:
    """Get a page of the project under WSGI."""
    return Client().get(url, headers=headers)


def asgi_get(url: str, **headers: str) -> Any:
    """Get a page of the project under ASGI."""
    return async_to_sync(AsyncClient().get)(url, headers=headers)


both = pytest.mark.parametrize("get", [wsgi_get, asgi_get], ids=["wsgi", "asgi"])


@both
@pytest.mark.parametrize("view", VIEWS)
def test_view_runs_with_its_feature(view: str, get: Callable[..., Any]) -> None:
    """An organisation with the feature gets the view, in which `request.feature` is the decision."""
    with override_service(tier="enterprise"):
        response = get(f"/{view}", **ORGANISATION)

    assert response.status_code == 200
    assert response.json() == {"feature": "sso", "reason": "allowed"}


@both
@pytest.mark.parametrize("view", VIEWS)
def test_view_is_denied_without_its_feature(view: str, get: Callable[..., Any], fake: FakeTransport) -> None:
    """An organisation without the feature gets the denial, from one call of the service."""
    response = get(f"/{view}", **ORGANISATION)

    assert response.status_code == 403
    assert response.json() == {
        "error": "feature_denied",
        "feature": "sso",
        "reason": "disabled",
        "limit": None,
        "current_usage": 0,
    }
    assert len(fake.calls) == 1


@both
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("rows")
def test_organisation_may_use_the_orm(view: str, get: Callable[..., Any]) -> None:
    """The function of the setting ORGANISATION reads the database, also for async views."""
    Membership.objects.create(**TOKEN, org_id="org_1")

    with override_service(tier="enterprise"):
        response = get(f"/{view}", **{"X-Token": "t"})

    assert response.status_code == 200


def test_request_of_nobody_is_denied_without_a_call(fake: FakeTransport) -> None:
    """If ORGANISATION returns None, the request is not linked, and the service is not asked."""
    response = wsgi_get("/function")

    assert (response.status_code, response.json()["reason"]) == (403, "not_linked")
    assert fake.calls == []


def test_async_check_leaves_the_loop_free() -> None:
    """The check of an async view waits in a thread: the event loop goes on, and here it ends the wait."""
    is_going_on = Event()

    def answer(_: Any) -> Any:
        assert is_going_on.wait(timeout=30)
        return {"companyId": "c", "features": [{"featureCode": "sso", "isEnabled": True, "canUse": True}]}

    @requires_feature("sso", organisation="org_1")
    async def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse("done")

    async def main() -> bytes:
        asyncio.get_running_loop().call_later(0.01, is_going_on.set)
        response = await view(AsyncRequestFactory().get("/"))
        return bytes(response.content)

    with override_settings(CHATARMIN_OS={"TRANSPORT": FunctionTransport(answer), "GATE": {"timeout": 30}}):
        assert asyncio.run(main()) == b"done"


# Denials


def _view(**options: Any) -> Callable[[HttpRequest], Any]:
    return requires_feature(options.pop("code", "sso"), organisation="org_1", **options)(lambda _: HttpResponse("in"))


@pytest.mark.usefixtures("fake")
def test_page_is_for_browsers() -> None:
    """A browser gets a page, which varies by Accept."""
    response = wsgi_get("/function", Accept="text/html,*/*;q=0.8", **ORGANISATION)

    assert response.status_code == 403
    assert response["Content-Type"].startswith("text/html")
    assert response["Vary"] == "Accept"
    assert "Your plan does not include this feature" in response.content.decode()


@pytest.mark.usefixtures("fake")
def test_page_is_that_of_all_frameworks() -> None:
    """Django finds the page that the other frameworks render."""
    page = get_template(TEMPLATE)

    assert page.origin.name == str(TEMPLATES / TEMPLATE)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "engines",
    [
        [],
        [{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        [{"BACKEND": "django.template.backends.jinja2.Jinja2", "APP_DIRS": True}],
    ],
    ids=["no engine", "application is not found", "Jinja"],
)
@pytest.mark.usefixtures("fake")
def test_page_needs_no_engine_of_the_project(engines: list[dict[str, Any]]) -> None:
    """A browser gets the page, and not a 500, if the project's templates do not include those of the application."""
    with override_settings(TEMPLATES=engines):
        response = wsgi_get("/function", Accept="text/html", **ORGANISATION)

    assert response.status_code == 403
    assert response["Vary"] == "Accept"
    assert "Your plan does not include this feature" in response.content.decode()


@pytest.mark.usefixtures("fake")
def test_page_of_the_project_that_fails_is_an_error(tmp_path: Path) -> None:
    """The default page does not replace a page of the project that extends a missing one."""
    (tmp_path / "chatarmin_os").mkdir()
    (tmp_path / TEMPLATE).write_text('{% extends "missing.html" %}')
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [tmp_path]}

    with override_settings(TEMPLATES=[engine]), pytest.raises(TemplateDoesNotExist, match=r"missing\.html"):
        wsgi_get("/function", Accept="text/html", **ORGANISATION)


@both
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_no_denial_has_an_id_of_the_service(accept: str, get: Callable[..., Any], fake: FakeTransport) -> None:
    """Neither a denial by the service nor one in an outage after which the company is known."""
    client = ChatarminOS(transport=fake)
    company_id = client.features.get_access_by_external_org_id("org_1").company_id
    responses = [get("/function", Accept=accept, **ORGANISATION)]
    fake.advance(timedelta(hours=1))
    fake.fail(error="SERVICE_UNAVAILABLE", times=9)
    responses.append(get("/function", Accept=accept, **ORGANISATION))

    assert [response.status_code for response in responses] == [403, 503]
    assert all(response["Content-Type"].startswith(accept) for response in responses)
    assert company_id
    assert not [one for one in responses if company_id in one.content.decode() or b"injected" in one.content]


def test_limit_is_402() -> None:
    """At the limit of a feature the status is 402, and the body has limit and usage as numbers."""
    with override_service(features={"ai_credit": {"quantity_limit": 0}}):
        response = _view(code="ai_credit")(RequestFactory().get("/"))

    assert response.status_code == 402
    assert json.loads(response.content)["reason"] == "limit_reached"
    assert json.loads(response.content)["limit"] == 0


@both
def test_outage_is_503(get: Callable[..., Any], fake: FakeTransport) -> None:
    """If the service fails and nothing is known, the status is 503, with Retry-After and without the error's text."""
    fake.fail(error="SERVICE_UNAVAILABLE")

    response = get("/async-function", **ORGANISATION)

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response.json()["reason"] == "outage"
    assert "injected" not in response.content.decode()


@pytest.mark.usefixtures("fake")
def test_template_of_the_view() -> None:
    """Text that ends in .html is a template, which gets the decision, with the status of the denial."""
    response = _view(on_denied="upgrade.html")(RequestFactory().get("/"))

    assert response.status_code == 403
    assert response.content == b"sso: disabled, disabled\n"


@pytest.mark.parametrize(("name", "location"), [("upgrade", "/upgrade"), ("/plans/", "/plans/")])
@pytest.mark.usefixtures("fake")
def test_url_of_the_view(name: str, location: str) -> None:
    """Other text is the name of a URL, or a path, to redirect to."""
    response = _view(on_denied=name)(RequestFactory().get("/"))

    assert (response.status_code, response["Location"]) == (302, location)


def test_function_of_the_view_is_preferred(fake: FakeTransport) -> None:
    """A function of the view makes the response, and not that of the setting ON_DENIED."""
    view = _view(on_denied=lambda request, decision: HttpResponse(f"{request.path} {decision.reason}", status=418))

    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ON_DENIED": "django_project.views.teapot"}):
        responses = [view(RequestFactory().get("/a")), _view()(RequestFactory().get("/a"))]

    assert [(response.status_code, response.content) for response in responses] == [
        (418, b"/a disabled"),
        (418, b"sso"),
    ]


@pytest.mark.parametrize("returned", [None, "Upgrade", 403], ids=["nothing", "text", "number"])
@pytest.mark.usefixtures("fake")
def test_function_of_the_view_must_return_a_response(returned: Any) -> None:
    """Anything but a response is an error that names on_denied."""
    with pytest.raises(InvalidInput, match=r"^on_denied: must return an HttpResponse"):
        _view(on_denied=lambda *_: returned)(RequestFactory().get("/"))


@both
@pytest.mark.parametrize("view", ["raising", "async-raising", "feature-and-raising", "async-feature-and-raising"])
@pytest.mark.usefixtures("fake", "rows")
def test_denial_inside_of_a_view(view: str, get: Callable[..., Any]) -> None:
    """A FeatureDenied that a view raises becomes a response, by the middleware or by the decorator."""
    response = get(f"/{view}", **ORGANISATION)

    assert (response.status_code, response.json()["feature"]) == (403, "sso")


@both
@pytest.mark.usefixtures("fake")
def test_denial_inside_of_a_template_response(get: Callable[..., Any]) -> None:
    """The middleware also sees what a template raises that is rendered after the view."""
    response = get("/template-raising", **ORGANISATION)

    assert (response.status_code, response.json()["feature"]) == (403, "sso")


@pytest.mark.usefixtures("fake")
def test_other_exceptions_pass_the_middleware() -> None:
    """An exception that is no denial is Django's."""
    assert wsgi_get("/missing").status_code == 404
    with pytest.raises(ZeroDivisionError):
        wsgi_get("/broken")


@pytest.mark.parametrize("view", ["raising", "feature-and-raising"])
@pytest.mark.usefixtures("fake", "rows")
def test_denial_inside_of_a_view_rolls_back(view: str) -> None:
    """A view that is denied half-way leaves nothing behind under ATOMIC_REQUESTS, though no exception leaves it."""
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        response = wsgi_get(f"/{view}", **ORGANISATION)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False

    assert response.status_code == 403
    assert not Membership.objects.exists()


@pytest.mark.usefixtures("fake", "rows")
def test_denial_before_a_view_does_not_roll_back() -> None:
    """A function that notes denials in the database may: nothing of a view has happened."""
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        response = wsgi_get("/noted", **ORGANISATION)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False

    assert response.status_code == 403
    assert Membership.objects.exists()


# The organisation


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (5, "must be text or uuid.UUID, got int 5"),
        ("", "must not be blank"),
        (b"org_1", "must be text or uuid.UUID"),
        (SimpleLazyObject(lambda: 5), "must be text or uuid.UUID"),
        (["org_1"], "must be text or uuid.UUID"),
    ],
    ids=["int", "blank", "bytes", "lazy-int", "list"],
)
def test_organisation_must_be_text_or_uuid(returned: Any, problem: str, fake: FakeTransport) -> None:
    """Anything else is an error that names the setting; the view does not run."""
    with (
        override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": lambda _: returned}),
        pytest.raises(InvalidInput, match=f"ORGANISATION: {problem}"),
    ):
        wsgi_get("/function")

    assert fake.calls == []


def test_lazy_organisation_is_resolved(fake: FakeTransport) -> None:
    """Lazy text is text."""
    organisation = SimpleLazyObject(lambda: "org_1")

    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": lambda _: organisation}):
        response = wsgi_get("/function")

    assert response.json()["reason"] == "disabled"


def test_organisation_that_fails_is_named(fake: FakeTransport) -> None:
    """The error has the one of the function as its cause, and names setting and function."""

    def organisation_of(_: Any) -> str:
        raise KeyError("secret of a session")

    with (
        override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": organisation_of}),
        pytest.raises(InvalidInput, match=r"ORGANISATION: .*organisation_of raised KeyError$") as failed,
    ):
        wsgi_get("/function")

    assert isinstance(failed.value.__cause__, KeyError)


def test_organisation_may_respond(fake: FakeTransport) -> None:
    """An exception for which Django has a response, such as Http404, passes as it is."""

    def organisation_of(_: Any) -> str:
        raise Http404

    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": organisation_of}):
        assert wsgi_get("/function").status_code == 404


@pytest.mark.parametrize(
    ("organisation", "problem"),
    [
        (None, "ORGANISATION: "),
        ("shop.missing.organisation_of", "ORGANISATION: 'shop.missing.organisation_of' cannot be imported"),
        ("django_project.missing", "ORGANISATION: 'django_project.missing' cannot be imported"),
        ("organisation", "ORGANISATION: "),
        (5, "ORGANISATION: "),
        ("django_project.views.async_organisation", "ORGANISATION: must not be async"),
    ],
    ids=["none", "module", "name", "no-path", "number", "async"],
)
def test_organisation_that_is_no_function(organisation: Any, problem: str, fake: FakeTransport) -> None:
    """A request that needs the function raises an error that names the setting, and what to do."""
    with (
        override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": organisation}),
        pytest.raises(InvalidInput, match=problem),
    ):
        wsgi_get("/function")


@pytest.mark.usefixtures("fake")
def test_organisation_of_a_view() -> None:
    """A view may name the organisation, or a function of its own, for which the setting is not asked."""
    by_path = requires_feature("api_access", organisation=lambda request: request.path.strip("/"))

    @by_path
    def view(request: Any) -> HttpResponse:
        return HttpResponse(request.feature.external_org_id)

    assert view(RequestFactory().get("/org_1")).content == b"org_1"
    assert view(RequestFactory().get("/org_2")).status_code == 403


# The decorator


@pytest.mark.parametrize("code", ["", " ", None, 5, b"sso"], ids=["blank", "space", "none", "int", "bytes"])
def test_code_must_be_text(code: Any) -> None:
    """A wrong code is an error where the decorator is written."""
    with pytest.raises(InvalidInput, match=r"^code"):
        requires_feature(code)


def test_decorator_needs_its_code() -> None:
    """Without parentheses the view would be taken for the code."""
    with pytest.raises(InvalidInput, match=r"^code: "):

        @requires_feature  # type: ignore[arg-type]
        def view(_: HttpRequest) -> HttpResponse:
            raise NotImplementedError


def test_decorator_refuses_a_class() -> None:
    """It names the ways for classes."""
    with pytest.raises(InvalidInput, match="RequiresFeatureMixin, or method_decorator"):
        requires_feature("sso")(View)


@pytest.mark.parametrize("value", [5, object()], ids=["int", "object"])
def test_decorator_checks_its_options(value: Any) -> None:
    """Wrong options are errors where the decorator is written, not when the first request is denied."""
    with pytest.raises(InvalidInput, match=r"^on_denied: "):
        requires_feature("sso", on_denied=value)
    with pytest.raises(InvalidInput, match=r"^organisation: "):
        requires_feature("sso", organisation=value)


def test_decorated_view_keeps_its_name_and_kind() -> None:
    """Django sees whether a view is async, and other decorators see its attributes."""

    @requires_feature("sso")
    @login_not_required
    async def export(_: HttpRequest) -> HttpResponse:
        """Export."""
        raise NotImplementedError

    assert iscoroutinefunction(export)
    assert (export.__name__, export.__doc__, export.login_required) == ("export", "Export.", False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("codes", ["", (), [], None], ids=["blank", "tuple", "list", "none"])
def test_mixin_needs_a_feature(codes: Any) -> None:
    """A view that forgot its feature is not open."""

    class Forgetful(RequiresFeatureMixin, View):
        required_feature = codes

    with pytest.raises(ImproperlyConfigured, match=r"Forgetful.required_feature"):
        view_of(Forgetful)(RequestFactory().get("/"))


def test_mixin_after_the_view_is_refused() -> None:
    """There it would check nothing; `View` calls no `dispatch` of a later base class."""
    with pytest.raises(ImproperlyConfigured, match=r"Late: RequiresFeatureMixin checks nothing; put it before"):

        class Late(View, RequiresFeatureMixin):
            required_feature = "sso"


def test_mixin_may_come_after_other_mixins() -> None:
    """Only the view has to come later, also one of REST framework."""
    from django.contrib.auth.mixins import LoginRequiredMixin  # both need the settings of the project
    from rest_framework.views import APIView

    class Members(RequiresFeatureMixin):
        required_feature = "sso"

    class First(LoginRequiredMixin, Members, APIView):
        pass

    assert First.required_feature == "sso"


@pytest.mark.usefixtures("fake")
def test_mixin_needs_all_features() -> None:
    """The first feature that is missing is the one of the denial, and the others are not asked."""

    class Both(RequiresFeatureMixin, View):
        required_feature = ("api_access", "sso", "unknown")
        on_denied = staticmethod(lambda _, decision: HttpResponse(decision.feature_code, status=403))

    response = view_of(Both)(RequestFactory().get("/", headers=ORGANISATION))

    assert response.content == b"sso"


def test_async_class_may_respond_at_once(fake: FakeTransport) -> None:
    """The dispatch of an async class may return a response instead of a coroutine."""

    class Teapot(RequiresFeatureMixin, AsyncView):
        required_feature = "api_access"

    class Closed(AsyncView):
        def dispatch(self, *_: Any, **__: Any) -> HttpResponse:
            return HttpResponse(status=418)

    class Both(RequiresFeatureMixin, Closed):
        required_feature = "api_access"

    request = RequestFactory().get("/", headers=ORGANISATION)
    assert async_to_sync(view_of(Both))(request).status_code == 418
    assert async_to_sync(view_of(Teapot))(RequestFactory().post("/", headers=ORGANISATION)).status_code == 405
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("fake")
def test_mixin_has_a_template_too() -> None:
    """`on_denied` of a class is what the decorator takes."""

    class Upgrade(RequiresFeatureMixin, View):
        required_feature = "sso"
        on_denied = "upgrade.html"

    assert view_of(Upgrade)(RequestFactory().get("/", headers=ORGANISATION)).content == b"sso: disabled, disabled\n"
