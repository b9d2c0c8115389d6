"""`request.features`, and the tags `feature` and `feature_access`."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, RequestContext, Template, TemplateSyntaxError
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django_project.models import Membership

from chatarmin_os import InvalidInput
from chatarmin_os.django.test import override_service
from chatarmin_os.integrations.django.middleware import FeaturesMiddleware
from chatarmin_os.web.features import Features

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]

TOKEN = {"token": "t"}

FEATURE = "{% load chatarmin_os %}{% feature code %}yes{% else %}no{% endfeature %}"
STATIC = "{% load chatarmin_os %}{% feature 'api_access' %}yes{% else %}no{% endfeature %}"
WITHOUT_ELSE = "{% load chatarmin_os %}[{% feature 'sso' %}yes{% endfeature %}]"
NESTED = "{% load chatarmin_os %}{% feature 'seats' %}{% feature 'sso' %}a{% else %}b{% endfeature %}{% endfeature %}"
ACCESS = "{% load chatarmin_os %}{% feature_access 'ai_credit' as credits %}{{ credits.remaining }}"
DENIED_ACCESS = "{% load chatarmin_os %}{% feature_access 'sso' as sso %}{{ sso.feature_name }} {{ sso.is_enabled }}"


def render(text: str, organisation: str | None = "org_1", **variables: Any) -> str:
    """Render a template for a request of an organisation."""
    headers = {"X-Organisation": organisation} if organisation else {}
    request = RequestFactory().get("/", headers=headers)
    return str(Template(text).render(RequestContext(request, variables)))


def features_of(organisation: str | None) -> Features:
    """Return the features of a request."""
    headers = {"X-Organisation": organisation} if organisation else {}
    request = RequestFactory().get("/", headers=headers)
    FeaturesMiddleware(lambda _: HttpResponse())(request)
    features: Features = request.features  # type: ignore[attr-defined]
    return features


@pytest.mark.parametrize(("code", "shown"), [("api_access", "yes"), ("sso", "no")])
@pytest.mark.usefixtures("fake")
def test_tag_takes_a_variable(code: str, shown: str) -> None:
    """The part before `else` is for organisations with the feature, the other one for all others."""
    assert render(FEATURE, code=code) == shown


@pytest.mark.usefixtures("fake")
def test_tag_takes_static_text() -> None:
    """A text in quotes is a code; without `else` others see nothing; both parts may have tags."""
    assert render(STATIC) == "yes"
    assert render(STATIC, organisation=None) == "no"
    assert render(WITHOUT_ELSE) == "[]"
    assert render(NESTED) == "b"


@pytest.mark.usefixtures("fake")
def test_tag_shows_the_access() -> None:
    """The variable has the fields of the access, also of one that is denied."""
    assert render(ACCESS) == "10000"
    assert render(DENIED_ACCESS) == "Single sign-on False"
    assert render(ACCESS, organisation="org_9") == ""


@pytest.mark.usefixtures("fake")
def test_printed_decision_has_no_id_of_the_service() -> None:
    """A template that prints a decision shows what it is, and not the company."""
    assert render("{{ features.sso }}", features=features_of("org_1")) == "sso: denied (reason disabled, source live)"


@pytest.mark.parametrize(
    "text",
    [
        "{% feature %}{% endfeature %}",
        "{% feature 'a' 'b' %}{% endfeature %}",
        "{% feature 'a' %}",
        "{% feature_access 'a' %}",
        "{% feature_access 'a' in b %}",
        "{% feature_access 'a' as %}",
    ],
)
def test_wrong_tag_is_a_syntax_error(text: str) -> None:
    """A mistake in a tag is shown when the template is loaded."""
    with pytest.raises(TemplateSyntaxError):
        Template("{% load chatarmin_os %}" + text)


@pytest.mark.parametrize("context", [Context({}), Context({"request": None})], ids=["without", "none"])
def test_tag_without_request_is_closed(context: Context, fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """Without a request in the context the feature is closed, and the log says what to add."""
    shown = Template(STATIC).render(context) + Template(ACCESS).render(context)

    assert shown == "no"
    assert caplog.record_tuples[0][:2] == ("chatarmin_os", logging.ERROR)
    assert "django.template.context_processors.request" in caplog.text
    assert fake.calls == []


@pytest.mark.parametrize("code", [None, "", 5], ids=["none", "blank", "int"])
@pytest.mark.usefixtures("fake")
def test_tag_with_a_wrong_code_is_closed(code: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A variable that is no code, or that the context does not have, closes the feature."""
    assert render(FEATURE, code=code) == "no"
    assert "the feature counts as denied" in caplog.text


def test_tag_after_an_error_is_closed(fake: FakeTransport, caplog: pytest.LogCaptureFixture) -> None:
    """A refused key, which raises elsewhere, closes the feature on a page, and is logged."""
    fake.fail(error="UNAUTHORIZED", times=2)

    assert render(STATIC) + render(ACCESS) == "no"
    assert "UNAUTHORIZED" in caplog.text


