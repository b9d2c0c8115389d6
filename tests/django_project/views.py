"""The views of the project: functions and classes, sync and async, and those of REST framework."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from chatarmin_os.django import RequiresFeatureMixin, metered, requires_feature, track_usage
from chatarmin_os.gate import FeatureDenied
from chatarmin_os.integrations.django.services import get_gate
from django_project.models import Membership


def organisation_of(request: HttpRequest) -> str | None:
    """Return the organisation that the header names; one of a token is looked up in the database."""
    token = request.headers.get("X-Token")
    if token is not None:
        return Membership.objects.get(token=token).org_id
    return request.headers.get("X-Organisation")


def reason(request: Any) -> JsonResponse:
    """Return the decision inside of a view."""
    return JsonResponse({"reason": request.feature.reason, "feature": request.feature.feature_code})


@requires_feature("sso")
def function(request: HttpRequest) -> HttpResponse:
    """A view of its own."""
    return reason(request)


@requires_feature("sso")
async def async_function(request: HttpRequest) -> HttpResponse:
    """An async one."""
    return reason(request)


class MixinView(RequiresFeatureMixin, View):
    """A class that needs two features."""

    required_feature = ("api_access", "sso")

    def get(self, request: HttpRequest) -> HttpResponse:
        """Return the last decision."""
        return reason(request)


class AsyncMixinView(RequiresFeatureMixin, View):
    """An async class."""

    required_feature = "sso"

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Return the decision."""
        return reason(request)


@method_decorator(requires_feature("sso"), name="dispatch")
class DecoratedView(View):
    """A decorated class."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Return the decision."""
        return reason(request)


@method_decorator(requires_feature("sso"), name="dispatch")
class AsyncDecoratedView(View):
    """A decorated async class."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Return the decision."""
        return reason(request)


@method_decorator(requires_feature("sso"), name="get")
class AsyncDecoratedMethodView(View):
    """An async class with a decorated method."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Return the decision."""
        return reason(request)


def raising(request: HttpRequest) -> HttpResponse:
    """Raise a denial; the middleware makes the response."""
    get_gate().require(external_org_id="org_1", feature_code="sso")
    return HttpResponse("allowed")


urlpatterns = [
    path("function", function),
    path("async-function", async_function),
    path("mixin", MixinView.as_view()),
    path("async-mixin", AsyncMixinView.as_view()),
    path("decorated", DecoratedView.as_view()),
    path("async-decorated", AsyncDecoratedView.as_view()),
    path("async-decorated-method", AsyncDecoratedMethodView.as_view()),
    path("raising", raising),
]
