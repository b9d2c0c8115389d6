"""The project as a server runs it: `application` for WSGI, `asgi` for ASGI.

The client makes a call when this module is imported, which is before gunicorn forks its workers.
"""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path

import django_project
from chatarmin_os.django import get_gate, metered, requires_feature

assert django_project.SETTINGS, "importing the project configures Django"

settings.ROOT_URLCONF = __name__
settings.CHATARMIN_OS = {
    "API_KEY": os.environ["OS_API_KEY"],
    "ORGANISATION": "django_project.views.organisation_of",
    "DEFAULT": {"max_age": 0.05},
    "MAX_RETRIES": 0,
    "TIMEOUT": 1,
}


def _decided(request: Any) -> JsonResponse:
    return JsonResponse({"source": request.feature.source, "process": os.getpid()})


@requires_feature("api_access")
def allowed(request: HttpRequest) -> JsonResponse:
    """Say where the decision is from."""
    return _decided(request)


@requires_feature("api_access")
async def async_allowed(request: HttpRequest) -> JsonResponse:
    """Say where the decision is from."""
    return _decided(request)


@requires_feature("sso")
def denied(_: HttpRequest) -> JsonResponse:
    """Never run."""
    raise NotImplementedError


@requires_feature("ai_credit")
def used(request: HttpRequest) -> JsonResponse:
    """Count a credit on commit."""
    with transaction.atomic(), metered(request, "ai_credit"):
        return _decided(request)


urlpatterns = [
    path("allowed", allowed),
    path("async-allowed", async_allowed),
    path("denied", denied),
    path("used", used),
]

get_gate().check(external_org_id="org_1", feature_code="api_access")

application = WSGIHandler()
asgi = ASGIHandler()
