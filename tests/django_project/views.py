"""The views of the project: functions and classes, sync and async."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from chatarmin_os.django import RequiresFeatureMixin, get_gate, requires_feature
from django_project.models import Membership

if TYPE_CHECKING:
    from chatarmin_os.gate import Decision


def organisation_of(request: HttpRequest) -> str | None:
    """Return the organisation that the header names; that of a token is looked up in the database."""
    token = request.headers.get("X-Token")
    if token is not None:
        return Membership.objects.get(token=token).org_id
    return request.headers.get("X-Organisation")


async def async_organisation(_: HttpRequest) -> str:
    """Return an organisation too late."""
    raise NotImplementedError


def teapot(_: HttpRequest, decision: Decision) -> HttpResponse:
    """Respond to a denial in a way that tests recognise."""
    return HttpResponse(decision.feature_code, status=418)


def decided(request: Any) -> JsonResponse:
    """Return the decision inside of a view."""
    return JsonResponse({"feature": request.feature.feature_code, "reason": request.feature.reason})


@requires_feature("sso")
def function(request: HttpRequest) -> HttpResponse:
    """Return the decision."""
    return decided(request)


@requires_feature("sso")
async def async_function(request: HttpRequest) -> HttpResponse:
    """Return the decision."""
    return decided(request)


class SyncView(View):
    """A view without a feature."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Return the decision."""
        return decided(request)


class AsyncView(View):
    """An async view without a feature."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Return the decision."""
        return decided(request)


class MixinView(RequiresFeatureMixin, SyncView):
    """A view that needs a feature."""

    required_feature = "sso"


class AsyncMixinView(RequiresFeatureMixin, AsyncView):
    """An async view that needs a feature."""

    required_feature = ("sso",)


@method_decorator(requires_feature("sso"), name="dispatch")
class DecoratedView(SyncView):
    """A decorated class."""


@method_decorator(requires_feature("sso"), name="dispatch")
class AsyncDecoratedView(AsyncView):
    """A decorated async class."""


@method_decorator([never_cache, requires_feature("sso")], name="dispatch")
class TwiceDecoratedView(SyncView):
    """A class with two decorators."""


@method_decorator([requires_feature("sso"), requires_feature("sso")], name="dispatch")
class AsyncTwiceDecoratedView(AsyncView):
    """An async class whose outer decorator gets the function of the inner one."""


class AsyncDecoratedMethodView(View):
    """An async class with a decorated method."""

    @method_decorator(requires_feature("sso"))
    async def get(self, request: HttpRequest) -> HttpResponse:
        """Return the decision."""
        return decided(request)


def raising(request: HttpRequest) -> HttpResponse:
    """Raise a denial, after a change."""
    Membership.objects.create(token=request.path, org_id="org_1")
    get_gate().require(external_org_id="org_1", feature_code="sso")
    raise NotImplementedError


async def async_raising(_: HttpRequest) -> HttpResponse:
    """Raise a denial."""
    get_gate().require(external_org_id="org_1", feature_code="sso")
    raise NotImplementedError


def template_raising(request: HttpRequest) -> TemplateResponse:
    """Return a response that raises a denial when it is rendered."""
    return TemplateResponse(
        request, "required.html", {"require": lambda: get_gate().require(external_org_id="org_1", feature_code="sso")}
    )


def note(request: HttpRequest, decision: Decision) -> HttpResponseBase:
    """Write a denial into the database."""
    Membership.objects.create(token=decision.feature_code, org_id="org_1")
    return HttpResponse(request.path, status=403)


def page(request: HttpRequest) -> HttpResponse:
    """Render the template that the request names."""
    return render(request, request.GET["template"], {"code": request.GET.get("code")})


async def async_page(request: HttpRequest) -> HttpResponse:
    """Render it in the thread of the event loop."""
    return page(request)


urlpatterns = [
    path("function", function),
    path("async-function", async_function),
    path("mixin", MixinView.as_view()),
    path("async-mixin", AsyncMixinView.as_view()),
    path("decorated", DecoratedView.as_view()),
    path("async-decorated", AsyncDecoratedView.as_view()),
    path("async-decorated-method", AsyncDecoratedMethodView.as_view()),
    path("twice-decorated", TwiceDecoratedView.as_view()),
    path("async-twice-decorated", AsyncTwiceDecoratedView.as_view()),
    path("raising", raising),
    path("async-raising", async_raising),
    path("feature-and-raising", requires_feature("api_access")(raising)),
    path("async-feature-and-raising", requires_feature("api_access")(async_raising)),
    path("template-raising", template_raising),
    path("noted", requires_feature("sso", on_denied=note)(function)),
    path("broken", lambda _: 1 / 0),  # type: ignore[arg-type,return-value]
    path("page", page),
    path("async-page", async_page),
    path("upgrade", page, name="upgrade"),
]
