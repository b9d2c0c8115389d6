"""Permission classes of REST framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from rest_framework.decorators import api_view, permission_classes
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from chatarmin_os import InvalidInput
from chatarmin_os.django.rest_framework import HasFeature, HasRequiredFeature
from chatarmin_os.django.test import override_service

if TYPE_CHECKING:
    from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]


def respond(*permissions: Any, accept: str = "application/json", organisation: str = "org_1", **attributes: Any) -> Any:
    """Return the rendered response of a view with permission classes."""

    class Exports(APIView):
        permission_classes = permissions

        def get(self, request: Any) -> Response:
            return Response({"feature": request.feature.feature_code, "reason": request.feature.reason})

        post = get

    for name, value in attributes.items():
        setattr(Exports, name, value)
    request = APIRequestFactory().get("/", headers={"Accept": accept, "X-Organisation": organisation})
    response = Exports.as_view()(request)
    response.render()
    return response


@pytest.mark.usefixtures("fake")
def test_feature_gives_permission() -> None:
    """The view runs, and `request.feature` is the decision."""
    response = respond(HasFeature("api_access"))

    assert (response.status_code, response.data) == (200, {"feature": "api_access", "reason": "allowed"})


@pytest.mark.parametrize(
    ("reason", "status", "features"),
    [
        ("disabled", 403, {"ai_credit": False}),
        ("limit_reached", 402, {"ai_credit": {"quantity_limit": 0}}),
    ],
)
def test_denial_has_status_and_body(reason: str, status: int, features: Any) -> None:
    """The body is that of any other denial, with numbers as numbers."""
    with override_service(features=features):
        response = respond(HasFeature("ai_credit"))

    assert response.status_code == status
    assert response.data == {
        "error": "feature_denied",
        "feature": "ai_credit",
        "reason": reason,
        "limit": response.data["limit"],
        "current_usage": 0,
    }
    assert type(response.data["limit"]) is int
    assert type(response.data["current_usage"]) is int
    assert b'"current_usage":0' in response.content


def test_not_linked_is_403(fake: FakeTransport) -> None:
    """An organisation that the service does not know, and nobody, are denied."""
    for organisation in ("org_9", ""):
        if organisation:
            assert respond(HasFeature("sso"), organisation=organisation).data["reason"] == "not_linked"
    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "ORGANISATION": lambda _: None}):
        assert respond(HasFeature("sso")).data["reason"] == "not_linked"


def test_outage_has_retry_after(fake: FakeTransport) -> None:
    """The handler of REST framework writes the header."""
    fake.fail(error="lost")

    response = respond(HasFeature("sso"))

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response.data["reason"] == "outage"


@pytest.mark.usefixtures("fake")
def test_several_features_are_all_needed() -> None:
    """The first one that is missing is denied."""
    assert respond(HasFeature("api_access", "seats")).status_code == 200
    assert respond(HasFeature("api_access", "sso", "unknown")).data["feature"] == "sso"


@pytest.mark.usefixtures("fake")
def test_any_feature_is_enough() -> None:
    """With `any` one of the features gives permission; without any the first one is denied."""
    assert respond(HasFeature("sso", "api_access", any=True)).data["feature"] == "api_access"
    assert respond(HasFeature("sso", any=True)).data["feature"] == "sso"
    with override_service(features={"a": False, "b": False}):
        assert respond(HasFeature("a", "b", any=True)).data["feature"] == "a"


@pytest.mark.usefixtures("fake")
def test_composed_permissions_check() -> None:
    """`&` and `~` ask the service; a denial raises, so that no composition opens what it denies."""
    assert respond(HasFeature("api_access") & AllowAny).status_code == 200
    assert respond(AllowAny & HasFeature("sso")).data["reason"] == "disabled"
    assert respond(HasFeature("sso") | AllowAny).data["reason"] == "disabled"
    assert respond(~HasFeature("sso")).data["reason"] == "disabled"
    assert respond(~HasFeature("api_access")).status_code == 403
    assert respond(HasFeature("api_access") & IsAuthenticated).status_code == 403


@pytest.mark.usefixtures("fake")
def test_features_that_the_view_names() -> None:
    """`required_feature` is one code, or a list of which all are needed."""
    assert respond(HasRequiredFeature, required_feature="api_access").status_code == 200
    assert respond(HasRequiredFeature, required_feature=["api_access", "sso"]).data["feature"] == "sso"


@pytest.mark.parametrize(
    "attributes", [{}, {"required_feature": None}, {"required_feature": []}], ids=["missing", "none", "empty"]
)
@pytest.mark.usefixtures("fake")
def test_view_without_a_name_is_not_open(attributes: dict[str, Any]) -> None:
    """A view that forgot its feature is an error."""
    with pytest.raises(ImproperlyConfigured, match=r"Exports.required_feature"):
        respond(HasRequiredFeature, **attributes)


@pytest.mark.parametrize("codes", [(), ("",), (None,), (["a"],)], ids=["none", "blank", "missing", "list"])
def test_codes_are_checked(codes: Any) -> None:
    """A permission class without a proper code is an error where it is written."""
    with pytest.raises(InvalidInput):
        HasFeature(*codes)


@pytest.mark.usefixtures("fake")
def test_denial_is_an_api_exception() -> None:
    """A handler of the project gets its code, and the details with it."""
    caught: list[Any] = []

    def handler(error: Exception, _: Any) -> Response:
        caught.append(error)
        return Response(status=418)

    assert respond(HasFeature("sso"), get_exception_handler=lambda _: handler).status_code == 418
    (error,) = caught
    assert isinstance(error, APIException)
    assert (error.code, error.default_code, error.get_codes()) == ("disabled", "disabled", "disabled")  # type: ignore[attr-defined]
    assert error.get_full_details() == {"message": error.detail, "code": "disabled"}
    assert error.decision.feature_code == "sso"  # type: ignore[attr-defined]


@pytest.mark.usefixtures("fake")
def test_browsable_api_shows_the_denial() -> None:
    """A browser gets the body in the page of REST framework, with its status."""
    response = respond(HasFeature("sso"), accept="text/html")

    assert response.status_code == 403
    assert response["Content-Type"].startswith("text/html")
    assert "feature_denied" in response.content.decode()


@pytest.mark.usefixtures("fake")
def test_browsable_api_shows_a_view() -> None:
    """The page checks permissions for its forms too."""
    assert respond(HasFeature("api_access"), accept="text/html").status_code == 200


@pytest.mark.usefixtures("fake")
def test_function_view() -> None:
    """Decorated functions have permission classes as well."""

    @api_view()
    @permission_classes([HasFeature("sso")])
    def view(_: Any) -> Response:
        raise NotImplementedError

    response = view(APIRequestFactory().get("/", headers={"X-Organisation": "org_1"}))

    assert response.data["reason"] == "disabled"


@pytest.mark.usefixtures("fake")
def test_decision_is_on_the_request_of_django() -> None:
    """Middleware sees it too, which gets the request that REST framework wraps."""
    request = APIRequestFactory().get("/", headers={"X-Organisation": "org_1"})

    HasFeature("api_access")().has_permission(Request(request), APIView())

    assert request.feature.feature_code == "api_access"  # type: ignore[attr-defined]


@pytest.mark.usefixtures("fake")
def test_organisation_may_refuse() -> None:
    """An exception of REST framework that ORGANISATION raises is the response."""

    def organisation_of(_: Any) -> str:
        raise NotAuthenticated

    with override_settings(CHATARMIN_OS={"TRANSPORT": "fake", "ORGANISATION": organisation_of}):
        assert respond(HasFeature("sso")).status_code == 403


def test_permission_is_a_class() -> None:
    """REST framework calls it to get an instance, and documentation shows its name."""
    permission = HasFeature("sso")

    assert issubclass(permission, BasePermission)
    assert (permission.__name__, permission.__module__) == (
        "HasFeature",
        "chatarmin_os.integrations.django.rest_framework",
    )