def test_tag_with_a_policy_that_raises_is_closed(fake: FakeTransport) -> None:
    """A policy that raises in an outage does not fail a page."""
    fake.fail(error="lost", times=2)

    with override_settings(
        CHATARMIN_OS={"TRANSPORT": fake, "DEFAULT": {"on_outage": "raise"}, "ORGANISATION": lambda _: "org_1"}
    ):
        assert render(STATIC) == "no"


@pytest.mark.usefixtures("fake")
def test_error_inside_of_a_tag_passes() -> None:
    """What the part of a template raises is not the tag's."""

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        render(
            "{% load chatarmin_os %}{% feature 'api_access' %}{{ fail }}{% else %}{{ fail }}{% endfeature %}", fail=fail
        )


def test_tag_finds_the_request_of_a_context_without_processors(fake: FakeTransport) -> None:
    """`RequestContext` has the request, even if the engine has no context processor for it."""
    engine = Engine(libraries={"chatarmin_os": "chatarmin_os.integrations.django.templatetags.chatarmin_os"})
    request = RequestFactory().get("/", headers={"X-Organisation": "org_1"})

    assert engine.from_string(STATIC).render(RequestContext(request)) == "yes"
    assert len(fake.calls) == 1


# request.features


def test_middleware_is_async_where_the_view_is() -> None:
    """Django then needs no thread for it."""

    async def respond(_: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    assert iscoroutinefunction(FeaturesMiddleware(respond))
    assert not iscoroutinefunction(FeaturesMiddleware(lambda _: HttpResponse()))


def test_features_ask_once(fake: FakeTransport) -> None:
    """Nothing is asked before a feature is read, and then one call answers for all."""
    features = features_of("org_1")
    assert fake.calls == []

    read = [
        features.api_access.reason,
        features["sso"].reason,
        bool(features.team_seats),
        features["ai_credit"].allowed,
    ]

    assert read == ["allowed", "disabled", True, True]
    assert [call.path for call in fake.calls] == ["features.getAccessByExternalOrgId"]


@pytest.mark.usefixtures("fake")
def test_features_in_a_template() -> None:
    """The middleware gives each request its features."""
    assert Client().get("/page?template=features.html", headers={"X-Organisation": "org_1"}).content == b"yes no\n"


def test_features_in_an_outage_follow_their_policies(fake: FakeTransport) -> None:
    """If nothing is known, each code is decided by its policy."""
    fake.fail(error="lost", times=10)
    options = {"TRANSPORT": fake, "FEATURES": {"exports": {"on_outage": "allow"}}, "ORGANISATION": lambda _: "org_1"}

    with override_settings(CHATARMIN_OS=options):
        features = features_of("org_1")
        read = [(features[code].allowed, features[code].reason) for code in ("exports", "sso")]

    assert read == [(True, "outage"), (False, "outage")]


def test_features_of_nobody(fake: FakeTransport) -> None:
    """A request without an organisation has none, and the service is not asked."""
    assert features_of(None).seats.reason == "not_linked"
    assert fake.calls == []


@pytest.mark.usefixtures("fake")
def test_features_see_a_change_of_the_same_request() -> None:
    """After an upgrade the same request reads the new access."""
    from chatarmin_os.django import get_client

    features = features_of("org_1")
    before = features.sso.allowed
    get_client().features.set_access(external_org_id="org_1", feature_code="sso", is_enabled=True)

    assert (before, features.sso.allowed) == (False, True)


@pytest.mark.usefixtures("fake")
def test_features_raise_what_the_gate_raises() -> None:
    """A mistake in code is an error there."""
    with pytest.raises(InvalidInput):
        _ = features_of("org_1")[""]


def test_features_are_no_container(fake: FakeTransport) -> None:
    """Python's protocols do not take a name for a feature."""
    features = features_of("org_1")

    assert not hasattr(features, "__len__")
    with pytest.raises(TypeError):
        list(features)
    with pytest.raises(TypeError):
        _ = "sso" in features
    assert "GET '/'" in repr(features)
    assert isinstance(copy.copy(features), Features)
    assert fake.calls == []


@pytest.mark.parametrize("view", ["page", "async-page"])
@pytest.mark.parametrize("template", ["features.html", "tags.html"])
@pytest.mark.usefixtures("rows")
def test_orm_under_templates(view: str, template: str) -> None:
    """A template that is rendered in the thread of an event loop may use an ORGANISATION that reads the database."""
    Membership.objects.create(**TOKEN, org_id="org_1")

    with override_service():
        for response in (
            Client().get(f"/{view}?template={template}", headers={"X-Token": "t"}),
            async_to_sync(AsyncClient().get)(f"/{view}?template={template}", headers={"X-Token": "t"}),
        ):
            assert response.content == b"yes no\n"
